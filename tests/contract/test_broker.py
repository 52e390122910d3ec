# SPDX-License-Identifier: Apache-2.0
"""The contract between worker and broker (``consume.contract``), seen from the worker: what every broker keeps.

A broker of another kind joins by a bench of its own; the claims do not change. What one cannot, by the abilities that
it declares, is skipped and named: ``needs`` says which ability a claim rests on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from holdfast.consume.contract import Note, Settled, Settlement, Verb
from holdfast.testing import wait_until_async
from tests.contract.benches import LONG_MS, SHORT_MS, SOON_S, Party, bury, memory_bench, stream_bench
from tests.contract.kafka_bench import kafka_bench
from tests.contract.rabbit_bench import rabbit_bench
from tests.support.backend import KINDS

Claim = Callable[[Party], Awaitable[None]]
needs = pytest.mark.needs
#: Brokers of other kinds: the fixture that runs the server, and what makes a bench of it.
OTHERS = {"rabbitmq": lambda server, stream: rabbit_bench(server.url, stream), "kafka": kafka_bench}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broker" in metafunc.fixturenames:
        asked = str(metafunc.config.option.servers or "all")
        servers = list(KINDS) if asked == "all" else asked.split(",")
        metafunc.parametrize("broker", ["memory", *servers, *OTHERS], indirect=True)


@pytest.fixture
def broker(request, arun, stream):
    """Runs a claim against a fresh broker of one kind."""
    opened = (lambda: memory_bench(stream)) if request.param == "memory" else None
    if request.param in OTHERS:
        server = request.getfixturevalue(request.param)
        opened = lambda: OTHERS[request.param](server, stream)  # noqa: E731
    elif opened is None:
        url = request.getfixturevalue("_pool").get(request.param).url
        opened = lambda: stream_bench(url, stream)  # noqa: E731

    async def with_party(claim: Claim) -> None:
        async with opened() as bench:
            for mark in request.node.iter_markers("needs"):
                if lacking := [name for name in mark.args if not getattr(bench.abilities, name)]:
                    pytest.skip(f"not supported: {request.param} declares no {', '.join(lacking)}")
            async with Party(bench) as party:
                await claim(party)

    return lambda claim: arun(with_party(claim))


# -- delivering ------------------------------------------------------------------------------------------------------


def test_what_is_published_is_delivered_whole_and_in_order(broker):
    async def claim(party):
        at = await party.join()
        ids = [await party.bench.add(b"id", b"m%d" % n, b"key", b"k", b"h:lang", b"nl", b"body", b"%d" % n)
               for n in range(5)]
        got = await at.tray.got(5)
        assert [d.entry_id for d in got] == ids
        assert [(d.message.id, d.message.key, d.message.body) for d in got] == [
            (f"m{n}", "k", b"%d" % n) for n in range(5)]
        assert got[0].message.headers == {"lang": "nl"}
        assert {(d.attempts, d.crashes, d.suspect, d.attempt) for d in got} == {(0, 0, False, 1)}

    broker(claim)


@needs("history")
def test_a_group_begins_at_the_beginning_of_the_stream(broker):
    async def claim(party):
        entry = await party.bench.add(b"body", b"early")
        at = await party.join()
        assert [d.entry_id for d in await at.tray.got(1)] == [entry]

    broker(claim)


def test_no_more_is_delivered_than_there_is_room_for(broker):
    async def claim(party):
        at = await party.join(room=3)
        for n in range(10):
            await party.bench.add(b"body", b"%d" % n)
        got = await at.tray.got(3)
        await party.bench.looks(at)
        assert len(at.tray.all) == 3
        await at.tray.settle(got)
        assert len(await at.tray.got(6)) == 6

    broker(claim)


def test_what_is_in_flight_is_not_delivered_again(broker):
    async def claim(party):
        at, _ = await party.holding(3)
        await party.bench.looks(at)
        assert len(at.tray.all) == 3

    broker(claim)


def test_two_consumers_of_a_group_share_and_two_groups_do_not(broker):
    async def claim(party):
        one, two, other = await party.join(), await party.join(), await party.join("audit")
        ids = {await party.bench.add(b"body", b"%d" % n) for n in range(40)}
        assert {d.entry_id for d in await other.tray.got(40)} == ids
        while len(one.tray.all) + len(two.tray.all) < 40:
            await party.bench.looks(one)
        assert sorted(d.entry_id for d in (*one.tray.all, *two.tray.all)) == sorted(ids)
        await one.tray.settle(one.tray.all) if one.tray.all else None
        await two.tray.settle(two.tray.all) if two.tray.all else None
        assert await party.bench.pending("billing") == 0
        assert await party.bench.pending("audit") == 40

    broker(claim)


# -- settling --------------------------------------------------------------------------------------------------------


def test_acknowledged_is_gone(broker):
    async def claim(party):
        at, got = await party.holding(3)
        assert await at.tray.settle(got) == [Settled.OK] * 3
        assert await party.bench.pending("billing") == 0
        await party.bench.looks(at)
        assert len(at.tray.all) == 3

    broker(claim)


@pytest.mark.parametrize("verb", [None, Verb.PARK, Verb.BURY, Verb.RELEASE])
def test_settled_again_is_gone_and_changes_nothing(broker, verb):
    async def claim(party):
        at, (d,) = await party.holding(1)
        assert await at.tray.settle([d]) == [Settled.OK]
        again = [] if verb is None else [Settlement(d, verb, letter=(b"body", b"x"), letter_id="L")]
        assert await at.tray.settle([] if again else [d], again) == [Settled.GONE]
        assert await party.bench.pending("billing") == 0
        assert await party.bench.letters("billing") == []

    broker(claim)


@pytest.mark.parametrize("verb", [None, Verb.PARK, Verb.BURY, Verb.RELEASE])
def test_a_former_delivery_settles_nothing(broker, verb):
    async def claim(party):
        at, (former,) = await party.holding(1)
        await at.tray.settle(others=[Settlement(former, Verb.RELEASE)])
        now = (await at.tray.got(2))[1]
        stale = [] if verb is None else [Settlement(former, verb, letter=(b"body", b"x"), letter_id="L")]
        assert await former.origin.settle([] if stale else [former], stale) == [(former, Settled.OTHER)]
        assert await party.bench.pending("billing") == 1
        assert await party.bench.letters("billing") == []
        assert await at.tray.settle([now]) == [Settled.OK]

    broker(claim)


def test_a_former_delivery_cannot_be_marked_as_started(broker):
    async def claim(party):
        at, (former,) = await party.holding(1)
        await at.tray.settle(others=[Settlement(former, Verb.RELEASE)])
        now = (await at.tray.got(2))[1]
        assert not await former.origin.mark_started(former)
        assert await now.origin.mark_started(now)
        await at.tray.settle([now])
        assert not await now.origin.mark_started(now)

    broker(claim)


def test_every_verb_in_one_settle_each_with_its_own_answer(broker):
    async def claim(party):
        at, (done, gone, parked, buried, back) = await party.holding(5)
        await at.tray.settle([gone])
        answers = await at.tray.settle([done, gone], [
            Settlement(parked, Verb.PARK, due_in_ms=60_000), bury(buried, "L"), Settlement(back, Verb.RELEASE)])
        assert answers == [Settled.OK, Settled.GONE, Settled.OK, Settled.OK, Settled.OK]
        assert (await at.tray.got(6))[5].entry_id == back.entry_id
        assert await party.bench.letters("billing") == [[b"body", b"3"]]

    broker(claim)


# -- again -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("due_in_ms", [SHORT_MS, LONG_MS], ids=["short", "long"])
def test_parked_comes_back_when_it_is_due_with_what_was_noted(broker, due_in_ms):
    async def claim(party):
        at, (d,) = await party.holding(1)
        identity, parked_at = d.message.id, time.monotonic()
        note = Note(attempts=2, crashes=1, first_failed_ms=1, last_failed_ms=2, reason="handler_error",
                    deaths=[["ValueError", "handle", 2, 1, 2]], links=["00-0-0-00"])
        assert await at.tray.settle(others=[Settlement(d, Verb.PARK, due_in_ms=due_in_ms, note=note)]) == [Settled.OK]
        back = (await at.tray.got(2))[1]
        assert time.monotonic() - parked_at >= due_in_ms / 1000 - 0.002
        assert (back.attempts, back.crashes, back.attempt, back.suspect) == (2, 1, 3, False)
        assert back.note == note
        assert (back.message.id, back.message.body) == (identity, b"0")
        assert await at.tray.settle([back]) == [Settled.OK]
        assert await party.bench.pending("billing") == 0

    broker(claim)


def test_a_parked_message_holds_back_no_other(broker):
    async def claim(party):
        at, (d,) = await party.holding(1)
        await at.tray.settle(others=[Settlement(d, Verb.PARK, due_in_ms=60_000)])
        entry = await party.bench.add(b"body", b"next")
        assert (await at.tray.got(2))[1].entry_id == entry

    broker(claim)


def test_a_retry_is_seen_by_no_other_group(broker):
    async def claim(party):
        other = await party.join("audit")
        at, (d,) = await party.holding(1)
        await other.tray.got(1)
        await at.tray.settle(others=[Settlement(d, Verb.PARK, due_in_ms=1, note=Note(attempts=1))])
        await at.tray.got(2)
        await party.bench.looks(other)
        assert len(other.tray.all) == 1

    broker(claim)


def test_released_comes_back_at_once_and_counts_no_attempt(broker):
    async def claim(party):
        at, (d,) = await party.holding(1)
        assert await at.tray.settle(others=[Settlement(d, Verb.RELEASE)]) == [Settled.OK]
        back = (await at.tray.got(2))[1]
        assert (back.entry_id, back.attempts) == (d.entry_id, 0)
        assert back.fence != d.fence

    broker(claim)


def test_released_keeps_what_was_noted_before(broker):
    async def claim(party):
        at, (d,) = await party.holding(1)
        await at.tray.settle(others=[Settlement(d, Verb.PARK, due_in_ms=1, note=Note(attempts=1, reason="busy"))])
        second = (await at.tray.got(2))[1]
        await at.tray.settle(others=[Settlement(second, Verb.RELEASE)])
        third = (await at.tray.got(3))[2]
        assert (third.attempts, third.note.reason) == (1, "busy")

    broker(claim)


# -- dead ------------------------------------------------------------------------------------------------------------


def test_buried_leaves_one_letter_and_is_not_pending(broker):
    async def claim(party):
        at, (d,) = await party.holding(1)
        assert await at.tray.settle(others=[bury(d, "L")]) == [Settled.OK]
        assert await at.tray.settle(others=[bury(d, "L")]) == [Settled.GONE]
        assert await party.bench.pending("billing") == 0
        assert await party.bench.letters("billing") == [[b"body", b"0"]]

    broker(claim)


def test_one_letter_id_is_one_record(broker):
    async def claim(party):
        at, (first, second) = await party.holding(2)
        assert await at.tray.settle(others=[bury(first, "L")]) == [Settled.OK]
        assert await at.tray.settle(others=[bury(second, "L")]) == [Settled.OK]
        assert await party.bench.letters("billing") == [[b"body", b"0"]]
        assert await party.bench.pending("billing") == 0

    broker(claim)


# -- ending ----------------------------------------------------------------------------------------------------------


def test_after_stop_reading_nothing_new_comes_and_what_is_held_can_be_settled(broker):
    async def claim(party):
        at, (d,) = await party.holding(1)
        await at.source.stop_reading()
        await party.bench.add(b"body", b"late")
        await party.bench.looks(at)
        assert len(at.tray.all) == 1
        assert await at.tray.settle([d]) == [Settled.OK]

    broker(claim)


def test_closing_hands_back_what_nobody_holds_and_counts_no_attempt(broker):
    async def claim(party):
        at, got = await party.holding(3)
        at.tray.let_go(got[1:])
        assert await at.close() == 2
        heir = await party.join()
        await wait_until_async(lambda: {d.entry_id for d in got[1:]} <= {d.entry_id for d in heir.tray.all}, SOON_S,
                               "what was handed back")
        handed = {d.entry_id: (d.attempts, d.suspect) for d in heir.tray.all if d.entry_id != got[0].entry_id}
        assert handed == {d.entry_id: (0, False) for d in got[1:]}

    broker(claim)


def test_closing_leaves_the_work_of_others_alone(broker):
    async def claim(party):
        if getattr(party.bench, "dealt", False):
            pytest.skip("not supported: partitions are dealt anew when somebody comes or goes (integration/test_kafka)")
        at, (d,) = await party.holding(1)
        leaving = await party.join()
        await party.bench.looks(leaving)
        assert await leaving.close() == 0
        await party.bench.looks(at)
        assert len(at.tray.all) == 1
        assert await at.tray.settle([d]) == [Settled.OK]

    broker(claim)


def test_the_state_of_a_source_names_its_stream_and_group(broker, stream):
    async def claim(party):
        at, _ = await party.holding(1)
        state = at.source.inspect()
        assert (state.stream, state.group) == (stream, "billing")
        with pytest.raises(AttributeError):
            state.group = "another"

    broker(claim)
