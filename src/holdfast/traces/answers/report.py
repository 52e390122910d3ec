# SPDX-License-Identifier: Apache-2.0
"""What a report says, as frozen records: command line, pages and tests read the same ones. Pure.

All times are whole µs. Percentiles are exact and interpolate linearly, see ``percentiles.py``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

#: Sums stay here where they would be larger, as they do when a clock was set to nonsense.
LARGEST = 2 ** 63 - 1
FindingKind = Literal["n_plus_one", "retry_storm", "fan_out", "rare_call"]


class Roots(msgspec.Struct, frozen=True):
    """How long traces last: the longest root of each. Nothing is zero where there is no trace."""

    min: int = 0
    median: int = 0
    max: int = 0
    p90: int = 0
    p99: int = 0


class Edge(msgspec.Struct, frozen=True):
    """Calls of one service to another. failed: the callee's span says error. Percentiles are of the callee's time.

    kind: "call", "messaging" (all of them are messages), or of what was called that is not traced itself: "database",
    "peer".
    """

    source: str
    target: str
    calls: int
    failed: int
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int
    kind: str = "call"


class OperationTimes(msgspec.Struct, frozen=True):
    """One operation of one service: its spans, how many failed, and how long they took. Percentiles as in
    ``percentiles.py``."""

    service: str
    operation: str
    count: int
    errors: int
    p50_us: int
    p90_us: int
    p95_us: int
    p99_us: int
    max_us: int


class Operation(OperationTimes, frozen=True):
    """One operation of one service, with what whole traces say of it.

    self_us: summed time that no child of the span covers. critical_us: summed time on critical paths, by the report's
    mode. origins, propagated, stopped: failed without a failed child, failed with one, well in spite of one.
    """

    total_us: int
    self_us: int = 0
    critical_us: int = 0
    origins: int = 0
    propagated: int = 0
    stopped: int = 0


class SlowTrace(msgspec.Struct, frozen=True):
    """A trace by its longest root. z: how far its duration's logarithm lies from the median of its root operation, in
    robust standard deviations (1.4826 MAD); None where fewer than 8 traces or no spread make it meaningless."""

    trace_id: str
    service: str
    operation: str
    start_us: int
    duration_us: int
    spans: int
    errors: int
    z: float | None = None


class Evidence(msgspec.Struct, frozen=True):
    """Where something is seen: the spans, at most 10 of ``count``, below ``parent_id`` (empty: no parent)."""

    trace_id: str
    parent_id: str
    span_ids: list[str]
    count: int


class Finding(msgspec.Struct, frozen=True):
    """Something to look at, see ``repeats.py``.

    n_plus_one: an operation called again and again in a row by one span. retry_storm: so, after failures. fan_out: so,
    at once. rare_call: a call that few traces with this caller have. caller: ``service;operation``. times: how many
    places it was seen at. spans, us: how many spans it took, and their summed time. evidence: at most 5.
    """

    kind: FindingKind
    service: str
    operation: str
    caller: str
    times: int
    spans: int
    us: int
    text: str
    evidence: list[Evidence] = []


class Origin(msgspec.Struct, frozen=True):
    """Where failures begin: spans that failed while no child of theirs did.

    to_root: how many of them the root failed by, too. height_max: how many callers one was handed on to at most. us:
    summed time of these spans. trace_ids: at most 5.
    """

    service: str
    operation: str
    origins: int
    to_root: int
    height_max: int
    us: int
    trace_ids: list[str] = []


class Report(msgspec.Struct, frozen=True):
    """What a file of spans says. spans: without duplicates and conflicts. rejected: records that could not be read.

    incomplete: traces with several roots, orphans or a cut circle. depth_max: spans from a root down, 1 for a root.
    edges: between different services. slowest: the longest first. unusual: of z 3.5 and above, the oddest first. mode:
    of critical_us. first_us, last_us: of all spans. failures: where they begin. relative_error: of percentiles, 0 where
    they are exact. shifted, shift_refused: spans whose clocks were corrected for critical paths and self time, and that
    were off by more than was allowed; durations are never corrected.
    """

    traces: int
    spans: int
    rejected: int
    orphans: int
    services: int
    edges: list[Edge]
    root_us: Roots
    depth_max: int
    operations: list[Operation]
    errors: int = 0
    incomplete: int = 0
    duplicates: int = 0
    conflicts: int = 0
    cut: int = 0
    first_us: int = 0
    last_us: int = 0
    mode: str = "sweep"
    slowest: list[SlowTrace] = []
    unusual: list[SlowTrace] = []
    findings: list[Finding] = []
    failures: list[Origin] = []
    relative_error: float = 0.0
    shifted: int = 0
    shift_refused: int = 0
