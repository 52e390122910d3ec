# SPDX-License-Identifier: Apache-2.0
"""A holder that is cancelled at each of its awaits in turn, and what it leaves behind: nothing.

The awaits are counted as the event loop sees them: a coroutine gives way to the loop, and at the n-th time its task is
cancelled: at once (``early``), or when what it waits for has come and it was not told yet (``late``: that answer is
lost). One run for every n, until one gets through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast._base.lock import HoldState
from holdfast.locks import Lock, Locks
from holdfast.testing import wait_until_async
from tests.faults import locking
from tests.faults.locking import judge, operations, take
from tests.support.backend import Backend
from tests.support.locks import locks_at

KINDS = ("mutex", "fair", "read", "write", "permit", "together")
#: Awaits of one run, at most: far more than any has.
AWAITS_MAX = 500


def of(locks: Locks, kind: str, name: str) -> Lock:
    """A lock of this kind; ``together``: two of one server, had by one script."""
    if kind == "together":
        ((_, lock),) = locks.together(f"{name}:a", f"{name}:b")._groups
        return lock
    return locking.of(locks, kind, name)


class Cancelling:
    """A coroutine that is cancelled when it gives way for the ``nth`` time. gave: how often it has."""

    def __init__(self, work: Coroutine[Any, Any, Any], nth: int, *, late: bool) -> None:
        self._work, self._nth, self._late, self.gave = work, nth, late, 0

    def __await__(self) -> Generator[Any, Any, Any]:
        inner, answer, error = self._work.__await__(), None, None
        while True:
            try:
                waited_for = inner.send(answer) if error is None else inner.throw(error)
            except StopIteration as end:
                return end.value
            self.gave += 1
            if self.gave == self._nth:
                self._cancel(waited_for)
            answer = error = None
            try:
                answer = yield waited_for
            except BaseException as thrown:  # noqa: BLE001 - handed on to the coroutine
                error = thrown

    def _cancel(self, waited_for: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        if self._late and waited_for is not None:
            waited_for.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


async def nothing_left(backend, locks, name):
    """Of any lock of this name: keys, places, messages that are waited for, renewals."""
    await asyncio.gather(*locks.ledger._giving_back, return_exceptions=True)
    assert locks.held == ()
    assert not locks._mutex._turns._lines
    assert not locks._mutex._turns._waiting
    assert not any(listener._waiting or listener._confirmed for listener in locks._listeners.values())
    assert not [held for *_, held in locks.renewer._due if not held.over], "something is still renewed"
    keys = {key for key in backend.admin.keys("*")
            if name.encode() in key and not key.endswith((b"::token", b":about")) and b"::released:" not in key}
    assert not keys
    for about in backend.admin.keys(f"*{name}*:about"):
        assert set(backend.admin.hkeys(about)) <= {b"capacity"}
    await wait_until_async(lambda: not backend.admin.pubsub_channels(f"*{name}*"), 5, "nobody listens to it any more")


@dataclass
class Case:
    """What is cancelled, and when. lines: what whoever came next has said."""

    backend: Backend
    other: Locks
    kind: str
    name: str
    late: bool
    lines: list[dict[str, Any]] = field(default_factory=list)


async def cancelled_at(case: Case, locks: Locks, nth: int) -> bool:
    """Waits for a lock that is held, is let in, gives it back; cancelled at the nth await. Whether it got through."""
    lock, name = of(locks, case.kind, case.name), case.name
    blocker = of(case.other, "write" if case.kind == "read" else case.kind, name)
    first = await blocker.acquire()

    async def frees_it():
        await wait_until_async(lambda: any(
            confirmed.is_set() for listener in locks._listeners.values() for confirmed in listener._confirmed.values()),
            10, "it listens")
        await blocker.release(first)

    freeing = asyncio.create_task(frees_it())
    entered = []

    async def whole():
        async with lock.hold() as held:
            entered.append(held)
            await asyncio.sleep(0)

    run = Cancelling(whole(), nth, late=case.late)

    async def runs():
        await run

    task = asyncio.create_task(runs())
    await asyncio.wait([task], timeout=10)
    assert task.done(), f"cancelled at await {nth} of {run.gave}, it goes on"
    freeing.cancel()
    await asyncio.gather(freeing, return_exceptions=True)
    await blocker.release(first)
    for held in entered:
        assert held.state is HoldState.RELEASED
    await nothing_left(case.backend, locks, name)
    # It is free, and whoever comes next is let in at once.
    assert await take(lock, f"{nth}", case.lines.append, wait_s=0), f"cancelled at await {nth}, it is still held"
    if task.cancelled():
        assert run.gave >= nth
        return False
    assert task.exception() is None
    return run.gave < nth


@pytest.mark.parametrize("how", ["warm, early", "warm, late", "cold, early", "cold, late"])
@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_at_any_await_it_leaves_nothing_behind(backend, stream, arun, kind, how):
    """``cold``: with no connection open yet, so the opening of each is cut off too."""
    async def once(case, warm, nth):
        if how.startswith("warm"):
            return await cancelled_at(case, warm, nth)
        async with locks_at(backend.url, ttl_s=30) as locks:
            return await cancelled_at(case, locks, nth)

    async def main():
        async with locks_at(backend.url, ttl_s=30) as warm, locks_at(backend.url, ttl_s=30) as other:
            case = Case(backend, other, kind, stream, how.endswith("late"))
            for nth in range(1, AWAITS_MAX):
                if await once(case, warm, nth) and nth > 3:
                    return nth - 1, case.lines
            raise AssertionError(f"it never got through, cancelled at any of {AWAITS_MAX} awaits")

    awaits, lines = arun(main())
    print(f"{kind}, {how}: cancelled at each of {awaits} awaits")
    assert awaits >= 5
    judge(operations(lines, "next"))
