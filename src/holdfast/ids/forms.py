# SPDX-License-Identifier: Apache-2.0
"""Ids as text that sorts as the numbers do: every form has one width, and its digits stand in the order of ASCII.

JSON numbers lose what is beyond 53 bits in JavaScript, so an id travels as text. Which form is a matter of length and
of who reads it: base 32 (Crockford: no I, L, O, U; upper and lower case are the same) for what people type, 62 for the
shortest, 58 without look-alikes, 36 where only one case is allowed, ``friendly`` for logs.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .layout import Layout

_DIGITS = "0123456789"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Form:
    """Digits of a base, in the order of ASCII. folds: what else is read as which digit."""

    name: str
    digits: str
    folds: Mapping[str, str]

    def width(self, bits: int) -> int:
        """How long every id of so many bits is."""
        width, most = 0, (1 << bits) - 1
        while most:
            most //= len(self.digits)
            width += 1
        return width

    def text(self, id: int, bits: int = 63) -> str:
        """The id as text of the width for ``bits``. ValueError when it has more bits than that."""
        if id < 0 or id >> bits:
            raise ValueError(f"{id} does not fit {bits} bits")
        left, found = id, []
        for _ in range(self.width(bits)):
            left, digit = divmod(left, len(self.digits))
            found.append(self.digits[digit])
        return "".join(reversed(found))

    def number(self, text: str, bits: int = 63) -> int:
        """The id again. ValueError for what ``text`` cannot have written, and for more bits than ``bits``."""
        number = 0
        for letter in text:
            digit = self.digits.find(self.folds.get(letter, letter))
            if digit < 0:
                raise ValueError(f"{text!r} is no id in {self.name}: {letter!r} is none of its digits")
            number = number * len(self.digits) + digit
        if len(text) != self.width(bits) or number >> bits:
            raise ValueError(f"{text!r} is no id in {self.name}: {self.width(bits)} digits and {bits} bits are wanted")
        return number


_CROCKFORD = _DIGITS + "".join(letter for letter in _UPPER if letter not in "ILOU")
_LOWER = {letter.lower(): letter for letter in _UPPER}
#: By name.
FORMS: Mapping[str, Form] = MappingProxyType({made.name: made for made in (
    Form("base32", _CROCKFORD, MappingProxyType({
        **{small: big for small, big in _LOWER.items() if big in _CROCKFORD},
        **dict.fromkeys("ILil", "1"), **dict.fromkeys("Oo", "0")})),
    Form("base36", _DIGITS + _UPPER, MappingProxyType(_LOWER)),
    Form("base58", "".join(letter for letter in _DIGITS + _UPPER + _UPPER.lower() if letter not in "0OIl"),
         MappingProxyType({})),
    Form("base62", _DIGITS + _UPPER + _UPPER.lower(), MappingProxyType({})),
)})

_FRIENDLY = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)\.(\d{3})-(\d+)-(\d+)", re.ASCII)


def friendly(id: int, layout: Layout) -> str:
    """``20261126-142233.123-0042-0007``: when (UTC), who, and which one of that unit. Sorts as the numbers do."""
    read = layout.decode(id)
    at = dt.datetime.fromtimestamp(read.timestamp_ms // 1000, dt.UTC)
    worker = f"{read.worker:0{len(str(layout.workers - 1))}d}"
    sequence = f"{read.sequence:0{len(str(layout.sequences - 1))}d}"
    rest = f"{sequence}-{worker}" if layout.sequence_first else f"{worker}-{sequence}"
    return f"{at:%Y%m%d-%H%M%S}.{read.timestamp_ms % 1000:03d}-{rest}"


def from_friendly(text: str, layout: Layout) -> int:
    """The id again. ValueError for what ``friendly`` cannot have written."""
    found = _FRIENDLY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no friendly id: one looks like {friendly(0, layout)}")
    *date, millis, first, second = map(int, found.groups())
    at = dt.datetime(*date, tzinfo=dt.UTC)  # type: ignore[arg-type, misc] # six of them; ValueError for 30 February
    worker, sequence = (second, first) if layout.sequence_first else (first, second)
    ms = int(at.timestamp()) * 1000 + millis
    number = layout.encode(layout.unit_of(ms), worker, sequence)
    if friendly(number, layout) != text:
        raise ValueError(f"{text!r} is no id of layout {layout.name!r}")
    return number
