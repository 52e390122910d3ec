# SPDX-License-Identifier: Apache-2.0
"""``once="outside"``: an effect that nothing makes one step with its record, marked before and recorded after."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from holdfast import Drop, Fixed, Reject, Retry, RetryPolicy
from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast.deadletters import Order as Ask
from holdfast.deadletters import Replayer, open_shelf
from holdfast.errors import BadHandler, ConfigurationError
from holdfast.once import IdempotencyKey, locked, outside
from holdfast.once.calls import OutsideOnce, key_of, resolve
from holdfast.once.done import prune
from tests.support.protocol import FAST, GROUP, LONG_MS, Desk, Service, desk_at, eventually

pytestmark = pytest.mark.everywhere

#: One attempt: whatever is counted shows as a dead letter.
ONCE = RetryPolicy(attempts=1, backoff=Fixed(0.01), busy_s=0.1)
HOLD = outside(on_doubt="hold", hold_s=0.1)


class Order(msgspec.Struct):
    id: str


class Callee:
    """Somebody else's service. Does a thing once for each key, and remembers every call."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.let = asyncio.Event()
        self.let.set()
        self.fails: BaseException | None = None

    @property
    def effects(self) -> Counter[str]:
        return Counter(set(self.calls))

    async def pay(self, key: IdempotencyKey) -> None:
        self.calls.append(key)
        await self.let.wait()
        if self.fails is not None:
            raise self.fails


def calling(service: Service, stream: str, callee: Callee, once: Any = "outside", retry: Any = ONCE, **how: Any
            ) -> None:
    @service.consumer(stream, group=GROUP, once=once, retry=retry, **how)
    async def pay(order: Order, key: IdempotencyKey) -> Any:
        await callee.pay(key)
        return {"paid": order.id}


async def mark(desk: Desk, identity: str = "o-1") -> str | None:
    """The mark of an effect, without its time."""
    found = await desk.call("HGET", desk.keys.begun, identity)
    return None if found is None else found.decode().split()[0]


async def until_mark(desk: Desk, wanted: str | None, identity: str = "o-1") -> None:
    async def is_so() -> bool:
        return await mark(desk, identity) == wanted

    await eventually(is_so, f"the mark is {wanted}")


async def begun_by_the_dead(desk: Desk, identity: str = "o-1") -> None:
    """Somebody began it three seconds ago, and has no lease any more."""
    await desk.call("HSET", desk.keys.begun, identity, f"host-1-hfdead000000 {await desk.now_ms() - 3000}")


# -- begun, done -----------------------------------------------------------------------------------------------------


def test_it_is_marked_as_begun_and_recorded_with_the_acknowledgement(backend, stream, arun):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee)
        callee.let.clear()
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: callee.calls, "it is called")
            assert await mark(desk) == service.source.incarnation
            assert await desk.call("ZSCORE", desk.keys.done, "o-1") is None
            callee.let.set()
            await eventually(desk.is_through, "it is through")
            assert await mark(desk) is None
            assert await desk.call("ZSCORE", desk.keys.done, "o-1") is not None
            assert await desk.call("HGET", desk.keys.results, "o-1") == b'{"paid":"o-1"}'
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: service.told.of(ev.DuplicateSuppressed), "the second is a duplicate")
            await eventually(desk.is_through, "and acknowledged")
            assert len(callee.calls) == 1
            assert {e.strategy for e in service.told.of(ev.DuplicateSuppressed)} == {"outside"}

    arun(scenario())


@pytest.mark.parametrize("processes", [1, 2])
def test_a_duplicate_that_comes_while_it_runs_is_busy_and_not_counted(backend, stream, arun, processes):
    """In the same process, whose own mark would not stop it, and in another."""
    async def scenario():
        callee = Callee()
        callee.let.clear()
        services = [Service(backend.url) for _ in range(processes)]
        for service in services:
            calling(service, stream, callee, concurrency=8 if processes == 1 else 1)
            await service.start()
        async with desk_at(backend.url, stream) as desk:
            try:
                for _ in range(4):
                    await services[0].hf.publish(stream, Order("o-1"), id="o-1")
                await eventually(lambda: any(e for s in services for e in s.told.of(ev.AttemptFailed)), "it is busy")
                callee.let.set()
                await eventually(desk.is_through, "all are settled")
                assert len(callee.calls) == 1
                assert await desk.letters() == [], "one attempt is all there is, and none was counted"
                assert await desk.call("HLEN", desk.keys.begun) == 0
            finally:
                for service in services:
                    await service.stop()

    arun(scenario())


