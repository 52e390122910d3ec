# SPDX-License-Identifier: Apache-2.0
"""Messages as they go over AMQP: headers, a few properties, a body. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way out, always persistent.

    exchange, key: where it goes; the empty exchange takes a queue's name for key. properties: of AMQP by name, but for
    headers and delivery mode; empty ones are left out.
    """

    exchange: str = ""
    key: str
    headers: Mapping[str, Any] = {}
    properties: Mapping[str, Any] = {}
    body: bytes = b""


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it was delivered. ``tag`` settles it, on the channel it came by and on no other."""

    tag: int
    redelivered: bool
    exchange: str
    key: str
    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    body: bytes

    @property
    def returns(self) -> int | None:
        """How often it came back to its queue: a quorum queue counts; None: it came back, and nobody counted."""
        count = self.headers.get("x-delivery-count")
        if isinstance(count, int):
            return count
        return None if self.redelivered else 0


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue to be there. ``arguments`` as RabbitMQ names them. passive: it has to be there already. fleeting: it goes
    with its last consumer."""

    name: str
    arguments: Mapping[str, Any] = {}
    passive: bool = False
    fleeting: bool = False


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange to be there, durable."""

    name: str
    kind: str


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What goes from an exchange to a queue, or to another exchange."""

    source: str
    key: str = ""
    queue: str = ""
    exchange: str = ""


Thing = Queue | Exchange | Binding

__all__ = ["Arrived", "Binding", "Exchange", "Parcel", "Queue", "Thing"]
