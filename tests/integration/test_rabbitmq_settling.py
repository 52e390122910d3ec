# SPDX-License-Identifier: Apache-2.0
"""Settling at RabbitMQ beyond the contract's claims: channels, copies, what is published, letters by hand."""

from __future__ import annotations

import asyncio

import aio_pika
import pytest

from holdfast._amqp.link import Link
from holdfast._amqp.outlet import Outlet, Taken
from holdfast._amqp.parcel import Parcel, Queue
from holdfast._base.letter import DEFAULT_PREFIX
from holdfast.consume.contract import Note, Settled, Settlement, Verb
from holdfast.errors import ConfigurationError, ServerRefused
from holdfast.testing import wait_until_async
from tests.contract.benches import SOON_S, Party, bury
from tests.contract.rabbit_bench import rabbit_bench
from tests.support.rabbit import lying, stranger


@pytest.fixture
def party(rabbitmq, stream, arun):
    """Runs a claim against a party on a fresh bench."""
    async def with_party(claim):
        async with rabbit_bench(rabbitmq.url, stream) as bench, Party(bench) as party:
            await claim(party)

    return lambda claim: arun(with_party(claim))


async def cut(rabbitmq):
    await asyncio.to_thread(rabbitmq.control, "close_all_connections", "a test")


@pytest.mark.parametrize("verb", [None, Verb.PARK, Verb.BURY, Verb.RELEASE])
def test_a_delivery_of_a_former_channel_settles_nothing(party, rabbitmq, verb):
    """Its tag is the tag of something else by now, or of the same message in other hands."""
    async def claim(party):
        at, (former,) = await party.holding(1)
        await cut(rabbitmq)
        now = (await at.tray.got(2))[1]
        assert now.fence.tag == former.fence.tag
        stale = [] if verb is None else [Settlement(former, verb, letter=(b"body", b"x"), letter_id="L")]
        assert await former.origin.settle([] if stale else [former], stale) == [(former, Settled.OTHER)]
        assert await party.bench.pending("billing") == 1
        assert await party.bench.letters("billing") == []
        assert await at.tray.settle([now]) == [Settled.OK]
        assert at.tray.revoked

    party(claim)


def test_what_came_back_twice_is_delivered_alone_and_its_returns_are_then_deaths(party, rabbitmq):
    async def claim(party):
        at, (first,) = await party.holding(1)
        lives = 1
        seen = [(first.suspect, first.crashes)]
        while lives < 5:
            await cut(rabbitmq)
            lives += 1
            again = (await at.tray.got(lives))[-1]
            seen.append((again.suspect, again.crashes))
        assert seen == [(False, 0), (False, 0), (True, 0), (True, 1), (True, 2)]
        assert await again.origin.mark_started(again)
        note = Note(attempts=1, crashes=again.crashes, reason="handler_error")
        assert await at.tray.settle(others=[Settlement(again, Verb.PARK, due_in_ms=1, note=note)]) == [Settled.OK]
        back = (await at.tray.got(lives + 1))[-1]
        assert (back.suspect, back.crashes, back.attempts) == (False, 2, 1)
        assert await at.tray.settle([back]) == [Settled.OK]

    party(claim)


def test_handing_back_what_runs_alone_charges_nobody(party, rabbitmq):
    async def claim(party):
        at, (first,) = await party.holding(1)
        for lives in (2, 3):
            await cut(rabbitmq)
            alone = (await at.tray.got(lives))[-1]
        assert alone.suspect
        for lives in (4, 5):
            assert await at.tray.settle(others=[Settlement(alone, Verb.RELEASE, note=alone.note)]) == [Settled.OK]
            alone = (await at.tray.got(lives))[-1]
            assert (alone.suspect, alone.crashes) == (True, 0)
        at.tray.let_go([alone])
        assert await at.close() == 1
        heir = await party.join()
        [left] = await heir.tray.got(1)
        assert (left.entry_id, left.suspect, left.crashes) == (first.entry_id, True, 0)
        assert await heir.tray.settle([left]) == [Settled.OK]

    party(claim)