def test_until_the_acknowledgement_is_answered_it_counts_as_running(backend, stream, arun):
    """guard: until the answered acknowledgement …"""
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, concurrency=4)
        async with service, desk_at(backend.url, stream) as desk:
            source = await service.joined()
            settling, let, settle = asyncio.Event(), asyncio.Event(), source.main.settle

            async def slow(*args: Any) -> Any:
                settling.set()
                await let.wait()
                return await settle(*args)

            source.main.settle = slow
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await settling.wait()
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            consumer = service.worker.consumers[0]
            await eventually(lambda: consumer.done == 2, "the second has been tried")
            assert consumer.held(source.main) == 2
            let.set()
            await eventually(desk.is_through, "both are settled")
            assert len(callee.calls) == 1

    arun(scenario())


def test_a_slow_handler_keeps_its_mark_for_many_leases(backend, stream, arun):
    async def scenario():
        callee = Callee()
        callee.let.clear()
        a, b = Service(backend.url), Service(backend.url)
        calling(a, stream, callee)
        calling(b, stream, callee)
        async with a, desk_at(backend.url, stream) as desk:
            await a.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: callee.calls, "it runs")
            async with b:
                await b.hf.publish(stream, Order("o-1"), id="o-1")
                until = time.monotonic() + 3 * FAST.lease_ms / 1000
                while time.monotonic() < until:
                    assert await mark(desk) == a.source.incarnation
                    await asyncio.sleep(0.1)
                assert b.told.of(ev.AttemptFailed), "the other has asked meanwhile"
                callee.let.set()
                await eventually(desk.is_through, "both are settled")
                assert len(callee.calls) == 1

    arun(scenario())


# -- in doubt --------------------------------------------------------------------------------------------------------


def test_what_a_dead_process_began_is_called_again_with_the_same_key(backend, stream, arun):
    async def scenario():
        callee = Callee()
        callee.let.clear()
        a, b = Service(backend.url), Service(backend.url)
        calling(a, stream, callee)
        calling(b, stream, callee)
        async with desk_at(backend.url, stream) as desk:
            await a.start()
            await a.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: callee.calls, "it runs")
            dead = a.source.incarnation
            await crashed(a, callee)
            async with b:
                await eventually(desk.is_through, "it is through")
                assert len(callee.calls) == 2
                assert len(callee.effects) == 1
                [taken] = b.told.of(ev.EffectTakenOver)
                assert (taken.message_id, taken.from_consumer) == ("o-1", dead)
                assert taken.age_s > 0

    arun(scenario())


async def crashed(service: Service, callee: Callee) -> None:
    """As SIGKILL ends a process in the middle of its call: not a word is said about the mark either."""
    for running in service.worker._running:
        assert isinstance(running.effect, OutsideOnce)
        running.effect._say = nothing_said  # type: ignore[method-assign]
    await service.crash()
    callee.let.set()


async def nothing_said(*_: Any) -> None:
    """A dead process says nothing."""


@pytest.mark.parametrize(("verdict", "calls"), [("applied", 0), ("nothing", 1), ("again", 1)])
def test_held_for_a_person_it_waits_uncounted_until_somebody_has_said(backend, stream, arun, verdict, calls):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, HOLD)
        async with service, desk_at(backend.url, stream) as desk:
            await begun_by_the_dead(desk)
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: len(service.told.of(ev.AttemptFailed)) >= 3, "it has looked for the third time")
            [doubted] = service.told.of(ev.EffectDoubted)
            assert (doubted.message_id, doubted.from_consumer) == ("o-1", "host-1-hfdead000000")
            assert doubted.age_s >= 3
            assert callee.calls == []
            counts = await prune(desk.server, desk.keys, kept_ms=LONG_MS, dry_run=True)
            assert counts.in_doubt == 1
            assert counts.in_doubt_oldest_ms >= 3000
            assert await resolve(desk.server, desk.keys, "o-1", verdict) == "resolved"
            await eventually(desk.is_through, "it goes on")
            assert len(callee.calls) == calls
            assert await desk.letters() == [], "one attempt is all there is, and none was counted"
            assert await desk.call("HLEN", desk.keys.begun) == 0
            assert await desk.call("ZCARD", desk.keys.done) == 1
            assert await resolve(desk.server, desk.keys, "o-1", verdict) == "absent"
            assert not service.told.of(ev.EffectTakenOver), "nobody is told that a dead one's was taken over"

    arun(scenario())


