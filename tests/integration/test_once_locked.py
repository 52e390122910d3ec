# SPDX-License-Identifier: Apache-2.0
"""``once=locked(…)``: a lock around the handler, a record behind it, on a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from holdfast import Drop, Fixed, Reject, Retry, RetryPolicy
from holdfast._base import events as ev
from holdfast._base.lock import Held, HoldState
from holdfast._redis.keys import LeaseKeys
from holdfast._sql import Tables, create_all
from holdfast.errors import BadHandler, ConfigurationError
from holdfast.once import Writes, in_redis, locked
from holdfast.once.done import DoneRecords
from tests.support.protocol import FAST, GROUP, LONG_MS, Desk, Service, desk_at, eventually

pytestmark = pytest.mark.everywhere

#: One attempt: whatever is counted shows as a dead letter.
ONCE = RetryPolicy(attempts=1, backoff=Fixed(0.01), busy_s=0.1)
#: A lock that does not run out by itself while a test looks at it.
SLOW = replace(FAST, lease_ms=LONG_MS)


class Order(msgspec.Struct):
    id: str


def family(stream: str) -> str:
    return f"once:{stream}:{GROUP}"


def lock_key(stream: str, identity: str) -> bytes:
    return LeaseKeys("hf", f"{family(stream)}:{identity}", family(stream)).lease


async def holders(desk: Desk, identity: str) -> list[bytes]:
    """Who holds the lock, as the server has it. A released one leaves no key."""
    key = lock_key(desk.stream, identity)
    found: list[bytes] = await desk.server.shared(key).call("ZRANGE", key, 0, -1)
    return found


async def until_free(desk: Desk, identity: str) -> None:
    async def free() -> bool:
        return not await holders(desk, identity)

    await eventually(free, f"the lock of {identity} is given back")


async def take(desk: Desk, identity: str, who: str = "somebody") -> None:
    """Somebody whom nobody knows holds the lock from now on."""
    key = lock_key(desk.stream, identity)
    await desk.server.shared(key).call("DEL", key)
    await desk.server.shared(key).call("ZADD", key, await desk.now_ms() + LONG_MS, who)


async def let_go(desk: Desk, identity: str) -> None:
    key = lock_key(desk.stream, identity)
    await desk.server.shared(key).call("DEL", key)


class Hands:
    """A handler that takes as long as the test says, and remembers each run."""

    def __init__(self, service: Service, stream: str, once: Any = None, retry: RetryPolicy = ONCE, **how: Any) -> None:
        self.service = service
        self.let = asyncio.Event()
        self.began: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.states: list[HoldState] = []

        @service.consumer(stream, group=GROUP, once=once or locked(), retry=retry, **how)
        async def handle(order: Order, held: Held) -> None:
            self.began.append((order.id, held.fencing_token))
            try:
                await self.let.wait()
            finally:
                self.states.append(held.state)
            self.ended.append(order.id)

    async def running(self) -> None:
        await eventually(lambda: self.began, "the handler runs")


# -- the order of steps ----------------------------------------------------------------------------------------------


class Recording:
    """A lock of the user's own making. Says what the server knows when it is taken and given back."""

    fencing_token = 7
    state = HoldState.HELD
    deadline = float("inf")

    def __init__(self, trail: list[str], look: Callable[[], Any]) -> None:
        self.trail, self.look = trail, look

    def check(self) -> None:
        """It cannot be lost."""

    @asynccontextmanager
    async def hold(self, *, wait_s: float | None = None) -> AsyncIterator[Any]:
        self.trail.append("lock")
        yield self
        self.trail.append(f"unlock: {await self.look()}")


def test_look_lock_look_handle_record_and_acknowledge_and_only_then_unlock(backend, stream, arun, monkeypatch):
    """With a lock that is anybody's: all that is asked of it is the protocol."""
    trail: list[str] = []
    state = DoneRecords.state

    async def looked(*args: Any) -> Any:
        trail.append("look")
        return await state(*args)

    monkeypatch.setattr(DoneRecords, "state", looked)

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            async def seen() -> str:
                recorded = await desk.call("ZSCORE", desk.keys.done, "o-1") is not None
                return f"{'recorded' if recorded else 'forgotten'}, {len(await desk.pending())} pending"

            service = Service(backend.url)

            @service.consumer(stream, group=GROUP, once=locked(lambda _: Recording(trail, seen)))
            async def handle(order: Order, held: Held) -> None:
                trail.append(f"handle with {held.fencing_token}: {await seen()}")

            async with service:
                await service.hf.publish(stream, Order("o-1"), id="o-1")
                await eventually(lambda: trail[-1:] and trail[-1].startswith("unlock"), "it is through")
            assert trail == ["look", "lock", "look", "handle with 7: forgotten, 1 pending",
                             "unlock: recorded, 0 pending"]

    arun(scenario())


