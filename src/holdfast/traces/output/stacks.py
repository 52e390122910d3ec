# SPDX-License-Identifier: Apache-2.0
"""Where time went by call path: a tree of names that flame graphs and folded stacks are read off. Pure.

A node is one operation of one service below its caller's. Time is put where the critical path says that it was waited
for, so all of it sums to the roots' durations (in mode ``sweep``). Below ``DEPTH_MAX`` calls no deeper nodes are made:
time of what is deeper stays with the last one, and ``deeper`` says how much that was.

Folded: ``service;operation;service;operation µs``, a path a line, as Brendan Gregg's ``flamegraph.pl``, speedscope and
others read it. A ``;`` within a name would be a call there, so it becomes ``_``; control characters become spaces.

Source: B. Gregg, "The Flame Graph", ACM Queue 14 (2), 2016.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..assemble import Trace
from ..paths.crisp import crisp
from ..paths.jaeger import jaeger
from ..paths.path import Mode, Piece
from ..paths.sweep import sweep

DEPTH_MAX = 200


@dataclass(slots=True)
class Node:
    """One call path. own_us: of it alone; total_us: with all below it, once ``Stacks.sum`` ran."""

    service: str
    operation: str
    depth: int
    own_us: int = 0
    total_us: int = 0
    calls: int = 0
    below: dict[tuple[str, str], Node] = field(default_factory=dict)


def pieces_of(trace: Trace, mode: Mode, root: int) -> list[Piece]:
    """The critical path below ``root``: span, from, to."""
    if mode == "crisp":
        return crisp(trace, root)[0]
    return jaeger(trace, root) if mode == "jaeger" else sweep(trace, root)


class Stacks:
    """The tree of many traces. Its size is that of the different call paths, however many traces there are."""

    def __init__(self, depth_max: int = DEPTH_MAX) -> None:
        self.root = Node("", "", 0)
        self.deeper_us = 0
        self._depth_max = depth_max

    def add(self, trace: Trace, pieces: Iterable[tuple[int, int]]) -> None:
        """Adds time of spans by number: (span, µs)."""
        places: dict[int, tuple[Node, bool]] = {}
        for n, us in pieces:
            node, whole = self._place(trace, n, places)
            node.own_us += us
            if not whole:
                self.deeper_us += us

    def _place(self, trace: Trace, n: int, places: dict[int, tuple[Node, bool]]) -> tuple[Node, bool]:
        """The node of a span, and whether it is its own and not one above it."""
        way = []
        at = n
        while at >= 0 and at not in places:
            way.append(at)
            at = trace.parents[at]
        found = places[at] if at >= 0 else (self.root, True)
        for number in reversed(way):
            found = places[number] = self._below(found[0], trace, number) if found[1] else found
        return found

    def _below(self, node: Node, trace: Trace, n: int) -> tuple[Node, bool]:
        if node.depth >= self._depth_max:
            return node, False  # guard: a path has an end, however deep its trace
        span = trace.spans[n]
        key = (span.service, span.operation)
        below = node.below.get(key)
        if below is None:
            below = node.below[key] = Node(*key, node.depth + 1)
        below.calls += 1
        return below, True

    def sum(self) -> Node:
        """The root, once every node knows its total."""
        order = [self.root]
        for node in order:
            order.extend(node.below.values())
        for node in reversed(order):
            node.total_us = node.own_us + sum(below.total_us for below in node.below.values())
        return self.root


def folded(root: Node) -> Iterator[str]:
    """A line for each path that has time of its own, by name."""
    stack: list[tuple[Node, str]] = [(root, "")]
    while stack:
        node, path = stack.pop()
        if node.own_us > 0 and path:
            yield f"{path} {node.own_us}"
        for key in sorted(node.below, reverse=True):
            below = node.below[key]
            frames = f"{_frame(below.service)};{_frame(below.operation)}"
            stack.append((below, f"{path};{frames}" if path else frames))


def _frame(name: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in name).replace(";", "_").strip()
    return text or "-"
