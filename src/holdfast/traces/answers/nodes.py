# SPDX-License-Identifier: Apache-2.0
"""The spans of a table as a forest, in SQL: one row a span, with its parent's number. What answers are counted from.

It is ``assemble.py`` once more, for a million spans in a second: the same duplicates, conflicts, shared halves, orphans
and cut circles, held to it by a property test. Depth is found by doubling, so a chain of 100,000 takes 17 joins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

COLUMNS = ("trace_id", "span_id", "parent_id", "service", "operation", "kind", "start_ns", "end_ns", "error", "host",
           "follows", "attributes")

_SAID = f"struct_pack({', '.join(f'{name} := {name}' for name in COLUMNS)})"
#: Which of several spans of one id is the first is said by their contents, as in ``SpanTable.traces``.
_CONTENT = "parent_id, service, operation, start_ns, end_ns, kind, error, host, follows, attributes"
#: Ids that come twice: which span is kept, and what the others are. serves: the server's half of a shared id.
_TWICE = f"""
CREATE OR REPLACE TABLE doubtful AS
WITH twice AS (SELECT trace_id, span_id FROM span GROUP BY trace_id, span_id HAVING count(*) > 1),
     numbered AS (SELECT row_number() OVER () AS id, {", ".join(COLUMNS)} FROM span),
     found AS (SELECT *, (bool_or(kind = 'client') OVER ids AND bool_or(kind = 'server') OVER ids
                          AND kind = 'server') AS serves
               FROM numbered SEMI JOIN twice USING (trace_id, span_id) WINDOW ids AS (PARTITION BY trace_id, span_id)),
     ranked AS (SELECT *, row_number() OVER halves AS rank,
                       {_SAID} AS said,
                       first_value({_SAID}) OVER halves AS first
                FROM found WINDOW halves AS (PARTITION BY trace_id, span_id, serves ORDER BY {_CONTENT})),
     shared AS (SELECT trace_id, span_id FROM ranked WHERE rank = 1 GROUP BY ALL
                HAVING bool_or(kind = 'client') AND bool_or(kind = 'server'))
SELECT r.*, said = first AS same, s.span_id IS NOT NULL AS halved,
       row_number() OVER (PARTITION BY r.trace_id, r.span_id, rank = 1
                          ORDER BY start_ns DESC, end_ns, kind DESC) AS last
FROM ranked r LEFT JOIN shared s USING (trace_id, span_id)
"""  # noqa: S608 - no text of anybody else's


def _hashes(key: str, names: tuple[str, str]) -> str:
    """Two hashes of a trace's id and a key, as columns; NULL for no key."""
    return (f"CASE WHEN {key} <> '' THEN hash(trace_id, {key}) END AS {names[0]}, "
            f"CASE WHEN {key} <> '' THEN hash({key} || ' ' || trace_id) END AS {names[1]}")


#: key: what children name, and above: whom this one names, as 128 bits of hash, since joining texts takes thrice as
#: long. A client half of a shared id is named by its server half alone.
_KEPT = f"""
CREATE OR REPLACE TABLE kept AS
WITH numbered AS (SELECT row_number() OVER () AS id, {", ".join(COLUMNS)} FROM span),
     found AS (
        SELECT id, trace_id, span_id, service, operation, kind, start_ns, end_ns, error, span_id AS key,
               parent_id AS above
        FROM numbered ANTI JOIN doubtful USING (trace_id, span_id)
        UNION ALL
        SELECT id, trace_id, span_id, service, operation, kind, start_ns, end_ns, error,
               CASE WHEN halved AND kind = 'client' THEN span_id || ' client' WHEN halved OR last = 1 THEN span_id END,
               CASE WHEN halved AND kind = 'server' THEN span_id || ' client' ELSE parent_id END
        FROM doubtful WHERE rank = 1)
SELECT * EXCLUDE (key, above), {_hashes("key", ("key1", "key2"))}, {_hashes("above", ("above1", "above2"))} FROM found
"""  # noqa: S608

