# SPDX-License-Identifier: Apache-2.0
"""What a trace would have lasted had nobody spent time on what failed. Pure.

A failed span is taken out with all that is below it, and what came after it moves forward. Children of a span fall into
*blocks*: within one they overlap, directly or through others; blocks follow each other, and each becomes shorter by
itself. Within a block whoever began after others had ended waits for them still, with the gap that was between them. So
a block ends when its last child ends, which need not be the one that was last before.

It is an estimate that errs to the small side: what a caller did at the same time as the failed call is taken to be
needed, and order in time is taken to be dependence. O(n log n) for a span with n children; depth is no matter.

Source: uber-research/CRISP, "all series" savings of ``graph.py``, with the same answers; the order within a block is
found from the latest end before a beginning instead of from a reduced graph, which needs the square of the children.
Of children that end together the one that began first counts as the last; there it is whichever a set gives first.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from .crisp import Fitted, happened_before, instants


@dataclass(slots=True)
class Block:
    """Children that overlap, the last one to end first. overlap: by how much it runs into the block behind it."""

    start: int
    end: int
    overlap: int
    nodes: list[int]


@dataclass(slots=True)
class Retimed:
    """saved: µs that each span would end earlier after its own beginning. ends: when each would end, had its parent and
    the blocks before it stayed where they were. blocks: of each span that did not fail, by time."""

    saved: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    blocks: dict[int, list[tuple[Block, int]]] = field(default_factory=dict)


def retimed(fitted: Fitted, root: int) -> Retimed:
    """Savings of all spans below ``root``, from the leaves up."""
    found = Retimed()
    for node in reversed(_down(fitted, root)):
        if fitted.trace.spans[node].error:
            found.saved[node] = fitted.durations[node]
            continue
        blocks = [(block, _shortened(fitted, node, block, found)) for block in reversed(_blocks(fitted, node))]
        found.blocks[node] = blocks
        found.saved[node] = min(sum(saved for _, saved in blocks), fitted.durations[node])
    return found


def without_failures(fitted: Fitted, root: int, found: Retimed) -> Fitted:
    """The trace as it would have been: failed spans are gone, and what follows them comes earlier."""
    starts, durations = dict.fromkeys([root], fitted.starts[root]), fitted.durations
    children: dict[int, list[int]] = {}
    stack = [root]
    while stack:
        node = stack.pop()
        children[node], shift = [], fitted.starts[node] - starts[node]
        for block, saved in found.blocks.get(node, []):
            for child in block.nodes:
                if not fitted.trace.spans[child].error:
                    starts[child] = found.ends[child] - shift - (durations[child] - found.saved[child])
                    children[node].append(child)
                    stack.append(child)
            shift += saved
        children[node].sort()
    new_starts, new_durations = list(fitted.starts), list(durations)
    for node, start in starts.items():
        new_starts[node], new_durations[node] = start, durations[node] - found.saved[node]
    ends = [start + lasted for start, lasted in zip(new_starts, new_durations, strict=True)]
    return Fitted(fitted.trace, new_starts, ends, new_durations, children)


def _down(fitted: Fitted, root: int) -> list[int]:
    """All spans below, each behind its parent."""
    order, stack = [], [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(fitted.children[node])
    return order


def _blocks(fitted: Fitted, node: int) -> list[Block]:
    """The blocks of a span's children, the last one first."""
    starts, ends, spans = fitted.starts, fitted.ends, fitted.trace.spans
    children = sorted(fitted.children[node], key=lambda n: (-ends[n], starts[n], spans[n].span_id))
    events = instants(fitted, children)
    blocks: list[Block] = []
    first = -1
    for child in children:
        if not blocks or happened_before(fitted, node, child, first, events):
            overlap = max(0, ends[child] - blocks[-1].start) if blocks else 0
            blocks.append(Block(starts[child], ends[child], overlap, []))
            first = child
        elif starts[child] < starts[first]:
            first = child
            blocks[-1].start = starts[child]
        blocks[-1].nodes.append(child)
    return blocks


def _shortened(fitted: Fitted, parent: int, block: Block, found: Retimed) -> int:
    """Finds when each child of a block would end, and says by how much the block would end earlier."""
    starts, ends = fitted.starts, fitted.ends
    old: list[int] = []
    latest: list[int] = []
    for node in sorted(block.nodes, key=lambda n: (ends[n], starts[n])):
        begin, gap = block.start, starts[node] - block.start
        before = bisect_right(old, starts[node])
        if before:  # guard: who waited for others waits for them still
            begin, gap = max(begin, latest[before - 1]), max(0, min(gap, starts[node] - old[before - 1]))
        found.ends[node] = begin + gap + fitted.durations[node] - found.saved[node]
        old.append(ends[node])
        latest.append(max(latest[-1], found.ends[node]) if latest else found.ends[node])
    return max(0, block.end - max(found.ends[node] for node in _last(fitted, parent, block)) - block.overlap)


def _last(fitted: Fitted, node: int, block: Block) -> list[int]:
    """Those that a block can end with: beside the last one, whoever did not happen before it."""
    events = instants(fitted, block.nodes)
    found = block.nodes[:1]
    for child in block.nodes[1:]:
        if happened_before(fitted, node, child, found[0], events):
            break
        found.append(child)
    return found