def test_a_late_duplicate_after_the_unlock_is_caught_by_the_record(backend, stream, arun):
    """The lock alone is no idempotency: it is free by then."""
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream)
        hands.let.set()
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(desk.is_through, "the first is through")
            await until_free(desk, "o-1")
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: service.told.of(ev.DuplicateSuppressed), "the second is suppressed")
            await eventually(desk.is_through, "and acknowledged")
            assert hands.ended == ["o-1"]
            assert {e.strategy for e in service.told.of(ev.DuplicateSuppressed)} == {"lock"}

    arun(scenario())


def test_a_duplicate_that_comes_between_the_look_and_the_lock_is_caught_under_it(backend, stream, arun):
    """guard: the second look"""
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            class Late(Recording):
                """By the time it is ours, somebody else has been through."""

                @asynccontextmanager
                async def hold(self, *, wait_s: float | None = None) -> AsyncIterator[Any]:
                    await desk.call("ZADD", desk.keys.done, await desk.now_ms(), "o-1")
                    yield self

            async def nothing() -> None:
                """Nobody looks."""

            service = Service(backend.url)
            hands = Hands(service, stream, locked(lambda _: Late([], nothing)))
            async with service:
                await service.hf.publish(stream, Order("o-1"), id="o-1")
                await eventually(lambda: service.told.of(ev.DuplicateSuppressed), "it is a duplicate")
                await eventually(desk.is_through, "it is acknowledged")
            assert hands.began == []

    arun(scenario())


def test_a_storm_of_duplicates_over_two_processes_takes_effect_once(backend, stream, arun):
    async def scenario():
        done: list[str] = []

        def one() -> Service:
            service = Service(backend.url)

            @service.consumer(stream, group=GROUP, once=locked(), concurrency=8, retry=ONCE)
            async def handle(order: Order) -> None:
                await asyncio.sleep(0.01)
                done.append(order.id)

            return service

        async with one() as a, one(), desk_at(backend.url, stream) as desk:
            await asyncio.gather(*(a.hf.publish(stream, Order(f"o-{n}"), id=f"o-{n}")
                                   for n in range(6) for _ in range(5)))
            await eventually(desk.is_through, "all are settled", 20)
            assert sorted(done) == [f"o-{n}" for n in range(6)]
            assert await desk.letters() == []

    arun(scenario())


# -- busy ------------------------------------------------------------------------------------------------------------


def test_a_busy_lock_parks_the_message_uncounted_and_does_not_spin(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream, retry=replace(ONCE, busy_s=0.2))
        hands.let.set()
        async with service, desk_at(backend.url, stream) as desk:
            await take(desk, "o-1")
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            began = time.monotonic()
            await eventually(lambda: len(service.told.of(ev.LockBusy)) >= 3, "it has asked for the third time")
            assert time.monotonic() - began >= 2 * 0.1, "each time it waits half of busy_s at least"
            owners = {owner for owner, _ in (await desk.pending()).values()}
            assert owners <= {"hf.parked", service.source.incarnation}
            await let_go(desk, "o-1")
            await eventually(desk.is_through, "it is handled")
            assert hands.ended == ["o-1"]
            assert await desk.letters() == [], "none of it was counted: one attempt is all there is"
            assert all(e.message_id == "o-1" for e in service.told.of(ev.LockBusy))

    arun(scenario())


def test_who_waits_for_the_lock_gets_it_without_being_parked(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream, locked(wait_s=5.0))
        hands.let.set()
        async with service, desk_at(backend.url, stream) as desk:
            await take(desk, "o-1")
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(let_go(desk, "o-1")))
            await eventually(desk.is_through, "it is handled")
            assert hands.ended == ["o-1"]
            assert not service.told.of(ev.LockBusy)
            [released] = await eventually(lambda: service.told.of(ev.LockReleased), "it is given back")
            assert released.waited_s > 0.2

    arun(scenario())


def test_two_messages_about_one_thing_take_turns(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream, locked(by=lambda order: order.id), concurrency=4)
        async with service, desk_at(backend.url, stream) as desk:
            for _ in range(2):
                await service.hf.publish(stream, Order("o-1"))
            await eventually(lambda: service.told.of(ev.LockBusy), "the other finds it busy")
            assert len(hands.began) == 1
            hands.let.set()
            await eventually(desk.is_through, "both are settled")
            assert hands.ended == ["o-1"], "the other is a duplicate"

    arun(scenario())


