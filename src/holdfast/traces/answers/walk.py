# SPDX-License-Identifier: Apache-2.0
"""Goes through traces once, and keeps what needs whole traces: critical paths, self time, repeats, origins, rare calls.

What is kept grows with the number of operations and of the pairs that call each other, not with that of traces. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..assemble import Trace
from ..paths.crisp import crisp
from ..paths.jaeger import jaeger
from ..paths.path import Mode
from ..paths.sweep import sweep
from ..skew import corrected
from .origins import Beginning, origins
from .repeats import Repeat, repeats
from .report import Evidence, Finding, FindingKind, Origin

Name = tuple[str, str]
#: A call is rare that at most this share of the traces with its caller have, of which there are so many at least. Where
#: rare calls together are more than ODD_SHARE of them, they are the caller's way, and none is named.
RARE_SHARE, ODD_SHARE, RARE_TRACES_MIN = 0.01, 0.05, 100
#: So many different calls are told apart; where every trace has names of its own, none is rare.
CALLS_MAX = 100_000
#: What is shown of each kind, and where each is seen.
SHOWN, EVIDENCE, SPANS_SHOWN = 20, 5, 10


@dataclass(slots=True)
class _Seen:
    """One kind of thing at one place of the call graph."""

    times: int = 0
    spans: int = 0
    ns: int = 0
    evidence: list[tuple[int, str, str, list[str]]] = field(default_factory=list)

    def add(self, evidence: tuple[int, str, str, list[str]], spans: int, ns: int) -> None:
        """evidence: sorts before what is worth less."""
        self.times += 1
        self.spans += spans
        self.ns += ns
        if len(self.evidence) < EVIDENCE or evidence < self.evidence[-1]:
            self.evidence = sorted([*self.evidence, evidence])[:EVIDENCE]


@dataclass(slots=True)
class _Began:
    origins: int = 0
    to_root: int = 0
    height_max: int = 0
    ns: int = 0
    traces: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    """times: traces that have it. evidence: a trace and its two spans."""

    times: int = 0
    evidence: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Walked:
    """Sums by (service, operation), and what was noticed. Operations have numbers here, in the order they were met."""

    mode: Mode = "sweep"
    shifted: int = 0
    shift_refused: int = 0
    _numbers: dict[Name, int] = field(default_factory=dict)
    _self_ns: list[int] = field(default_factory=list)
    _critical_us: list[int] = field(default_factory=list)
    _traces: list[int] = field(default_factory=list)
    _calls: dict[tuple[int, int], _Call] = field(default_factory=dict)
    _seen: dict[tuple[FindingKind, Name, Name], _Seen] = field(default_factory=dict)
    _began: dict[Name, _Began] = field(default_factory=dict)

    def add(self, trace: Trace) -> None:
        """One more trace."""
        numbers = self.sums(trace)
        self._count_calls(trace, numbers)
        for repeat in repeats(trace):
            self._repeat(trace, repeat)
        for origin in origins(trace):
            self._origin(trace, origin)

    def sums(self, trace: Trace) -> list[int]:
        """Of one more trace the critical path and self time only. Gives the numbers of its spans' operations."""
        known, numbers = self._numbers, []
        for span in trace.spans:
            name = (span.service, span.operation)
            number = known.get(name)
            if number is None:
                number = known[name] = len(known)
                for sums in (self._self_ns, self._critical_us, self._traces):
                    sums.append(0)
            numbers.append(number)
        self._add_path(trace, numbers)
        self._add_self(trace, numbers)
        return numbers

    def _add_path(self, trace: Trace, numbers: list[int]) -> None:
        root, sums = trace.root, self._critical_us
        if self.mode == "crisp":
            for n, us in crisp(trace, root)[1]:
                sums[numbers[n]] += us
        else:
            for n, start, end in sweep(trace, root) if self.mode == "sweep" else jaeger(trace, root):
                sums[numbers[n]] += end - start

    def _add_self(self, trace: Trace, numbers: list[int]) -> None:
        """Of each span the time that no child covers. Children are in the order of their beginnings."""
        spans, sums = trace.spans, self._self_ns
        for span, children, number in zip(spans, trace.children, numbers, strict=True):
            cursor, until = span.start_ns, span.end_ns
            own = until - cursor
            for child in children:
                below = spans[child]
                begin, end = max(below.start_ns, cursor), min(below.end_ns, until)
                if end > begin:
                    own -= end - begin
                    cursor = end
            if own > 0:
                sums[number] += own

    def _count_calls(self, trace: Trace, numbers: list[int]) -> None:
        """Which operations call which, once a trace."""
        for number in set(numbers):
            self._traces[number] += 1
        calls = self._calls
        pairs = {(numbers[above], numbers[n]): n for n, above in enumerate(trace.parents) if above >= 0}
        for pair, n in pairs.items():
            found = calls.get(pair)
            if found is None:
                if len(calls) >= CALLS_MAX:
                    continue
                found = calls[pair] = _Call()
            found.times += 1
            if found.times <= EVIDENCE:
                caller, callee = trace.spans[trace.parents[n]], trace.spans[n]
                found.evidence.append((trace.trace_id, caller.span_id, callee.span_id))

    def _repeat(self, trace: Trace, repeat: Repeat) -> None:
        spans = [trace.spans[n] for n in repeat.spans]
        caller, shown = trace.spans[repeat.parent], [span.span_id for span in spans[:SPANS_SHOWN]]
        key = (repeat.kind, (caller.service, caller.operation), (spans[0].service, spans[0].operation))
        self._seen.setdefault(key, _Seen()).add((-len(spans), trace.trace_id, caller.span_id, shown), len(spans),
                                                sum(max(0, span.end_ns - span.start_ns) for span in spans))

    def _origin(self, trace: Trace, origin: Beginning) -> None:
        span = trace.spans[origin.span]
        began = self._began.setdefault((span.service, span.operation), _Began())
        began.origins += 1
        began.to_root += origin.to_root
        began.height_max = max(began.height_max, origin.height)
        began.ns += max(0, span.end_ns - span.start_ns)
        if len(began.traces) < EVIDENCE and trace.trace_id not in began.traces:
            began.traces.append(trace.trace_id)

    @property
    def self_ns(self) -> dict[Name, int]:
        """By operation, the time that no child covers."""
        return {name: self._self_ns[number] for name, number in self._numbers.items()}

    @property
    def self_us(self) -> dict[Name, int]:
        """The same in whole µs."""
        return {name: ns // 1000 for name, ns in self.self_ns.items()}

    @property
    def critical_us(self) -> dict[Name, int]:
        """By operation, the time on critical paths."""
        return {name: self._critical_us[number] for name, number in self._numbers.items()}

    def findings(self) -> list[Finding]:
        """What was noticed: by kind, what took the longest first, at most SHOWN of each."""
        found = [self._finding(kind, caller, callee, seen) for (kind, caller, callee), seen in self._seen.items()]
        found += self._rare() if len(self._calls) < CALLS_MAX else []
        found.sort(key=lambda one: (one.kind, -one.us, one.times, one.caller, one.service, one.operation))
        kinds = dict.fromkeys(one.kind for one in found)
        return [one for kind in kinds for one in [each for each in found if each.kind == kind][:SHOWN]]

    def origins(self) -> list[Origin]:
        """Where failures begin, the most frequent first."""
        found = [Origin(*name, began.origins, began.to_root, began.height_max, began.ns // 1000, began.traces)
                 for name, began in self._began.items()]
        return sorted(found, key=lambda one: (-one.origins, one.service, one.operation))

    def _finding(self, kind: FindingKind, caller: Name, callee: Name, seen: _Seen) -> Finding:
        many = -seen.evidence[0][0]
        text = {"n_plus_one": f"{_said(caller)} calls {_said(callee)} up to {many} times in a row",
                "retry_storm": f"{_said(caller)} tries {_said(callee)} up to {many} times, and it fails",
                "fan_out": f"{_said(caller)} calls {_said(callee)} up to {many} times at once"}[kind]
        return Finding(kind, *callee, ";".join(caller), seen.times, seen.spans, seen.ns // 1000, text,
                       [Evidence(trace_id, parent_id, span_ids, -count)
                        for count, trace_id, parent_id, span_ids in seen.evidence])

    def _rare(self) -> list[Finding]:
        names, found = list(self._numbers), []
        rare = {pair: call for pair, call in self._calls.items()
                if self._traces[pair[0]] >= RARE_TRACES_MIN and call.times <= RARE_SHARE * self._traces[pair[0]]}
        together: dict[int, int] = {}
        for (above, _), call in rare.items():
            together[above] = together.get(above, 0) + call.times
        for (above, below), call in rare.items():
            of = self._traces[above]
            if together[above] > ODD_SHARE * of:
                continue
            caller, callee = names[above], names[below]
            text = f"{_said(caller)} calls {_said(callee)} in {call.times} of the {of} traces that have it"
            shown = [Evidence(trace_id, parent_id, [span_id], 1) for trace_id, parent_id, span_id in call.evidence]
            found.append(Finding("rare_call", *callee, ";".join(caller), call.times, call.times, 0, text, shown))
        return found


def walk(traces: Iterable[Trace], mode: Mode = "sweep", skew_max_s: float | None = None) -> Walked:
    """All traces, once. skew_max_s: corrects clocks by at most so much first (``skew.py``); None: they stay."""
    walked = Walked(mode)
    for trace in traces:
        if skew_max_s is None:  # guard: clocks are corrected for who asks
            walked.add(trace)
        else:
            found = corrected(trace, skew_max_s)
            walked.shifted += sum(shift.applied for shift in found.shifts)
            walked.shift_refused += sum(not shift.applied for shift in found.shifts)
            walked.add(found.trace)
    return walked


def _said(name: Name) -> str:
    """For a person."""
    return f"{name[0]}: {name[1]}"
