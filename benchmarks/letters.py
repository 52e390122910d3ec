# SPDX-License-Identifier: Apache-2.0
"""Dead letters by the hundred thousand: taken in, looked for, on the screen, sent back, and no faster than was said.

``intake``  a real `dlq serve` takes all of them in, on an empty desk, and then judges as many as it can for a while
``groups``  a page of groups of the desk that this leaves, by each filter, warm, 20 times
``screen``  the console's page of letters over HTTP, sign-in done, 20 times; and painted, where a browser is there
``replay``  a job sends all of them back; what counts is when the consumer has applied the last one, not when the job
            has sent it. Beside it the same consumer fed by a bare loop of XADD
``rate``    a job with a rate; counted by the server's clock, in every second that begins at an entry

Nothing is pinned: up to four processes share what there is. Processor time is noted beside the clock.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from holdfast._redis.keys import GroupKeys
from holdfast.deadletters.desk import MOVES, Desk, Filter
from holdfast.testing.processes import Worker
from holdfast.testing.waiting import wait_until

from .contestants import CONTESTANTS, KNOWN
from .figures import percentile
from .job import GROUP, STREAM, Job
from .letters_screen import screens
from .once import databases
from .rig import PATIENCE_S, ROOT, Rig, kill_all, ready

Tell = Callable[[str], None]
LOOKS = 20
#: For so many seconds it is watched how quickly letters are judged.
JUDGING_S = 20.0
JUDGED = Filter(states=tuple(state for state in MOVES if state not in ("new", "classified")))
FILTERS = {
    "all": Filter(), "open": Filter(open=True), "of a state": Filter(states=("manual",)),
    "of a stream and group": Filter(logical=STREAM, group=GROUP, open=True),
    "of a category": Filter(category="unknown", open=True), "of a time": Filter(since_ms=1),
    "of a text": Filter(text="warehouse did not"), "of an id": Filter(text="01JD8Z3V5K7Q2M9T4R6W000041"),
}


@dataclass(frozen=True)
class Effort:
    """letters: of everything but ``rate``, which takes ``rate_letters`` at ``rate_per_s``. desks: kinds of database."""

    letters: int = 100_000
    rate_letters: int = 5_000
    rate_per_s: float = 500.0
    desks: tuple[str, ...] = ("sqlite", "postgresql")
    runs: int = 3


QUICK = Effort(letters=5_000, rate_letters=600, rate_per_s=200.0, desks=("sqlite",), runs=1)


def measure(bench: Rig, name: str, effort: Effort, tell: Tell) -> dict[str, Any]:
    """Figures of each question, by the kind of desk."""
    figures: dict[str, Any] = {what: {} for what in ("intake", "groups", "screen", "replay", "rate", "bare")}
    with databases(bench) as stores:
        for kind in effort.desks:
            desk = stores.empty(kind)
            fill(bench, name, effort.letters)
            figures["intake"][kind] = intake(bench, desk, effort.letters)
            tell(f"{kind}: {figures['intake'][kind]['per_s']:,.0f} letters a second taken in, "
                 f"{figures['intake'][kind]['judged_per_s']:,.0f} judged")
            figures["groups"][kind] = asyncio.run(groups(desk))
            figures["screen"][kind] = screens(bench, desk, LOOKS)
            tell(f"{kind}: p95 of groups {figures['groups'][kind]['all']['p95_ms']:.0f} ms, of the screen "
                 f"{figures['screen'][kind]['p95_ms']:.0f} ms")
            figures["replay"][f"{kind}, with cases"] = [replay(bench, name, desk, effort.letters)]
            figures["replay"][kind] = [replay(bench, name, stores.empty(kind), fill(bench, name, effort.letters))
                                       for _ in range(effort.runs)]
            tell(f"{kind}: {figures['replay'][kind][-1]['per_s']:,.0f} letters a second sent back and applied")
            figures["rate"][kind] = rate(bench, name, stores.empty(kind), effort)
        figures["bare"] = [bare(bench, name, effort.letters) for _ in range(effort.runs)]
    return figures


def fill(bench: Rig, name: str, n: int) -> int:
    """A server with so many dead letters and nothing else."""
    bench.admin.flushall()
    with _child(Job(contestant=name, verb="fill", url=bench.url, n=n)) as filler:
        filler.wait_line(lambda line: line["event"] == "filled", PATIENCE_S)
        filler.wait(PATIENCE_S)
    return n


# -- taking in, and looking ---------------------------------------------------------------------------------------


def intake(bench: Rig, desk: str, n: int) -> dict[str, float]:
    """From the service's start until the desk has all letters; and how many are judged in the seconds after that."""
    command = [sys.executable, "-m", "holdfast.cli", "dlq", "serve", STREAM, "--group", GROUP]
    began = time.monotonic()
    with command_of(bench, command, desk):
        taken_s, judged_per_s = asyncio.run(_taken_in(desk, n, began))
    return {"n": n, "seconds": taken_s, "per_s": n / taken_s, "judged_per_s": judged_per_s}


async def _taken_in(source: str, n: int, began: float) -> tuple[float, float]:
    desk = await Desk(source).open()
    try:
        taken_at = await _reached(desk, Filter(), n, PATIENCE_S)
        before = await desk.count(JUDGED)
        ended_at = await _reached(desk, JUDGED, n, JUDGING_S)
        return taken_at - began, (await desk.count(JUDGED) - before) / (ended_at - taken_at)
    finally:
        await desk.close()


async def _reached(desk: Desk, wanted: Filter, n: int, seconds: float) -> float:
    """When there were so many, or the time was over."""
    end = time.monotonic() + seconds
    for at in iter(time.monotonic, end):
        if at > end or await desk.count(wanted) >= n:
            break
        await asyncio.sleep(0.25)
    return time.monotonic()


