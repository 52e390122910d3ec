# SPDX-License-Identifier: Apache-2.0
"""Where failures begin and how far they are handed on. Pure.

A failure begins at a span that failed while none of its children did. From there it is handed on to each caller that
failed, too, until the root, or until a caller that is well has stopped it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..assemble import Trace


@dataclass(frozen=True, slots=True)
class Beginning:
    """A span by number. height: how many callers it was handed on to. to_root: the root of the trace failed by it."""

    span: int
    height: int
    to_root: bool


def origins(trace: Trace) -> Iterator[Beginning]:
    """The origins of a trace, in the order of its spans."""
    spans = trace.spans
    if not any(span.error for span in spans):
        return
    tops: dict[int, tuple[int, bool]] = {}
    for n, span in enumerate(spans):
        if span.error and not any(spans[child].error for child in trace.children[n]):
            height, to_root = _top(trace, n, tops)
            yield Beginning(n, height, to_root)


def _top(trace: Trace, n: int, tops: dict[int, tuple[int, bool]]) -> tuple[int, bool]:
    """How far up all have failed, and whether that is a root; remembered, since many may hang on one long chain."""
    way: list[int] = []
    while n not in tops:
        way.append(n)
        above = trace.parents[n]
        if above < 0:
            tops[n] = (0, True)
        elif not trace.spans[above].error:  # guard: a failure ends at whoever is well
            tops[n] = (0, False)
        else:
            n = above
    height, to_root = tops[n]
    for below in reversed(way):
        if below != n:
            height += 1
            tops[below] = (height, to_root)
    return height, to_root