# -- given back, whatever happens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["error", "retry", "reject", "drop", "timeout", "shutdown"])
def test_the_lock_is_given_back_on_every_way_out(backend, stream, arun, how):
    async def scenario():
        service = Service(backend.url, settings=SLOW, drain_s=0.05)
        running = asyncio.Event()

        @service.consumer(stream, group=GROUP, once=locked(), retry=Retry(attempts=1),
                          timeout_s=0.2 if how == "timeout" else None)
        async def handle(_: Order) -> Any:
            running.set()
            if how in ("timeout", "shutdown"):
                await asyncio.sleep(3600)
            if how == "error":
                raise ValueError
            return {"retry": Retry(after=3600), "reject": Reject("no"), "drop": Drop("no")}[how]

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await running.wait()
            if how == "shutdown":
                await service.stop()
            await until_free(desk, "o-1")
            assert [e.lost for e in service.told.of(ev.LockReleased)] == [False]
            if how == "shutdown":
                assert list(await desk.pending()), "not settled by us: it was handed back"

    arun(scenario())


def test_a_revoked_incarnation_gives_its_locks_back(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await hands.running()
            first = hands.began[0]
            await desk.call("ZREM", desk.keys.leases, (await service.joined()).incarnation)
            await eventually(lambda: len(hands.began) == 2, "the message runs again in another incarnation")
            assert hands.began[1][1] > first[1], "its token is larger"
            assert hands.ended == []
            hands.let.set()
            await eventually(desk.is_through, "it is through")
            await until_free(desk, "o-1")
            assert await desk.letters() == []

    arun(scenario())


def test_a_consumer_revoked_between_answer_and_settlement_gives_the_lock_back(backend, stream, arun):
    async def scenario():
        service = Service(backend.url, settings=SLOW)
        hands = Hands(service, stream)
        async with service, desk_at(backend.url, stream) as desk:
            source = await service.joined()
            settling, let = asyncio.Event(), asyncio.Event()
            settle = source.main.settle

            async def slow(*args: Any) -> Any:
                settling.set()
                await let.wait()
                return await settle(*args)

            source.main.settle = slow
            hands.let.set()
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await settling.wait()
            assert await holders(desk, "o-1"), "the acknowledgement is under way"
            service.worker.consumers[0].revoke(source.main, "test")
            let.set()
            await until_free(desk, "o-1")

    arun(scenario())


def test_middleware_that_keeps_the_answer_to_itself_keeps_no_lock(backend, stream, arun):
    """guard: a rider that is lost on its way"""
    async def scenario():
        async def raises(delivery: Any, call_next: Any) -> Any:
            await call_next(delivery)
            raise ConnectionError("after the handler")

        service = Service(backend.url, settings=SLOW)
        hands = Hands(service, stream, middleware=[raises])
        hands.let.set()
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(desk.letters, "its only attempt failed")
            await until_free(desk, "o-1")

    arun(scenario())


# -- lost ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "another's"])
def test_a_lock_lost_while_the_handler_runs_cancels_it_and_nothing_is_acknowledged_or_counted(
        backend, stream, arun, how):
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await hands.running()
            if how == "deleted":
                await let_go(desk, "o-1")
            else:
                await take(desk, "o-1")
            await eventually(lambda: [e for e in service.told.of(ev.LockReleased) if e.lost], "it is told")
            assert hands.states[0] is HoldState.LOST, "the handler was cancelled"
            assert hands.ended == []
            assert await desk.call("ZCARD", desk.keys.done) == 0
            if how == "another's":
                await eventually(lambda: service.told.of(ev.LockBusy), "it waits for the other")
                assert len(hands.began) == 1
                assert await holders(desk, "o-1") == [b"somebody"], "which we took nothing from"
                await let_go(desk, "o-1")
            hands.let.set()
            await eventually(desk.is_through, "it runs again")
            assert hands.ended == ["o-1"]
            assert hands.began[1][1] > hands.began[0][1]
            assert await desk.letters() == [], "one attempt is all there is, and none was counted"

    arun(scenario())


def test_a_lock_lost_with_its_server_s_memory_is_taken_anew(backend, stream, arun):
    """The epoch is gone as well: the next token is larger nevertheless."""
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await hands.running()
            keys = LeaseKeys("hf", f"{family(stream)}:o-1", family(stream))
            await desk.server.shared(keys.lease).call("DEL", keys.lease, keys.lease_epoch)
            await eventually(lambda: len(hands.began) == 2, "it runs again")
            assert hands.began[1][1] > hands.began[0][1]
            hands.let.set()
            await eventually(desk.is_through, "it is through")

    arun(scenario())


def test_a_slow_handler_keeps_its_lock_for_many_leases(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await hands.running()
            until = time.monotonic() + 3 * FAST.lease_ms / 1000
            while time.monotonic() < until:
                assert await holders(desk, "o-1")
                await asyncio.sleep(0.1)
            hands.let.set()
            await eventually(desk.is_through, "it is through")
            assert hands.states == [HoldState.HELD]

    arun(scenario())


def test_renewals_are_told_and_the_one_that_finds_the_lock_lost_as_well(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        hands = Hands(service, stream)

        def outcomes() -> list[str]:
            return [event.outcome for event in service.told.of(ev.LockRenewal)]

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await hands.running()
            await eventually(lambda: outcomes().count("extended") >= 3, "it is renewed while the handler runs")
            assert "refused" not in outcomes()
            await take(desk, "o-1")
            await eventually(lambda: outcomes()[-1] == "refused", "the next renewal finds another's")
            await eventually(lambda: [e for e in service.told.of(ev.LockReleased) if e.lost], "and the lock is lost")
            assert all((e.stream, e.group) == (stream, GROUP) for e in service.told.of(ev.LockRenewal))
            await let_go(desk, "o-1")
            hands.let.set()
            await eventually(desk.is_through, "it runs again")

    arun(scenario())


# -- with an effect that records itself ------------------------------------------------------------------------------


@asynccontextmanager
async def ledger(folder: Any) -> AsyncIterator[tuple[str, Any]]:
    url = f"sqlite:///{folder}/ledger.db"
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
    async with engine.begin() as connection:
        await connection.run_sync(lambda c: create_all(c, Tables()))
        await connection.execute(text("CREATE TABLE invoice (id TEXT, fence INTEGER)"))

    async def rows() -> list[Any]:
        async with engine.begin() as connection:
            return list((await connection.execute(text("SELECT id, fence FROM invoice"))).all())

    try:
        yield url, rows
    finally:
        await engine.dispose()


def test_under_the_lock_the_record_goes_in_with_the_user_s_transaction(backend, stream, arun, tmp_path):
    async def scenario():
        async with ledger(tmp_path) as (url, rows):
            service = Service(backend.url, sql=url)
            let, began = asyncio.Event(), []

            @service.consumer(stream, group=GROUP, once=locked(inner="sql"), concurrency=4, retry=ONCE)
            async def handle(order: Order, session: AsyncSession, held: Held) -> None:
                began.append(order.id)
                await session.execute(text("INSERT INTO invoice VALUES (:id, :fence)"),
                                      {"id": order.id, "fence": held.fencing_token})
                await let.wait()

            async with service, desk_at(backend.url, stream) as desk:
                for _ in range(3):
                    await service.hf.publish(stream, Order("o-1"), id="o-1")
                await eventually(lambda: began, "it runs")
                await let_go(desk, "o-1")  # it is lost inside the transaction
                await eventually(lambda: len(began) == 2, "it runs again, since that was rolled back")
                assert await rows() == []
                let.set()
                await eventually(desk.is_through, "all are settled")
                assert [row.id for row in await rows()] == ["o-1"]
                assert await desk.call("EXISTS", desk.keys.done) == 0, "one record is enough"
                await until_free(desk, "o-1")
                assert await desk.letters() == []

    arun(scenario())


def test_under_the_lock_buffered_writes_go_in_with_the_acknowledgement(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once=locked(inner=in_redis()), concurrency=4, retry=ONCE)
        async def handle(_: Order, writes: Writes, held: Held) -> None:
            writes.incrby(f"{{{stream}}}sum")
            writes.set(f"{{{stream}}}token", held.fencing_token)

        async with service, desk_at(backend.url, stream) as desk:
            for _ in range(3):
                await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(desk.is_through, "all are settled")
            assert await desk.call("GET", f"{{{stream}}}sum") == b"1"
            await until_free(desk, "o-1")

    arun(scenario())


# -- refused ---------------------------------------------------------------------------------------------------------


def test_a_batch_handler_is_refused(backend):
    service = Service(backend.url)
    with pytest.raises(BadHandler):
        @service.consumer("orders", group=GROUP, once=locked(), batch=True)
        async def handle(orders: list[Order]) -> None:
            """Never declared."""


def test_records_that_letters_outlive_are_refused(backend, arun):
    async def scenario():
        service = Service(backend.url)

        @service.consumer("orders", group=GROUP, once=locked(kept_days=1))
        async def handle(_: Order) -> None:
            """Never started."""

        with pytest.raises(ConfigurationError, match="kept_days"):
            await service.start()
        await service.heart.stop()
        await service.hf.close()

    arun(scenario())
