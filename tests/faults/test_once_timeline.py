# SPDX-License-Identifier: Apache-2.0
"""A lock of 30 s and work of 40 s, scaled; and holders that die, or are paused for longer than their lease.

::

    lock       0 ─────── 0.6 s
    A          0 ─ work ──────── 0.8 s ─ commits
    B             busy … 0.6 s ─ work ──────── 1.4 s ─ commits as well, unless somebody keeps A's lock alive
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from holdfast import RetryPolicy
from holdfast._base.lock import HoldState
from holdfast._redis.keys import GroupKeys
from holdfast._redis.server import Server
from holdfast.once import locked
from holdfast.once.calls import key_of, resolve
from holdfast.testing import Worker, wait_until
from tests.faults.crew import GROUP, LEASE_MS, SWEEP_MS, Crew, ask, events
from tests.faults.workers.careful import make_world, world
from tests.faults.workers.consumer import Work
from tests.support.nursery import Born
from tests.support.protocol import FAST, Service, desk_at, eventually

ROOT = Path(__file__).parents[2]
LEASE_S = LEASE_MS / 1000
#: Thirty seconds and forty, scaled.
LOCK_MS, WORK_S = 600, 0.8


class Order(msgspec.Struct):
    id: str


# -- the timeline ----------------------------------------------------------------------------------------------------


class Unwatched:
    """``SET NX PX``, given back by whoever's token is in it. Nobody renews it, and nobody is told that it has ended."""

    fencing_token = 1
    state = HoldState.HELD
    deadline = float("inf")

    def __init__(self, server: Callable[[], Server], name: str) -> None:
        self._server, self._key, self._token = server, f"lock:{name}".encode(), secrets.token_hex(8).encode()

    def check(self) -> None:
        """It does not know."""

    @asynccontextmanager
    async def hold(self, *, wait_s: float | None = None) -> AsyncIterator[Any]:
        link = self._server().shared(self._key)
        if not await link.call("SET", self._key, self._token, "NX", "PX", LOCK_MS):
            raise TimeoutError
        try:
            yield self
        finally:
            if await link.call("GET", self._key) == self._token:
                await link.call("DEL", self._key)


def working(service: Service, stream: str, once: Any, done: list[str]) -> None:
    @service.consumer(stream, group=GROUP, once=once, retry=RetryPolicy(attempts=1, busy_s=0.1), concurrency=2)
    async def work(order: Order) -> None:
        service.started[order.id] += 1
        await asyncio.sleep(WORK_S)
        done.append(order.id)


async def timeline(url: str, stream: str, *, watched: bool) -> list[str]:
    """Two instances, the same message twice; answers the effects, in order."""
    done: list[str] = []
    services = [Service(url, settings=replace(FAST, lease_ms=LOCK_MS)) for _ in range(2)]
    async with desk_at(url, stream, GROUP) as desk:
        for service in services:
            unwatched = locked(lambda name: Unwatched(lambda: desk.server, name))
            working(service, stream, locked() if watched else unwatched, done)
        async with services[0], services[1]:
            for _ in range(2):
                await services[0].hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(desk.is_through, "both are settled")
            assert sum(service.started["o-1"] for service in services) == len(done)
            assert await desk.letters() == []
    return done


def test_without_a_watchdog_the_effect_happens_twice(backend, stream, arun):
    """What the lock is worth whose time to live is shorter than the work. The record comes too late for that."""
    assert arun(timeline(backend.url, stream, watched=False)) == ["o-1", "o-1"]


def test_with_a_watchdog_it_happens_once(backend, stream, arun):
    assert arun(timeline(backend.url, stream, watched=True)) == ["o-1"]


# -- processes -------------------------------------------------------------------------------------------------------


class Careful(Crew):
    """Workers that act on the world outside, and what that looks like."""

    def __enter__(self) -> Self:
        make_world(self.folder)
        super().__enter__()
        return self

    def start(self, arm: str = "", **other: Any) -> Worker:
        worker = Born.module("tests.faults.workers.careful", msgspec.json.encode(self.task(**other)).decode(),
                               env={"HOLDFAST_POINTS": arm}, cwd=ROOT)
        self.workers.append(worker)
        return worker

    def rows(self, query: str) -> list[Any]:
        with world(self.folder) as connection:
            return connection.execute(query).fetchall()


