# SPDX-License-Identifier: Apache-2.0
"""Flat lines under stencils: a page of them at once. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..formats.bad import Refused
from ..formats.spans import FIELDS, pairs, span_of, unit_of
from ..formats.words import has_failed
from .covered import Fields, Known, Names, Time, is_kind, runs, words_of
from .page import WORD, Page
from .stencil import Hole, Stencil, Uncut, at
from .texts import Texts

if TYPE_CHECKING:
    from .page import Array

#: Stencils of one file, and how many lines of one outline are tried for them.
STENCILS_MAX, TRIED = 8, 3
#: Into so many pieces a page's lines may fall; more are picked one by one.
_APART = 64
_VALUE = re.compile(rb'"[^"]*"|[0-9]+|true|false')


def outlines(texts: Iterable[bytes], most: int = STENCILS_MAX) -> list[bytes]:
    """Some texts of each outline, the most frequent outlines first. Those of one have their values in the same
    places."""
    seen: Counter[bytes] = Counter()
    kept: dict[bytes, list[bytes]] = defaultdict(list)
    for text in texts:
        outline = _VALUE.sub(b".", text)
        seen[outline] += 1
        if len(kept[outline]) < TRIED:
            kept[outline].append(text)
    return [text for outline, _ in seen.most_common(most) for text in kept[outline]]


def stencils_of(lines: Iterable[bytes], numpy: Any) -> StencilsFlat | None:
    """Those that these lines make, of which some may be bad; nothing when they make none."""
    made: dict[tuple[bytes, ...], bytes] = {}
    for line in outlines(lines):
        try:
            record = pairs(line)
            span_of(record)
            one = _Lines(Stencil(numpy, line + b"\n"), Names())
        except (Refused, Uncut):
            continue
        made.setdefault(one.stencil.runs, line)
    return StencilsFlat(list(made.values())[:STENCILS_MAX], numpy) if made else None


class StencilsFlat:
    """Of some lines, which are right; each makes a stencil."""

    def __init__(self, lines: list[bytes], numpy: Any) -> None:
        self._lines, self._numpy, self._names = lines, numpy, Names()
        self._stencils = [_Lines(Stencil(numpy, line + b"\n"), self._names) for line in lines]

    def own(self) -> StencilsFlat:
        """As in Stencils."""
        return StencilsFlat(self._lines, self._numpy)

    @property
    def names(self) -> list[tuple[str, str]]:
        """As in Stencils."""
        return self._names.pairs

    def known(self, text: bytes) -> Known:
        """As in Stencils."""
        page = Page(self._numpy, text)
        return self._even(page) or self._mixed(page)

    def _even(self, page: Page) -> Known | None:
        """Of lines that the first stencil covers, all of them; most pages are like this, and need no look at lines."""
        np, one = self._numpy, self._stencils[0]
        count, rest = divmod(len(page.quotes), one.stencil.quotes)
        if rest or not count or not page.is_even(count):  # guard: there are no other line feeds
            return None
        rows = page.quotes.reshape(count, -1)
        begins = rows[:, 0] - one.stencil.head
        known, names, us, failed = one.read(page, rows, begins, np.append(begins[1:], len(page.text)))
        if begins[0] or not known.all():
            return None
        return Known(names, us, failed, [(len(page.text), count, True)])

    def _mixed(self, page: Page) -> Known:
        """Line by line, of whatever lines."""
        np, count = self._numpy, len(page.ends)
        first = np.searchsorted(page.quotes, page.begins)
        quotes = np.diff(first, append=len(page.quotes))
        left = ~page.odd()
        sure = np.zeros(count, dtype=bool)
        names, us = (np.zeros(count, dtype=np.int64) for _ in range(2))
        failed = np.zeros(count, dtype=bool)
        for one in self._stencils:
            which = np.flatnonzero(left & (quotes == one.stencil.quotes))
            if not len(which):
                continue
            rows = self._rows(page, one.stencil.quotes, first, which)
            known, *columns = one.read(page, rows, page.begins[which], page.ends[which])
            which = which[known]
            left[which], sure[which] = False, True
            names[which], us[which], failed[which] = columns
        return Known(names[sure], us[sure], failed[sure], runs(page, sure))


    def _rows(self, page: Page, count: int, first: Array, which: Array) -> Array:
        """The places of the quotes of some lines, so many each."""
        np = self._numpy
        apart = np.flatnonzero(which[1:] != which[:-1] + 1) + 1
        if len(apart) > _APART:
            rows: Array = page.quotes[first[which][:, None] + np.arange(count)]
            return rows
        begins = first[which[[0, *apart.tolist()]]].tolist()
        sizes = np.diff([0, *apart.tolist(), len(which)]).tolist()
        rows = np.concatenate([page.quotes[begin:begin + size * count]
                               for begin, size in zip(begins, sizes, strict=True)])
        return rows.reshape(-1, count)


class Covered:
    """Lines that stencils cover, as a form that DuckDB may read. See quick.Form."""

    def __init__(self, stencils: StencilsFlat) -> None:
        self._stencils = stencils

    def fits_all(self, stretch: bytes) -> bool:
        """Whether every line is covered, and all of its values are sure."""
        return len(stretch) >= WORD and [is_known for *_, is_known in self._stencils.known(stretch).runs] == [True]

    def each(self, lines: list[bytes]) -> list[bool]:
        """The same of some lines, without their line feeds."""
        text = b"".join([line + b"\n" for line in lines])
        if len(text) < WORD:
            return [False] * len(lines)
        return [is_known for _, count, is_known in self._stencils.known(text).runs for _ in range(count)]

    def weight(self, stretch: bytes) -> tuple[int, int]:
        """The shape says everything of such lines."""
        return 0, 0


class _Lines:
    """Lines that one stencil covers."""

    def __init__(self, stencil: Stencil, names: Names) -> None:
        self.stencil = stencil
        keys = {hole.path[0]: hole for hole in stencil.holes if len(hole.path) == 1}
        said = _fields(stencil)
        holes = {field: keys[name] for field, name in said.items() if name in keys}
        until = "end" if "end" in said else "duration"
        times = [Time(holes[field], unit_of(said[field])) for field in ("start", until) if field in holes]
        if len(times) < 2 or "trace_id" not in holes or "span_id" not in holes:
            raise Uncut
        words = [(holes["kind"], words_of(holes["kind"], is_kind))] if "kind" in holes else []
        words += [(holes[field], words_of(holes[field], lambda word: has_failed(word, "error")))
                  for field in ("error", "status") if field in holes]
        self._fields = Fields(stencil, (holes["trace_id"], holes["span_id"]), *times, is_took=until == "duration",
                              words=words)
        self._name = _Name(stencil, holes.get("service"), holes.get("operation"), names)

    def read(self, page: Page, rows: Array, begins: Array, ends: Array) -> tuple[Array, Array, Array, Array]:
        """Which lines are known, and of these the names' numbers, the durations, and whether they have failed."""
        known, rows = self.stencil.covered(page, rows, begins, ends)
        if not known.all():
            rows = rows[known]
        sure, us, failed = self._fields.read(page, rows)
        if not sure.all():
            known[known] = sure
            rows, us, failed = rows[sure], us[sure], failed[sure]
        return known, self._name.numbers(page, rows), us, failed


