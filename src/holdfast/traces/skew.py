# SPDX-License-Identifier: Apache-2.0
"""Clocks that differ between machines, corrected for those who ask for it. Pure, and off by default.

A span of another host than its parent's that does not lie within its parent is taken to have a wrong clock. One that is
shorter than its parent is put into its middle, as if the way there and the way back took equally long; a longer one is
only kept from beginning before it. What is below on the same host moves along.

This is a guess. A child that its parent did not wait for looks just like one with a wrong clock, and would be moved;
those that say so (``follows``, and consumers of messages) are not. So nothing is written over: the corrected trace is
another one, and every span that was moved, or would have been, is named with its reason.

Source: Jaeger's adjuster ``clockskew.go``, with the answers of its tests; that consumers and followers stay, and that
nothing is written over, is asked for in its issues 448, 787, 961 and 1459.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from .assemble import Trace, assembled
from .span import Span


class Shift(msgspec.Struct, frozen=True):
    """One span's correction. delta_ns: what was added to its times, or would be. applied: False where it was more than
    allowed. reason: for a person."""

    span_id: str
    kind: str
    delta_ns: int
    applied: bool
    reason: str


@dataclass(slots=True)
class Corrected:
    """trace: of corrected spans; the one that it came from is left as it is. shifts: of the spans that are off."""

    trace: Trace
    shifts: list[Shift] = field(default_factory=list)


def corrected(trace: Trace, max_s: float) -> Corrected:
    """``trace`` by its parents' clocks. max_s: no span is moved by more; a small one leaves real differences alone, a
    large one lets asynchronous calls be moved."""
    most = int(max_s * 1e9)
    deltas = _deltas(trace, most)
    found = Corrected(trace)
    spans: list[Span] = []
    for n, span in enumerate(trace.spans):
        delta = deltas.get(n, 0)
        applied = abs(delta) <= most
        if delta:
            found.shifts.append(Shift(span.span_id, span.kind, delta, applied, _reason(delta, max_s, applied=applied)))
        spans.append(_moved(span, delta) if delta and applied else span)
    if any(shift.applied for shift in found.shifts):
        found.trace = assembled(trace.trace_id, spans)
        found.trace.duplicates, found.trace.conflicts = trace.duplicates, list(trace.conflicts)
        found.trace.copies = list(trace.copies)
    return found


def _deltas(trace: Trace, most: int) -> dict[int, int]:
    """What to add to each span's times, from the roots down. By how much a parent is moved counts for its children."""
    found: dict[int, int] = {}
    stack = [(root, trace.spans[root].host, 0) for root in trace.roots]
    while stack:
        n, host, delta = stack.pop()
        found[n] = delta
        for child in trace.children[n]:
            span = trace.spans[child]
            if span.host and span.host == host:
                stack.append((child, host, delta))
            elif span.follows or span.kind == "consumer":  # guard: who is not waited for is not moved
                stack.append((child, span.host, 0))
            else:
                moved = delta if abs(delta) <= most else 0
                stack.append((child, span.host, _delta(trace.spans[n], moved, span)))
    return {n: delta for n, delta in found.items() if delta}


def _delta(parent: Span, moved: int, child: Span) -> int:
    """By how much ``child`` seems to be off. moved: its parent's own correction."""
    low, high = parent.start_ns + moved, parent.end_ns + moved
    longer = (child.end_ns - child.start_ns) - (high - low)
    if longer > 0:
        return max(0, low - child.start_ns)
    if low <= child.start_ns and child.end_ns <= high:
        return 0
    return low + -longer // 2 - child.start_ns


def _moved(span: Span, delta: int) -> Span:
    return msgspec.structs.replace(span, start_ns=span.start_ns + delta, end_ns=span.end_ns + delta)


def _reason(delta: int, max_s: float, *, applied: bool) -> str:
    said = f"its clock seems to differ from its caller's by {delta / 1e6:.3f} ms"
    return said if applied else f"{said}; that is more than {max_s:g} s, so it is left as it is"
