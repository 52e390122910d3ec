# SPDX-License-Identifier: Apache-2.0
"""Serf's messages as the bytes of memberlist's user messages, tags as meta, coordinates as payload of acks.

Go walks its maps in no order, so of two that hold the same, bytes may differ; what is read here keeps the order in
which it came. Source: github.com/hashicorp/serf, serf/messages.go, delegate.go, ping_delegate.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import partial
from typing import Any, Final

import msgspec

from ...errors import BadPacket
from ..serf.messages import (
    Described,
    Exchange,
    Join,
    KeyRequest,
    KeyResponse,
    Leave,
    PastEvent,
    PastEvents,
    Query,
    QueryResponse,
    Relay,
    SerfMessage,
    UserEvent,
)
from .dialect import BOOL, FLOAT, INT, RAW, RAW_OR_NIL, TEXT, U8, U16, U32, U64, list_of, map_of, or_nil
from .form import Field
from .form import Form as _Form
from .stream import NODES_MAX

Form: Final = partial(_Form, elements_max=None)

#: First byte of meta that holds tags, and of an ack's payload that holds a coordinate.
TAGS_MAGIC: Final = b"\xff"
PING_VERSION: Final = b"\x01"
#: memberlist's limit for meta.
META_MAX: Final = 512

#: Places in a ring of events (peers have 512), and events of one time.
EVENT_TIMES_MAX: Final = 1 << 14
EVENTS_MAX: Final = 1 << 12
FILTERS_MAX: Final = 64
NAMES_MAX: Final = 1 << 12
KEYS_MAX: Final = 256
TAGS_MAX: Final = 256
DIMENSIONS_MAX: Final = 64


class SerfType(IntEnum):
    """A message's first byte."""

    LEAVE = 0
    JOIN = 1
    EXCHANGE = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


class _Target(msgspec.Struct, frozen=True, gc=False):
    host: bytes
    port: int
    zone: str


class _RelayHead(msgspec.Struct, frozen=True, gc=False):
    target: _Target | None
    node: str


class Coordinate(msgspec.Struct, frozen=True):
    """A place in a space where distances are round-trip times, in seconds."""

    vec: tuple[float, ...]
    error: float
    adjustment: float
    height: float


class TagFilter(msgspec.Struct, frozen=True, gc=False):
    """Lets those pass whose tag matches the expression (RE2's)."""

    tag: str
    expression: str


_LTIME: Final = Field("LTime", "ltime", U64)
_PAST_EVENT: Final = Form(PastEvent, Field("Name", "name", TEXT), Field("Payload", "payload", RAW_OR_NIL))
_PAST_EVENTS: Final = Form(PastEvents, Field("Events", "events", list_of(_PAST_EVENT.kind, EVENTS_MAX)), _LTIME)
_TAGS: Final = map_of(TEXT, TAGS_MAX)

_FORMS: Final[dict[type, tuple[SerfType, _Form[Any]]]] = {
    Leave: (SerfType.LEAVE, Form(Leave, _LTIME, Field("Node", "node", TEXT), Field("Prune", "prune", BOOL))),
    Join: (SerfType.JOIN, Form(Join, _LTIME, Field("Node", "node", TEXT))),
    Exchange: (SerfType.EXCHANGE, Form(
        Exchange, Field("EventLTime", "event_ltime", U64),
        Field("Events", "events", list_of(or_nil(_PAST_EVENTS.kind), EVENT_TIMES_MAX)), _LTIME,
        Field("LeftMembers", "left", list_of(TEXT, NODES_MAX)), Field("QueryLTime", "query_ltime", U64),
        Field("StatusLTimes", "status_ltimes", map_of(U64, NODES_MAX)))),
    UserEvent: (SerfType.USER_EVENT, Form(
        UserEvent, Field("CC", "coalesce", BOOL), _LTIME, Field("Name", "name", TEXT),
        Field("Payload", "payload", RAW_OR_NIL))),
    Query: (SerfType.QUERY, Form(
        Query, Field("Addr", "host", RAW), Field("Filters", "filters", or_nil(list_of(RAW, FILTERS_MAX))),
        Field("Flags", "flags", U32), Field("ID", "id", U32), _LTIME, Field("Name", "name", TEXT),
        Field("Payload", "payload", RAW_OR_NIL), Field("Port", "port", U16), Field("RelayFactor", "relay_factor", U8),
        Field("SourceNode", "source_node", TEXT), Field("Timeout", "timeout_ns", INT))),
    QueryResponse: (SerfType.QUERY_RESPONSE, Form(
        QueryResponse, Field("Flags", "flags", U32), Field("From", "node", TEXT), Field("ID", "id", U32), _LTIME,
        Field("Payload", "payload", RAW_OR_NIL))),
    Described: (SerfType.CONFLICT_RESPONSE, Form(
        Described, Field("Addr", "host", RAW), Field("DelegateCur", "delegate", U8),
        Field("DelegateMax", "delegate_max", U8), Field("DelegateMin", "delegate_min", U8), Field("Name", "node", TEXT),
        Field("Port", "port", U16), Field("ProtocolCur", "protocol", U8), Field("ProtocolMax", "protocol_max", U8),
        Field("ProtocolMin", "protocol_min", U8), Field("Status", "status", INT), Field("Tags", "tags", _TAGS))),
    KeyRequest: (SerfType.KEY_REQUEST, Form(KeyRequest, Field("Key", "key", RAW_OR_NIL))),
    KeyResponse: (SerfType.KEY_RESPONSE, Form(
        KeyResponse, Field("Keys", "keys", or_nil(list_of(TEXT, KEYS_MAX))), Field("Message", "message", TEXT),
        Field("PrimaryKey", "primary_key", TEXT), Field("Result", "result", BOOL))),
}
_WRITERS: Final = {record: (bytes([kind]), form.write) for record, (kind, form) in _FORMS.items()}
_READERS: Final = {int(kind): form.all_of for kind, form in _FORMS.values()}

