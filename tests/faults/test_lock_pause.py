# SPDX-License-Identifier: Apache-2.0
"""Holders that stand still: stopped processes, blocked loops, no processor, a machine that slept, a fork."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast._base import events as ev
from holdfast._base.clock import Instant, SystemClock
from holdfast._base.lock import HoldState
from holdfast._redis.open import open_server
from holdfast.errors import LeaseLost
from holdfast.locks.guards import Offer, RedisGuard
from holdfast.testing import Operation, Worker
from tests.faults.locking import ONE, judge, now, of, wrong
from tests.faults.workers.locker import Task
from tests.support.locks import locks_at
from tests.support.nursery import Born

ROOT = Path(__file__).parents[2]


def start(backend, name, how, **other) -> Worker:
    told = msgspec.json.encode(Task(backend.url, how, name, **other)).decode()
    return Born.module("tests.faults.workers.locker", told, cwd=ROOT)


async def next_holder(backend, name, kind) -> tuple[float, int, float]:
    """Somebody else takes it, and writes with its fence: when it asked, its token, and when it was let in."""
    async with locks_at(backend.url) as locks:
        asked_at = now()
        lock = of(locks, kind, name)
        held = await lock.acquire(wait_s=10)
        granted_at = now()
        server = await open_server(backend.url)
        await RedisGuard(server).write(f"{{{name}}}", Offer(held.fencing_token, held.acquisition),
                                       ("SET", f"{{{name}}}:kept", held.fencing_token))
        await server.close()
        backend.admin.rpush(f"{{{name}}}:log", json.dumps([held.fencing_token, now()]))
        held.lose("it dies, and never gives back")
        return asked_at, held.fencing_token, granted_at


def as_history(name, until, first, then, log, *, fence) -> list[Operation]:
    """Two holds, and each write as the claim to hold it: True of one that was let through."""
    asked_at, token, granted_at = then
    history = [Operation("a", name, "acquire", 1, first, 0.0, until - 0.1),
               Operation("a", name, "expire", 1, True, until, None),
               Operation("b", name, "acquire", 2, token, asked_at, granted_at)]
    for written, at in log:
        mine = written == first
        let_in = not (fence and mine and at > granted_at)
        history.append(Operation("a" if mine else "b", name, "renew", 1 if mine else 2, let_in, at, at))
    return history


@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_holder_that_was_stopped_writes_nothing_behind_the_next_one(backend, stream, arun, where):
    """Its look at the clock comes before the stop, or behind it: then it knows. The fence holds in both cases."""
    with start(backend, stream, "pause", kinds=ONE, where=where) as worker:
        worker.wait_line(lambda line: line["pauses"])
        worker.pause()
        first = {line["kind"]: line for line in worker.lines if "until" in line}
        then = {kind: arun(next_holder(backend, f"{stream}-{kind}", kind)) for kind in ONE}
        worker.resume()
        assert worker.wait(10) == 0, worker.stderr
        woken = {line["kind"]: line for line in worker.lines if "lost" in line}
    for kind in ONE:
        judge_pause(backend, f"{stream}-{kind}", first[kind], then[kind], woken[kind], looked_late=where == "before")


def judge_pause(backend, name, first, then, woken, *, looked_late):
    assert then[2] > first["until"], "nobody is let in before the deadline"
    assert woken["lost"] is looked_late, "it sees LOST before its next guarded write, if it looks"
    assert woken["state"] == "LOST"
    assert woken["written"] is False, "the guard refuses it"
    assert woken["released"] is False
    assert int(backend.admin.get(f"{{{name}}}:kept")) == then[1]
    log = [json.loads(line) for line in backend.admin.lrange(f"{{{name}}}:log", 0, -1)]
    assert len(log) == 3
    holds = name, first["until"], first["token"], then, log
    judge(as_history(*holds, fence=True))
    assert wrong(as_history(*holds, fence=False)), "without a fence they overlap"


def test_a_blocked_loop_loses_locks_of_every_kind_and_keeps_them_where_it_was_told_to(backend, stream, arun):
    heard = []

    async def main(policy):
        events = ev.Events()
        events.subscribe(heard.append)
        async with locks_at(backend.url, on_blocked=policy, events=events) as locks:
            taken = [await of(locks, kind, f"{stream}-{policy}").acquire() for kind in ONE]
            time.sleep(1.2)  # noqa: ASYNC251 - the loop hangs for two leases: that is the case
            states = [held.state for held in taken]
            await asyncio.sleep(0.05)
            return states, [held.cause for held in taken]

    states, causes = arun(main("lapse"))
    assert states == [HoldState.LOST] * len(ONE)
    assert all(causes), "the loss is reported"
    states, causes = arun(main("keep"))
    assert states == [HoldState.HELD] * len(ONE)
    assert causes == [""] * len(ONE)
    assert len([e for e in heard if isinstance(e, ev.LoopBlocked)]) == 2, "that it hangs is reported either way"


@contextlib.contextmanager
def no_processor() -> Iterator[None]:
    """Twice as many busy loops as there are processors, at the lowest priority."""
    busy = [subprocess.Popen([sys.executable, "-c", "import os; os.nice(19)\nwhile True: pass"], start_new_session=True)
            for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def test_where_the_processor_is_busy_renewals_are_in_time(backend, stream, arun):
    late, lost = [], []

    def hear(event):
        if isinstance(event, ev.LocksRenewed):
            late.append(event.late_s)
        elif isinstance(event, ev.LockLost | ev.LockHeldTwice):
            lost.append(event)

    async def main():
        events = ev.Events()
        events.subscribe(hear)
        async with locks_at(backend.url, ttl_s=1, events=events) as locks:
            taken = [await of(locks, ONE[n % 4], f"{stream}-{n}").acquire() for n in range(20)]
            with no_processor():
                for _ in range(60):
                    await asyncio.sleep(0.05)
                    for held in taken:
                        held.check()

    arun(main())
    print(f"{len(late)} renewals, late by at most {max(late) * 1000:.0f} ms of a third of {1000 / 3:.0f} ms")
    assert len(late) >= 8
    assert max(late) < 1 / 3
    assert not lost


class Sleeper:
    """The machine's clock, which can jump as it does while a machine is suspended."""

    def __init__(self):
        self._real, self.slept_s = SystemClock(), 0.0

    def now(self):
        return Instant(self._real.now() + self.slept_s)

    def wall_ms(self):
        return self._real.wall_ms()


