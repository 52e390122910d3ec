# SPDX-License-Identifier: Apache-2.0
"""From a value to the bytes, content type and type name that are published.

=========================================== ===========================================================
value                                       content type
=========================================== ===========================================================
bytes, bytearray, memoryview                application/octet-stream, unless the caller says what it is
str                                         text/plain
anything else                               application/json, or application/msgpack when asked for
=========================================== ===========================================================

The type name of a class is its ``__message_type__``, or else its own name; dicts, lists and scalars have none. Its
format version is ``__message_version__``, or else 1. Raising the version is a promise to readers: they know the older
ones or have upcasters for them, and park what is newer. JSON has no NaN: msgspec writes ``null`` for it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import PublishError
from .decoder import TEXT, base_type
from .message import BYTES, JSON, MSGPACK

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()

_RAW = (bytes, bytearray, memoryview)
#: What belongs to nobody's vocabulary, and so names no type of message.
_UNNAMED = (dict, list, tuple, set, frozenset, int, float, bool, str, type(None), *_RAW)


def encode(value: Any, content_type: str | None = None) -> tuple[bytes, str, str | None]:
    """``(body, content type, type name)`` of a value to be published.

    content_type: None chooses as the module's table says. For bytes and text it is recorded as given; for anything
    else it must be JSON or MessagePack. Raises PublishError when the value cannot be written so.
    """
    if isinstance(value, _RAW):
        return bytes(value), content_type or BYTES, None
    if isinstance(value, str) and (content_type is None or base_type(content_type).startswith("text/")):
        return value.encode(), content_type or TEXT, None
    kind = content_type or JSON
    return _structured(value, kind), kind, type_name(type(value))


def type_name(cls: type) -> str | None:
    """The name under which messages of this class are published and routed."""
    chosen = getattr(cls, "__message_type__", None)
    if isinstance(chosen, str):
        return chosen
    return None if cls in _UNNAMED else cls.__name__


def type_version(cls: Any) -> int:
    """The format version that messages of this class have."""
    chosen = getattr(cls, "__message_version__", 1)
    return chosen if isinstance(chosen, int) else 1


def _structured(value: Any, content_type: str) -> bytes:
    kind = base_type(content_type)
    if kind not in (JSON, MSGPACK):
        raise PublishError(f"a {type(value).__name__} cannot be written as {content_type}: publish bytes of your own "
                           f"with this content_type, or leave it out for JSON")
    try:
        if hasattr(value, "__pydantic_serializer__"):
            return _from_pydantic(value, kind)
        return _json.encode(value) if kind == JSON else _msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        # The library names types in its text, a user's hook might quote values: the text stays in the cause.
        raise PublishError(f"a {type(value).__name__} cannot be written as {kind}: every part of it must be of a type "
                           f"that msgspec or Pydantic encodes ({type(error).__name__})") from error


def _from_pydantic(value: Any, kind: str) -> bytes:
    if kind == JSON and hasattr(value, "model_dump_json"):
        return bytes(value.model_dump_json(by_alias=True), "utf-8")
    from pydantic import TypeAdapter

    adapter: Any = TypeAdapter(type(value))  # MessagePack, and Pydantic's own dataclasses
    if kind == JSON:
        return bytes(adapter.dump_json(value, by_alias=True))
    return _msgpack.encode(adapter.dump_python(value, mode="json", by_alias=True))
