# SPDX-License-Identifier: Apache-2.0
"""What spans say that a stencil covers: how long they took and whether they failed. Pure.

Where the exact pass would refuse a value, or would have to think about it, the span is not sure, and left to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..formats.bad import Refused
from ..formats.strict import INT_MAX
from ..formats.words import kind
from .page import WORD, Words
from .stencil import Hole, Stencil, Uncut, at, is_far

if TYPE_CHECKING:
    from .page import Array, Page


class Known(NamedTuple):
    """Spans of a page. names: numbers of their names. us: durations. runs: where each ends, how many lines it has, and
    whether these are known; the others are left to who asked."""

    names: Array
    us: Array
    failed: Array
    runs: list[tuple[int, int, bool]]


class Stencils(Protocol):
    """Knows the lines of some shapes."""

    @property
    def names(self) -> list[tuple[str, str]]:
        """Services with operations, by number; it grows."""

    def known(self, text: bytes) -> Known:
        """The spans of whole lines, each with its line feed, as far as they are known."""

    def own(self) -> Stencils:
        """The same for another thread, with names of its own."""


class Names:
    """Services with operations, numbered."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}

    def number(self, pair: tuple[str, str]) -> int:
        """The number of one, from 0."""
        found = self._numbers.setdefault(pair, len(self.pairs))
        if found == len(self.pairs):
            self.pairs.append(pair)
        return found


class Time(NamedTuple):
    """A value that is a time. unit: how many ns one is."""

    hole: Hole
    unit: int


class Fields:
    """The values of a stencil. ids: which are not empty. kinds, failures: each a word, with what asks about it.
    is_took: whether ``until`` is a duration. failed: of each span, whatever these say. Raises Uncut."""

    def __init__(self, stencil: Stencil, ids: Iterable[Hole], start: Time, until: Time, *, is_took: bool = False,
                 words: Iterable[tuple[Hole, Words]] = (), failed: bool = False) -> None:
        self.stencil, self._ids, self._start, self._until = stencil, list(ids), start, until
        self._is_took, self._words, self._failed = is_took, list(words), failed
        used = {start.hole, until.hole, *(hole for hole, _ in self._words)}
        self._plain = [hole for hole in stencil.holes if hole not in used and not hole.is_text]
        self._truths = [(hole, Words(_truth)) for hole in self._plain if hole.said in (b"true", b"false")]
        self._plain = [hole for hole in self._plain if hole.said not in (b"true", b"false")]
        if not all(map(is_far, (start.hole, until.hole, *self._plain))) or any(
                hole.before < WORD for hole, _ in (*self._words, *self._truths)):
            raise Uncut

    def read(self, page: Page, rows: Array) -> tuple[Array, Array, Array]:
        """Of records that are covered: whether each one is sure, its duration and whether it has failed."""
        np = page.np
        us, sure = self._durations(page, rows)
        for hole in self._ids:
            sure &= at(rows, hole.end) > at(rows, hole.begin)  # guard: an id says something
        for hole in self._plain:
            sure &= page.numbers(at(rows, hole.begin), at(rows, hole.end))[1]  # guard: digits, or it is no JSON
        failed = np.full(len(rows), self._failed)
        for hole, words in (*self._words, *self._truths):
            said = words.meanings(page, at(rows, hole.begin), at(rows, hole.end))
            sure &= said >= 0  # guard: a word that is not known is not passed over
            failed |= said > 0
        return sure, us, failed

    def _durations(self, page: Page, rows: Array) -> tuple[Array, Array]:
        np, (start, until) = page.np, (self._start, self._until)
        begins = [at(rows, one.hole.begin) for one in (start, until)]
        ends = [at(rows, one.hole.end) for one in (start, until)]
        if start.unit == until.unit:
            both, sure = page.numbers(np.concatenate(begins), np.concatenate(ends), INT_MAX // start.unit)
            (began, other), (sure, more) = np.split(both, 2), np.split(sure, 2)
        else:
            began, sure = page.numbers(begins[0], ends[0], INT_MAX // start.unit)
            other, more = page.numbers(begins[1], ends[1], INT_MAX // until.unit)
        sure &= more
        began, other = began * start.unit, other * until.unit
        if self._is_took:
            sure &= began <= INT_MAX - other
            return other // 1000, sure
        took = other - began
        sure &= took >= 0  # guard: no span ends before it begins
        return took // 1000, sure


def runs(page: Page, sure: Array) -> list[tuple[int, int, bool]]:
    """Lines that are known and lines that are not, as Known has them."""
    np = page.np
    last = np.append(np.flatnonzero(sure[1:] != sure[:-1]), len(sure) - 1)
    return list(zip(page.ends[last].tolist(), np.diff(last, prepend=-1).tolist(), sure[last].tolist(), strict=True))


def _truth(said: bytes) -> int:
    return 0 if said in (b"true", b"false") else -1


def words_of(hole: Hole, ask: Callable[[str], bool], *, are_truths: bool = True) -> Words:
    """Words that stand in this hole. ask: whether one means a failure; raises Refused where it may not stand there.
    are_truths: whether truth values may, which is asked too."""
    plain = re.compile(rb"0|[1-9][0-9]*" + b"|true|false" * are_truths)

    def found(said: bytes) -> int:
        if not hole.is_text and not plain.fullmatch(said):
            return -1  # guard: a word without quotes is no text
        try:
            return int(ask(said.decode()))
        except Refused:
            return -1
    return Words(found)


def is_kind(said: str) -> bool:
    """No, whatever the kind. Raises Refused when it is none."""
    kind(said)
    return False
