# SPDX-License-Identifier: Apache-2.0
"""Two periods compared: what became slower or faster, what is new, what is gone, and whether that is more than chance.

Operations are ranked by what they changed on critical paths: the mean exclusive time that they add to a trace, after
less before. That finds the cause where durations find all of its callers, too. Whether it is more than chance is judged
by that time in each trace that has the operation (at most 2,000 of them, chosen by a hash of their ids, so the same in
each run), corrected for the number of operations. Below 20 traces on either side nothing is claimed: *too little*.

A shift of the mixture (more of the long requests) changes means, too, and is told from a slower operation by counts.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from ..assemble import Trace
from ..paths import Mode, critical_path
from .report import Edge, Operation, Report, Roots
from .reporting import Spans, report
from .significance import adjusted, mann_whitney, two_proportions

Verdict = Literal["slower", "faster", "same", "new", "gone", "too_little"]
Errors = Literal["more", "fewer", "same", "too_little"]
TRACES_MIN, SAMPLE_MAX, EVIDENCE = 20, 2_000, 5
#: Below this corrected p-value a difference is called one.
CHANCE = 0.01


class Side(msgspec.Struct, frozen=True):
    """One operation in one period. traces: those that have it. critical_us: its mean time on the critical path, over
    all traces of the period."""

    count: int = 0
    errors: int = 0
    traces: int = 0
    p50_us: int = 0
    p90_us: int = 0
    p99_us: int = 0
    critical_us: float = 0.0


class Change(msgspec.Struct, frozen=True):
    """One operation, before and after. change_us: of critical_us. p_value, error_p_value: corrected for the number of
    operations. evidence: traces of the later period (of the earlier one when it is gone) that spent most on it."""

    service: str
    operation: str
    verdict: Verdict
    errors: Errors
    before: Side
    after: Side
    change_us: float
    p_value: float
    error_p_value: float
    evidence: list[str]


class EdgeChange(msgspec.Struct, frozen=True):
    """Calls between services that are there on one side only, or on both: an empty side is None."""

    source: str
    target: str
    before: Edge | None
    after: Edge | None


class Comparison(msgspec.Struct, frozen=True):
    """changes: what changed most on critical paths first. edges: new and gone ones first. notes: what to mind, for a
    person."""

    traces_before: int
    traces_after: int
    root_before: Roots
    root_after: Roots
    root_p_value: float
    mode: Mode
    changes: list[Change]
    edges: list[EdgeChange]
    notes: list[str]


Name = tuple[str, str]


@dataclass(slots=True)
class _Samples:
    """What traces spent on an operation. kept: by the hash of their ids, the smallest ones."""

    traces: int = 0
    total_us: int = 0
    kept: list[tuple[int, int]] = field(default_factory=list)
    most: list[tuple[int, str]] = field(default_factory=list)

    def add(self, trace_id: str, us: int) -> None:
        """One trace."""
        self.traces += 1
        self.total_us += us
        entry = (-zlib.crc32(trace_id.encode()), us)
        if len(self.kept) < SAMPLE_MAX:
            heapq.heappush(self.kept, entry)
        elif entry > self.kept[0]:
            heapq.heapreplace(self.kept, entry)
        if len(self.most) < EVIDENCE or (-us, trace_id) < self.most[-1]:
            self.most = sorted([*self.most, (-us, trace_id)])[:EVIDENCE]

    @property
    def values(self) -> list[int]:
        """µs of the traces in the sample."""
        return [us for _, us in self.kept]


def compare(before: Spans, after: Spans, *, mode: Mode = "sweep") -> Comparison:
    """How ``after`` differs from ``before``. mode: of critical paths."""
    old, new = report(before, walks=False, slowest=0), report(after, walks=False, slowest=0)
    spent_before, roots_before = _spent(before.traces(), mode)
    spent_after, roots_after = _spent(after.traces(), mode)
    changes = _changes(old, new, spent_before, spent_after)
    return Comparison(old.traces, new.traces, old.root_us, new.root_us,
                      mann_whitney(roots_before.values, roots_after.values), mode, changes, _edges(old, new),
                      _notes(old, new, changes))


def _spent(traces: Iterable[Trace], mode: Mode) -> tuple[dict[Name, _Samples], _Samples]:
    """By operation, and of the roots."""
    found: dict[Name, _Samples] = {}
    roots = _Samples()
    for trace in traces:
        path = critical_path(trace, mode)
        roots.add(trace.trace_id, path.root_us)
        for name in {(span.service, span.operation) for span in trace.spans}:
            found.setdefault(name, _Samples()).add(trace.trace_id, path.exclusive_us.get(";".join(name), 0))
    return found, roots


def _changes(old: Report, new: Report, before: dict[Name, _Samples], after: dict[Name, _Samples]) -> list[Change]:
    olds = {(one.service, one.operation): one for one in old.operations}
    news = {(one.service, one.operation): one for one in new.operations}
    names = sorted(olds.keys() | news.keys())
    empty = _Samples()
    chances = adjusted([mann_whitney(before.get(name, empty).values, after.get(name, empty).values) for name in names])
    failing = adjusted([_error_chance(olds.get(name), news.get(name)) for name in names])
    found = [_change(name, (_side(olds.get(name), before.get(name, empty), old.traces),
                            _side(news.get(name), after.get(name, empty), new.traces)), (chance, error),
                     (after if name in after else before)[name].most)
             for name, chance, error in zip(names, chances, failing, strict=True)]
    return sorted(found, key=lambda one: (-abs(one.change_us), one.service, one.operation))


def _error_chance(old: Operation | None, new: Operation | None) -> float:
    return two_proportions(old.errors, old.count, new.errors, new.count) if old and new else 1.0


def _side(said: Operation | None, samples: _Samples, traces: int) -> Side:
    if said is None:
        return Side()
    return Side(said.count, said.errors, samples.traces, said.p50_us, said.p90_us, said.p99_us,
                round(samples.total_us / traces, 3))


def _change(name: Name, sides: tuple[Side, Side], chances: tuple[float, float], most: list[tuple[int, str]]) -> Change:
    (before, after), (chance, error) = sides, chances
    change = round(after.critical_us - before.critical_us, 3)
    return Change(*name, _verdict(before, after, change, chance), _errors(before, after, error), before, after, change,
                  chance, error, [trace_id for _, trace_id in most])


def _verdict(before: Side, after: Side, change_us: float, chance: float) -> Verdict:
    if not before.count:
        return "new"
    if not after.count:
        return "gone"
    if min(before.traces, after.traces) < TRACES_MIN:  # guard: of few traces nothing is claimed
        return "too_little"
    if chance >= CHANCE or not change_us:
        return "same"
    return "slower" if change_us > 0 else "faster"


def _errors(before: Side, after: Side, chance: float) -> Errors:
    if min(before.count, after.count) < TRACES_MIN:
        return "too_little"
    if chance >= CHANCE:
        return "same"
    return "more" if after.errors / after.count > before.errors / before.count else "fewer"


def _edges(old: Report, new: Report) -> list[EdgeChange]:
    olds = {(edge.source, edge.target): edge for edge in old.edges}
    news = {(edge.source, edge.target): edge for edge in new.edges}
    found = [EdgeChange(*name, olds.get(name), news.get(name)) for name in sorted(olds.keys() | news.keys())]
    return sorted(found, key=lambda one: one.before is not None and one.after is not None)


def _notes(old: Report, new: Report, changes: list[Change]) -> list[str]:
    notes = [f"the {which} period has {side.traces} traces; below {TRACES_MIN} nothing can be claimed"
             for which, side in (("earlier", old), ("later", new)) if side.traces < TRACES_MIN]
    few = sum(one.verdict == "too_little" for one in changes)
    if few:
        notes.append(f"{few} of {len(changes)} operations are in fewer than {TRACES_MIN} traces of a period")
    notes += [f"{side.incomplete} of {side.traces} traces of the {which} period are incomplete; their paths may be too"
              for which, side in (("earlier", old), ("later", new)) if side.incomplete]
    return notes
