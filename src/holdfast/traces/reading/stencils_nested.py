# SPDX-License-Identifier: Apache-2.0
"""OTLP's lines under stencils: a page of them at once. Pure.

A line is a head, spans with something between them, and a tail::

    {"resourceSpans":[{"resource":{…},"scopeSpans":[{"spans":[   {span}  ,  {span}   ]}]}]}
                                                                         or ]}]},{"resource":{…},…"spans":[

Spans are known by stencils. Of what stands between two spans, and around all of them, there are few different texts: as
many as there are services and libraries. Each is read once, the exact way, with a small span in the place of others,
and remembered by its bytes. What is read like this means the same in every line, since it *first* closes what is open,
without another key, and then opens something of its own.

A line of which a span, or a text between them, is not known is left over as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from ..._base.typed import json_decoder
from ..formats import otlp
from ..formats.bad import Refused
from ..formats.words import has_failed
from ..span import Span
from .covered import Fields, Known, Names, Time, is_kind, runs, words_of
from .page import WORD, Page
from .stencil import Stencil, Uncut, at
from .stencils_flat import outlines
from .texts import Texts

if TYPE_CHECKING:
    from .page import Array

#: Stencils of one file, and the spans that are looked at for them.
_STENCILS_MAX, _LOOKED = 16, 400
#: Texts between spans that are remembered; they are forgotten when there are more.
_KEPT = 4_000
#: The other spelling of the keys, which is that of a whole line wherever it says this.
_SNAKE = b'"resource_spans"'
_HEAD = (b'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"%b"}}]},'
         b'"scopeSpans":[{"spans":[')
_SPAN = b'{"traceId":"1","spanId":"%b","startTimeUnixNano":"1","endTimeUnixNano":"2"}'
_TAIL = b"]}]}]}"
_CLOSES = re.compile(rb"[ \t]*\][ \t]*\}([ \t]*\][ \t]*\})?[ \t]*,[ \t]*\{")
_ENDS = re.compile(rb"[\]} \t]*\n")
#: What a text between spans means, beside the number of a service: the same service goes on; it is not known.
_SAME, _ODD = -1, -2
#: More operations than there can be.
_MANY = 1 << 32


class _Library(msgspec.Struct, rename="camel"):
    spans: list[Raw] = []


class _Process(msgspec.Struct, rename="camel"):
    scope_spans: list[_Library] = []


class _Line(msgspec.Struct, rename="camel"):
    resource_spans: list[_Process] = []


_line = json_decoder(_Line)


def stencils_of(lines: Iterable[bytes], numpy: Any) -> StencilsNested | None:
    """Those that the spans of these lines make, of which some may be bad; nothing when they make none."""
    made: dict[tuple[bytes, ...], bytes] = {}
    for span in outlines(_spans(lines), _STENCILS_MAX):
        try:
            one = _Spans(span, numpy)
        except (Refused, Uncut):
            continue
        if not made or next(iter(made))[0] == one.stencil.runs[0]:  # all begin alike, or none of them is found
            made.setdefault(one.stencil.runs, span)
    return StencilsNested(list(made.values())[:_STENCILS_MAX], numpy) if made else None


def _spans(lines: Iterable[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for line in lines:
        try:
            otlp.Lines().spans(line)
            read = _line.decode(line)
        except (Refused, msgspec.DecodeError):
            continue
        found += [bytes(span) for process in read.resource_spans for library in process.scope_spans
                  for span in library.spans]
        if len(found) >= _LOOKED:
            break
    return found[:_LOOKED]


class _Spans:
    """Spans that one stencil covers."""

    def __init__(self, text: bytes, numpy: Any) -> None:
        (span,) = _read(_HEAD % b"" + text + _TAIL)
        self.stencil = Stencil(numpy, text, is_open=True)
        holes = {hole.path: hole for hole in self.stencil.holes}
        some = [holes.get((name,)) for name in ("traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano")]
        trace_id, span_id, start, end = some
        if trace_id is None or span_id is None or start is None or end is None or len(self.stencil.runs[0]) < WORD:
            raise Uncut
        words = [(hole, words_of(hole, ask, are_truths=False)) for path, ask in (
            (("kind",), is_kind), (("status", "code"), lambda word: has_failed(word, "code")))
            for hole in [holes.get(path)] if hole]
        self.fields = Fields(self.stencil, (trace_id, span_id), Time(start, 1), Time(end, 1), words=words,
                             failed=span.error and ("status", "code") not in holes)
        self.name = holes.get(("name",))


class _Found:
    """What is known of the spans of a page. begins, ends: of spans, an end of 0 where it is not known. names: from
    where to where."""

    def __init__(self, page: Page, first: Array, begins: Array) -> None:
        np, count = page.np, len(first)
        self.first, self.begins = first, begins
        self.quotes = np.diff(first, append=len(page.quotes))
        self.ends, self.us = (np.zeros(count, dtype=np.int64) for _ in range(2))
        self.names = np.zeros((2, count), dtype=np.int64)
        self.failed = np.zeros(count, dtype=bool)

    def lay(self, page: Page, one: _Spans, which: Array) -> None:
        """One stencil over some of them."""
        stencil = one.stencil
        rows = page.quotes[self.first[which][:, None] + page.np.arange(stencil.quotes)]
        ends = rows[:, -1] + stencil.tail
        known, rows = stencil.covered(page, rows, self.begins[which], ends)
        rows, which, ends = rows[known], which[known], ends[known]
        sure, us, failed = one.fields.read(page, rows)
        rows, which = rows[sure], which[sure]
        self.ends[which], self.us[which], self.failed[which] = ends[sure], us[sure], failed[sure]
        if one.name:
            self.names[0, which], self.names[1, which] = at(rows, one.name.begin), at(rows, one.name.end)


class StencilsNested:
    """Of some spans, which are right and begin alike; each makes a stencil."""

    def __init__(self, spans: list[bytes], numpy: Any) -> None:
        self._texts, self._numpy, self._names = spans, numpy, Names()
        self._stencils = [_Spans(text, numpy) for text in spans]
        run, self._head = self._stencils[0].stencil.runs[0], self._stencils[0].stencil.head
        self._begin, self._letter = int.from_bytes(run[:WORD], "little"), run[self._head + 1]
        self._services: list[str] = []
        self._between: dict[bytes, int] = {}
        self._around: dict[tuple[bytes, bytes], int] = {}
        self._said: list[str] = []
        self._operations = Texts(self._operation)

    def own(self) -> StencilsNested:
        """As in Stencils."""
        return StencilsNested(self._texts, self._numpy)

    @property
    def names(self) -> list[tuple[str, str]]:
        """As in Stencils."""
        return self._names.pairs

    def known(self, text: bytes) -> Known:
        """As in Stencils."""
        page, np = Page(self._numpy, text), self._numpy
        found = self._found(page)
        odd = page.odd()
        if _SNAKE in text:
            odd[:] = True  # guard: where a line is spelled the other way, these keys mean nothing
        line = page.line_of(found.begins)
        odd[line[found.ends == 0]] = True  # a line is known when each of its spans is
        services = self._joined(page, found, line, odd)
        good = ~odd[line]
        services = services[np.maximum.accumulate(np.where(services >= 0, np.arange(len(services)), 0))][good]
        names = self._numbered(page, services, *found.names[:, good])
        return Known(names, found.us[good], found.failed[good], runs(page, ~odd))

    def _found(self, page: Page) -> _Found:
        np = page.np
        quotes = page.quotes
        first = np.flatnonzero(page.bytes[quotes + 1] == self._letter)  # few of all quotes: the rest is compared there
        begins = quotes[first] - self._head
        inside = (begins >= 0) & (begins < len(page.words))
        first, begins = first[inside], begins[inside]
        is_span = page.words[begins] == self._begin
        found = _Found(page, first[is_span], begins[is_span])
        for is_inner in (True, False):  # most spans have another one right behind them
            for one in self._stencils:
                count = one.stencil.quotes
                fits = found.quotes == count if is_inner else found.quotes > count
                which = np.flatnonzero(fits & (found.ends == 0))
                if len(which):
                    found.lay(page, one, which)
        return found

    def _joined(self, page: Page, found: _Found, line: Array, odd: Array) -> Array:
        """The service of spans before which something is said about it. odd: lines with a text that is not known are
        marked."""
        np, text = page.np, page.text
        services: Array = np.full(len(line), _SAME)
        counts = np.bincount(line, minlength=len(odd))
        odd[counts == 0] = True
        last = np.cumsum(counts) - 1
        is_last = np.zeros(len(line), dtype=bool)
        is_last[last[counts > 0]] = True
        behind = np.append(found.begins[1:], 0)
        apart = np.flatnonzero(~is_last & ~odd[line] & ~((behind - found.ends == 1) & (
            page.bytes[found.ends] == 44)))  # guard: between two spans stands a comma, or what is known
        for n, begin, end in zip(apart.tolist(), found.ends[apart].tolist(), behind[apart].tolist(), strict=True):
            service = self._service_between(text[begin:end])
            services[n + 1] = service
            if service == _ODD:
                odd[line[n]] = True
        for n in np.flatnonzero(~odd).tolist():
            first, final = int(last[n] - counts[n] + 1), int(last[n])
            service = self._service_around(text[int(page.begins[n]):int(found.begins[first])],
                                           text[int(found.ends[final]):int(page.ends[n])])
            services[first] = service
            odd[n] = service == _ODD
        return services

    def _service_between(self, said: bytes) -> int:
        service = self._between.get(said)
        if service is None:
            if len(self._between) >= _KEPT:
                self._between.clear()
            service = self._between[said] = self._number(_between(said))
        return service

    def _service_around(self, head: bytes, tail: bytes) -> int:
        service = self._around.get((head, tail))
        if service is None:
            if len(self._around) >= _KEPT:
                self._around.clear()
            service = self._around[head, tail] = self._number(_around(head, tail))
        return service

    def _number(self, service: str | int) -> int:
        if isinstance(service, int):
            return service
        if service not in self._services:
            self._services.append(service)
        return self._services.index(service)

    def _numbered(self, page: Page, services: Array, begins: Array, ends: Array) -> Array:
        """The numbers of the names of spans."""
        np = page.np
        operations = self._operations.numbers(page, begins, ends)
        pairs, back = np.unique(services * _MANY + operations, return_inverse=True)
        numbers = [self._names.number((self._services[pair // _MANY], self._said[pair % _MANY]))
                   for pair in pairs.tolist()]
        found: Array = np.array(numbers, dtype=np.int64)[back]
        return found

    def _operation(self, said: bytes) -> int:
        self._said.append(said.decode())
        return len(self._said) - 1


def _read(line: bytes) -> list[Span]:
    """Raises Refused."""
    return otlp.Lines().spans(line)


def _between(said: bytes) -> str | int:
    """The service that spans behind this have."""
    if said.strip(b" \t") == b",":
        return _SAME
    if not _CLOSES.match(said):
        return _ODD  # guard: nothing is added to what was open
    found = []
    for before in (b"a", b"b"):
        try:
            spans = _read(_HEAD % before + _SPAN % b"1" + said + _SPAN % b"2" + _TAIL)
        except Refused:
            return _ODD
        if [span.span_id for span in spans] != ["1", "2"]:
            return _ODD  # guard: no span is hidden between two
        found.append(spans[1].service)
    return found[0] if found[0] == found[1] else _SAME


def _around(head: bytes, tail: bytes) -> str | int:
    """The service that a line's first spans have."""
    try:
        spans = _read(head + _SPAN % b"1" + tail.removesuffix(b"\n"))
    except Refused:
        return _ODD
    if not _ENDS.fullmatch(tail) or [span.span_id for span in spans] != ["1"]:
        return _ODD  # guard: nothing but ends stands behind the last span
    return spans[0].service
