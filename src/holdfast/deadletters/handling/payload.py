# SPDX-License-Identifier: Apache-2.0
"""The fields of a message, by path. Decoded when a rule first asks, once, and never told to anybody. Pure.

A path is a JSON pointer (RFC 6901: ``/order/lines/0/sku``) or, shorter, dotted (``order.lines.0.sku``). JSON and
MessagePack bodies are read. A message without a ``body`` field, written by somebody else, is its own fields as text.
What cannot be read has no fields: a rule that asks for one does not match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..._base.decoder import base_type
from ..._base.message import F_BODY, JSON, MSGPACK, Message

#: There is no such field. None is a value: JSON has it.
ABSENT: Final = object()
#: Longest bodies that are read to be judged, in bytes.
BODY_MAX: Final = 4 << 20


class Payload:
    """One message's fields."""

    __slots__ = ("_fields", "_value")

    def __init__(self, fields: Sequence[bytes] = ()) -> None:
        self._fields = fields
        self._value: Any = None

    def at(self, path: tuple[str, ...]) -> Any:
        """What stands there, or ABSENT."""
        if self._value is None:
            self._value = (decoded(self._fields),)
        found = self._value[0]
        for step in path:
            found = _below(found, step)
            if found is ABSENT:
                return ABSENT
        return found

    def __repr__(self) -> str:  # never the payload: reprs end in logs
        return f"<Payload of {len(self._fields) // 2} fields>"


def path_of(text: str) -> tuple[str, ...]:
    """The steps of a pointer, or of a dotted path. ``""`` is the whole."""
    if not text.startswith("/"):
        return tuple(text.split(".")) if text else ()
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


def decoded(fields: Sequence[bytes]) -> Any:
    """The body as a value; ABSENT when it has none that can be read."""
    message = Message("", b"", fields)
    if F_BODY not in message.map:
        return {_text(name): _text(value) for name, value in message.map.items()}
    return ABSENT if len(message.body) > BODY_MAX else value_of(message.body, message.content_type)


def value_of(body: bytes, content_type: str) -> Any:
    """A body as a value; ABSENT when it cannot be read."""
    kind = base_type(content_type)
    try:
        if kind == MSGPACK:
            return msgspec.msgpack.decode(body)
        if kind == JSON or kind.endswith("+json"):
            return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ABSENT
    return ABSENT


def _below(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, ABSENT)
    if isinstance(value, list) and step.isascii() and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return ABSENT


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