def test_a_retry_crosses_several_queues_and_keeps_no_history_of_it(party, rabbitmq):
    async def claim(party):
        at, (d,) = await party.holding(1)
        await at.tray.settle(others=[Settlement(d, Verb.PARK, due_in_ms=50 * 7, note=Note(attempts=1))])
        second = (await at.tray.got(2))[-1]
        assert "x-death" in second.origin.open[second.fence.tag][1].headers
        await at.tray.settle(others=[Settlement(second, Verb.PARK, due_in_ms=0, note=Note(attempts=2))])
        third = (await at.tray.got(3))[-1]
        assert "x-death" not in third.origin.open[third.fence.tag][1].headers
        assert third.attempts == 2

    party(claim)


def test_of_two_with_one_id_on_their_way_each_gets_its_own_answer(rabbitmq, stream, arun):
    async def claim():
        outlet = Outlet(rabbitmq.url, "a test")
        link = await outlet.link()
        assert await link.declare([Queue(name=stream)]) == [0]
        parcels = [Parcel(key=key, properties={"message_id": "same"}, body=b"x")
                   for key in (f"no-{stream}", stream, f"no-{stream}", stream)]
        assert await outlet.publish(parcels) == [Taken.NOWHERE, Taken.STORED] * 2
        await outlet.close()

    arun(claim())


def test_a_declaration_that_does_not_fit_says_so(rabbitmq, stream, arun):
    async def claim():
        link = await Link.open(rabbitmq.url, "a test")
        await link.declare([Queue(name=stream)])
        with pytest.raises(ServerRefused, match="x-queue-type") as refused:
            await link.declare([Queue(name=stream, arguments={"x-queue-type": "quorum"})])
        assert refused.value.code == "PRECONDITION_FAILED"
        assert not link.lost
        await link.close()
        assert link.lost

    arun(claim())


# -- letters -------------------------------------------------------------------------------------------------------


def test_letters_are_read_as_often_as_one_likes_and_by_one_at_a_time(party, rabbitmq, stream):
    async def claim(party):
        at, got = await party.holding(3)
        await at.tray.settle(others=[bury(d, f"L{n}") for n, d in enumerate(got)])
        box = party.bench.broker.letters(stream, "billing")
        async with box.held() as found:
            assert [kept.fields[-1] for kept in found] == [b"0", b"1", b"2"]
            with pytest.raises(ServerRefused, match="being read by somebody else"):
                async with party.bench.broker.letters(stream, "billing").held():
                    pass
        for _ in range(2):
            assert [fields[-1] for fields in await party.bench.letters("billing")] == [b"0", b"1", b"2"]

    party(claim)


def test_a_letter_that_lies_there_twice_goes_once_and_for_good(party, rabbitmq, stream):
    async def claim(party):
        at, got = await party.holding(2)
        for d in got:
            await at.tray.settle(others=[bury(d, "L")])
        box = party.bench.broker.letters(stream, "billing")
        async with box.held() as [kept]:
            await box.send_back(kept, [b"id", b"again", b"body", b"!"])
        assert await lying(rabbitmq.url, f"{stream}/billing/dead") == []
        replayed = (await at.tray.got(3))[-1]
        assert (replayed.origin.is_replay, replayed.message.id, replayed.message.body) == (True, "again", b"!")
        await at.tray.settle([replayed])

    party(claim)


