# SPDX-License-Identifier: Apache-2.0
"""What does an id cost, is none made twice, where is a generator at its worst, what does a worker id cost to get and to
keep, and what is left of ids from a counter when its store is far or away?

::

    draw      ns an id, of bursts of calls, and the tail of calls timed each by itself; everybody in turn
    corners   a block filled, one id a millisecond, more than the layout has, bytes
    check     ten million ids of four processes: none twice, each thread's grow, near to one another in an index
    claims    see ``ids_claims``
    segments  see ``ids_segments``

A burst stays far below what the first layout has in a second, as bursts do: whoever draws without a pause is held to
4,096 ids a millisecond by the layout, whatever a call costs. That is in the corners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import ids_check, ids_claims, ids_segments
from .contestants import KNOWN
from .drain import in_turn
from .job import Job
from .rig import PATIENCE_S, Rig

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How much: ids a burst, bursts and calls timed alone in one run, runs; ids a thread that are looked at together;
    claims and renewals a run; seconds of one run of segments."""

    n: int = 200_000
    bursts: int = 5
    tail: int = 100_000
    runs: int = 7
    check: int = 640_000
    claims: ids_claims.Effort = ids_claims.FULL
    segments: ids_segments.Effort = ids_segments.FULL


QUICK = Effort(n=20_000, bursts=3, tail=10_000, runs=1, check=20_000, claims=ids_claims.QUICK,
               segments=ids_segments.QUICK)


def measure(bench: Rig, names: Sequence[str], effort: Effort, tell: Tell) -> dict[str, Any]:
    """Question → contestant → runs, or question → figures; empty where its contestant does not take part."""
    drawing = [name for name in names if KNOWN[name].group in GROUPS]
    claiming, counting = ([name for name in names if KNOWN[name].group == group] for group in ("claims", "segments"))
    return {"draw": _drawn(bench, drawing, effort, tell),
            "corners": corners(bench, effort, tell) if OURS in names else {},
            "check": check(bench, effort, tell) if OURS in names else {},
            "claims": ids_claims.measure(bench, claiming, effort.claims, tell) if claiming else {},
            "segments": ids_segments.measure(bench, counting, effort.segments, tell)}


#: Whose generator is looked at closely, and whose ids are looked at together.
OURS = "id-next"
#: Calls of a burst, at least: more than a layout of 256 in 10 ms can give without waiting.
LEAST = 1000
#: Tables of what draws.
GROUPS = ("single", "threads", "text", "bulk")


def _drawn(bench: Rig, names: Sequence[str], effort: Effort, tell: Tell) -> dict[str, Any]:
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(effort.runs if names else 0):
        for name in in_turn(names, number):
            figures[name].append(draw(bench, name, effort))
            tell(f"run {number + 1} of {effort.runs}: {KNOWN[name].title}: {figures[name][-1]['ns']:,.1f} ns an id")
    return figures


def draw(bench: Rig, name: str, effort: Effort) -> dict[str, Any]:
    """One run in a fresh process."""
    bench.admin.flushdb()
    one = KNOWN[name]
    part = one.part / one.each
    least = LEAST if one.each == 1 else 1
    job = Job(contestant=name, verb="work", url=bench.url, n=max(least, round(effort.n * part)), call=one.call,
              threads=one.threads, bursts=effort.bursts, tail=max(10, round(effort.tail * part)))
    return _asked(bench, job)


def corners(bench: Rig, effort: Effort, tell: Tell) -> dict[str, Any]:
    """See ``contestants/id_corners``."""
    bench.admin.flushdb()
    found = _asked(bench, Job(contestant=OURS, verb="corners", url=bench.url, n=effort.runs))
    tell(f"corners: {found['sustained_ns']:.0f} ns an id without a pause, {found['generator_bytes']:,.0f} bytes a "
         "generator")
    return found


def check(bench: Rig, effort: Effort, tell: Tell) -> dict[str, Any]:
    """See ``ids_check``."""
    found = ids_check.measure(bench, effort.check)
    tell(f"{found['ids']:,} ids of {found['workers']} processes: {found['twice']} twice, {found['do_not_grow']} of "
         f"{found['threads']} threads not growing")
    return found


def _asked(bench: Rig, job: Job) -> dict[str, Any]:
    with bench.contestant(job) as worker:
        found: dict[str, Any] = worker.wait_line(lambda line: line["event"] == "report", PATIENCE_S)
        worker.wait(PATIENCE_S)
    return {key: value for key, value in found.items() if key != "event"}


def spoiled(figures: dict[str, Any]) -> int:
    """Ids of ours that were made twice, or not made, or that do not grow; segments that gave one twice."""
    runs = [run for name, each in figures["draw"].items() if KNOWN[name].is_ours for run in each]
    together = figures["check"] or {"twice": 0, "do_not_grow": 0}
    return (sum(run["none"] + run["twice"] for run in runs) + together["twice"] + together["do_not_grow"]
            + sum(run["twice"] for where in figures["segments"].values() for run in where.values()))
