# SPDX-License-Identifier: Apache-2.0
"""Records of one shape, known by laying one that was read the exact way over all others. Pure.

A stencil is a record with holes where its values are. What is not a hole, *every byte of it*, has to be there: braces,
keys, colons, commas, ``null``. Texts show through their holes, which begin and end with a quote; numbers and truth
values do too, and are looked at by whoever uses them. A record that a stencil covers is thus the record the stencil was
made of, with other values: no key is there twice, none is unknown, nothing stands before or behind it. All quotes of a
page are found at once, and where records have the same number of them, the n-th quote means the same in each.

Nothing is decoded. That is why this is several times as fast as any parser: of 360 bytes, some 180 are compared eight
at once, and two numbers are made. What no stencil covers is not bad yet: it is left to who reads slower.

Sources: finding all quotes first is simdjson's idea (VLDB 2019); that most records look like the last one is Mison's
(VLDB 2017).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .page import BEFORE, WORD

if TYPE_CHECKING:
    from .page import Array, Page

_TOKEN = re.compile(rb'(?P<text>"[^"\\\x00-\x1f]*")|(?P<plain>-?[0-9]+|true|false)|(?P<mark>[{}\[\],])'
                    rb"|(?P<still>[: \t\n]|null)")
#: Words of a stencil; more are no stencil.
_WORDS_MAX = 400


class Place(NamedTuple):
    """So many bytes behind the n-th quote of a record; behind its end, where n is the number of its quotes."""

    quote: int
    behind: int


class Hole(NamedTuple):
    """A value. path: the keys above it and its own, and places in lists. said: what stands in the example. before:
    bytes that stand before its end in each record."""

    path: tuple[str, ...]
    is_text: bool
    said: bytes
    begin: Place
    end: Place
    before: int


class Uncut(Exception):
    """No stencil can be made of this. A verdict: whoever asked reads such records another way."""


class _Value(NamedTuple):
    """Where a value stands; a text without its quotes."""

    path: tuple[str, ...]
    is_text: bool
    begin: int
    end: int


class Stencil:
    """text: a JSON text that was read the exact way, with its line feed if it has one.

    is_open: what comes behind records is not known, so that a number behind the last quote is no hole. quotes: how many
    a record has. keys: of the record itself. runs: what is no hole. head: bytes before the first quote. tail: bytes
    from the last one on, which are the same in each record; -1 where they are not. Raises Uncut.
    """

    def __init__(self, numpy: Any, text: bytes, *, is_open: bool = False) -> None:
        marks = [n for n, byte in enumerate(text) if byte == 34]
        self.keys: list[str] = []
        values = [value for value in _values(text, self.keys) if not is_open or value.begin < marks[-1]]
        if not marks or not values:
            raise Uncut
        self.quotes, self.head = len(marks), marks[0]
        self.tail = len(text) - marks[-1] if values[-1].begin < marks[-1] else -1
        bounds = list(zip([0, *(value.end for value in values)], [*(value.begin for value in values), len(text)],
                        strict=True))
        self.runs = tuple(text[begin:end] for begin, end in bounds)
        anchors = [_anchor(marks, begin, end, len(text)) for begin, end in bounds]
        self.holes = [
            Hole(value.path, value.is_text, text[value.begin:value.end], _place(marks, value.begin, *anchors[n]),
                 Place(anchors[n + 1][0], value.end - anchors[n + 1][1]), sum(map(len, self.runs[:n + 1])))
            for n, value in enumerate(values)]
        self._compile(numpy, text, bounds, anchors)

    def _compile(self, numpy: Any, text: bytes, bounds: list[tuple[int, int]], anchors: list[tuple[int, int]]) -> None:
        words, said = [], 0
        for (begin, end), (quote, at) in zip(bounds, anchors, strict=True):
            said += end - begin
            words += [(quote, place - at, mask, literal) for place, mask, literal in _words(text, begin, end, said)]
        if len(words) > _WORDS_MAX:
            raise Uncut
        self._quotes = numpy.array([word[0] for word in words], dtype=numpy.intp)
        self._behind = numpy.array([word[1] for word in words], dtype=numpy.intp)
        masks = numpy.array([word[2] for word in words], dtype=numpy.uint64)
        self._masks = masks if any(word[2] != _FULL for word in words) else None
        self._literals = numpy.array([word[3] for word in words], dtype=numpy.uint64)
        self._before, self._after = -min(0, *(word[1] for word in words)), max(word[1] for word in words) + WORD

    def covered(self, page: Page, rows: Array, begins: Array, ends: Array) -> tuple[Array, Array]:
        """rows: the places of a record's quotes in ``page``, record by record. begins, ends: of records. Gives for each
        whether it is covered, and the rows as ``at`` wants them."""
        sure = rows[:, 0] - begins == self.head  # guard: nothing stands before a record
        if self.tail >= 0:
            sure &= rows[:, -1] + self.tail == ends  # guard: nothing stands behind a record
        else:
            rows = page.np.column_stack((rows, ends))
        places = rows.take(self._quotes, axis=1)
        places += self._behind
        sure[self._outside(page, rows, places)] = False
        found = page.words[places]
        if self._masks is not None:
            found &= self._masks
        same = found == self._literals
        if not same.all():
            sure &= same.all(axis=1)  # guard: what is no hole is there, byte by byte
        return sure, rows

    def _outside(self, page: Page, rows: Array, places: Array) -> Array:
        """The records of which a word would lie beyond the page, which no record that is covered has. They are the
        first and the last ones; their places are made harmless."""
        np, last = page.np, len(page.words) - 1
        first = int(np.searchsorted(rows[:, 0], self._before))
        behind = int(np.searchsorted(rows[:, -1], last - self._after))
        some = np.concatenate((np.arange(min(first, behind)), np.arange(behind, len(rows))))
        odd = ((places[some] < 0) | (places[some] > last)).any(axis=1)
        found: Array = some[odd]
        places[found] = 0
        return found


_FULL = (1 << 64) - 1


def at(rows: Array, place: Place) -> Array:
    """Where this is in each record."""
    found: Array = rows[:, place.quote] + place.behind
    return found


def is_far(hole: Hole) -> bool:
    """Whether enough stands before each value for it to be read as a number."""
    return hole.before >= BEFORE


def _anchor(marks: list[int], begin: int, end: int, size: int) -> tuple[int, int]:
    """The quote that a run is known by, and where it stands: its first one; the record's end where it has none."""
    return next(((n, at) for n, at in enumerate(marks) if begin <= at < end), (len(marks), size))