def test_nobody_can_say_how_it_ended_while_its_consumer_is_at_it(backend, stream, arun):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee)
        callee.let.clear()
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: callee.calls, "it runs")
            assert await resolve(desk.server, desk.keys, "o-1", "nothing") == "alive"
            assert await resolve(desk.server, desk.keys, "o-1", "nothing", owner="another") == "absent"
            callee.let.set()
            await eventually(desk.is_through, "it is through")

    arun(scenario())


def test_an_in_doubt_message_dies_saying_that_nobody_knows(backend, stream, arun):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, HOLD, Retry(max_age_s=0.5))
        async with service, desk_at(backend.url, stream) as desk:
            await begun_by_the_dead(desk)
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            [letter] = await eventually(desk.letters, "its time ran out")
            assert letter["x-dlq-applied"] == "unknown"
            assert await mark(desk) == "?host-1-hfdead000000", "it stays in doubt"
            assert callee.calls == []

    arun(scenario())


# -- the handler fails, or is cut off --------------------------------------------------------------------------------


@pytest.mark.parametrize(("once", "left"), [
    (outside(), None), (HOLD, None), (outside(on_error="keep"), "-"), (replace(HOLD, on_error="keep"), "?"),
], ids=["clear", "hold, clear", "keep", "hold, keep"])
def test_an_error_takes_the_mark_back_or_leaves_it_as_a_death_would(backend, stream, arun, once, left):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, once, Retry(attempts=2, after=0.1))
        callee.fails = ValueError("maybe")
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: service.told.of(ev.AttemptFailed), "it fails")
            wanted = f"?{service.source.incarnation}" if left == "?" else left
            assert await mark(desk) == wanted or len(callee.calls) == 2
            callee.fails = None
            if left == "?":
                await eventually(lambda: len(service.told.of(ev.AttemptFailed)) >= 3, "it waits for a person")
                assert len(callee.calls) == 1
                assert len(service.told.of(ev.EffectDoubted)) == 1
                await resolve(desk.server, desk.keys, "o-1", "again")
            await eventually(desk.is_through, "it is through")
            assert len(callee.calls) == 2
            assert len(callee.effects) == 1, "with one key"
            assert await desk.letters() == []

    arun(scenario())


@pytest.mark.parametrize(("left", "applied"), [("clear", "no"), ("keep", "unknown")])
def test_a_letter_says_what_errors_are_taken_for(backend, stream, arun, left, applied):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, outside(on_error=left))
        callee.fails = ValueError("maybe")
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            [letter] = await eventually(desk.letters, "it is dead")
            assert letter["x-dlq-applied"] == applied

    arun(scenario())


@pytest.mark.parametrize("how", ["time-out", "end", "lost lease"])
@pytest.mark.parametrize("hold", [False, True], ids=["retry", "hold"])
def test_who_is_cut_off_leaves_it_in_doubt(backend, stream, arun, how, hold):
    async def scenario():
        callee = Callee()
        callee.let.clear()
        service = Service(backend.url, drain_s=0.05)
        calling(service, stream, callee, HOLD if hold else "outside", Retry(attempts=3, after=0.05),
                timeout_s=0.2 if how == "time-out" else None)
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: callee.calls, "it runs")
            incarnation = service.source.incarnation
            if how == "end":
                await service.stop()
                assert await mark(desk) == (f"?{incarnation}" if hold else "-")
                return
            if how == "lost lease":
                await desk.call("ZREM", desk.keys.leases, incarnation)
            if hold:
                await until_mark(desk, f"?{incarnation}")
                await eventually(lambda: service.told.of(ev.EffectDoubted), "it is told")
                failed = len(service.told.of(ev.AttemptFailed))
                await eventually(lambda: len(service.told.of(ev.AttemptFailed)) >= failed + 2, "it looks again")
                assert len(callee.calls) == 1
                assert len(service.told.of(ev.EffectDoubted)) == 1
            else:
                await eventually(lambda: len(callee.calls) == 2, "it is called again")
                callee.let.set()
                await eventually(desk.is_through, "it is through")
                assert len(callee.effects) == 1, "with one key"
                assert not [e for e in service.told.of(ev.EffectTakenOver) if how == "time-out"], "nobody died"

    arun(scenario())


