# SPDX-License-Identifier: Apache-2.0
"""One message as bytes, and back: a byte for its type, and its record as a map.

``PushPull`` is no map but a header and what it announces; it and ``User`` as streams carry them stand in ``stream.py``.
Source: github.com/hashicorp/memberlist, net.go (types and fields).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from ...errors import BadPacket
from ..messages import Ack, Alive, Dead, Err, IndirectPing, Message, Nack, NodeState, Ping, Suspect, User, Versions
from .dialect import BOOL, INT, RAW, RAW_OR_NIL, TEXT, U16, U32, Kind, read_bytes, write_raw
from .form import Field, Form


class Type(IntEnum):
    """A message's first byte."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    HAS_CRC = 12
    ERR = 13
    HAS_LABEL = 244


def _read_versions(data: bytes, at: int) -> tuple[Versions | None, int]:
    value, at = read_bytes(data, at)
    if not value:
        return None, at
    if len(value) != len(Versions._fields):
        raise BadPacket(f"{len(value)} bytes of versions, and there are six", why="version")
    return Versions(*value), at


_VERSIONS: Final = Kind(_read_versions, lambda value: write_raw(value and bytes(value)), None)
#: Go calls it an int and nobody sends a large one; beyond a byte it is refused.
_STATE: Final = Kind(U16.read, INT.write, 0)
_SOURCE: Final = (Field("SourceAddr", "source_host", RAW, omit=True),
                  Field("SourceNode", "source_node", TEXT, omit=True),
                  Field("SourcePort", "source_port", U16, omit=True))

NODE_STATE: Final = Form(
    NodeState, Field("Addr", "host", RAW), Field("Incarnation", "incarnation", U32), Field("Meta", "meta", RAW),
    Field("Name", "node", TEXT), Field("Port", "port", U16), Field("State", "state", _STATE),
    Field("Vsn", "versions", _VERSIONS))
ERR: Final = Form(Err, Field("Error", "error", TEXT))

_FORMS: Final[dict[type, tuple[Type, Form[Any]]]] = {
    Ping: (Type.PING, Form(Ping, Field("Node", "node", TEXT), Field("SeqNo", "seq_no", U32), *_SOURCE)),
    IndirectPing: (Type.INDIRECT_PING, Form(
        IndirectPing, Field("Nack", "nack", BOOL), Field("Node", "node", TEXT), Field("Port", "port", U16),
        Field("SeqNo", "seq_no", U32), *_SOURCE, Field("Target", "host", RAW))),
    Ack: (Type.ACK, Form(Ack, Field("Payload", "payload", RAW_OR_NIL), Field("SeqNo", "seq_no", U32))),
    Nack: (Type.NACK, Form(Nack, Field("SeqNo", "seq_no", U32))),
    Suspect: (Type.SUSPECT, Form(Suspect, Field("From", "accuser", TEXT), Field("Incarnation", "incarnation", U32),
                                 Field("Node", "node", TEXT))),
    Alive: (Type.ALIVE, Form(
        Alive, Field("Addr", "host", RAW), Field("Incarnation", "incarnation", U32), Field("Meta", "meta", RAW),
        Field("Node", "node", TEXT), Field("Port", "port", U16), Field("Vsn", "versions", _VERSIONS))),
    Dead: (Type.DEAD, Form(Dead, Field("From", "accuser", TEXT), Field("Incarnation", "incarnation", U32),
                           Field("Node", "node", TEXT))),
    Err: (Type.ERR, ERR),
}
_WRITERS: Final = {record: (bytes([kind]), form.write) for record, (kind, form) in _FORMS.items()}
_READERS: Final = {int(kind): form for kind, form in _FORMS.values()}


def encode(message: Message) -> bytes:
    """The message as a packet carries it. TypeError for ``PushPull``, which goes over a stream."""
    if type(message) is User:
        return b"\x08" + message.payload
    if type(message) not in _WRITERS:
        raise TypeError(f"a {type(message).__name__} is not sent in a packet: see stream.py")
    kind, write = _WRITERS[type(message)]
    return kind + write(message)


def decode(data: bytes) -> Message:
    """The message that ``data`` is. Raises BadPacket for types that wrap others, and for those nobody knows."""
    if not data:
        raise BadPacket("a message without a byte", why="short")
    if data[0] == Type.USER:
        return User(data[1:])
    return _form(data[0]).all_of(data, 1)  # type: ignore[no-any-return]


def read(data: bytes, at: int) -> tuple[Message, int]:
    """The message at ``at`` and what is behind it, where it may not have arrived in full. Raises Short, BadPacket."""
    return _form(data[at]).read(data, at + 1)


def _form(kind: int) -> Form[Any]:
    if kind not in _READERS:
        raise BadPacket(f"a message of type {kind} does not stand here", why="type")
    return _READERS[kind]
