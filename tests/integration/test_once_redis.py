# SPDX-License-Identifier: Apache-2.0
"""``once="redis"``: the effect, its record and the acknowledgement are one step of the server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from holdfast import Drop, Fixed, Reject, Retry
from holdfast._base import events as ev
from holdfast._base.clock import SystemClock
from holdfast._base.letter_text import iso
from holdfast._redis.effect import digest, fields
from holdfast._redis.keys import EffectKeys
from holdfast._redis.slots import slot_of
from holdfast.consume.contract import Rider, Settled, Settlement, Verb
from holdfast.deadletters import Order as Ask
from holdfast.deadletters import Replayer, open_shelf
from holdfast.deadletters.applied import beside_stream
from holdfast.errors import AlreadyApplied, BadHandler, ConfigurationError
from holdfast.once import Writes, in_redis
from holdfast.once.done import prune
from holdfast.once.inspect import doubts
from holdfast.once.redis import RedisOnce
from holdfast.streams.settings import StreamSettings
from tests.support.protocol import FAST, GROUP, Desk, Service, desk_at, eventually

pytestmark = pytest.mark.everywhere

DAY_MS = 86_400_000


class Order(msgspec.Struct):
    id: str
    points: int = 1


def beside(stream: str, name: str) -> str:
    """A key of the user's in the slot of the stream."""
    return f"{{{stream}}}{name}"


def apply(delivery: Any, *writes: tuple[bytes, ...], identity: str | None = None, **more: Any) -> Settlement:
    rider = Rider(delivery.message.id if identity is None else identity, writes, **more)
    return Settlement(delivery, Verb.APPLY, rider=rider)


async def number(desk: Desk, key: str) -> int:
    return int(await desk.call("GET", key) or 0)


def counting(service: Service, stream: str, **how: Any) -> Callable[..., Any]:
    @service.consumer(stream, group=GROUP, once=how.pop("once", "redis"), retry=Retry(backoff=Fixed(0.01)), **how)
    async def count(order: Order, writes: Writes) -> None:
        service.started[order.id] += 1
        writes.incrby(beside(stream, "sum"), order.points)

    return count


# -- the step --------------------------------------------------------------------------------------------------------


def test_effect_record_and_acknowledgement_are_one_step(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one, two) = await desk.got(2)
            total, flag = beside(stream, "sum").encode(), beside(stream, "flag").encode()
            refused = await lane.settle([], [apply(one, (b"INCRBY", total, b"5"), (b"SET", flag, b"on")),
                                             apply(two, (b"INCRBY", total, b"2"))])
            assert refused == []
            assert (await number(desk, total), await desk.call("GET", flag)) == (7, b"on")
            assert await desk.is_through()
            assert sorted(await desk.call("ZRANGE", desk.keys.done, 0, -1)) == sorted(
                [one.message.id.encode(), two.message.id.encode()])

    arun(scenario())


def test_an_effect_that_is_in_is_acknowledged_and_not_applied_again(backend, stream, arun):
    """Both in one batch, and later in another."""
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one, two, three) = await desk.got(3)
            total = beside(stream, "sum").encode()
            add = (b"INCRBY", total, b"5")
            answers = await lane.settle([], [apply(one, add, identity="pay-7"), apply(two, add, identity="pay-7")])
            assert answers == [(two, Settled.DUPLICATE)]
            assert await lane.settle([], [apply(three, add, identity="pay-7")]) == [(three, Settled.DUPLICATE)]
            assert await number(desk, total) == 5
            assert await desk.is_through()

    arun(scenario())


def test_a_stale_owner_applies_nothing(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            stale, (one,) = await desk.got(1)
            await desk.expire(stale)
            heir = await desk.join()
            (again,) = (await desk.sweep(heir)).taken
            total = beside(stream, "sum").encode()
            assert await stale.settle([], [apply(one, (b"INCR", total))]) == [(one, Settled.OTHER)]
            assert await number(desk, total) == 0
            assert await heir.settle([], [apply(again, (b"INCR", total))]) == []
            assert await number(desk, total) == 1

    arun(scenario())


def test_a_settle_that_is_sent_again_applies_once(backend, stream, arun):
    """As after a lost reply: gone is what was asked for."""
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one,) = await desk.got(1)
            asked = apply(one, (b"INCR", beside(stream, "sum").encode()))
            assert await lane.settle([], [asked]) == []
            assert await lane.settle([], [asked]) == [(one, Settled.GONE)]
            assert await number(desk, beside(stream, "sum")) == 1

    arun(scenario())


