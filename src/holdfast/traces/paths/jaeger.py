# SPDX-License-Identifier: Apache-2.0
"""The critical path as Jaeger's page draws it. Pure.

Spans of messaging (producer and consumer) below the root are left out with all that is below them: nobody waits for
them. Children are cut to their parents, and left out when nothing remains. Then from the root: the child that ended
last, and from its beginning the sibling that ended before it began, **strictly**: of two that touch, the earlier one is
passed over and its time goes to the parent. That is what the page does (and is discussed there); ``sweep`` counts it.

Source: jaegertracing/jaeger-ui, ``TracePage/CriticalPath``.
"""

from __future__ import annotations

from ..assemble import Trace
from .path import Piece, times


def jaeger(trace: Trace, root: int) -> list[Piece]:
    """The pieces of the path below ``root``, by time."""
    starts, ends = times(trace)
    waiting = sound(trace, root, starts, ends)
    pieces: list[Piece] = []
    node, until, parents = root, ends[root], trace.parents
    limit: int | None = None
    while True:
        last = _last(waiting[node], ends, limit)
        begin = starts[node] if last is None else ends[last]
        if begin < until:
            pieces.append((node, begin, until))
        if last is not None:
            node, until, limit = last, ends[last], None
        elif node == root:
            break
        else:
            until = limit = starts[node]
            node = parents[node]
    pieces.reverse()
    return pieces


def _last(children: list[int], ends: list[int], limit: int | None) -> int | None:
    """The one that ended last, before ``limit``. What is later than it is needed no more: limits only go down."""
    while children:
        child = children.pop()
        if limit is None or ends[child] < limit:
            return child
    return None


def sound(trace: Trace, root: int, starts: list[int], ends: list[int]) -> dict[int, list[int]]:
    """Children within their parents, by their ends, the last one last; of equals the one that began first. ``starts``
    and ``ends`` are cut to match."""
    found: dict[int, list[int]] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        kept = []
        for child in trace.children[node]:
            if trace.spans[child].kind in ("producer", "consumer"):
                continue
            if starts[child] >= ends[node] or ends[child] <= starts[node]:
                continue
            starts[child], ends[child] = max(starts[child], starts[node]), min(ends[child], ends[node])
            kept.append(child)
        kept.sort(key=lambda n: (starts[n], n), reverse=True)
        kept.sort(key=lambda n: ends[n])
        found[node] = kept
        stack.extend(kept)
    return found
