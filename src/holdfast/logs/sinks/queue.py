# SPDX-License-Identifier: Apache-2.0
"""Records to RabbitMQ or Kafka, as messages whose id is the record's.

A batch whose answer never came goes in again: consumers with ``once`` apply a message of one id a single time. At Kafka
the key is the record's source, so that each file's records stay in order; RabbitMQ keeps none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from ..._base.chance import system_chance
from ..._base.clock import SystemClock
from ..._base.events import Events
from ..._base.secret import Resolver, Secret, SecretRef, resolve
from ...brokers import World, broker_for
from ...errors import ConfigurationError, PublishError, ServerError
from ...streams.entry import Outgoing, entry_of
from ..record import Record
from ..sink import Refused, SinkDown
from .document import document, encoded
from .stream import fitting

__all__ = ["QueueSink", "broker_at"]

#: Seconds for a batch.
_PATIENCE_S: Final = 30.0


class QueueSink:
    """Publishes to ``stream`` at ``url``: ``amqp://``, ``amqps://`` or ``kafka://``.

    At RabbitMQ a group has to be there that takes them: until then the sink is down. limit_bytes: of one message; a
    record that is larger is refused. secrets: resolves a ``url`` that is a reference.
    """

    keeps_once = False

    def __init__(self, stream: str, *, url: str | Secret[str] | SecretRef, limit_bytes: int = 1_000_000,
                 secrets: Resolver | None = None, events: Events | None = None) -> None:
        self.name = "queue"
        self._stream, self._limit_bytes = stream, limit_bytes
        self._clock = SystemClock()
        self._broker = broker_at(url, secrets, events)

    async def open(self) -> None:
        try:
            await self._broker.open()
        except (ServerError, TimeoutError) as error:
            raise SinkDown(f"queue {self._stream}: {error}") from error

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        good, refused = encoded(batch, document)
        fits, too_large = fitting(good, self._limit_bytes)
        now_ms = self._clock.wall_ms()
        entries = [entry_of(Outgoing(value=one.body, content_type="application/json", type="log.record",
                                     key=one.record.line.source.id), one.record.id, now_ms,
                            self._limit_bytes) for one in fits]
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._broker.publish(self._stream, entries)
        except TimeoutError as error:
            raise SinkDown(f"queue {self._stream}: no answer within {_PATIENCE_S:g} s") from error
        except (ServerError, PublishError) as error:
            raise SinkDown(f"queue {self._stream}: {error}") from error
        return sorted(refused + too_large, key=lambda one: one.index)

    async def close(self) -> None:
        await self._broker.close()


def broker_at(url: str | Secret[str] | SecretRef, secrets: Resolver | None, events: Events | None = None) -> Any:
    """The broker at ``url``, not connected yet. ConfigurationError: it is none; SecretUnavailable, MissingExtra."""
    known = resolve(url, secrets)
    found = broker_for(None if known is None else known.reveal(), World(
        prefix="hf", events=events or Events(), clock=SystemClock(), chance=system_chance()))
    if found is None:
        raise ConfigurationError('kind = "queue" needs a URL that begins with amqp://, amqps:// or kafka://; Redis and '
                                 'Valkey are kind = "stream"')
    return found
