# SPDX-License-Identifier: Apache-2.0
"""How long messages are on the wire, near enough to fill packets: memberlist's encoding, counted without encoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..messages import Ack, Alive, Dead, IndirectPing, Message, Nack, Ping, Suspect, User

#: Type byte, map, field names and numbers, without what varies: texts and bytes.
_FIXED: Final[dict[type, int]] = {
    Ping: 64, IndirectPing: 87, Ack: 22, Nack: 12, Suspect: 29, Dead: 29, Alive: 58, User: 1,
}

_VARYING: Final[dict[type, Callable[[Any], int]]] = {
    Ping: lambda message: len(message.node) + len(message.source_node),
    IndirectPing: lambda message: len(message.node) + len(message.source_node),
    Ack: lambda message: len(message.payload or b""),
    Suspect: lambda message: len(message.node) + len(message.accuser),
    Dead: lambda message: len(message.node) + len(message.accuser),
    Alive: lambda message: len(message.node) + len(message.meta),
    User: lambda message: len(message.payload),
}


def weigh(message: Message) -> int:
    """Bytes of a message, its type byte included."""
    varying = _VARYING.get(type(message))
    return _FIXED.get(type(message), 0) + (varying(message) if varying is not None else 0)