@pytest.mark.parametrize("kind", ["mutex", "fair"])
def test_a_machine_that_slept_has_lost_its_locks(backend, stream, arun, kind):
    """The clock of event loops stood still meanwhile, and so did every timer."""
    async def main():
        clock = Sleeper()
        async with locks_at(backend.url, ttl_s=0.8, clock=clock) as locks:
            began = time.monotonic()
            with pytest.raises(LeaseLost):  # noqa: PT012 - the block is what is under test
                async with of(locks, kind, stream).hold() as held:
                    clock.slept_s = 3600
                    assert held.state is HoldState.LOST
                    with pytest.raises(LeaseLost):
                        held.check()
                    await asyncio.sleep(10)
            assert time.monotonic() - began < 1.5, "its block is cancelled, within a lease of waking"
            assert held.state is not HoldState.HELD
            async with of(locks, kind, stream).hold(wait_s=2) as held:  # and it may be taken anew
                held.check()

    arun(main())


def test_a_child_holds_nothing_and_renews_nothing(backend, stream):
    with start(backend, stream, "fork", kinds=ONE) as worker:
        assert worker.wait(20) == 0, worker.stderr
        child, parent = (next(line for line in worker.lines if who in line) for who in ("child", "parent"))
        assert child["child"] == ["LOST"] * len(ONE)
        assert child["threads"] == [], "the renewer is its parent's"
        assert parent["parent"] == ["HELD"] * len(ONE), "its child's end takes nothing from it"
        assert parent["renewals"] >= 3
        assert parent["released"] == [True] * len(ONE)
        assert "Traceback" not in worker.stderr