def _place(marks: list[int], begin: int, quote: int, at: int) -> Place:
    """Where a value begins: behind its own quote, or at its distance from the one that its run is known by."""
    return Place(marks.index(begin - 1), 1) if begin - 1 in marks else Place(quote, begin - at)


def _words(text: bytes, begin: int, end: int, said: int) -> list[tuple[int, int, int]]:
    """Words that cover a run: where, which of its bytes count, and what they are. said: bytes of runs up to its end."""
    size = end - begin
    if size >= WORD:
        places = [*range(begin, end - WORD + 1, WORD), *([end - WORD] if size % WORD else [])]
        return [(place, _FULL, int.from_bytes(text[place:place + WORD], "little")) for place in places]
    literal = int.from_bytes(text[begin:end], "little")
    if said >= WORD:
        shift = 8 * (WORD - size)
        return [(end - WORD, _FULL << shift & _FULL, literal << shift)]
    return [(begin, (1 << 8 * size) - 1, literal)]


def _values(text: bytes, keys: list[str]) -> list[_Value]:
    """The values of a JSON text that are no objects, no lists and no null. keys: takes those of the record itself.
    Raises Uncut."""
    found: list[_Value] = []
    above: list[str | int] = []  # the key or the place in each object and list that is open
    at, is_key = 0, False
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise Uncut
        said, at = token.group(), token.end()
        if token.lastgroup == "mark":
            is_key = _entered(above, said)
        elif token.lastgroup == "text" and is_key:
            above[-1], is_key = said[1:-1].decode(), False
            if len(above) == 1:
                keys.append(str(above[0]))
        elif token.lastgroup in ("text", "plain"):
            quote = token.lastgroup == "text"
            found.append(_Value(tuple(map(str, above)), quote, token.start() + quote, at - quote))
    return found


def _entered(above: list[str | int], mark: bytes) -> bool:
    """What is open behind a bracket or a comma. Gives whether a key comes next."""
    if mark in b"{[":
        above.append("" if mark == b"{" else 0)
    elif mark in b"}]":
        above.pop()
        return False
    elif isinstance(above[-1], int):
        above[-1] += 1
    return isinstance(above[-1], str)