def test_a_refused_write_keeps_what_is_in_and_goes_on_behind_it(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one,) = await desk.got(1)
            total, wrong = beside(stream, "sum").encode(), beside(stream, "wrong").encode()
            await desk.call("RPUSH", wrong, "a list")
            writes = ((b"INCR", total), (b"INCR", wrong), (b"INCRBY", total, b"10"))
            asked = apply(one, *writes, result=b'"first"')
            assert await lane.settle([], [asked]) == [(one, Settled.HALF)]
            done, of, error = asked.detail
            assert (done, of) == (1, 3)
            assert "WRONGTYPE" in error
            assert await number(desk, total) == 1
            assert one.entry_id in await desk.pending()
            # Still refused: nothing before it is done again.
            assert await lane.settle([], [apply(one, *writes)]) == [(one, Settled.HALF)]
            assert await number(desk, total) == 1
            # Mended: it goes on with what was remembered, whatever comes along this time.
            await desk.call("DEL", wrong)
            assert await lane.settle([], [apply(one, (b"SET", total, b"0"))]) == []
            assert (await number(desk, total), await number(desk, wrong)) == (11, 1)
            assert await desk.call("EXISTS", desk.keys.half_done) == 0
            assert await desk.call("HGET", desk.keys.results, one.message.id) == b'"first"'

    arun(scenario())


@pytest.mark.parametrize(("read", "before", "after"), [
    (("GET", "a"), ("SET", "a", "1"), ("SET", "a", "2")),
    (("GET", "a"), None, ("SET", "a", "2")),
    (("HGETALL", "a"), ("HSET", "a", "f", "1"), ("HSET", "a", "g", "1")),
    (("ZSCORE", "a", "m"), ("ZADD", "a", "1", "m"), ("ZADD", "a", "2", "m")),
    (("LLEN", "a"), ("RPUSH", "a", "x"), ("RPUSH", "a", "y")),
])
def test_what_was_read_and_has_changed_keeps_the_effect_out(backend, stream, arun, read, before, after):  # noqa: PLR0917
    def on_key(words):
        return tuple(beside(stream, w).encode() if i == 1 else w.encode() for i, w in enumerate(words))

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one,) = await desk.got(1)
            total = beside(stream, "sum").encode()
            if before:
                await desk.call(*on_key(before))
            words = on_key(read)
            seen = (words, digest(await desk.call(*words)))
            await desk.call(*on_key(after))
            assert await lane.settle([], [apply(one, (b"INCR", total), reads=[seen])]) == [(one, Settled.CHANGED)]
            assert await number(desk, total) == 0
            assert one.entry_id in await desk.pending()
            seen = (words, digest(await desk.call(*words)))
            assert await lane.settle([], [apply(one, (b"INCR", total), reads=[seen])]) == []
            assert await number(desk, total) == 1

    arun(scenario())


def test_the_second_of_a_batch_sees_what_the_first_has_written(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one, two) = await desk.got(2)
            total = beside(stream, "sum").encode()
            seen = ((b"GET", total), digest(None))
            answers = await lane.settle([], [apply(d, (b"INCR", total), reads=[seen]) for d in (one, two)])
            assert answers == [(two, Settled.CHANGED)]
            assert await number(desk, total) == 1

    arun(scenario())


@pytest.mark.kinds("valkey", "redis62", "redis70")
def test_an_effect_goes_in_although_the_server_is_full(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one,) = await desk.got(1)
            total = beside(stream, "sum").encode()
            await desk.call("CONFIG", "SET", "maxmemory", "1")
            try:
                assert await lane.settle([], [apply(one, (b"INCR", total))]) == []
            finally:
                await desk.call("CONFIG", "SET", "maxmemory", "0")
            assert await number(desk, total) == 1

    arun(scenario())