def _fields(stencil: Stencil) -> dict[str, str]:
    """Each field's key. Of a field with two names the exact pass takes the first, be it a value or null."""
    keys = stencil.keys
    return {field: name for field, known in FIELDS.items()
            for name in [next((name for name in known if name in keys), "")] if name}


class _Name:
    """Where a service and an operation stand, and the numbers of both together."""

    def __init__(self, stencil: Stencil, service: Hole | None, operation: Hole | None, names: Names) -> None:
        self._names = names
        some = sorted((hole for hole in (service, operation) if hole), key=lambda hole: hole.begin)
        #: What stands in one text: a part of it for each, by the number of quotes before it.
        self._fields = [[(hole is service, 0)] for hole in some]
        self._parts = [(hole.begin, hole.end) for hole in some]
        if len(some) > 1 and stencil.holes.index(some[1]) == stencil.holes.index(some[0]) + 1:
            quotes = some[1].begin.quote - some[0].begin.quote  # no value stands between: one text has both
            self._fields = [[(some[0] is service, 0), (some[1] is service, quotes)]]
            self._parts = [(some[0].begin, some[1].end)]
        self._texts = [Texts(partial(self._number, fields)) for fields in self._fields]

    def numbers(self, page: Page, rows: Array) -> Array:
        """Of each record."""
        np = page.np
        found = [texts.numbers(page, at(rows, begin), at(rows, end))
                 for texts, (begin, end) in zip(self._texts, self._parts, strict=True)]
        if len(found) == 1:
            return found[0]
        named: Array = np.full(len(rows), self._names.number(("", "")))
        if not found:
            return named
        pairs, back = np.unique(np.stack(found), axis=1, return_inverse=True)
        for n, (one, other) in enumerate(pairs.T.tolist()):
            service, operation = map(max, self._names.pairs[one], self._names.pairs[other])  # one is empty in each
            named[back.ravel() == n] = self._names.number((service, operation))
        return named

    def _number(self, fields: list[tuple[bool, int]], raw: bytes) -> int:
        """Of a text in which these fields stand; what does not is empty."""
        said = raw.decode().split('"')
        pair = ["", ""]
        for is_service, quotes in fields:
            pair[not is_service] = said[quotes]
        return self._names.number((pair[0], pair[1]))
