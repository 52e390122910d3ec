# SPDX-License-Identifier: Apache-2.0
r"""JSON, one object a line, strict: what a lenient reader would bend or drop is a flaw with a name.

``nul``, ``bad_utf8``, ``bom`` (but for the start of a file), ``truncated``, ``trailing_garbage``, ``not_object``,
``duplicate_key`` (at any depth: readers disagree on which one counts), ``integer_range`` (beyond signed 64 bits, which
most stores cannot hold; ``unsigned`` allows up to 2^64 - 1), ``number_range``, ``too_deep``, ``not_json``.

msgspec decodes; it takes the last of equal keys and says nothing. That there were none is shown by counting: where no
space stands before a colon, every key of the text is followed by ``":``, so if there are no more of these than keys in
what was decoded, no key was lost. Only lines of which that cannot be said (a string holds ``":``, or `` :``) are read
again by a decoder that sees each pair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ..line import Line
from .flaw import BOM, Flaw, readable_text

__all__ = ["Objects", "object_of"]

_DECODER: Final = msgspec.json.Decoder()
_AT: Final = re.compile(r"\(byte (\d+)\)")
_LEAST: Final = -(2**63)


class _Twice(ValueError):
    """A key stands twice in one object."""


class Objects:
    """Decodes lines of JSON objects."""

    wants_first = False

    def __init__(self, *, unsigned: bool = False) -> None:
        self._unsigned = unsigned

    def begin(self, source_id: str, first: bytes) -> None:
        """Nothing has to be known."""

    def decode(self, line: Line, content: bytes) -> dict[str, Any] | Flaw | None:
        """See ``Decoder``."""
        return object_of(content, unsigned=self._unsigned)


def object_of(content: bytes, *, unsigned: bool = False) -> dict[str, Any] | Flaw:
    """The object that ``content`` is, or why it is none."""
    try:
        value = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return _flaw(content, error)
    if type(value) is not dict:
        return Flaw(reason="not_object", at_byte=0, detail=f"a JSON {_kind(value)}, not an object")
    if (number := _out_of_range(value, 2**64 if unsigned else 2**63)) is not None:
        return Flaw(reason="integer_range", at_byte=content.find(b"%d" % number), detail="beyond 64 bits")
    if _may_hide_keys(content, value) and (key := _key_twice(content)) is not None:  # guard: no key is swallowed
        return Flaw(reason="duplicate_key", at_byte=content.rfind(json.dumps(key).encode()),
                    detail=f"the key {key[:80]!r} stands twice")
    return value


def _kind(value: object) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _flaw(content: bytes, error: Exception) -> Flaw:
    """What is wrong, the same for the same content: bytes first, then the beginning, then what the decoder says."""
    text = readable_text(content)
    if isinstance(text, Flaw):
        return text
    if content.startswith(BOM):
        return Flaw(reason="bom", at_byte=0, detail="a byte order mark that is not at the start of the file")
    if isinstance(error, RecursionError):
        return Flaw(reason="too_deep", detail="nested too deeply")
    said = str(error)
    found = _AT.search(said)
    at = int(found[1]) if found else -1
    for part, reason in (("truncated", "truncated"), ("trailing characters", "trailing_garbage"),
                         ("out of range", "number_range")):
        if part in said:
            return Flaw(reason=reason, at_byte=len(content) if reason == "truncated" else at, detail=said)
    return Flaw(reason="not_json", at_byte=at, detail=said)


def _inner(value: dict[str, Any]) -> Iterator[dict[str, Any] | list[Any]]:
    """The object and all that are nested in it, arrays included; not by recursion."""
    waiting: list[dict[str, Any] | list[Any]] = [value]
    while waiting:
        now = waiting.pop()
        yield now
        waiting += [each for each in (now.values() if isinstance(now, dict) else now) if type(each) in (dict, list)]


def _out_of_range(value: dict[str, Any], limit: int) -> int | None:
    nested = False
    for each in value.values():  # most objects are flat
        kind = type(each)
        if kind is int:
            if not _LEAST <= each < limit:
                return int(each)
        elif kind is dict or kind is list:
            nested = True
    if not nested:
        return None
    return next((int(each) for part in _inner(value) for each in (part.values() if isinstance(part, dict) else part)
                 if type(each) is int and not _LEAST <= each < limit), None)


def _may_hide_keys(content: bytes, value: dict[str, Any]) -> bool:
    if b" :" in content or b"\t:" in content or b"\r:" in content or b"\n:" in content:
        return True
    marks = content.count(b'":')
    if marks == len(value):
        return False  # the nested ones have none
    return marks != sum(len(part) for part in _inner(value) if isinstance(part, dict))


def _key_twice(content: bytes) -> str | None:
    def pairs(found: list[tuple[str, Any]]) -> None:
        keys: set[str] = set()
        for key, _ in found:
            if key in keys:
                raise _Twice(key)
            keys.add(key)

    try:
        json.loads(content, object_pairs_hook=pairs, parse_int=len, parse_float=len)
    except _Twice as twice:
        return str(twice.args[0])
    return None
