# SPDX-License-Identifier: Apache-2.0
"""What the paths through a graph of steps have in common, and where they still lead. Pure.

A state tells more about its past than its own name: if every path from the beginning to ``shipped`` goes through
``pay``, then whatever is ``shipped`` has been paid. That is dominance, known from flow graphs (Allen and Cocke, 1972),
here over the names of steps instead of nodes: a step named alike from several states counts as one. The sets begin full
and only shrink, by the rule

    passed(begin) = {}        passed(state) = intersection, over all steps into it, of passed(source) + {step}

until nothing changes. Graphs of states are small: Lengauer and Tarjan's quicker way to the same sets would be more to
read, with nothing gained.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)


class Edge(NamedTuple, Generic[S]):
    """One arrow of the graph. ``source`` and ``target`` are states."""

    step: str
    source: S
    target: S


def passed(edges: Sequence[Edge[S]], begin: Iterable[S]) -> dict[S, frozenset[str]]:
    """For each state, the steps that every path to it has taken at least once."""
    everything = frozenset(edge.step for edge in edges)
    beginnings = frozenset(begin)
    found = {state: everything for edge in edges for state in (edge.source, edge.target)}
    found |= dict.fromkeys(beginnings, frozenset[str]())
    while True:
        # guard: a step counts only if all paths have taken it, so the sets meet and do not join
        smaller = {state: known if state in beginnings else known.intersection(*_arrivals(edges, state, found))
                   for state, known in found.items()}
        if smaller == found:
            return found
        found = smaller


def _arrivals(edges: Sequence[Edge[S]], state: S, known: Mapping[S, frozenset[str]]) -> list[frozenset[str]]:
    return [known[edge.source] | {edge.step} for edge in edges if edge.target == state]


def passed_by(edges: Sequence[Edge[S]], known: Mapping[S, frozenset[str]]) -> dict[tuple[S, str], frozenset[str]]:
    """The same for a state and the step that led into it, where the last step is known too."""
    found: dict[tuple[S, str], frozenset[str]] = {}
    for step, source, target in edges:
        taken = known[source] | {step}
        found[target, step] = found.get((target, step), taken) & taken
    return found


def arrived(by: Mapping[tuple[S, str], frozenset[str]]) -> dict[S, frozenset[str]]:
    """The same for a state that was reached by a step, whichever: also a row that came back to where it began."""
    found: dict[S, frozenset[str]] = {}
    for (state, _), taken in by.items():
        found[state] = found.get(state, taken) & taken
    return found


def ahead(edges: Sequence[Edge[S]], begin: Iterable[S]) -> dict[S, frozenset[S]]:
    """For each state, the states that can be reached from it in no, one or more steps."""
    after: dict[S, set[S]] = {state: set() for state in begin}
    for _, source, target in edges:
        after.setdefault(source, set()).add(target)
        after.setdefault(target, set())
    return {state: _walk(after, state) for state in after}


def _walk(after: Mapping[S, set[S]], start: S) -> frozenset[S]:
    seen, todo = {start}, [start]
    while todo:
        fresh = after[todo.pop()] - seen
        seen |= fresh
        todo.extend(fresh)
    return frozenset(seen)