_NODE = """
CREATE OR REPLACE TABLE node AS
SELECT n.id, p.id AS parent, n.trace_id, n.span_id, n.service, n.operation, n.kind, n.start_ns, n.end_ns, n.error,
       greatest(0, (n.end_ns - n.start_ns) // 1000) AS us, n.above1 IS NOT NULL AND p.id IS NULL AS orphan, FALSE AS cut
FROM kept n LEFT JOIN (SELECT id, key1, key2 FROM kept) p ON p.key1 = n.above1 AND p.key2 = n.above2
"""

_HOP = """
CREATE OR REPLACE TABLE hop AS
SELECT h.id, p.above, h.depth + coalesce(p.depth, 0) AS depth FROM hop h LEFT JOIN hop p ON h.above = p.id
"""


@contextmanager
def dropped(table: Table) -> Iterator[None]:
    """Leaves none of the tables that answers make."""
    try:
        yield
    finally:
        for name in ("node", "hop", "root", "kept", "doubtful"):
            table.query(f"DROP TABLE IF EXISTS {name}")


class Table(Protocol):
    """What answers ask of a table of spans: SQL over ``span`` (see ``traces/table.py``)."""

    def query(self, sql: str, params: Any = ...) -> list[tuple[Any, ...]]:
        """All rows."""


class Nodes(msgspec.Struct, frozen=True):
    """What was found while ``node`` was made. depth_max: spans from a root down, 1 for a root."""

    spans: int
    duplicates: int
    conflicts: int
    orphans: int
    cut: int
    depth_max: int


def nodes(table: Table) -> Nodes:
    """Makes the table ``node`` of ``span``: id, parent (NULL for roots), trace_id, span_id, service, operation,
    kind, start_ns, end_ns, us (0 where a span ends before it begins), error, orphan, cut."""
    table.query(_TWICE)
    table.query(_KEPT)
    table.query(_NODE)
    (duplicates, conflicts), = table.query(
        "SELECT count(*) FILTER (same), count(*) FILTER (NOT same) FROM doubtful WHERE rank > 1")
    table.query("DROP TABLE kept")
    table.query("DROP TABLE doubtful")
    depth = _depth(table)
    cut = 0
    if depth is None:
        cut = _cut(table)
        depth = _depth(table)
    (spans, orphans), = table.query("SELECT count(*), count(*) FILTER (orphan) FROM node")
    return Nodes(spans, duplicates, conflicts, orphans, cut, depth or 0)


def _depth(table: Table) -> int | None:
    """The longest way from a root; None when spans are in circles, which then are what ``hop`` has left."""
    table.query("CREATE OR REPLACE TABLE hop AS SELECT id, parent AS above, 1 AS depth FROM node")
    (left, longest), = table.query("SELECT count(*) FILTER (above IS NOT NULL), max(depth) FROM hop")
    reached, spans = 1, left + 1
    while left:
        if reached > spans:  # guard: a circle has no end
            return None
        table.query(_HOP)
        (left, longest), = table.query("SELECT count(*) FILTER (above IS NOT NULL), max(depth) FROM hop")
        reached *= 2
    return longest or 0


def _cut(table: Table) -> int:
    """Gives each circle a root: its earliest span. How many there were."""
    rows = table.query("SELECT n.id, n.parent FROM node n JOIN hop h USING (id) WHERE h.above IS NOT NULL "
                       "ORDER BY n.start_ns, -n.end_ns, n.span_id, n.kind")
    cut = circles(dict(rows))
    for n in cut:
        table.query("UPDATE node SET parent = NULL, cut = TRUE WHERE id = ?", [n])
    return len(cut)


def circles(parents: dict[int, int]) -> list[int]:
    """Of each circle the span that comes first in ``parents``, all of which hang on circles. Pure."""
    place = {n: at for at, n in enumerate(parents)}
    seen: dict[int, int] = {}
    found: list[int] = []
    for start in parents:
        path: list[int] = []
        n = start
        while n not in seen:
            seen[n] = start
            path.append(n)
            n = parents[n]
        if seen[n] == start:
            found.append(min(path[path.index(n):], key=lambda one: place[one]))
    return found
