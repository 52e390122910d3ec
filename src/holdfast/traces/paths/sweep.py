# SPDX-License-Identifier: Apache-2.0
"""The critical path as a sweep from the root's end back to its beginning. Pure.

At each µs of the root exactly one span owns the time: the one that its caller was waiting for. From a span's end
backwards, that is the child that ended last and not later; before that child began, it is the next one, cut where it
was still running (it was waited for until the other one began); between children it is the span itself. So the
segments of a trace sum to its root's duration, which none of the other modes promises.

A child that lasts beyond its parent counts as far as the parent waits. One without duration blocks nothing. Of
children that end together the one that began last comes first, then the smallest id: the same for the same trace in
any order. O(n log n), and depth is no matter.
"""

from __future__ import annotations

from ..assemble import Trace
from .path import Piece, times


def sweep(trace: Trace, root: int) -> list[Piece]:
    """The pieces of the path below ``root``, by time. They tile it."""
    starts, ends = times(trace)
    pieces: list[Piece] = []
    stack = [(root, starts[root], ends[root], order(trace, root, starts, ends))]
    while stack:
        node, low, cursor, waiting = stack.pop()
        while waiting:
            child = waiting.pop()
            begin, end = max(starts[child], low), min(ends[child], cursor)
            if begin >= end:
                continue
            if end < cursor:
                pieces.append((node, end, cursor))
            stack.append((node, low, begin, waiting))
            stack.append((child, begin, end, order(trace, child, starts, ends)))
            break
        else:
            if low < cursor:
                pieces.append((node, low, cursor))
    pieces.reverse()
    return pieces


def order(trace: Trace, node: int, starts: list[int], ends: list[int]) -> list[int]:
    """Children of a span, the one that is looked at first last: by their ends, beginnings and ids."""
    children = trace.children[node]
    if len(children) < 2:
        return children[:]
    by_end = sorted(children, key=ends.__getitem__)
    last = -1
    for child in by_end:
        if ends[child] == last:
            break
        last = ends[child]
    else:
        return by_end  # No two end together, as mostly.
    by_end.sort(key=lambda n: trace.spans[n].span_id, reverse=True)
    by_end.sort(key=lambda n: (ends[n], starts[n]))
    return by_end
