# SPDX-License-Identifier: Apache-2.0
"""The service graph: who calls whom, how often, how well, how fast, and in which circles.

A call is a span whose parent belongs to another service; client and server halves, and messages, are one call each,
since parents tell it. What is not traced itself is a node only where a client said whom it called (``peer.service``,
``db.name``, ``server.address`` and their kin): a *virtual* node, with the client's own times and failures.

Pairing is exact: nothing is lost to a time limit, as it is where a collector pairs on the fly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from .nodes import Table, dropped, nodes
from .percentiles import sql
from .report import Edge

NodeKind = Literal["service", "database", "messaging", "peer"]


class GraphNode(msgspec.Struct, frozen=True):
    """A service, or something that was only called. requests: calls from others and spans without a parent; failed: of
    these; percentiles are of these. spans, errors: all of its own, 0 for a virtual node."""

    name: str
    kind: NodeKind
    spans: int
    errors: int
    requests: int
    failed: int
    p50_us: int
    p99_us: int


class Graph(msgspec.Struct, frozen=True):
    """Nodes by name, edges by source and target. cycles: services that reach each other, each with all of its members
    by name; a service that calls itself is none."""

    nodes: list[GraphNode]
    edges: list[Edge]
    cycles: list[list[str]]


_EDGES = f"""
SELECT p.service, n.service, CASE WHEN bool_and(n.kind = 'consumer') THEN 'messaging' ELSE 'call' END,
       count(*), count(*) FILTER (n.error), {sql("n.us", (500, 900, 990))}, max(n.us)
FROM node n JOIN node p ON n.parent = p.id WHERE n.service <> p.service
GROUP BY p.service, n.service ORDER BY p.service, n.service
"""  # noqa: S608 - no text of anybody else's

_SERVICES = f"""
WITH asked AS (SELECT n.*, n.parent IS NULL OR p.service <> n.service AS entered
               FROM node n LEFT JOIN node p ON n.parent = p.id)
SELECT service, count(*), count(*) FILTER (error), count(*) FILTER (entered), count(*) FILTER (entered AND error),
       coalesce({sql("CASE WHEN entered THEN us END", (500, 990))}, [0, 0])
FROM asked GROUP BY service ORDER BY service
"""  # noqa: S608

#: By what a client says whom it called, the first that is there; and what that is.
_SAID: tuple[tuple[NodeKind, tuple[str, ...]], ...] = (
    ("database", ("db.namespace", "db.name", "db.system.name", "db.system")),
    ("messaging", ("messaging.destination.name", "messaging.system")),
    ("peer", ("peer.service", "server.address", "net.peer.name")),
)


def _first(names: Iterable[str]) -> str:
    return "coalesce(" + ", ".join(f"""nullif(json_extract_string(said, '$."{name}"'), '')""" for name in names) + ")"


_CALLED = f"""
WITH quiet AS (SELECT id, trace_id, span_id, service, us, error FROM node WHERE kind IN ('client', 'producer')
               AND id NOT IN (SELECT c.parent FROM node c JOIN node p ON c.parent = p.id WHERE c.service <> p.service)),
     said AS (SELECT q.*, any_value(s.attributes) AS said
              FROM quiet q JOIN span s USING (trace_id, span_id)
              WHERE s.kind IN ('client', 'producer') AND s.attributes <> '' AND json_valid(s.attributes) GROUP BY ALL),
     named AS (SELECT *, {", ".join(f"{_first(names)} AS {kind}" for kind, names in _SAID)} FROM said),
     called AS (SELECT service, us, error, coalesce(database, messaging, peer) AS target,
                       CASE WHEN database IS NOT NULL THEN 'database' WHEN messaging IS NOT NULL THEN 'messaging'
                            ELSE 'peer' END AS kind
                FROM named WHERE target IS NOT NULL AND target NOT IN (SELECT service FROM node))
"""  # noqa: S608

_PEERS = f"""{_CALLED}
SELECT service, target, kind, count(*), count(*) FILTER (error), {sql("us", (500, 900, 990))}, max(us)
FROM called GROUP BY service, target, kind ORDER BY service, target, kind
"""  # noqa: S608

_VIRTUAL = f"""{_CALLED}
SELECT target, min(kind), count(*), count(*) FILTER (error), {sql("us", (500, 990))}
FROM called GROUP BY target ORDER BY target
"""  # noqa: S608


def service_graph(table: Table) -> Graph:
    """The graph of all spans of ``table``."""
    with dropped(table):
        nodes(table)
        edges = calls(table) + _edges(table, _PEERS)
        found = [GraphNode(name, "service", spans, errors, requests, failed, said[0], said[1])
                 for name, spans, errors, requests, failed, said in table.query(_SERVICES)]
        found += [GraphNode(name, kind, 0, 0, requests, failed, said[0], said[1])
                  for name, kind, requests, failed, said in table.query(_VIRTUAL)]
    edges.sort(key=lambda edge: (edge.source, edge.target, edge.kind))
    return Graph(sorted(found, key=lambda node: (node.name, node.kind)), edges,
                 cycles((edge.source, edge.target) for edge in edges))


def calls(table: Table) -> list[Edge]:
    """Calls between different services, of the table ``node``."""
    return _edges(table, _EDGES)


def _edges(table: Table, query: str) -> list[Edge]:
    return [Edge(source, target, count, failed, said[0], said[1], said[2], longest, kind)
            for source, target, kind, count, failed, said, longest in table.query(query)]


def cycles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of two and more that reach each other, by name: strongly connected components (Tarjan 1972). Pure."""
    below: dict[str, list[str]] = {}
    for source, target in sorted(set(edges)):
        below.setdefault(source, []).append(target)
        below.setdefault(target, [])
    order: dict[str, int] = {}
    found: list[list[str]] = []
    for start in list(below):
        if start not in order:
            found.extend(group for group in _components(start, below, order) if len(group) > 1)
    return sorted(found)


def _components(start: str, below: dict[str, list[str]], order: dict[str, int]) -> Iterator[list[str]]:
    """The components that are reached from ``start`` and were not before. order: when each name was first met."""
    low: dict[str, int] = {}
    open_: dict[str, None] = {}
    stack: list[tuple[str, Iterator[str]]] = []

    def meet(name: str) -> None:
        order[name] = low[name] = len(order)
        open_[name] = None
        stack.append((name, iter(below[name])))

    meet(start)
    while stack:
        name, rest = stack[-1]
        target = next(rest, None)
        if target is not None and target not in order:
            meet(target)
        elif target is not None:
            if target in open_:
                low[name] = min(low[name], order[target])
        else:
            stack.pop()
            if stack:
                low[stack[-1][0]] = min(low[stack[-1][0]], low[name])
            if low[name] == order[name]:
                yield sorted(_closed(open_, name))


def _closed(open_: dict[str, None], name: str) -> list[str]:
    """Takes away all that were opened since ``name``, and itself."""
    group: list[str] = []
    while not group or group[-1] != name:
        group.append(open_.popitem()[0])
    return group
