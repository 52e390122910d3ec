# SPDX-License-Identifier: Apache-2.0
"""The order of a queue among processes, some of which die in it, with clocks that are an hour off."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from pathlib import Path

import msgspec
import pytest

from holdfast._redis.keys import LockKeys
from holdfast.testing import Worker, wait_until_async
from holdfast.testing.binaries import find_faketime
from tests.faults.locking import judge, now, of, operations, take
from tests.faults.workers.locker import Task
from tests.support.locks import locks_at
from tests.support.nursery import Born

ROOT = Path(__file__).parents[2]
#: Whoever gets no processor for longer than a place is kept counts as dead: long enough for a busy machine.
POLL_S, PLACE_S = 0.8, 2.4
#: Three processes that live, and one whose five waiters die with it; each with its clock's offset in seconds.
LIVING, DEAD = {15: 3600, 14: -3600, 16: 0}, 5


def clock_off_by(seconds: int) -> dict[str, str]:
    """The wall clock of a process, and nothing else of it."""
    if not seconds:
        return {}
    return {"LD_PRELOAD": str(find_faketime("valkey")), "FAKETIME": f"{seconds:+d}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def start(backend, name, count, offset_s) -> Worker:
    task = Task(backend.url, "queue", name, kind="fair", ttl_s=0.9, poll_s=POLL_S, count=count, pause_s=0.02)
    return Born.module("tests.faults.workers.locker", msgspec.json.encode(task).decode(), env=clock_off_by(offset_s),
                         cwd=ROOT)


def waiting(backend, name) -> list[tuple[int, str]]:
    """Who waits, in order: process and task."""
    keys = LockKeys("hf", name, sort="fair")
    fields = [b"w" + acquisition for acquisition in backend.admin.zrange(keys.lock_queue, 0, -1)]
    found = backend.admin.hmget(keys.lock_about, fields) if fields else []
    return [(who["pid"], who["task"]) for who in map(json.loads, found)]


@pytest.mark.timeout(120)
def test_fifty_who_wait_in_several_processes_are_let_in_in_order_and_the_dead_are_passed(backend, stream, arun):
    async def main(workers, doomed):
        async with locks_at(backend.url, ttl_s=0.9) as locks:
            held = await locks.lock(stream, fair=True).acquire()
            await wait_until_async(lambda: all({"ready": w.pid} in w.lines for w in workers), 40, "they are ready")
            backend.admin.set(f"{{{stream}}}:go", "1")
            await wait_until_async(lambda: len(waiting(backend, stream)) == 50, 20, "fifty wait")
            order = waiting(backend, stream)
            doomed.kill9()
            freed_at = now()
            assert await locks.lock(stream, fair=True).release(held)
            await wait_until_async(lambda: all(sum("in" in line for line in w.lines) == count for w, count in zip(
                workers, LIVING, strict=False)), 30, "everybody alive was let in")
            return order, freed_at

    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(start(backend, stream, count, offset)) for count, offset in LIVING.items()]
        doomed = stack.enter_context(start(backend, stream, DEAD, 0))
        order, freed_at = arun(main([*workers, doomed], doomed))
        said = [line for worker in workers for line in worker.lines if "in" in line]
        assert all(worker.wait(20) == 0 for worker in workers)
    places = [place for place, (pid, _) in enumerate(order) if pid == doomed.pid]
    assert places[-1] - places[0] > DEAD, "they stood among the others"
    let_in = sorted(said, key=lambda line: line["token"])
    times = [freed_at, *(line["at"] for line in let_in)]
    longest = max(later - before for before, later in itertools.pairwise(times))
    print(f"50 waited, {DEAD} died at places {places}; all in within {times[-1] - freed_at:.2f} s, longest pause "
          f"{longest:.2f} s of {PLACE_S} s for which a place is kept")
    assert [(line["pid"], str(line["in"])) for line in let_in] == [who for who in order if who[0] != doomed.pid]
    assert longest < 2 * PLACE_S, "a dead one holds up the line for as long as its place is kept, by the server's clock"


def test_a_writer_waits_for_the_readers_before_it_and_for_none_behind_it(backend, stream, arun):
    """Eight readers without a pause, for whom there is always room; the bound is those who read when it came."""
    lines, passed = [], []

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            done = asyncio.Event()

            async def read(locks, who):
                n = 0
                while not done.is_set():
                    n += 1
                    await take(of(locks, "read", stream), f"r{who}-{n}", lines.append, work_s=0.01, side="read")

            async def write(n):
                await asyncio.sleep(0.05)
                await take(of(one, "write", stream), f"w{n}", lines.append, side="write")

            reading = [asyncio.create_task(read((one, other)[who % 2], who)) for who in range(8)]
            for n in range(10):
                await write(n)
            done.set()
            await asyncio.gather(*reading)

    arun(main())
    at = {(line["hold"], line["step"]): line["at"] for line in lines if line["step"] in ("asks", "granted")}
    for n in range(10):
        asked_at, granted_at = at[f"w{n}", "asks"], at[f"w{n}", "granted"]
        # A place is had at once or so: of readers who asked a good while later none is in before it.
        passed += [hold for (hold, step), when in at.items() if step == "granted" and hold.startswith("r")
                   and when < granted_at and at[hold, "asks"] > asked_at + 0.1]
        assert granted_at - asked_at < 1
    assert passed == []
    judge(operations(lines, "a", fenced=False), "rw")