async def groups(source: str) -> dict[str, dict[str, float]]:
    """Each filter: how many groups, and percentiles of 20 looks after a first one."""
    desk = await Desk(source).open()
    try:
        return {what: await _looked(desk, wanted) for what, wanted in FILTERS.items()}
    finally:
        await desk.close()


async def _looked(desk: Desk, wanted: Filter) -> dict[str, float]:
    found, took, cpu_s = await desk.groups(wanted), [], time.process_time()
    for _ in range(LOOKS):
        began = time.perf_counter()
        found = await desk.groups(wanted)
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    return {"groups": len(found), "letters": await desk.count(wanted), "p50_ms": percentile(took, 50),
            "p95_ms": percentile(took, 95), "cpu_ms": 1000 * (time.process_time() - cpu_s) / LOOKS}


# -- sending back -------------------------------------------------------------------------------------------------


def replay(bench: Rig, name: str, desk: str, n: int) -> dict[str, float]:
    """A job's letters, from the moment it is asked for until its consumer has applied the last."""
    return _applied(bench, Job(contestant=name, verb="replay", url=bench.url, n=n, sql=desk),
                    GroupKeys("hf", STREAM, GROUP).replay.decode())


def bare(bench: Rig, name: str, n: int) -> dict[str, float]:
    """The same consumer, fed by a bare loop."""
    bench.admin.flushall()
    return _applied(bench, Job(contestant=name, verb="pace", url=bench.url, n=n), STREAM)


def _applied(bench: Rig, job: Job, stream: str) -> dict[str, float]:
    eats = CONTESTANTS["holdfast-batch"]
    work = Job(contestant=eats.name, verb="work", url=bench.url, n=job.n, batch=True)
    server_s = bench.cpu_s()
    with _child(work) as consumer:
        ready(consumer)
        with _child(job) as sender:
            sent = sender.wait_line(lambda line: line["event"] == "report", PATIENCE_S)
            drained_ns = wait_until(lambda: _drained(bench, stream), PATIENCE_S, "all is applied", poll_s=0.005) or 0
            sender.wait(PATIENCE_S)
        server_s = bench.cpu_s() - server_s
        report = bench.end(consumer)
    seconds, from_made_s = (drained_ns - sent["began_ns"]) / 1e9, (drained_ns - sent["made_ns"]) / 1e9
    return {"n": job.n, "seconds": seconds, "per_s": job.n / from_made_s, "whole_per_s": job.n / seconds,
            "asked_s": (sent["made_ns"] - sent["began_ns"]) / 1e9, "sender_cpu_us": sent["cpu_s"] * 1e6 / job.n,
            "client_cpu_us": report["cpu_s"] * 1e6 / job.n, "server_cpu_us": server_s * 1e6 / job.n,
            "duplicates": report["calls"] - report["unique"], "missing": job.n - report["unique"]}


def _drained(bench: Rig, stream: str) -> int | None:
    if bench.admin.xlen(GroupKeys("hf", STREAM, GROUP).dead):
        return None
    return bench.drained(stream) if bench.admin.exists(stream) else None


def rate(bench: Rig, name: str, desk: str, effort: Effort) -> dict[str, float]:
    """A job that was told a rate, with nobody there who takes its letters away: when each was written is their id."""
    fill(bench, name, effort.rate_letters)
    job = Job(contestant=name, verb="replay", url=bench.url, n=effort.rate_letters, rate=effort.rate_per_s, sql=desk)
    with _child(job) as sender:
        sender.wait_line(lambda line: line["event"] == "report", PATIENCE_S)
    keys = GroupKeys("hf", STREAM, GROUP)
    written = [int(entry.split(b"-")[0]) for entry, _ in bench.admin.xrange(keys.replay)]
    seconds = (written[-1] - written[0]) / 1000
    return {"n": len(written), "rate_per_s": effort.rate_per_s, "most_in_a_second": most(written),
            "per_s": (len(written) - 1) / seconds, "longest_gap_ms": max(b - a for a, b in pairwise(written)),
            "missing": effort.rate_letters - len(written)}


def most(written_ms: Sequence[int], window_ms: int = 1_000) -> int:
    """The largest number of these, which are in order, within so many ms that begin at one of them."""
    found = first = 0
    for last, at in enumerate(written_ms):
        while written_ms[first] <= at - window_ms:
            first += 1
        found = max(found, last - first + 1)
    return found


def spoiled(figures: dict[str, Any]) -> int:
    """Letters that were lost, or applied twice, and seconds in which more went than was allowed."""
    runs = [run for found in figures["replay"].values() for run in found]
    return int(sum(run["missing"] + run["duplicates"] for run in runs)
               + sum(max(0, one["most_in_a_second"] - one["rate_per_s"]) + one["missing"]
                     for one in figures["rate"].values()))


# -- processes ----------------------------------------------------------------------------------------------------


@contextmanager
def _child(job: Job) -> Iterator[Worker]:
    with Worker(KNOWN[job.contestant].argv, env=job.environment(), cwd=ROOT) as worker:
        try:
            yield worker
        finally:
            kill_all(worker)


@contextmanager
def command_of(bench: Rig, argv: Sequence[str], desk: str) -> Iterator[Worker]:
    """One of our commands, on this server and desk."""
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    env = {"HOLDFAST_URL": bench.url, "HOLDFAST_DESK": desk.replace("postgresql:", "postgresql+psycopg:"),
           "PYTHONPATH": source}
    with Worker(argv, env=env, cwd=ROOT) as worker:
        try:
            yield worker
        finally:
            kill_all(worker)
