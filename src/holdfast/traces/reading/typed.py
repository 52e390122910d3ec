# SPDX-License-Identifier: Apache-2.0
"""Many lines at once, decoded into types, and how to know that nothing was missed. Pure.

msgspec decodes strictly: syntax, types, numbers, UTF-8 of what it reads. Two things it lets pass: it takes the last of
two equal keys, and it skips keys that nobody asked for. So quotes are counted. Each key that was found has two in the
text, and each text that was found has two; a line has these *at least*, and where the sum over many lines is what it
has to be, each of them has no others: no key is there twice, and none is unknown. A quote that is escaped, or stands
in a key that was skipped, only makes the sum too large.

Lines are objects with nothing around them: each line feed stands between ``}`` and ``{``, where no object can go on,
and there are as many as there are objects.

What does not add up is nobody's fault yet: whoever asked goes through it in smaller pieces, and line by line in the
end, the exact way. The answer is that of the exact pass in every case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Annotated, Any, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from ..._base.typed import json_decoder
from ..formats.strict import INT_MAX

_BETWEEN = re.compile(rb"\}\n\{")
_PLACE = re.compile(r"\(byte (\d+)\)$")
#: A text that may be a number of 64 bits.
DIGITS = Annotated[str, Meta(min_length=1, max_length=19)]
_numbers = json_decoder(list[int])
FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: A value that is no object and no list.
Scalar = str | int | float | bool | None


class Batch(NamedTuple):
    """Spans of some lines, by column. us: durations, whole µs. failed: whether each one has; nothing where none has."""

    lines: int
    services: list[str]
    operations: list[str]
    us: list[int]
    failed: list[bool]


class Typed(Protocol):
    """Knows the lines of one shape."""

    def batch(self, text: bytes) -> Batch | int:
        """The spans of whole lines, each with its line feed, when all of them are known to be right. Otherwise where
        in the text to look first, -1 for no idea.
        """


def quotes(text: bytes, objects: int, numpy: Any = None) -> int:
    """How many quotes there are in ``text``, in which so many objects were found; -1 unless these stand on a line
    each. numpy: the module, which is three times as fast.
    """
    if not text.startswith(b"{") or not text.endswith(b"}\n"):
        return -1
    if numpy is None:
        return text.count(b'"') if _are_lines(text, objects) else -1
    a = numpy.frombuffer(text, dtype=numpy.uint8)
    ends = numpy.flatnonzero(a == 10)
    if len(ends) != objects or (a[ends - 1] != 125).any() or (a[ends[:-1] + 1] != 123).any():
        return -1  # guard: a line is one object, not two, and not half of one
    return int(numpy.count_nonzero(a == 34))


def _are_lines(text: bytes, objects: int) -> bool:
    if objects == 1:
        return text.find(b"\n") == len(text) - 1
    return text.count(b"\n") == objects and len(_BETWEEN.findall(text)) == objects - 1  # guard: and without numpy too


def place(error: Exception, text: bytes) -> int:
    """Where a decoder met its fault; -1 where it does not say so."""
    found = _PLACE.search(str(error))
    return min(int(found.group(1)), len(text) - 1) if found else -1


def texts_among(values: Iterable[object]) -> int:
    """How many of these are texts."""
    return list(map(type, values)).count(str)


def inner(objects: Iterable[dict[str, Any]]) -> Iterable[object]:
    """The values of objects."""
    return chain.from_iterable(map(dict.values, objects))


def digits(texts: list[str], largest: int = INT_MAX) -> list[int]:
    """The numbers that DIGITS say; none when one of them says something else, or something larger."""
    joined = "".join(texts)
    if not (joined.isascii() and joined.isdigit()):  # guard: nothing but digits is a number
        return []
    try:
        numbers = _numbers.decode(f"[{','.join(texts)}]")
    except msgspec.DecodeError:  # zeros before a number
        return []
    return numbers if max(numbers) <= largest else []