# -- a consumer ------------------------------------------------------------------------------------------------------


def test_a_message_published_five_times_takes_effect_once(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        counting(service, stream)
        async with service, desk_at(backend.url, stream) as desk:
            await asyncio.gather(*(service.hf.publish(stream, Order(f"o-{n}", n), id=f"o-{n}")
                                   for n in range(1, 6) for _ in range(5)))
            await eventually(desk.is_through, "all are settled")
            assert await number(desk, beside(stream, "sum")) == 15
            assert len(service.told.of(ev.DuplicateSuppressed)) == 20
            assert {e.strategy for e in service.told.of(ev.DuplicateSuppressed)} == {"redis"}
            settled = service.told.of(ev.Settled)
            assert (sum(e.acked for e in settled), sum(e.duplicates for e in settled)) == (5, 20)
            assert sum(e.refused for e in settled) == 0

    arun(scenario())


def test_a_business_id_makes_two_messages_one_effect(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        counting(service, stream, once=in_redis(by=lambda order: order.id))
        async with service, desk_at(backend.url, stream) as desk:
            for _ in range(3):
                await service.hf.publish(stream, Order("o-1", 7))
            await service.hf.publish(stream, Order("o-1", 7), type="refund")  # another type: another effect
            await eventually(desk.is_through, "all are settled")
            assert await number(desk, beside(stream, "sum")) == 14

    arun(scenario())


@pytest.mark.parametrize("missing", ["refuse", "identity"])
def test_a_message_without_its_business_id_is_refused_or_falls_back(backend, stream, arun, missing):
    async def scenario():
        service = Service(backend.url)
        counting(service, stream, once=in_redis(by=lambda order: order.id, missing=missing))
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("", 7))
            await eventually(desk.is_through, "it is settled")
            letters = await desk.letters()
            if missing == "refuse":
                assert [letter["x-dlq-exception-type"] for letter in letters] == ["holdfast.errors.BusinessIdMissing"]
                assert service.started == {}
            else:
                assert letters == []
                assert await number(desk, beside(stream, "sum")) == 7

    arun(scenario())


def test_readers_that_race_come_to_a_sum_in_which_none_is_missing(backend, stream, arun):
    """Read, think, write: what WATCH is for."""
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis", concurrency=8)
        async def add(order: Order, writes: Writes) -> None:
            seen = int(await writes.read("GET", beside(stream, "sum")) or 0)
            await asyncio.sleep(0.001)
            writes.set(beside(stream, "sum"), seen + order.points)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish_many(stream, [Order(str(n)) for n in range(20)])
            await eventually(desk.is_through, "all are settled", 20)
            assert await number(desk, beside(stream, "sum")) == 20
            assert service.told.of(ev.EffectConflict)
            assert await desk.letters() == []

    arun(scenario())


@pytest.mark.parametrize("said", [Retry(after=0.01), Reject("no"), Drop("no")])
@pytest.mark.parametrize("how", ["raised", "returned"])
def test_a_directive_is_no_effect(backend, stream, arun, said, how):
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis")
        async def handle(order: Order, writes: Writes) -> Any:
            writes.incrby(beside(stream, "sum"))
            service.started[order.id] += 1
            if service.started[order.id] > 1:
                return None
            if how == "raised":
                raise said
            return said

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"))
            await eventually(desk.is_through, "it is settled")
            retried = isinstance(said, Retry)
            assert await number(desk, beside(stream, "sum")) == int(retried)
            assert await desk.call("ZCARD", desk.keys.done) == int(retried)

    arun(scenario())


def test_a_half_done_message_dies_saying_so_and_its_replay_goes_on_behind_the_cursor(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis", retry=Retry(attempts=2, backoff=Fixed(0.01)))
        async def handle(order: Order, writes: Writes) -> None:
            service.started[order.id] += 1
            writes.incrby(beside(stream, "sum"), order.points)
            writes.incrby(beside(stream, "wrong"))

        async with service, desk_at(backend.url, stream) as desk:
            await desk.call("RPUSH", beside(stream, "wrong"), "a list")
            await service.hf.publish(stream, Order("o-1", 5))
            (letter,) = await eventually(desk.letters, "it is dead")
            assert letter["x-dlq-applied"] == "1 of 2"
            assert letter["x-dlq-exception-type"] == "holdfast.errors.EffectFailed"
            assert service.started["o-1"] == 1  # the second attempt had nothing to ask the handler
            await desk.call("DEL", beside(stream, "wrong"))
            shelf = await open_shelf(await service.hf.open(), stream, GROUP)
            await Replayer(shelf).one(letter["x-dlq-letter-id"], Ask(by="ana"))
            await eventually(lambda: number(desk, beside(stream, "wrong")), "the second half is in")
            assert await number(desk, beside(stream, "sum")) == 5
            assert service.started["o-1"] == 1

    arun(scenario())


def test_a_letter_of_what_was_applied_since_is_not_sent_again_and_it_is_said_when(backend, stream, arun):
    """The first died, its duplicate went through."""
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis")
        async def handle(order: Order, writes: Writes) -> None:
            service.started[order.id] += 1
            if service.started[order.id] == 1:
                raise Reject("not this one")
            writes.incrby(beside(stream, "sum"), order.points)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1", 5), id="o-1")
            (letter,) = await eventually(desk.letters, "it is dead")
            await service.hf.publish(stream, Order("o-1", 5), id="o-1")
            await eventually(lambda: number(desk, beside(stream, "sum")), "the duplicate went through")
            server = await service.hf.open()
            replayer = Replayer(await open_shelf(server, stream, GROUP), applied=beside_stream(server))
            at = int(await desk.call("ZSCORE", desk.keys.done, "o-1"))
            for body in (None, b"{}"):
                with pytest.raises(AlreadyApplied, match=re.escape(iso(at))):
                    await replayer.one(letter["x-dlq-letter-id"], Ask(by="ana", body=body, force=True))
            # Sent all the same, by a tool that asks nobody: acknowledged as what it is.
            await Replayer(await open_shelf(server, stream, GROUP)).one(letter["x-dlq-letter-id"], Ask(by="ana"))
            await eventually(lambda: service.told.of(ev.DuplicateSuppressed), "it is known")
            assert await number(desk, beside(stream, "sum")) == 5
            assert service.started["o-1"] == 2

    arun(scenario())


def test_a_burial_whose_effect_is_in_becomes_an_acknowledgement(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis")
        async def handle(order: Order, writes: Writes) -> None:
            await desk.call("ZADD", desk.keys.done, await desk.now_ms(), order.id)  # a duplicate, a moment before
            raise Reject("too late")

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"), id="o-1")
            await eventually(desk.is_through, "it is settled")
            assert await desk.letters() == []
            assert [e.message_id for e in service.told.of(ev.DuplicateSuppressed)] == ["o-1"]

    arun(scenario())


# -- where it is refused ---------------------------------------------------------------------------------------------


def test_a_batch_handler_is_refused_where_it_is_declared(backend, stream):
    service = Service(backend.url)
    with pytest.raises(BadHandler, match="one step already"):
        @service.consumer(stream, group=GROUP, once="redis", batch=True)
        async def handle(orders: list[Order], writes: Writes) -> None: ...


@pytest.mark.parametrize("letters_days", [0, 31.0])
def test_records_that_letters_would_outlive_are_refused_at_the_start(backend, stream, arun, letters_days):
    async def scenario():
        service = Service(backend.url, settings=StreamSettings(letters_days=letters_days))
        counting(service, stream)
        with pytest.raises(ConfigurationError, match="kept_days"):
            await service.hf.run()
        await service.hf.close()

    arun(scenario())


@pytest.mark.kinds("valkey")
def test_a_server_that_may_evict_records_is_refused_at_the_start(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await desk.call("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
            try:
                service = Service(backend.url)
                counting(service, stream)
                with pytest.raises(ConfigurationError, match="allkeys-lru"):
                    await service.hf.run()
                await service.hf.close()
            finally:
                await desk.call("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")

    arun(scenario())


# -- another slot ----------------------------------------------------------------------------------------------------


@pytest.mark.kinds("cluster")
def test_on_a_cluster_an_effect_in_another_slot_is_applied_once(backend, stream, arun):
    far = f"{{far-{stream}}}sum"

    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis")
        async def count(order: Order, writes: Writes) -> None:
            service.started[order.id] += 1
            writes.incrby(far, order.points)

        async with service, desk_at(backend.url, stream) as desk:
            there = desk.server.shared(far.encode())
            assert slot_of(far.encode()) != slot_of(desk.key)
            for _ in range(3):
                await service.hf.publish(stream, Order("o-1", 5), id="o-1")
            await eventually(desk.is_through, "all are settled")
            assert await there.call("GET", far) == b"5"
            # As if the process had died between the two steps: applied there, not acknowledged here.
            records = EffectKeys("hf", stream, GROUP, slot_of(far.encode()))
            assert await there.call("ZCARD", records.done) == 1
            await desk.call("DEL", desk.keys.done)
            await service.hf.publish(stream, Order("o-1", 5), id="o-1")
            await eventually(desk.is_through, "it is settled")
            assert await there.call("GET", far) == b"5"

    arun(scenario())


@pytest.mark.kinds("cluster")
def test_on_a_cluster_what_is_in_elsewhere_is_not_decided_about_again(backend, stream, arun):
    """Its worker died before the acknowledgement, and by now the handler would say no: applied, and so not dead."""
    async def handler(writes: Writes) -> None:
        writes.incrby(f"{{far-{stream}}}sum")

    async def says_no(_writes: Writes) -> None:
        raise Reject("sold out")

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one,) = await desk.got(1)
            effect = RedisOnce(desk.server, ev.Events(), SystemClock())
            assert isinstance(await effect.run(one, handler), Rider)
            one.attempts = 1  # delivered again
            rider = await effect.run(one, says_no)
            assert isinstance(rider, Rider)
            assert await effect.applied([one]) == [True]
            assert await lane.settle([], [Settlement(one, Verb.APPLY, rider=rider)]) == []
            assert await desk.call("ZSCORE", desk.keys.done, one.message.id) is not None
            assert await desk.call("EXISTS", desk.keys.begun) == 0
            assert await desk.server.shared(f"{{far-{stream}}}sum".encode()).call("GET", f"{{far-{stream}}}sum") == b"1"

    arun(scenario())


@pytest.mark.kinds("cluster")
def test_on_a_cluster_half_an_effect_in_another_slot_is_known_beside_the_stream(backend, stream, arun):
    tag = f"{{far-{stream}}}"

    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis", retry=Retry(attempts=2, backoff=Fixed(0.01)))
        async def count(order: Order, writes: Writes) -> None:
            writes.incrby(f"{tag}sum", order.points)
            writes.incrby(f"{tag}wrong")

        async with service, desk_at(backend.url, stream) as desk:
            there = desk.server.shared(f"{tag}sum".encode())
            await there.call("RPUSH", f"{tag}wrong", "a list")
            await service.hf.publish(stream, Order("o-1", 5), id="o-1")
            (letter,) = await eventually(desk.letters, "it is dead")
            assert letter["x-dlq-applied"] == "1 of 2"
            assert [d.kind async for d in doubts(desk.server, desk.keys)] == ["in doubt"]
            await there.call("DEL", f"{tag}wrong")
            shelf = await open_shelf(await service.hf.open(), stream, GROUP)
            await Replayer(shelf).one(letter["x-dlq-letter-id"], Ask(by="ana"))
            await eventually(lambda: there.call("GET", f"{tag}wrong"), "the second half is in")
            assert await there.call("GET", f"{tag}sum") == b"5"
            await eventually(lambda: desk.call("ZCARD", desk.keys.done), "and it is recorded")
            assert [d.kind async for d in doubts(desk.server, desk.keys)] == []

    arun(scenario())


@pytest.mark.kinds("cluster")
def test_on_a_cluster_two_slots_are_refused_at_the_line_that_asks(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group=GROUP, once="redis", retry=Retry(attempts=1))
        async def count(order: Order, writes: Writes) -> None:
            writes.incrby(beside(stream, "sum"))
            writes.incrby(f"{{far-{stream}}}sum")

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, Order("o-1"))
            (letter,) = await eventually(desk.letters, "it is dead")
            assert "another slot" in letter["x-dlq-exception-message"]
            assert await number(desk, beside(stream, "sum")) == 0

    arun(scenario())


# -- keeping ---------------------------------------------------------------------------------------------------------


async def record(desk: Desk, identity: str, age_ms: int) -> None:
    await desk.call("ZADD", desk.keys.done, await desk.now_ms() - age_ms, identity)


def test_a_record_goes_when_it_is_old_and_the_group_is_past_it(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await record(desk, "old", 3 * DAY_MS)
            await record(desk, "new", 1000)
            unknown = await prune(desk.server, desk.keys, kept_ms=DAY_MS)
            assert (unknown.removed, unknown.done) == (0, 2)  # nobody has recorded how far the group is
            await desk.call("HSET", desk.keys.low, "id", f"{await desk.now_ms() - 4 * DAY_MS}-0")
            assert (await prune(desk.server, desk.keys, kept_ms=DAY_MS)).removed == 0
            await desk.call("HSET", desk.keys.low, "id", f"{await desk.now_ms()}-0")
            assert (await prune(desk.server, desk.keys, kept_ms=DAY_MS, dry_run=True)).removed == 0
            assert (await prune(desk.server, desk.keys, kept_ms=DAY_MS)).removed == 1
            assert await desk.call("ZRANGE", desk.keys.done, 0, -1) == [b"new"]

    arun(scenario())


@pytest.mark.parametrize("where", ["replay", "parked", "later"])
def test_nothing_is_pruned_while_something_older_than_its_place_waits(backend, stream, arun, where):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await record(desk, "old", 3 * DAY_MS)
            await desk.call("HSET", desk.keys.low, "id", f"{await desk.now_ms()}-0")
            if where == "later":
                await desk.call("ZADD", desk.beside.later, 1, "m")
            else:
                await desk.call("XADD", getattr(desk.keys, where), "*", "body", "1")
            assert (await prune(desk.server, desk.keys, kept_ms=DAY_MS)).removed == 0
            await desk.call("DEL", desk.beside.later, desk.keys.replay, desk.keys.parked)
            assert (await prune(desk.server, desk.keys, kept_ms=DAY_MS)).removed == 1

    arun(scenario())


def test_a_running_consumer_prunes_and_tells(backend, stream, arun, monkeypatch):
    monkeypatch.setattr("holdfast.once.done.LOOK_S", 0.05)

    async def scenario():
        service = Service(backend.url, settings=FAST)
        counting(service, stream)
        async with service, desk_at(backend.url, stream) as desk:
            await record(desk, "old", 40 * DAY_MS)
            await service.hf.publish(stream, Order("o-1"))
            await eventually(lambda: service.told.of(ev.RecordsPruned), "the old record is gone")
            await eventually(lambda: service.told.of(ev.EffectRecords), "and the gauges are told")
            assert service.told.of(ev.RecordsPruned)[0].count == 1

    arun(scenario())


def test_the_description_of_an_effect_names_every_key_once():
    touched: dict[bytes, None] = {}
    reads, writes = [((b"GET", b"a"), b"x")], [(b"SET", b"b", b"1"), (b"DEL", b"a")]
    flat: list[Any] = []
    fields(b"r", reads, writes, touched, flat)
    assert flat == [b"r", 1, b"x", 2, b"GET", b"a", 2, 3, b"SET", b"b", b"1", 2, b"DEL", b"a"]
    assert list(touched) == [b"a", b"b"]


@pytest.mark.parametrize("word", [b"", b"plain", "é".encode(), b"\xff\x00\r\n", bytes(range(256)) * 300],
                         ids=["empty", "ascii", "utf-8", "not utf-8", "long"])
def test_words_go_in_byte_for_byte(backend, stream, arun, word):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one, two) = await desk.got(2)
            key = beside(stream, "set").encode() + word[:40]
            assert await lane.settle([], [apply(one, (b"SET", key, word), result=word),
                                          apply(two, (b"APPEND", key, word), identity="by::\ud800")]) == []
            assert await desk.call("GET", key) == word * 2
            assert await desk.is_through()

    arun(scenario())
