# SPDX-License-Identifier: Apache-2.0
"""Dead letters on real servers: where they are, where they go, and that each is in exactly one place."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from holdfast import Holdfast
from holdfast._redis.keys import GroupKeys, StreamKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Choice, Order, Replayer, discard, discard_many, lint, open_shelf, replay
from holdfast.deadletters.outgoing import F_LETTER
from holdfast.errors import (
    AlreadyApplied,
    ConfigurationError,
    LetterNotFound,
    NotAStream,
    ReplayRefused,
    ServerUnreachable,
)
from holdfast.streams.inspect import physical_streams
from holdfast.streams.retention import retain
from tests.support.dying import bury, refuse, take

GROUP = "billing"
BY = Order(by="ana")


@asynccontextmanager
async def shelf_of(backend, stream, group=GROUP):
    server = await open_server(backend.url)
    try:
        yield await open_shelf(server, stream, group)
    finally:
        await server.close()


async def listed(shelf, *args, **kwargs):
    return [letter async for letter in shelf.letters(*args, **kwargs)]


def raw(backend, *command):
    """A command as somebody else would send it."""
    return backend.admin.execute_command(*command)


def places(backend, stream, group=GROUP):
    """(dead letters, index entries, entries of the replay stream)."""
    keys = GroupKeys("hf", stream, group)
    return (raw(backend, "XLEN", keys.dead), raw(backend, "HLEN", keys.letters), raw(backend, "XLEN", keys.replay))


# -- reading


def test_letters_of_all_partitions_are_one_list_oldest_first(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(12)], partitions=3,
                   keys=[f"k{n}" for n in range(12)])
        async with shelf_of(backend, stream) as shelf:
            return await listed(shelf), await listed(shelf, newest_first=True), await shelf.count()

    letters, reverse, count = arun(scenario())
    assert count == len(letters) == 12
    assert {letter.stream for letter in letters} == {f"{stream}.{n}" for n in range(3)}
    times = [tuple(map(int, letter.entry_id.split("-"))) for letter in letters]
    assert times == sorted(times)
    assert [x.id for x in sorted(reverse, key=lambda x: x.id)] == [x.id for x in sorted(letters, key=lambda x: x.id)]
    assert [tuple(map(int, x.entry_id.split("-"))) for x in reverse] == sorted(times, reverse=True)


def test_pages_are_put_together_without_loss_or_repetition(backend, stream, arun, monkeypatch):
    monkeypatch.setattr("holdfast.deadletters.shelf.PAGE", 3)

    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(10)])
        async with shelf_of(backend, stream) as shelf:
            return await listed(shelf), await listed(shelf, newest_first=True), await listed(shelf, limit=4)

    letters, reverse, four = arun(scenario())
    assert len({letter.id for letter in letters}) == 10
    assert [x.id for x in reverse] == [x.id for x in reversed(letters)]
    assert [x.id for x in four] == [x.id for x in letters[:4]]


def test_a_letter_says_what_died_where_and_why(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": 1}], keys=["customer-3"])
        async with shelf_of(backend, stream) as shelf:
            (letter,) = await listed(shelf)
            return letter, await shelf.get(letter.id), await shelf.get(letter.entry_id)

    letter, by_id, by_entry = arun(scenario())
    assert (letter.reason, letter.stage, letter.attempts, letter.key) == ("rejected", "handle", 1, "customer-3")
    assert (letter.source_stream, letter.stream, letter.replays) == (stream, stream, 0)
    assert letter.identity == letter.message_id
    assert by_id == by_entry == letter


@pytest.mark.parametrize(("choice", "count"), [
    (Choice(reason="rejected"), 3), (Choice(reason="max_attempts"), 0), (Choice(key="k1"), 1),
    (Choice(since_ms=0), 3), (Choice(since_ms=99_999_999_999_999), 0), (Choice(fingerprint="v1:0"), 0),
])
def test_letters_are_chosen(backend, stream, arun, choice, count):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(3)], keys=["k0", "k1", "k2"])
        async with shelf_of(backend, stream) as shelf:
            return await listed(shelf, choice), await shelf.groups(choice)

    letters, groups = arun(scenario())
    assert len(letters) == count
    assert [g.count for g in groups] == ([count] if count else [])


def test_what_is_not_there_is_said(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        async with shelf_of(backend, stream) as shelf:
            with pytest.raises(LetterNotFound, match="01ARZ3NDEKTSV4RRFFQ69G5FAV"):
                await shelf.get("01ARZ3NDEKTSV4RRFFQ69G5FAV")
        with pytest.raises(ConfigurationError, match="no group 'nobody'"):
            async with shelf_of(backend, stream, "nobody"):
                pass
        raw(backend, "SET", f"{stream}-text", "x")
        with pytest.raises(NotAStream, match="a string, not a stream"):
            async with shelf_of(backend, f"{stream}-text"):
                pass

    arun(scenario())


def test_partitions_are_found_when_the_first_of_them_is_not_there(backend, stream, arun):
    async def scenario():
        keys = StreamKeys("hf", f"{stream}.2")
        raw(backend, "XADD", keys.stream_key, "*", "body", "{}")
        raw(backend, "HSET", keys.meta, "partitions", 4)
        server = await open_server(backend.url)
        found = await physical_streams(server, stream), await physical_streams(server, f"{stream}-other")
        await server.close()
        return found

    partitioned, plain = arun(scenario())
    assert partitioned == [f"{stream}.{n}" for n in range(4)]
    assert plain == [f"{stream}-other"]


# -- replay


def test_a_replayed_letter_is_in_exactly_one_place_and_comes_back_as_itself(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        async with shelf_of(backend, stream) as shelf:
            (first,) = await listed(shelf)
            assert places(backend, stream) == (1, 1, 0)
            sent = await Replayer(shelf).one(first.id, BY)
            assert places(backend, stream) == (0, 0, 1)
            await refuse(backend.url, stream, GROUP, 1)
            (second,) = await listed(shelf)
            return first, sent, second

    first, sent, second = arun(scenario())
    assert (sent.outcome, sent.message_id) == ("replayed", first.message_id)
    assert second.id != first.id
    assert (second.message_id, second.source_id, second.source_stream) == (
        first.message_id, first.source_id, first.source_stream)
    assert (second.replays, second.metadata["replayed-by"], second.metadata["replayed-from"]) == (1, "ana", first.id)
    assert second.fields == first.fields
    assert '"count":2' in second.metadata["deaths"]


def test_a_replay_is_seen_by_no_other_group(backend, stream, arun):
    async def scenario():
        raw(backend, "XGROUP", "CREATE", stream, "audit", "0", "MKSTREAM")
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        assert len(await take(backend.url, stream, "audit", 1)) == 1
        async with shelf_of(backend, stream) as shelf:
            (letter,) = await listed(shelf)
            await Replayer(shelf).one(letter.id, BY)
        taken = await take(backend.url, stream, GROUP, 1)
        async with Holdfast(backend.url) as hf:  # what audit reads next is this, and nothing before it
            await hf.publish(stream, {"n": 2})
        return taken, await take(backend.url, stream, "audit", 1)

    mine, others = arun(scenario())
    assert [body for body, _ in mine] == [{"n": 1}]
    assert [body for body, _ in others] == [{"n": 2}]


def test_a_message_without_an_id_keeps_its_identity_through_a_replay(backend, stream, arun):
    async def scenario():
        raw(backend, "XADD", stream, "*", "body", b'{"n":1}', "colour", b"\xff")
        (before,) = await refuse(backend.url, stream, GROUP, 1)
        async with shelf_of(backend, stream) as shelf:
            (letter,) = await listed(shelf)
            await Replayer(shelf).one(letter.id, Order(by="ana", body=b'{"n":2}'))
        ((body, after),) = await take(backend.url, stream, GROUP, 1)
        return before.message.id, letter.identity, after.message.id, body

    before, named, after, body = arun(scenario())
    assert before == named == after
    assert body == {"n": 2}


def test_two_who_replay_the_same_letter_send_it_once(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(5)])
        async with shelf_of(backend, stream) as one, shelf_of(backend, stream) as two:
            letters = await listed(one)
            # Both have read the letter before either sends it: what decides is the script.
            both = [Replayer(one), Replayer(two)]
            sent = await asyncio.gather(*(each._send(letter, BY) for letter in letters for each in both))
        return [s.outcome for s in sent]

    outcomes = arun(scenario())
    assert sorted(outcomes) == ["gone"] * 5 + ["replayed"] * 5
    assert places(backend, stream) == (0, 0, 5)


@pytest.mark.parametrize("order", [BY, Order(by="ana", force=True), Order(by="ana", body=b"{}", force=True)])
def test_what_was_applied_is_not_sent_again_edited_or_not(backend, stream, arun, order):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        asked = []

        async def applied(letter):
            asked.append(letter.identity)
            return True

        async with shelf_of(backend, stream) as shelf:
            (letter,) = await listed(shelf)
            with pytest.raises(AlreadyApplied):
                await Replayer(shelf, applied=applied).one(letter.id, order)
        return asked, [letter.message_id]

    asked, named = arun(scenario())
    assert asked == named
    assert places(backend, stream) == (1, 1, 0)


def test_a_dry_run_moves_nothing(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(3)])
        async with shelf_of(backend, stream) as shelf:
            return [s.outcome async for s in Replayer(shelf).many(Choice(), Order(by="ana", dry_run=True))]

    assert arun(scenario()) == ["would replay"] * 3
    assert places(backend, stream) == (3, 3, 0)


def test_many_are_sent_at_the_rate_and_in_order(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(5)])
        async with shelf_of(backend, stream) as shelf:
            letters = await listed(shelf)
            loop = asyncio.get_running_loop()
            began = loop.time()
            sent = [s async for s in Replayer(shelf).many(Choice(), BY, rate_per_s=20)]
            return letters, sent, loop.time() - began

    letters, sent, seconds = arun(scenario())
    assert [s.id for s in sent] == [letter.id for letter in letters]
    assert seconds >= 4 / 20


def test_what_dies_again_meanwhile_is_not_sent_again(backend, stream, arun, monkeypatch):
    monkeypatch.setattr("holdfast.deadletters.shelf.PAGE", 2)  # so that what is written meanwhile could be read

    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(3)])
        sent = []
        async with shelf_of(backend, stream) as shelf:
            async for one in Replayer(shelf).many(Choice(), BY, limit=9):
                sent.append(one.id)
                await refuse(backend.url, stream, GROUP, 1)  # it is back among the letters before the next one goes
        return sent

    assert len(arun(scenario())) == 3
    assert places(backend, stream)[0] == 3


def test_an_old_letter_that_may_have_been_applied_needs_force(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        keys = GroupKeys("hf", stream, GROUP)
        ((_, fields),) = raw(backend, "XRANGE", keys.dead, "-", "+")
        flat = [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else fields
        raw(backend, "DEL", keys.dead, keys.letters)
        raw(backend, "XADD", keys.dead, "1000000000000-0", *flat)  # the same letter, of 2001
        async with shelf_of(backend, stream) as shelf:
            (letter,) = await listed(shelf)
            with pytest.raises(ReplayRefused, match="might be applied twice"):
                await Replayer(shelf).one("1000000000000-0", BY)
            assert letter.id != letter.entry_id
            await Replayer(shelf).one(letter.entry_id, Order(by="ana", force=True))

    arun(scenario())
    assert places(backend, stream) == (0, 0, 1)


def test_a_letter_whose_payload_is_gone_goes_back_only_with_another_body(backend, stream, arun):
    async def scenario():
        keys = GroupKeys("hf", stream, GROUP)
        letter_id = "01JD8Z3V5K7Q2M9T4R6W8Y0A1B"
        entry = raw(backend, "XADD", keys.dead, "*", "x-dlq-spec-version", "1", "x-dlq-letter-id", letter_id,
                    "x-dlq-failure-reason", "payload_missing", "x-dlq-original-topic", stream,
                    "x-dlq-original-offset", "1-1", "x-dlq-applied", "no")
        raw(backend, "HSET", keys.letters, letter_id, entry)
        async with shelf_of(backend, stream) as shelf:
            with pytest.raises(ReplayRefused, match="is gone"):
                await Replayer(shelf).one(letter_id, Order(by="ana", force=True))
            await Replayer(shelf).one(letter_id, Order(by="ana", body=b'{"n":5}'))
        return await take(backend.url, stream, GROUP, 1)

    assert [body for body, _ in arun(scenario())] == [{"n": 5}]


# -- redirect


def test_a_redirect_that_stopped_half_way_sends_nothing_twice(backend, stream, arun, monkeypatch):
    target = f"{stream}-fixed"
    order = Order(by="ana", redirect_to=target)

    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        async with shelf_of(backend, stream) as shelf:
            (letter,) = await listed(shelf)
            with monkeypatch.context() as patched:
                patched.setattr(replay, "remove", unreachable)
                with pytest.raises(ServerUnreachable):
                    await Replayer(shelf).one(letter.id, order)
            halfway = raw(backend, "XLEN", target), places(backend, stream)
            sent = await Replayer(shelf).one(letter.id, order)
        ((body, delivery),) = await take(backend.url, target, "fixers", 1)
        return letter, halfway, sent, body, delivery

    async def unreachable(*_):
        raise ServerUnreachable("the answer never came", maybe_done=True)

    letter, halfway, sent, body, delivery = arun(scenario())
    assert halfway == (1, (1, 1, 0))
    assert (sent.outcome, sent.to) == ("replayed", target)
    assert places(backend, stream) == (0, 0, 0)
    assert (body, delivery.message.id) == ({"n": 1}, letter.message_id)
    assert delivery.message.map[F_LETTER] == letter.id.encode()


def test_a_redirect_finds_the_partition_of_the_key(backend, stream, arun):
    target = f"{stream}-split"

    async def scenario():
        async with Holdfast(backend.url) as hf:
            hf.stream(target, partitions=3)
            receipt = await hf.publish(target, {"n": 0}, key="customer-3")
        await bury(backend.url, stream, GROUP, [{"n": 1}], keys=["customer-3"])
        async with shelf_of(backend, stream) as shelf:
            (letter,) = await listed(shelf)
            return receipt, await Replayer(shelf).one(letter.id, Order(by="ana", redirect_to=target))

    receipt, sent = arun(scenario())
    assert sent.to == receipt.stream


# -- discarding, retention, checking


def test_what_is_discarded_is_gone_and_told(backend, stream, arun):
    async def scenario():
        from holdfast._base.events import Events

        told = []
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(3)])
        async with shelf_of(backend, stream) as shelf:
            first, *_ = await listed(shelf)
            one = await discard(shelf, first, by="ana", why="a test", events=Events(told.append))
            again = await discard(shelf, first, by="ana", why="a test", events=Events(told.append))
            rest = [letter.id async for letter in discard_many(shelf, Choice(), by="ana", why="a test")]
        return one, again, rest, told

    one, again, rest, told = arun(scenario())
    assert (one, again, len(rest)) == (True, False, 2)
    assert [(event.by, event.why, event.reason) for event in told] == [("ana", "a test", "rejected")]
    assert places(backend, stream) == (0, 0, 0)


@pytest.mark.parametrize("limits", [(2, 0, 2), (0, 0, 5), (10, 3_600_000, 5), (0, 1, 0), (3, 1, 0)])
def test_retention_removes_letters_and_their_places_in_the_index_together(backend, stream, arun, limits):
    most, age_ms, left = limits

    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(5)])
        async with shelf_of(backend, stream) as shelf:
            (keys,) = await shelf.keys()
            newest = [letter.id for letter in await listed(shelf)][5 - left:]
            # A millisecond past the newest letter, by the server's clock: then all of them are old enough.
            removed = await retain(shelf.link(keys), keys, most, age_ms, await shelf.now_ms() + 10)
            return removed, newest, [letter.id for letter in await listed(shelf)]

    removed, newest, kept = arun(scenario())
    assert removed == 5 - left
    assert kept == newest
    assert places(backend, stream) == (left, left, 0)


def test_our_own_letters_keep_to_the_specification(backend, stream, arun):
    async def scenario():
        await bury(backend.url, stream, GROUP, [{"n": n} for n in range(2)])
        raw(backend, "XADD", GroupKeys("hf", stream, GROUP).dead, "*", "x-dlq-attempts", "many", "body", "{}")
        async with shelf_of(backend, stream) as shelf:
            return await lint(shelf.letters())

    report = arun(scenario())
    assert (report.letters, report.conforming) == (3, 2)
    assert ("attempts", "type") in {(fault.field, fault.kind) for fault in report.faults}


def test_a_replayed_message_is_what_it_was_even_without_a_body_field(backend, stream, arun):
    """What the replay wrote beside it is lineage; the handler gets the message its publisher wrote."""
    from holdfast import Holdfast, Reject, StreamSettings
    from holdfast.testing import wait_until_async

    seen: list[object] = []

    async def scenario():
        hf = Holdfast(backend.url, settings=StreamSettings(lease_ms=600, sweep_ms=100, block_ms=100))

        @hf.consumer(stream, group=GROUP)
        async def handle(body: dict) -> None:
            seen.append(body)
            if len(seen) == 1:
                raise Reject("not this time")

        server = await hf.open()
        await server.shared(stream.encode()).call("XADD", stream, "*", "amount", "5")
        running = asyncio.create_task(hf.run(drain_s=1))
        shelf = await open_shelf(server, stream, GROUP)

        async def buried():
            return [letter async for letter in shelf.letters()]

        (letter,) = await wait_until_async(buried, 5, "it was buried")
        await Replayer(shelf).one(letter.id, Order(by="ana"))
        await wait_until_async(lambda: len(seen) == 2, 5, "it came back")
        hf.stop()
        await running
        await hf.close()
        assert seen == [{"amount": "5"}, {"amount": "5"}]

    arun(scenario())
