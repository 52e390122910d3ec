# SPDX-License-Identifier: Apache-2.0
"""Bytes into records of a type, from any thread.

msgspec looks at a type when it first meets it, and keeps what it saw with the type. While it looks, Python code runs
(annotations are evaluated), so another thread may come in between; if that one asks for the same type, or for one that
holds it, it works with what is half seen, and the process dies of a segmentation fault. So types are looked at here,
by one thread at a time, and nowhere else: ``tests/house/test_typed.py``. After that it is a look into a table.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar, overload

import msgspec

__all__ = ["converted", "from_json", "from_msgpack", "from_toml", "json_decoder", "msgpack_decoder"]

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

_looking = threading.RLock()
_json: dict[Any, Callable[[Any], Any]] = {}
_msgpack: dict[Any, Callable[[Any], Any]] = {}


@overload
def json_decoder(kind: type[T], *, strict: bool = ...) -> msgspec.json.Decoder[T]: ...


@overload
def json_decoder(kind: Any, *, strict: bool = ...) -> msgspec.json.Decoder[Any]: ...


def json_decoder(kind: Any, *, strict: bool = True) -> msgspec.json.Decoder[Any]:
    """``msgspec.json.Decoder(kind)``."""
    with _looking:  # guard: one thread looks at types
        return msgspec.json.Decoder(kind, strict=strict)


@overload
def msgpack_decoder(kind: type[T], *, strict: bool = ...) -> msgspec.msgpack.Decoder[T]: ...


@overload
def msgpack_decoder(kind: Any, *, strict: bool = ...) -> msgspec.msgpack.Decoder[Any]: ...


def msgpack_decoder(kind: Any, *, strict: bool = True) -> msgspec.msgpack.Decoder[Any]:
    """``msgspec.msgpack.Decoder(kind)``."""
    with _looking:
        return msgspec.msgpack.Decoder(kind, strict=strict)


@overload
def from_json(data: Buffer | str, kind: type[T]) -> T: ...


@overload
def from_json(data: Buffer | str, kind: Any) -> Any: ...


def from_json(data: Buffer | str, kind: Any) -> Any:
    """``msgspec.json.decode(data, type=kind)``. kind: one of the program's, not one that was made for this call: it is
    kept."""
    decode = _json.get(kind)
    if decode is None:
        decode = _json[kind] = json_decoder(kind).decode
    return decode(data)


@overload
def from_msgpack(data: Buffer, kind: type[T]) -> T: ...


@overload
def from_msgpack(data: Buffer, kind: Any) -> Any: ...


def from_msgpack(data: Buffer, kind: Any) -> Any:
    """``msgspec.msgpack.decode(data, type=kind)``; as ``from_json``."""
    decode = _msgpack.get(kind)
    if decode is None:
        decode = _msgpack[kind] = msgpack_decoder(kind).decode
    return decode(data)


@overload
def from_toml(data: bytes | str, kind: type[T]) -> T: ...


@overload
def from_toml(data: bytes | str, kind: Any) -> Any: ...


def from_toml(data: bytes | str, kind: Any) -> Any:
    """``msgspec.toml.decode(data, type=kind)``."""
    with _looking:
        return msgspec.toml.decode(data, type=kind)


@overload
def converted(value: Any, kind: type[T], *, strict: bool = ..., str_keys: bool = ...) -> T: ...


@overload
def converted(value: Any, kind: Any, *, strict: bool = ..., str_keys: bool = ...) -> Any: ...


def converted(value: Any, kind: Any, *, strict: bool = True, str_keys: bool = False) -> Any:
    """``msgspec.convert(value, kind)``; as ``from_json``."""
    if kind not in _json:
        _json[kind] = json_decoder(kind).decode
    return msgspec.convert(value, kind, strict=strict, str_keys=str_keys)


def _alone() -> None:
    """A child of a fork: whoever looked in the parent is not here."""
    global _looking  # noqa: PLW0603 - a lock that nobody can let go of any more
    _looking = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_alone)
