# SPDX-License-Identifier: Apache-2.0
"""The critical path as CRISP computes it, with the same answers. Pure.

Children are fitted into their parents from the top: cut when they stick out on one side, left out with all that is
below them when they stick out on both or lie outside, and left as they are when the pair looks like a call from one
machine to another (clocks differ then) and the callee lasts at most a hundredth longer than its caller. From the child
that ended last, the path goes on with whoever *happened before* it: ended before it began, or overlapped it by less
than a hundredth of the parent with nothing else in between.

What is exclusive is a span's duration without those of its children on the path, and not less than nothing. Since
siblings may overlap a little, exclusive times can exceed the root's duration; ``sweep`` cannot.

Source: uber-research/CRISP, ``graph.py`` and ``critical_path_segments.py``; "CRISP: Critical Path Analysis of
Large-Scale Microservice Architectures" (USENIX ATC 2022).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from ..assemble import Trace
from .path import Piece, times

#: A callee lasts at most so many times as long as its caller, and siblings overlap by less than this of the parent.
LONGER, OVERLAP = 1.01, 0.01


@dataclass(slots=True)
class Fitted:
    """A trace whose children lie in their parents. durations can be shorter than from start to end: a callee's."""

    trace: Trace
    starts: list[int]
    ends: list[int]
    durations: list[int]
    children: dict[int, list[int]]


@dataclass(slots=True)
class OnPath:
    """nodes: spans on the path, each behind its parent. children: those of each that are on it, too."""

    nodes: list[int]
    children: dict[int, list[int]]


def crisp(trace: Trace, root: int) -> tuple[list[Piece], list[tuple[int, int]]]:
    """The pieces of the path below ``root``, and what is exclusive to each span on it, in µs."""
    fitted = fit(trace, root)
    path = find(fitted, root)
    exclusive = [(n, max(0, fitted.durations[n] - sum(fitted.durations[child] for child in path.children[n])))
                 for n in path.nodes]
    return _pieces(fitted, path, root), exclusive


def fit(trace: Trace, root: int) -> Fitted:
    """Fits all below ``root``, from the top."""
    starts, ends = times(trace)
    durations = [end - start for start, end in zip(starts, ends, strict=True)]
    fitted = Fitted(trace, starts, ends, durations, {})
    stack = [root]
    while stack:
        node = stack.pop()
        children = [child for child in trace.children[node] if not trace.spans[child].follows]
        kept = [child for child in children if _fits(fitted, node, child, alone=len(children) == 1)]
        fitted.children[node] = kept
        stack.extend(kept)
    return fitted


def _fits(fitted: Fitted, parent: int, child: int, *, alone: bool) -> bool:
    starts, ends, durations = fitted.starts, fitted.ends, fitted.durations
    start, end, low, high = starts[child], ends[child], starts[parent], ends[parent]
    if alone and _is_call(fitted, parent, child):
        durations[child] = min(durations[child], durations[parent])
    elif start < low < end <= high:
        starts[child], durations[child] = low, durations[child] - (low - start)
    elif low <= start < high and end > high:
        ends[child], durations[child] = high, durations[child] - (end - high)
    elif not (start >= low and end <= high):
        return False
    return True


def _is_call(fitted: Fitted, parent: int, child: int) -> bool:
    """Did one machine call another? child: an only one; a server below a client, or below what is no server below a
    server, or on another host."""
    spans, above = fitted.trace.spans, fitted.trace.parents[parent]
    if fitted.durations[child] > LONGER * fitted.durations[parent]:
        return False
    caller, callee = spans[parent], spans[child]
    if caller.host and callee.host and caller.host != callee.host:
        return True
    if callee.kind != "server" or caller.kind == "server":
        return False
    return caller.kind == "client" or (above >= 0 and spans[above].kind == "server")


def find(fitted: Fitted, root: int) -> OnPath:
    """Which spans are on the path."""
    path = OnPath([], {})
    stack = [root]
    while stack:
        node = stack.pop()
        path.nodes.append(node)
        path.children[node] = _chain(fitted, node)
        stack.extend(reversed(path.children[node]))
    return path


def _chain(fitted: Fitted, node: int) -> list[int]:
    """The children on the path, the last one first."""
    children, ends = fitted.children[node], fitted.ends
    if not children:
        return []
    ordered = sorted(children, key=lambda n: ends[n])[::-1]
    events = instants(fitted, children)
    chain = [ordered[0]]
    for child in ordered[1:]:
        if happened_before(fitted, node, child, chain[-1], events):
            chain.append(child)
    return chain


def instants(fitted: Fitted, children: list[int]) -> list[int]:
    """When children begin and end, by time."""
    return sorted([*(fitted.starts[n] for n in children), *(fitted.ends[n] for n in children)])


def happened_before(fitted: Fitted, parent: int, child: int, last: int, events: list[int]) -> bool:
    """Did ``child`` happen before ``last``? events: when the parent's children begin and end."""
    starts, ends = fitted.starts, fitted.ends
    if ends[child] < starts[last]:
        return True
    overlap = ends[child] - starts[last]
    if not (ends[child] < ends[last] and starts[child] < starts[last]
            and overlap < OVERLAP * fitted.durations[parent]):
        return False
    return bisect_right(events, ends[child]) - bisect_left(events, starts[last]) == 2


def _pieces(fitted: Fitted, path: OnPath, root: int) -> list[Piece]:
    """What of each span's window no child on the path covers. A window is cut to the parent's."""
    starts, ends = fitted.starts, fitted.ends
    windows = {root: (starts[root], ends[root])}
    pieces: list[Piece] = []
    for node in path.nodes:
        low, high = windows.pop(node)
        cursor = low
        for child in sorted(path.children[node], key=lambda n: starts[n]):
            begin = min(max(starts[child], low), high)
            windows[child] = (begin, max(min(ends[child], high), begin))
            if min(starts[child], high) > cursor:
                pieces.append((node, cursor, min(starts[child], high)))
            cursor = max(cursor, ends[child])
        if high > cursor:
            pieces.append((node, cursor, high))
    return pieces
