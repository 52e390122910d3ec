# SPDX-License-Identifier: Apache-2.0
"""From a value to the fields of a stream entry (see ``_base.message`` for the fields)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._base.clock import WallMs
from .._base.codec import encode, type_version
from .._base.message import (
    F_AT,
    F_BODY,
    F_CONTENT_TYPE,
    F_ID,
    F_KEY,
    F_TRACEPARENT,
    F_TYPE,
    F_VERSION,
    HEADER,
    JSON,
)
from ..errors import MessageTooLarge

#: Bytes of one message at most, unless told otherwise: a larger one slows every reader; put it elsewhere and send a
#: reference.
LIMIT_BYTES = 1_000_000
#: Names and values of one entry at most. A script that moves an entry (it is due later, or was parked) passes them all
#: in one call, and a call in Lua takes some 8,000.
PARTS_MAX = 7_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message on its way out. ``value`` is encoded by its type; the rest is optional.

    id: the caller's own identity, for example an order's number; a ULID when absent. key: orders and partitions.
    type: defaults to the class's name for typed values. version: of the body's format, by default the class's.
    """

    value: Any
    key: str | None = None
    id: str | None = None
    type: str | None = None
    version: int | None = None
    headers: Mapping[str, str] | None = None
    content_type: str | None = None
    traceparent: str | None = None


def entry_of(out: Outgoing, message_id: str, at: WallMs, limit_bytes: int = LIMIT_BYTES) -> list[bytes]:
    """The flat fields of ``out``. Raises MessageTooLarge, PublishError (it cannot be encoded)."""
    body, content_type, type_name = encode(out.value, out.content_type)
    fields = [F_ID, message_id.encode()]
    if out.key is not None:
        fields += (F_KEY, out.key.encode())
    if name := out.type or type_name:
        fields += (F_TYPE, name.encode())
    version = out.version or type_version(type(out.value))
    if version != 1:
        fields += (F_VERSION, b"%d" % version)
    fields += (F_AT, b"%d" % at)
    if content_type != JSON:
        fields += (F_CONTENT_TYPE, content_type.encode())
    if out.traceparent:
        fields += (F_TRACEPARENT, out.traceparent.encode())
    for header, value in (out.headers or {}).items():
        fields += (HEADER + header.encode(), value.encode())
    fields += (F_BODY, body)
    size = sum(map(len, fields))
    if size > limit_bytes:
        raise MessageTooLarge(f"message {message_id} has {size} bytes and the limit is {limit_bytes}: "
                              f"store the payload elsewhere and publish a reference, or raise limit_bytes")
    if len(fields) > PARTS_MAX:  # guard: no entry that a script cannot move
        raise MessageTooLarge(f"message {message_id} has {len(fields) // 2} fields and the limit is "
                              f"{PARTS_MAX // 2}: put headers together, or into the body")
    return fields
