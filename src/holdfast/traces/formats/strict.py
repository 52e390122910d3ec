# SPDX-License-Identifier: Apache-2.0
"""Strict decoding of one JSON text, and the reasons it is refused for. Pure.

msgspec checks syntax and types. It takes the last of two equal keys, skips over bytes that are not UTF-8 in fields
nobody reads, and has integers of any size: these three are checked here. Who has a cheaper way to know that no key is
there twice spares a record the slow look.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from ..._base.typed import json_decoder
from .bad import Refused

T = TypeVar("T")

BOM = b"\xef\xbb\xbf"
INT_MAX = 2**63 - 1

_PLACE = re.compile(r" - at `\$(.*)`$")
_MISSING = re.compile(r"missing required field `(.*?)`")
_raw = json_decoder(msgspec.Raw)


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """What ``raw`` says. Raises Refused."""
    try:
        found = decoder.decode(raw)
        if not raw.isascii():
            raw.decode()  # guard: bytes that are no text are refused in fields too that nobody reads
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(_reason(error, raw)) from error
    return found


def unique(raw: bytes) -> Any:
    """What ``raw``, a JSON text, says, once more and slowly. Raises Refused when an object within has a key twice."""
    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            raise Refused("key twice: " + next(key for n, key in enumerate(keys) if key in keys[:n]))
        return made

    try:
        return json.loads(raw, object_pairs_hook=checked)  # guard: no value is chosen where two are given
    except RecursionError as error:
        raise Refused("nested too deep") from error
    except ValueError as error:  # a lone half of a surrogate pair, or digits beyond what Python converts
        raise Refused("not JSON") from error


def whole(value: object, name: str) -> int:
    """A whole number of 64 bits, given as one or as its decimal digits. Raises Refused."""
    if isinstance(value, str):
        if not _is_decimal(value):
            raise Refused(f"wrong type: {name}")
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(f"wrong type: {name}")
    if not -INT_MAX - 1 <= value <= INT_MAX:
        raise Refused(f"number beyond 64 bits: {name}")  # guard: no number is cut to fit
    return value


def _is_decimal(text: str) -> bool:
    digits = text[1:] if text[:1] == "-" else text
    return digits.isascii() and digits.isdigit() and len(digits) < 40


def text_of(raw: bytes) -> str:
    """A line of a format that is no JSON, as text. Raises Refused."""
    if b"\0" in raw:
        raise Refused("NUL byte")
    if BOM in raw:
        raise Refused("byte order mark inside")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error


def _reason(error: Exception, raw: bytes) -> str:
    """The same words for the same fault, whatever the decoder met first."""
    try:
        text_of(raw if raw.startswith(BOM) else raw.replace(BOM, b""))
        _raw.decode(raw)
    except Refused as refused:
        return str(refused)
    except RecursionError:
        return "nested too deep"
    except msgspec.DecodeError as syntax:
        return _syntax(str(syntax), raw)
    return "nested too deep" if isinstance(error, RecursionError) else _kind(str(error))


def _syntax(message: str, raw: bytes) -> str:
    if "trailing characters" in message:
        return "text behind the object"
    if "truncated" in message and not raw.rstrip().endswith((b"}", b"]")):
        return "cut short"
    return "not JSON"


def _kind(message: str) -> str:
    place = _PLACE.search(message)
    missing = _MISSING.search(message)
    if not place and not missing:
        return "not an object" if "Expected `object`" in message or "Expected `array`" in message else "wrong type"
    path = re.sub(r"\[\.\.\.\]|\[\d+\]", "", place.group(1)).strip(".") if place else ""
    if missing:
        return f"key missing: {missing.group(1)}"
    if "out of range" in message:
        return f"number beyond 64 bits: {path.rsplit('.', 1)[-1]}"
    return f"wrong type: {path.rsplit('.', 1)[-1]}" if path else "wrong type"