@pytest.mark.parametrize("said", [Retry(after=0.05), Reject("no"), Drop("no")], ids=lambda said: type(said).__name__)
@pytest.mark.parametrize("how", ["raised", "returned"])
def test_a_directive_is_the_handler_s_own_word_that_nothing_happened(backend, stream, arun, said, how):
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once=HOLD)
        async def pay(order: Order) -> Any:
            service.started[order.id] += 1
            if service.started[order.id] > 1:
                return None
            if how == "raised":
                raise said
            return said

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(desk.is_through, "it is settled")
            assert await desk.call("HLEN", desk.keys.begun) == 0
            assert service.started["o-1"] == (2 if isinstance(said, Retry) else 1)
            assert await desk.call("ZCARD", desk.keys.done) == int(isinstance(said, Retry))

    arun(scenario())


@pytest.mark.parametrize(("once", "left"), [("outside", "-"), (HOLD, "?")], ids=["retry", "hold"])
def test_an_acknowledgement_that_is_refused_leaves_the_effect_in_doubt_and_not_busy(backend, stream, arun, once, left):
    """Somebody claimed the entry by hand; our consumer lives on, and the next owner must not wait for its death."""
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, once)
        callee.let.clear()
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(lambda: callee.calls, "it runs")
            [entry] = await desk.pending()
            await desk.call("XCLAIM", desk.key, GROUP, "somebody", 0, entry)
            callee.let.set()
            await until_mark(desk, left + (service.source.incarnation if left == "?" else ""))
            assert list(await desk.pending()) == [entry]

    arun(scenario())


# -- the key ---------------------------------------------------------------------------------------------------------


def test_the_key_is_the_same_at_every_attempt_and_in_a_replay(backend, stream, arun):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, retry=Retry(attempts=2, backoff=Fixed(0.01)))
        callee.fails = ValueError("no")
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            [letter] = await eventually(desk.letters, "it is dead")
            callee.fails = None
            shelf = await open_shelf(await service.hf.open(), stream, GROUP)
            await Replayer(shelf).one(letter["x-dlq-letter-id"], Ask(by="ana"))
            await eventually(lambda: len(callee.calls) == 3, "it is replayed")
            assert set(callee.calls) == {key_of(stream, GROUP, "o-1")}

    arun(scenario())


def test_the_key_does_not_depend_on_the_partition(backend, stream, arun):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        service.hf.stream(stream, partitions=3)
        calling(service, stream, callee, outside(by=lambda order: order.id))
        async with service:
            receipts = [await service.hf.publish(stream, Order("o-1"), key=f"k-{n}") for n in range(8)]
            places = {receipt.stream for receipt in receipts}
            assert len(places) > 1, "they lie in several partitions"
            async with desk_at(backend.url, stream) as desk:
                async def all_done() -> bool:
                    done = [GroupKeys("hf", place, GROUP).done for place in places]
                    return all([await desk.server.shared(key).call("ZCARD", key) for key in done])

                await eventually(all_done, "each partition has it", 20)
            assert len(callee.effects) == 1

    arun(scenario())


def test_a_key_is_35_characters_that_tell_effects_groups_and_streams_apart():
    keys = {key_of(stream, group, identity) for stream in ("a", "b") for group in ("a", "b") for identity in ("a", "b")}
    assert len(keys) == 8
    assert {len(key) for key in keys} == {35}
    assert all(key.replace("-", "").isalnum() for key in keys)
    assert key_of("a", "b", "\udcff") != key_of("a", "b", "?")


# -- together with others, and refused -------------------------------------------------------------------------------


def test_under_a_lock_both_are_given_back(backend, stream, arun):
    async def scenario():
        service, callee = Service(backend.url), Callee()
        calling(service, stream, callee, locked(inner=HOLD), concurrency=4)
        async with service, desk_at(backend.url, stream) as desk:
            for _ in range(3):
                await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(desk.is_through, "all are settled")
            assert len(callee.calls) == 1
            assert await desk.call("HLEN", desk.keys.begun) == 0
            [effect] = [r.effect for r in service.worker._running]
            assert effect.inner._running == set()
            await eventually(lambda: not effect._turns, "the lock is given back")

    arun(scenario())


def test_what_it_cannot_do_is_refused():
    for odd in ({"on_doubt": "guess"}, {"on_error": "guess"}):
        with pytest.raises(ConfigurationError):
            OutsideOnce(None, ev.Events(), None, **odd)  # type: ignore[arg-type]
    service = Service("redis://127.0.0.1:1/0")
    with pytest.raises(BadHandler):
        @service.consumer("orders", group=GROUP, once="outside", batch=True)
        async def pay(orders: list[Order]) -> None:
            """Never declared."""