def test_a_dead_holder_s_message_is_done_by_another_after_at_most_a_lease(backend, stream, tmp_path: Path):
    with Careful(backend, stream, tmp_path, handler="fenced") as crew:
        dead = crew.started()
        crew.publish([Work(n=1, kind="slow", seconds=60)])
        dead.wait_line(lambda line: line["event"] == "began", 10)
        other = crew.started()
        dead.kill9()
        died = time.monotonic()
        other.wait_line(lambda line: line["event"] == "wrote", 10)
        took_s = time.monotonic() - died
        crew.wait_drained(5)
        # A lease, since its last beat; a sweep, and one that had just begun; once more as long as a busy lock is waited
        # for; and what a busy machine adds.
        assert took_s < LEASE_S + 2 * SWEEP_MS / 1000 + 0.15 + 1.0
        assert crew.rows("SELECT writes FROM account") == [(1,)]


def test_who_is_paused_for_longer_than_its_lease_is_refused_by_the_fence(backend, stream, tmp_path: Path):
    with Careful(backend, stream, tmp_path, handler="fenced") as crew:
        paused = crew.started()
        crew.publish([Work(n=1, kind="stall")])
        first = paused.wait_line(lambda line: line["event"] == "began", 10)
        paused.stop()
        other = crew.started()
        wrote = other.wait_line(lambda line: line["event"] == "wrote", 15)
        assert wrote["rows"] == 1
        assert wrote["token"] > first["token"]
        crew.wait_drained(5)
        (tmp_path / "go").touch()
        paused.cont()
        late = paused.wait_line(lambda line: line["event"] == "wrote", 10)
        assert late["token"] == first["token"]
        assert late["rows"] == 0, "the business write refuses whoever comes late"
        paused.wait_line(lambda line: line["event"] == "incarnation_lost", 10)
        assert crew.rows("SELECT writes, fence FROM account") == [(1, wrote["token"])]
        assert not crew.letters()


@pytest.mark.parametrize(("point", "calls"), [
    ("outside.begun.before", 1), ("outside.begun.after", 1), ("handler.before", 1), ("outside.called.after", 2),
    ("apply.before", 2), ("apply.after", 1),
])
def test_a_callee_that_honours_the_key_does_it_once_wherever_the_caller_dies(
        backend, stream, tmp_path: Path, point, calls):
    with Careful(backend, stream, tmp_path, handler="paying") as crew:
        dying = crew.start(arm=f"{point}:kill")
        dying.wait_line(lambda line: line["event"] == "consumer_started", 20)
        crew.publish([Work(n=1)])
        dying.wait(20)
        heir = crew.started()
        crew.wait_drained(15)
        assert crew.rows("SELECT n FROM payment") == [(1,)], "one payment"
        assert len(crew.rows("SELECT key FROM call")) == calls
        taken = events(heir, "effect_taken_over")
        assert len(taken) == (point not in ("outside.begun.before", "apply.after")), "said where it was in doubt"
        keys = GroupKeys("hf", stream, GROUP)
        assert ask(backend, keys.begun, "HLEN", keys.begun) == 0
        assert ask(backend, keys.done, "ZCARD", keys.done) == 1


def test_a_callee_that_knows_no_keys_is_not_called_again_before_a_person_has_looked(backend, stream, tmp_path: Path):
    with Careful(backend, stream, tmp_path, handler="holding") as crew:
        dying = crew.start(arm="outside.called.after:kill")
        dying.wait_line(lambda line: line["event"] == "consumer_started", 20)
        [message_id] = crew.publish([Work(n=1)])
        dying.wait(20)
        heir = crew.started()
        doubted = heir.wait_line(lambda line: line["event"] == "effect_doubted", 15)
        assert f"-{dying.pid}-hf" in doubted["from_consumer"]
        wait_until(lambda: len(events(heir, "attempt_failed")) >= 2, 10, "it looks again")
        assert len(crew.rows("SELECT key FROM call")) == 1
        asyncio.run(said(backend.url, stream, message_id))
        crew.wait_drained(5)
        assert crew.rows("SELECT key FROM call") == [(key_of(stream, GROUP, message_id),)]
        assert not crew.letters()


async def said(url: str, stream: str, message_id: str) -> None:
    """A person has looked: it happened."""
    async with desk_at(url, stream, GROUP) as desk:
        assert await resolve(desk.server, desk.keys, message_id, "applied") == "resolved"
