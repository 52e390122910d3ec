# SPDX-License-Identifier: Apache-2.0
"""How fast is a full stream worked off? From the first handler call until nothing is pending and nothing undelivered.

The stream is filled before the contestant starts. Its clock starts at its first handler call, so that imports,
connections and group set-up do not count, and ends when the server says that the last message is acknowledged: the tail
counts. Processor time a message is noted beside it: on a machine with other work it wanders less than the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .contestants import CONTESTANTS
from .job import Job
from .rig import Rig

Tell = Callable[[str], None]


def measure(bench: Rig, names: Sequence[str], n: int, runs: int, tell: Tell) -> dict[str, list[dict[str, Any]]]:
    """Figures of each contestant, run by run. Each round takes all of them, in another order."""
    for name in {CONTESTANTS[c].module: c for c in names}.values():
        tell(f"filling for {CONTESTANTS[name].title}")
        bench.template(name, n)
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(runs):
        for name in in_turn(names, number):
            figures[name].append(once(bench, name, n))
            tell(f"run {number + 1} of {runs}: {CONTESTANTS[name].title}: {figures[name][-1]['per_s']:,.0f} msg/s")
    return figures


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """The order of a round: rotated by one each time, and backwards every other time."""
    at = number % len(names)
    order = [*names[at:], *names[:at]]
    return order[::-1] if number % 2 else order


def once(bench: Rig, name: str, n: int) -> dict[str, Any]:
    """One run in a fresh process."""
    length = bench.refill(name)
    if length != n:
        raise RuntimeError(f"{name}: {length} messages were filled in, not {n}")
    contestant = CONTESTANTS[name]
    job = Job(contestant=name, verb="work", url=bench.url, n=n, batch=contestant.batch, keep=contestant.keep)
    before_s = bench.cpu_s()
    with bench.contestant(job) as worker:
        drained_ns = bench.wait_drained(worker)
        server_s = bench.cpu_s() - before_s
        report = bench.end(worker)
    seconds = (drained_ns - report["first_ns"]) / 1e9
    return {"seconds": seconds, "per_s": n / seconds,
            "client_cpu_us": report["cpu_s"] * 1e6 / n, "server_cpu_us": server_s * 1e6 / n, "unique": report["unique"],
            "duplicates": report["calls"] - report["unique"], "missing": n - report["unique"]}
