# SPDX-License-Identifier: Apache-2.0
"""What failures cost a trace, as CRISP answers it, and where they come from. Pure.

A span that failed is an **origin** when none of its children failed, and has **propagated** a failure when one did. A
span that is well though a child failed has **stopped** it. The *failed path* is that part of the critical path whose
spans failed or lead down to one that did.

Source: uber-research/CRISP, ``graph.py``: ``computeErrorStats`` and the error critical path, with the same answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from ..assemble import Trace
from .crisp import Fitted, OnPath, find, fit
from .path import name_of
from .retime import retimed, without_failures

#: A call path keeps so many names, the last ones; a chain of 100,000 would otherwise have 5,000,000,000 of them.
DEPTH_MAX = 100
Role = Literal["", "origin", "propagated", "stopped"]
Name = TypeVar("Name")


class Roles(msgspec.Struct, frozen=True):
    """How many spans of a call path began a failure, handed one on, or stopped one."""

    origins: int = 0
    propagated: int = 0
    stopped: int = 0


class FailedPath(msgspec.Struct, frozen=True):
    """What failures cost. All in µs; a call path is the names from the root down, as a tuple; of one deeper than
    100 the last hundred, behind an ellipsis.

    work_us: durations of all spans, summed. failed_work_us: of those that failed. saved_us: by how much the trace would
    have been shorter without failed spans. exclusive_without_us: what would then be on the critical path, by name.
    inclusive_us, exclusive_us: time on the failed path by name, below failed spans and within them. call_paths_us:
    exclusive time of failed spans. roles: of the failed path, by call path.
    """

    trace_id: str
    work_us: int
    failed_work_us: int
    saved_us: int
    exclusive_without_us: dict[str, int]
    inclusive_us: dict[str, int]
    exclusive_us: dict[str, int]
    call_paths_us: dict[tuple[str, ...], int]
    roles: dict[tuple[str, ...], Roles]


def role_of(trace: Trace, n: int) -> Role:
    """What a span has to do with the failures of its children, and its own. Empty: nothing."""
    below = any(trace.spans[child].error for child in trace.children[n])
    if trace.spans[n].error:
        return "propagated" if below else "origin"
    return "stopped" if below else ""


def failures(trace: Trace, root: int | None = None) -> FailedPath:
    """What failures cost below ``root`` (the longest root without one), on CRISP's critical path."""
    root = trace.root if root is None else root
    fitted = fit(trace, root)
    path = find(fitted, root)
    reached = list(fitted.children)
    failed = _failed_path(fitted, path)
    exclusive = {n: max(0, fitted.durations[n] - sum(fitted.durations[child] for child in path.children[n]))
                 for n in failed if trace.spans[n].error}
    savings = retimed(fitted, root)
    return FailedPath(
        trace.trace_id, sum(fitted.durations[n] for n in reached),
        sum(fitted.durations[n] for n in reached if trace.spans[n].error), savings.saved[root],
        _without(without_failures(fitted, root, savings), root) if not trace.spans[root].error else {},
        _by_name(trace, failed), _summed(exclusive, lambda n: name_of(trace, n)),
        _summed(exclusive, lambda n: _call_path(trace, n, root)), _roles(fitted, failed, root))


def _failed_path(fitted: Fitted, path: OnPath) -> dict[int, int]:
    """Spans on the path that failed or lead to one, each with its inclusive time: its own, or that of those below."""
    found: dict[int, int] = {}
    for node in reversed(path.nodes):
        below = [found[child] for child in path.children[node] if child in found]
        if fitted.trace.spans[node].error:
            found[node] = fitted.durations[node]
        elif below:
            found[node] = sum(below)
    return found


def _without(fitted: Fitted, root: int) -> dict[str, int]:
    """Exclusive times on the path. What lasts for nothing is not on it."""
    path = find(fitted, root)
    lasting = {n: max(0, fitted.durations[n] - sum(fitted.durations[child] for child in path.children[n]))
               for n in path.nodes if fitted.durations[n]}
    return _summed(lasting, lambda n: name_of(fitted.trace, n))


def _by_name(trace: Trace, found: dict[int, int]) -> dict[str, int]:
    return _summed(found, lambda n: name_of(trace, n))


def _summed(found: dict[int, int], name: Callable[[int], Name]) -> dict[Name, int]:
    sums: dict[Name, int] = {}
    for n, us in found.items():
        sums[name(n)] = sums.get(name(n), 0) + us
    return sums


def _call_path(trace: Trace, n: int, root: int) -> tuple[str, ...]:
    names = [name_of(trace, n)]
    while n != root and len(names) < DEPTH_MAX:
        n = trace.parents[n]
        names.append(name_of(trace, n))
    return tuple(reversed(names if n == root else [*names, "…"]))


def _roles(fitted: Fitted, failed: dict[int, int], root: int) -> dict[tuple[str, ...], Roles]:
    trace = fitted.trace
    found: dict[tuple[str, ...], Roles] = {}
    for n in failed:
        below = any(trace.spans[child].error for child in fitted.children[n])
        role = ("propagated" if below else "origins") if trace.spans[n].error else "stopped" if below else ""
        if role:
            path = _call_path(trace, n, root)
            before = found.get(path, Roles())
            found[path] = msgspec.structs.replace(before, **{role: getattr(before, role) + 1})
    return found
