# SPDX-License-Identifier: Apache-2.0
"""A report of a table of spans: what can be counted in SQL is, and what needs whole traces goes through them once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from ..assemble import Trace
from ..paths.path import Mode
from .graph import calls
from .nodes import Nodes, Table, dropped, nodes
from .percentiles import sql
from .report import LARGEST, Operation, Report, Roots, SlowTrace
from .walk import Walked, walk

_TOTALS = """
SELECT count(DISTINCT trace_id), count(DISTINCT service), count(*) FILTER (error),
       coalesce(min(start_ns) // 1000, 0), coalesce(max(greatest(start_ns, end_ns)) // 1000, 0)
FROM node
"""

#: A trace is incomplete when it has several roots, one of which may be an orphan or a circle that was cut.
_INCOMPLETE = """
SELECT count(*) FROM (SELECT trace_id FROM node WHERE parent IS NULL GROUP BY trace_id
                      HAVING count(*) > 1 OR bool_or(orphan) OR bool_or(cut))
"""

_OPERATIONS = f"""
WITH failed AS (SELECT DISTINCT parent AS id FROM node WHERE error AND parent IS NOT NULL),
     said AS (SELECT service, operation, us, error, f.id IS NOT NULL AS below FROM node n LEFT JOIN failed f USING (id))
SELECT service, operation, count(*), count(*) FILTER (error), {sql("us")}, max(us),
       least(sum(us), {LARGEST})::BIGINT,
       count(*) FILTER (error AND NOT below), count(*) FILTER (error AND below), count(*) FILTER (NOT error AND below)
FROM said GROUP BY service, operation ORDER BY service, operation
"""  # noqa: S608 - no text of anybody else's

#: The longest root of each trace; of equals the earliest, then the smallest id.
_ROOT = """
CREATE OR REPLACE TABLE root AS
SELECT trace_id, service, operation, start_ns, us,
       row_number() OVER (PARTITION BY trace_id ORDER BY start_ns - end_ns, start_ns, span_id) AS rank
FROM node WHERE parent IS NULL QUALIFY rank = 1
"""

_ROOTS = f"SELECT count(*), min(us), max(us), {sql('us', (500, 900, 990))} FROM root"  # noqa: S608

_SLOW = """
WITH said AS (SELECT *, ln(greatest(us, 1)) AS log FROM root),
     middle AS (SELECT service, operation, median(log) AS middle, count(*) AS traces FROM said GROUP BY ALL),
     spread AS (SELECT service, operation, any_value(middle) AS middle, any_value(traces) AS traces,
                       1.4826 * median(abs(log - middle)) AS spread
                FROM said JOIN middle USING (service, operation) GROUP BY service, operation),
     judged AS (SELECT trace_id, service, operation, start_ns // 1000 AS start_us, us,
                       CASE WHEN traces >= 8 AND spread > 1e-9 THEN round((log - middle) / spread, 2) END AS z
                FROM said JOIN spread USING (service, operation)),
     chosen AS (SELECT * FROM judged ORDER BY {order} LIMIT ?)
SELECT c.trace_id, c.service, c.operation, c.start_us, c.us, count(*), count(*) FILTER (n.error), c.z
FROM chosen c JOIN node n USING (trace_id) GROUP BY ALL ORDER BY {order}
"""
_LONGEST, _ODDEST = "us DESC, trace_id", "z DESC NULLS LAST, trace_id"
#: From so many robust standard deviations on a trace is slow for what it is.
UNUSUAL = 3.5


class Spans(Table, Protocol):
    """A table of spans that also gives them as traces; see ``traces/table.py``."""

    @property
    def counts(self) -> Any:
        """bad: how many records could not be read."""

    def traces(self) -> Iterator[Trace]:
        """Every trace, once."""


def report(table: Spans, *, slowest: int = 10, mode: Mode = "sweep", walks: bool = True,
           skew_max_s: float | None = None) -> Report:
    """What the spans of ``table`` say.

    slowest: how many slow traces are named. mode: of ``critical_us``. walks: also go through every trace, for critical
    paths, self time and findings; without it these are zero and empty, and a report of a million spans takes a second
    or two instead of ten. skew_max_s: corrects clocks by at most so much before paths are found; None leaves them.
    """
    with dropped(table):
        walked = walk(table.traces(), mode, skew_max_s) if walks else Walked()
        return _report(table, nodes(table), walked, slowest, mode)


def _report(table: Spans, made: Nodes, walked: Walked, slowest: int, mode: Mode) -> Report:
    (traces, services, errors, first_us, last_us), = table.query(_TOTALS)
    (incomplete,), = table.query(_INCOMPLETE)
    table.query(_ROOT)
    return Report(
        traces=traces, spans=made.spans, rejected=table.counts.bad, orphans=made.orphans, services=services,
        edges=calls(table), root_us=_roots(table), depth_max=made.depth_max, operations=_operations(table, walked),
        errors=errors, incomplete=incomplete, duplicates=made.duplicates, conflicts=made.conflicts, cut=made.cut,
        first_us=first_us, last_us=last_us, mode=mode, slowest=_slow(table, _LONGEST, slowest),
        unusual=[one for one in _slow(table, _ODDEST, slowest) if one.z is not None and one.z >= UNUSUAL],
        findings=walked.findings(), failures=walked.origins(),
        shifted=walked.shifted, shift_refused=walked.shift_refused)


def operations(table: Table) -> list[Operation]:
    """Counts and percentiles of each operation, of the table ``node``."""
    return [Operation(service, operation, count, errors, said[0], said[1], said[2], said[3], longest, total,
                      origins=begun, propagated=handed_on, stopped=stopped)
            for service, operation, count, errors, said, longest, total, begun, handed_on, stopped
            in table.query(_OPERATIONS)]


def _operations(table: Table, walked: Walked) -> list[Operation]:
    self_us, critical_us = walked.self_us, walked.critical_us
    return [msgspec.structs.replace(one, self_us=min(self_us.get((one.service, one.operation), 0), LARGEST),
                                    critical_us=min(critical_us.get((one.service, one.operation), 0), LARGEST))
            for one in operations(table)]


def _roots(table: Table) -> Roots:
    (traces, shortest, longest, said), = table.query(_ROOTS)
    return Roots(shortest, said[0], longest, said[1], said[2]) if traces else Roots()


def _slow(table: Table, order: str, count: int) -> list[SlowTrace]:
    return [SlowTrace(*row) for row in table.query(_SLOW.format(order=order), [count])]