_TARGET: Final = Form(_Target, Field("IP", "host", RAW), Field("Port", "port", INT), Field("Zone", "zone", TEXT))
_RELAY_HEAD: Final = Form(_RelayHead, Field("DestAddr", "target", _TARGET.kind), Field("DestName", "node", TEXT))
_COORDINATE: Final = Form(Coordinate, Field("Adjustment", "adjustment", FLOAT), Field("Error", "error", FLOAT),
                          Field("Height", "height", FLOAT), Field("Vec", "vec", list_of(FLOAT, DIMENSIONS_MAX)))
_TAG_FILTER: Final = Form(TagFilter, Field("Expr", "expression", TEXT), Field("Tag", "tag", TEXT))
_NAMES: Final = list_of(TEXT, NAMES_MAX)


def encode(message: SerfMessage) -> bytes:
    """The message, as the payload of a ``User`` message, or as user state of an exchange."""
    if isinstance(message, Relay):
        head = _RelayHead(_Target(message.host, message.port, message.zone), message.node)
        return b"\x09" + _RELAY_HEAD.write(head) + message.inner
    kind, write = _WRITERS[type(message)]
    return kind + write(message)


def decode(data: bytes) -> SerfMessage:
    """The message that ``data`` is. Raises BadPacket."""
    if not data:
        raise BadPacket("a message of Serf's without a byte", why="short")
    if data[0] == SerfType.RELAY:
        return _relay(data)
    if data[0] not in _READERS:
        raise BadPacket(f"Serf has no message of type {data[0]}", why="type")
    return _READERS[data[0]](data, 1)  # type: ignore[no-any-return]


def _relay(data: bytes) -> Relay:
    try:
        head, at = _RELAY_HEAD.read(data, 1)
    except IndexError:
        raise BadPacket("a relay that ends too early", why="short") from None
    if head.target is None or not 0 < head.target.port < 1 << 16 or len(head.target.host) not in (4, 16):
        raise BadPacket("a relay without a target")
    if at == len(data) or data[at] == SerfType.RELAY:  # guard: relays. Passed on once, or they go round for ever
        raise BadPacket("a relay of nothing, or of a relay", why="deep")
    return Relay(head.target.host, head.target.port, data[at:], head.target.zone, head.node)


# -- what travels in memberlist's fields ------------------------------------------------------------------------------

def tags_to_meta(tags: Mapping[str, str]) -> bytes:
    """Tags as a member's meta. ValueError when they do not fit into 512 bytes."""
    meta = TAGS_MAGIC + _TAGS.write(tags)
    if len(meta) > META_MAX:
        raise ValueError(f"the tags take {len(meta)} bytes, and {META_MAX} is the most: shorten them")
    return meta


def meta_to_tags(meta: bytes) -> dict[str, str]:
    """A member's tags. Meta that holds none is the tag ``role``, as Serf reads it: members once had nothing else.

    Raises BadPacket.
    """
    if meta[:1] != TAGS_MAGIC:
        return {"role": meta.decode("utf-8", "surrogateescape")}
    return _whole(_TAGS.read, meta, 1, "tags")  # type: ignore[no-any-return]


def coordinate_to_payload(coordinate: Coordinate) -> bytes:
    """A coordinate as an ack's payload."""
    return PING_VERSION + _COORDINATE.write(coordinate)


def payload_to_coordinate(payload: bytes) -> Coordinate:
    """The coordinate in an ack. Raises BadPacket, for a version that is not known too."""
    if payload[:1] != PING_VERSION:
        raise BadPacket("an ack's payload of a version that is not known", why="version")
    return _COORDINATE.all_of(payload, 1)


def nodes_to_filter(nodes: tuple[str, ...]) -> bytes:
    """A filter that lets these members pass."""
    return b"\x00" + _NAMES.write(nodes)


def tag_to_filter(tag: TagFilter) -> bytes:
    """A filter that looks at a tag."""
    return b"\x01" + _TAG_FILTER.write(tag)


def read_filter(data: bytes) -> tuple[str, ...] | TagFilter:
    """Names, or what is wanted of a tag. Raises BadPacket."""
    if data[:1] == b"\x00":
        return _whole(_NAMES.read, data, 1, "a filter")  # type: ignore[no-any-return]
    if data[:1] == b"\x01":
        return _TAG_FILTER.all_of(data, 1)
    raise BadPacket("a filter of a type that is not known", why="type")


def _whole(read: Any, data: bytes, at: int, what: str) -> Any:
    try:
        return read(data, at)[0]
    except IndexError:
        raise BadPacket(f"{what} that ends too early", why="short") from None
