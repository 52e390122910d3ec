# SPDX-License-Identifier: Apache-2.0
"""How late is a message at a steady rate? From just before ``publish`` to the first line of the handler.

Publisher and consumer are two processes; each library publishes by its own call, one message at a time, at fixed
moments. Both clocks are the machine's monotonic one. The first second warms up and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .contestants import CONTESTANTS
from .drain import in_turn
from .figures import percentile
from .job import Job
from .rig import PATIENCE_S, Rig, ready

WARM_S = 1.0


def measure(bench: Rig, names: Sequence[str], rate: float, seconds: float, runs: int, *,
            tell: Callable[[str], None]) -> dict[str, list[dict[str, Any]]]:
    """Percentiles of each contestant, run by run."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(runs):
        for name in in_turn(names, number):
            figures[name].append(once(bench, name, rate, seconds))
            one = figures[name][-1]
            tell(f"run {number + 1} of {runs}: {CONTESTANTS[name].title}: "
                 f"p50 {one['p50_ms']:.2f} ms, p99 {one['p99_ms']:.2f} ms")
    return figures


def once(bench: Rig, name: str, rate: float, seconds: float) -> dict[str, Any]:
    """One run in fresh processes."""
    bench.admin.flushdb()
    bench.prepare(name)
    warm = int(rate * WARM_S)
    n = warm + int(rate * seconds)
    with bench.contestant(Job(contestant=name, verb="work", url=bench.url, n=n, measure="late")) as worker:
        ready(worker)
        with bench.child(Job(contestant=name, verb="pace", url=bench.url, n=n, rate=rate)) as publisher:
            publisher.wait_line(lambda line: line["event"] == "paced", PATIENCE_S)
            publisher.wait(PATIENCE_S)
        bench.wait_drained(worker)
        report = bench.end(worker)
    late_ms = sorted(ns / 1e6 for ns in report["late_ns"][warm:])
    return {"rate_per_s": rate, "messages": len(late_ms),
            "p50_ms": percentile(late_ms, 50), "p99_ms": percentile(late_ms, 99),
            "max_ms": late_ms[-1], "duplicates": report["calls"] - report["unique"], "missing": n - report["unique"]}
