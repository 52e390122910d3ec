# SPDX-License-Identifier: Apache-2.0
"""What was counted so far, as a record that is saved, loaded and merged. Pure.

Counts, sums, smallest and largest values are exact; percentiles are those of sketches (``sketch.py``), off by a stated
share at most. Aggregates of different traces merge, in any order and grouping: files may be counted side by side.
"""

from __future__ import annotations

import msgspec

from ..._base.typed import from_json
from ...errors import ConfigurationError
from ..paths.path import Mode
from ..span import Span
from .report import LARGEST, Edge, Operation, Report, Roots, SlowTrace
from .sketch import Sketch, merged

VERSION = 1
#: So many of the slowest traces are kept.
SLOW_KEPT = 10


class OperationSums(msgspec.Struct):
    """One operation so far. us: of its spans."""

    service: str
    operation: str
    us: Sketch
    errors: int = 0
    self_ns: int = 0
    critical_us: int = 0
    origins: int = 0
    propagated: int = 0
    stopped: int = 0


class EdgeSums(msgspec.Struct):
    """Calls between two services so far. us: of the callees."""

    source: str
    target: str
    us: Sketch
    failed: int = 0
    messages: int = 0


class Position(msgspec.Struct, frozen=True):
    """How far a file was counted. head, tail: digests of its first bytes and of those before ``offset``."""

    offset: int
    head: str
    tail: str


class Aggregate(msgspec.Struct):
    """All that was counted. held: spans of traces that may go on. newest_ns: the end of the latest span of all.
    positions: by file, see ``grown.py``."""

    version: int = VERSION
    mode: Mode = "sweep"
    traces: int = 0
    spans: int = 0
    rejected: int = 0
    orphans: int = 0
    incomplete: int = 0
    duplicates: int = 0
    conflicts: int = 0
    cut: int = 0
    errors: int = 0
    depth_max: int = 0
    first_us: int | None = None
    newest_ns: int = 0
    roots: Sketch = msgspec.field(default_factory=Sketch)
    operations: list[OperationSums] = []
    edges: list[EdgeSums] = []
    slowest: list[SlowTrace] = []
    held: list[Span] = []
    positions: dict[str, Position] = {}

    def report(self) -> Report:
        """What is counted; traces that are held are not. ``findings``, ``failures`` and ``unusual`` are empty."""
        return Report(
            traces=self.traces, spans=self.spans, rejected=self.rejected, orphans=self.orphans,
            services=len({one.service for one in self.operations}), edges=[_edge(one) for one in self.edges],
            root_us=Roots(self.roots.min, self.roots.percentile(500), self.roots.max, self.roots.percentile(900),
                          self.roots.percentile(990)),
            depth_max=self.depth_max, operations=[_operation(one) for one in self.operations], errors=self.errors,
            incomplete=self.incomplete, duplicates=self.duplicates, conflicts=self.conflicts, cut=self.cut,
            first_us=self.first_us or 0, last_us=self.newest_ns // 1000, mode=self.mode, slowest=self.slowest,
            relative_error=self.roots.relative_error)


def merged_aggregates(parts: list[Aggregate]) -> Aggregate:
    """What all of them counted. No trace may be counted in two. Raises ValueError when modes or errors differ."""
    if len({(one.mode, one.roots.relative_error) for one in parts}) > 1:
        raise ValueError("aggregates of different modes or relative errors do not merge")
    firsts = [one.first_us for one in parts if one.first_us is not None]
    sums = {name: sum(getattr(one, name) for one in parts) for name in (
        "traces", "spans", "rejected", "orphans", "incomplete", "duplicates", "conflicts", "cut", "errors")}
    return Aggregate(
        **sums, mode=parts[0].mode if parts else "sweep", depth_max=max((one.depth_max for one in parts), default=0),
        first_us=min(firsts, default=None), newest_ns=max((one.newest_ns for one in parts), default=0),
        roots=merged(one.roots for one in parts), operations=_merged_operations(parts), edges=_merged_edges(parts),
        slowest=slowest_of([slow for one in parts for slow in one.slowest]),
        held=sorted((span for one in parts for span in one.held), key=msgspec.structs.astuple),
        positions=_merged_positions(parts))


def _merged_positions(parts: list[Aggregate]) -> dict[str, Position]:
    found: dict[str, Position] = {}
    for part in parts:
        for name, one in part.positions.items():
            found[name] = max(found.get(name, one), one, key=msgspec.structs.astuple)
    return found


def _merged_operations(parts: list[Aggregate]) -> list[OperationSums]:
    groups: dict[tuple[str, str], list[OperationSums]] = {}
    for part in parts:
        for one in part.operations:
            groups.setdefault((one.service, one.operation), []).append(one)
    return [OperationSums(service, operation, merged(one.us for one in group), **_sums(group))
            for (service, operation), group in sorted(groups.items())]


def _sums(group: list[OperationSums]) -> dict[str, int]:
    names = ("errors", "self_ns", "critical_us", "origins", "propagated", "stopped")
    return {name: min(sum(getattr(one, name) for one in group), LARGEST) for name in names}


def _merged_edges(parts: list[Aggregate]) -> list[EdgeSums]:
    groups: dict[tuple[str, str], list[EdgeSums]] = {}
    for part in parts:
        for one in part.edges:
            groups.setdefault((one.source, one.target), []).append(one)
    return [EdgeSums(*name, merged(one.us for one in group), sum(one.failed for one in group),
                     sum(one.messages for one in group)) for name, group in sorted(groups.items())]


def saved(state: Aggregate) -> bytes:
    """As JSON, for ``loaded``."""
    return msgspec.json.encode(state)


def loaded(text: bytes) -> Aggregate:
    """What ``saved`` wrote. Raises ConfigurationError when it is something else, or of another version."""
    try:
        state = from_json(text, Aggregate)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"this is no saved state of traces ({error}); name another file, or remove it and "
                                 "count from the beginning") from error
    if state.version != VERSION:
        raise ConfigurationError(f"the saved state of traces has version {state.version}, not {VERSION}; remove it and "
                                 "count from the beginning")
    return state


def slowest_of(found: list[SlowTrace]) -> list[SlowTrace]:
    """The longest first, then by id."""
    return sorted(found, key=lambda one: (-one.duration_us, one.trace_id))[:SLOW_KEPT]


def _operation(one: OperationSums) -> Operation:
    said = [one.us.percentile(q) for q in (500, 900, 950, 990)]
    return Operation(one.service, one.operation, one.us.count, one.errors, said[0], said[1], said[2], said[3],
                     one.us.max, one.us.total, one.self_ns // 1000, one.critical_us, one.origins, one.propagated,
                     one.stopped)


def _edge(one: EdgeSums) -> Edge:
    said = [one.us.percentile(q) for q in (500, 900, 990)]
    return Edge(one.source, one.target, one.us.count, one.failed, said[0], said[1], said[2], one.us.max,
                "messaging" if one.messages == one.us.count else "call")
