# SPDX-License-Identifier: Apache-2.0
"""Spans become traces: who is whose child, and what does not fit. Pure.

Nothing is dropped in silence. A span that came twice counts in ``duplicates``; one whose id came before with other
content is in ``conflicts``, and the first one stays. A span whose parent is missing is a root of its own, and is in
``orphans``. Spans that are each other's parents are cut where the earliest of them begins (then by id), so that every
span is reached from a root exactly once, however the file was shuffled.

Zipkin gives both halves of a call one id: the server's half is the client half's child, and children of that id are the
server's. Depth is no matter, since nothing here calls itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .span import Span


@dataclass(slots=True)
class Trace:
    """The spans of one trace, by number. parents: -1 for roots. children: in the order of the spans. duplicates: how
    many came once more; ``copies`` has them."""

    trace_id: str
    spans: list[Span]
    parents: list[int]
    children: list[list[int]]
    roots: list[int]
    orphans: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    duplicates: int = 0
    conflicts: list[Span] = field(default_factory=list)
    copies: list[Span] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """One root, and nobody's parent is missing."""
        return len(self.roots) == 1 and not self.orphans and not self.cut

    @property
    def root(self) -> int:
        """The root that lasts longest; of equals the earliest, then the smallest id."""
        return min(self.roots, key=lambda n: (self.spans[n].start_ns - self.spans[n].end_ns, self.spans[n].start_ns,
                                              self.spans[n].span_id))


def assemble(spans: Iterable[Span]) -> list[Trace]:
    """Traces by the time of their first span, then by id; the same for the same spans in any order, but for conflicts,
    of which the first one stays."""
    gathered: dict[str, list[Span]] = {}
    for span in spans:
        gathered.setdefault(span.trace_id, []).append(span)
    traces = [assembled(trace_id, found) for trace_id, found in gathered.items()]
    return sorted(traces, key=lambda trace: (trace.spans[0].start_ns, trace.trace_id))


def assembled(trace_id: str, found: list[Span]) -> Trace:
    """One trace of its spans, at least one."""
    kept, copies, conflicts = _known(found)
    kept.sort(key=lambda span: (span.start_ns, -span.end_ns, span.span_id, span.kind))
    trace = Trace(trace_id, kept, [-1] * len(kept), [[] for _ in kept], [], duplicates=len(copies),
                  conflicts=conflicts, copies=copies)
    _join(trace)
    _cut(trace)
    return trace


def _known(found: list[Span]) -> tuple[list[Span], list[Span], list[Span]]:
    """The first span of each id, those that are the same once more, and those that are not."""
    if len({span.span_id for span in found}) == len(found):
        return list(found), [], []
    kept: dict[tuple[str, bool], Span] = {}
    copies, conflicts = [], []
    shared = _shared(found)
    for span in found:
        key = (span.span_id, span.span_id in shared and span.kind == "server")
        before = kept.setdefault(key, span)
        if before is span:
            continue
        if before == span:
            copies.append(span)
        else:
            conflicts.append(span)  # guard: a second span of one id is not lost in silence
    return list(kept.values()), copies, conflicts


def _shared(found: list[Span]) -> set[str]:
    """Ids that a client and a server half have together."""
    halves: dict[str, set[str]] = {}
    for span in found:
        if span.kind in ("client", "server"):
            halves.setdefault(span.span_id, set()).add(span.kind)
    return {span_id for span_id, kinds in halves.items() if len(kinds) == 2}


def _join(trace: Trace) -> None:
    places = {span.span_id: n for n, span in enumerate(trace.spans)}
    if len(places) == len(trace.spans):
        _join_plain(trace, places)
    else:
        _join_shared(trace)


def _join_plain(trace: Trace, places: dict[str, int]) -> None:
    """Where no two spans have one id, as in all formats but Zipkin's."""
    parents, children = trace.parents, trace.children
    for n, span in enumerate(trace.spans):
        above = span.parent_id
        if above:
            parent = places.get(above)
            if parent is not None:
                parents[n] = parent
                children[parent].append(n)
                continue
            trace.orphans.append(n)  # guard: whose parent is missing is named
        trace.roots.append(n)


def _join_shared(trace: Trace) -> None:
    places: dict[str, int] = {}
    clients: dict[str, int] = {}
    shared = _shared(trace.spans)
    for n, span in enumerate(trace.spans):
        if span.span_id in shared and span.kind == "client":
            clients[span.span_id] = n
        else:
            places[span.span_id] = n
    for n, span in enumerate(trace.spans):
        if span.span_id in shared and span.kind == "server":
            parent: int | None = clients[span.span_id]
        elif not span.parent_id:
            parent = None
        else:
            parent = places.get(span.parent_id)
            if parent is None:
                trace.orphans.append(n)
        if parent is None:
            trace.roots.append(n)
        else:
            trace.parents[n] = parent
            trace.children[parent].append(n)


def _cut(trace: Trace) -> None:
    """Gives each circle a root. Spans are in the order of their beginning, so the first one met is the earliest. Where
    every parent comes before its children, there is none."""
    if all(above < n for n, above in enumerate(trace.parents)):
        return
    reached = [False] * len(trace.spans)
    for root in trace.roots:
        _reach(trace, root, reached)
    for n in range(len(trace.spans)):
        if reached[n]:
            continue
        first = min(_circle(trace, n))
        trace.children[trace.parents[first]].remove(first)
        trace.parents[first] = -1
        trace.roots.append(first)
        trace.cut.append(first)  # guard: a circle ends
        _reach(trace, first, reached)


def _circle(trace: Trace, n: int) -> list[int]:
    """The spans of the circle that ``n`` hangs on."""
    seen: dict[int, int] = {}
    path: list[int] = []
    while n not in seen:
        seen[n] = len(path)
        path.append(n)
        n = trace.parents[n]
    return path[seen[n]:]


def _reach(trace: Trace, root: int, reached: list[bool]) -> None:
    waiting = [root]
    while waiting:
        n = waiting.pop()
        if not reached[n]:
            reached[n] = True
            waiting.extend(trace.children[n])