@pytest.mark.timeout(120)
def test_of_thousands_of_letters_all_are_read_and_what_was_removed_does_not_lie_there_again(party, rabbitmq, stream):
    """RabbitMQ answers before a quorum queue has taken what was acknowledged, and forgets it with the channel."""
    async def claim(party):
        await party.join()
        box, many, lot = party.bench.broker.letters(stream, "billing"), 2_500, 100
        for _ in range(4):
            letters = [([b"id", b"m%d" % n, b"type", b"t", b"body", b"%d" % n], f"L{n}") for n in range(many)]
            for at in range(0, many, 500):
                await asyncio.gather(*(box.bury(*letter) for letter in letters[at:at + 500]))
            async with box.held() as found:
                assert len(found) == many
                for at in range(0, many, lot):
                    await box.remove_all(found[at:at + lot])
            assert await lying(rabbitmq.url, f"{stream}/billing/dead") == []

    party(claim)


class Died(BaseException):
    """The process, at a point."""


def dying_at(monkeypatch, point):
    def reached(name):
        if name == point:
            raise Died

    monkeypatch.setattr("holdfast._base.points.hook", reached)


def test_a_replay_that_dies_half_way_leaves_its_letter_and_a_copy_with_the_same_id(party, monkeypatch, stream):
    async def claim(party):
        at, (d,) = await party.holding(1)
        await at.tray.settle(others=[bury(d, "L")])
        box = party.bench.broker.letters(stream, "billing")
        entry = [b"id", b"one", b"body", b"!"]
        with monkeypatch.context() as patched:
            dying_at(patched, "rabbit.replay.published")
            with pytest.raises(Died):
                async with box.held() as [kept]:
                    await box.send_back(kept, entry)
        assert len(await party.bench.letters("billing")) == 1
        first = (await at.tray.got(2))[-1]
        async with box.held() as [kept]:
            await box.send_back(kept, entry)
        assert await party.bench.letters("billing") == []
        await party.bench.looks(at)
        assert len(at.tray.all) == 2, "a copy ran beside the first"
        await at.tray.settle([first])
        second = (await at.tray.got(3))[-1]
        assert first.entry_id == second.entry_id
        await at.tray.settle([second])

    party(claim)


def test_a_hand_back_of_what_runs_alone_that_dies_half_way_leaves_a_copy_with_the_same_id(party, rabbitmq, monkeypatch):
    async def claim(party):
        at, (d,) = await party.holding(1)
        for lives in (2, 3):
            await cut(rabbitmq)
            alone = (await at.tray.got(lives))[-1]
        with monkeypatch.context() as patched:
            dying_at(patched, "rabbit.rehome.published")
            with pytest.raises(Died):
                await alone.origin.settle([], [Settlement(alone, Verb.RELEASE)])
        await cut(rabbitmq)
        ids = []
        for lives in (4, 5):
            left = (await at.tray.got(lives))[-1]
            ids.append(left.entry_id)
            await at.tray.settle([left])
        assert ids == [d.entry_id] * 2
        assert await party.bench.pending("billing") == 0

    party(claim)


def test_what_others_have_dead_lettered_is_read_as_letters_of_ours(party, rabbitmq, stream):
    async def claim(party):
        await party.join()
        async with stranger(rabbitmq.url) as channel:
            theirs = f"theirs-{stream}"
            await channel.declare_queue(theirs, arguments={
                "x-message-ttl": 1, "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": f"{stream}/billing/dead"})
            await channel.default_exchange.publish(aio_pika.Message(b"late", message_id="m-1"), routing_key=theirs)

            async def there():
                return await party.bench.letters("billing")

            [fields] = await wait_until_async(there, SOON_S, "it has expired into the dead letters")
        told = dict(zip(fields[::2], fields[1::2], strict=True))
        mark = DEFAULT_PREFIX.encode()
        assert told[mark + b"failure-reason"] == b"expired"
        assert told[mark + b"original-topic"] == theirs.encode()
        assert (told[b"id"], told[b"body"]) == (b"m-1", b"late")

    party(claim)


def test_a_group_that_never_was_has_no_letters(party, stream):
    async def claim(party):
        await party.join()
        with pytest.raises(ConfigurationError, match="there is no group 'nobody'"):
            async with party.bench.broker.letters(stream, "nobody").held():
                pass

    party(claim)
