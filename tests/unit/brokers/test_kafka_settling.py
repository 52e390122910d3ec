# SPDX-License-Identifier: Apache-2.0
"""What is settled is written down in an order that loses nothing, whenever the process dies; and with transactions it
is in one place. On a log in memory that keeps the promises of transactions."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.clock import SystemClock
from holdfast._kafka.driver import Record
from holdfast._kafka.member import Point
from holdfast.brokers.kafka.committer import Committer
from holdfast.brokers.kafka.lane import Lane
from holdfast.brokers.kafka.progress import Progress
from holdfast.brokers.kafka.settings import Topics
from holdfast.consume.contract import Delivery, Note, Settled, Settlement, Verb
from holdfast.errors import ServerRefused, ServerUnreachable
from tests.support.kafka_log import KafkaLog

TOPICS = Topics("orders", "billing", (10, 600))
PLACE = ("orders", 0)
COUNT = 6
VERBS = (None, Verb.PARK, Verb.BURY, Verb.RELEASE)


class Scene:
    """A lane with so many messages in hand, on a log."""

    def __init__(self, log: KafkaLog, *, transactions: bool, in_place: bool = False) -> None:
        self.log = log
        self.fenced: list[Exception] = []
        self.committer = Committer(log, transactions=transactions, on_fenced=self.fenced.append)
        self.lane = Lane(TOPICS, PLACE, "me", self.committer, SystemClock())
        self.lane.take(Point(PLACE, 0, None, 1), 100, in_place=in_place)
        for n in range(COUNT):
            self.lane.arrived(Record("orders", None, b"%d" % n, [("hf:id", b"m%d" % n)], 0, n, 1))
        self.hands = self.lane.deliveries(COUNT)

    async def settle(self, verbs) -> list[tuple[Delivery, Settled]]:
        acks = [d for d, verb in zip(self.hands, verbs, strict=False) if verb is None]
        others = [Settlement(d, verb, due_in_ms=5, note=Note(attempts=1), letter=[b"body", d.message.body],
                             letter_id=d.message.id) for d, verb in zip(self.hands, verbs, strict=False) if verb]
        return await self.lane.settle(acks, others)

    def places(self) -> dict[int, list[str]]:
        """Where each message is, by what lies in the log: nowhere means that it is done."""
        point = self.log.offsets.get(PLACE, Point(PLACE, 0))
        heir = Progress(point.offset, point.metadata, 100)
        found = {n: (["pending"] if n >= point.offset and heir.arrived(n) else []) for n in range(COUNT)}
        for record in self.log.records:
            found[int(record.value or b"")].append("dead" if record.topic == TOPICS.dead else "retry")
        return found


@pytest.mark.parametrize("ahead", [1, 2, 3, 100])
def test_a_partition_that_ran_too_far_ahead_is_read_on_when_that_is_made_good(ahead):
    lane = Lane(TOPICS, PLACE, "me", Committer(KafkaLog(), transactions=True), SystemClock())
    lane.take(Point(PLACE, 0, None, 1), ahead, in_place=False)
    for n in range(ahead):
        assert not lane.ahead_of_itself
        lane.arrived(Record("orders", None, b"x", [], 0, n, 1))
    assert lane.ahead_of_itself
    lane.progress.finish(range(ahead))
    assert not lane.ahead_of_itself


def expected(verb: Verb | None) -> list[str]:
    return {None: [], Verb.PARK: ["retry"], Verb.BURY: ["dead"], Verb.RELEASE: ["pending"]}[verb]


@given(st.lists(st.sampled_from(VERBS), min_size=COUNT, max_size=COUNT), st.integers(0, COUNT + 1))
def test_with_transactions_a_message_is_in_one_place_wherever_its_process_dies(verbs, dies_at):
    async def run():
        scene = Scene(KafkaLog(dies_at=dies_at), transactions=True)
        try:
            await scene.settle(verbs)
        except ServerUnreachable:
            assert set(map(tuple, scene.places().values())) == {("pending",)}
        else:
            assert list(scene.places().values()) == [expected(verb) for verb in verbs]
        await scene.committer.close()

    asyncio.run(run())


@given(st.lists(st.sampled_from(VERBS), min_size=COUNT, max_size=COUNT), st.integers(0, COUNT + 1))
def test_without_a_message_is_never_in_none(verbs, dies_at):
    async def run():
        scene = Scene(KafkaLog(dies_at=dies_at), transactions=False)
        died = False
        try:
            await scene.settle(verbs)
        except ServerUnreachable:
            died = True
        for verb, places in zip(verbs, scene.places().values(), strict=True):
            assert places == expected(verb) or (died and "pending" in places)
        await scene.committer.close()

    asyncio.run(run())


def both(test):
    return pytest.mark.parametrize("transactions", [True, False], ids=["transactions", "steps"])(test)


@both
def test_a_letter_that_is_refused_leaves_its_message_and_no_other_pending(transactions, arun):
    async def run():
        scene = Scene(KafkaLog(refused={TOPICS.dead}), transactions=transactions)
        answers = await scene.settle([None, Verb.BURY, Verb.PARK, None, Verb.BURY])
        assert [(d.message.id, answer) for d, answer in answers] == [("m1", Settled.FAILED), ("m4", Settled.FAILED)]
        assert scene.places() == {0: [], 1: ["pending"], 2: ["retry"], 3: [], 4: ["pending"], 5: ["pending"]}
        scene.log.refused.clear()
        again = [Settlement(d, Verb.BURY, letter=[b"body", d.message.body], letter_id=d.message.id) for d, _ in answers]
        assert await scene.lane.settle([], again) == []
        assert scene.places()[1] == ["dead"]
        await scene.committer.close()

    arun(run())


@both
def test_a_retry_that_is_refused_waits_at_its_offset(transactions, arun):
    async def run():
        scene = Scene(KafkaLog(refused=set(TOPICS.retries)), transactions=transactions)
        assert await scene.settle([None, Verb.PARK]) == []
        assert scene.places()[1] == ["pending"]
        await asyncio.sleep(0.01)
        [back] = scene.lane.deliveries(10)
        assert (back.message.id, back.attempts) == ("m1", 1)
        await scene.committer.close()

    arun(run())


@both
def test_nothing_is_settled_for_a_partition_that_is_lost_meanwhile(transactions, arun):
    async def run():
        scene = Scene(KafkaLog(gone={PLACE}), transactions=transactions)
        answers = await scene.settle([None, Verb.PARK, Verb.BURY])
        assert {answer for _, answer in answers} == {Settled.EPOCH}
        assert not scene.log.offsets
        await scene.committer.close()

    arun(run())


def test_what_was_written_and_not_committed_is_not_written_again(arun):
    async def run():
        scene = Scene(KafkaLog(dies_at=1), transactions=False)
        with pytest.raises(ServerUnreachable):
            await scene.settle([Verb.BURY])
        scene.log.dies_at = None
        assert await scene.settle([Verb.BURY]) == []
        assert scene.log.written == 1
        assert scene.places()[0] == ["dead"]
        await scene.committer.close()

    arun(run())


def test_a_fenced_producer_settles_nothing_and_says_so(arun):
    async def run():
        scene = Scene(KafkaLog(fenced=True), transactions=True)
        with pytest.raises(ServerRefused):
            await scene.settle([None, Verb.BURY])
        assert set(map(tuple, scene.places().values())) == {("pending",)}
        assert len(scene.fenced) == 1
        assert scene.lane.parked == 2  # they come back, to whoever may settle them
        await scene.committer.close()

    arun(run())


def test_in_place_a_retry_keeps_its_offset_and_its_attempts_outlive_the_process(arun):
    async def run():
        scene = Scene(KafkaLog(), transactions=True, in_place=True)
        assert await scene.settle([None, Verb.PARK]) == []
        assert scene.places()[1] == ["pending"]
        point = scene.log.offsets[PLACE]
        heir = Progress(point.offset, point.metadata, 100)
        assert heir.traces[1].attempts == 1
        await scene.committer.close()

    arun(run())


@both
def test_a_former_delivery_settles_nothing(transactions, arun):
    async def run():
        scene = Scene(KafkaLog(), transactions=transactions)
        former = scene.hands[0]
        await scene.lane.settle([], [Settlement(former, Verb.RELEASE)])
        [now] = scene.lane.deliveries(1)
        assert await scene.lane.settle([former], []) == [(former, Settled.OTHER)]
        assert scene.places()[0] == ["pending"]
        assert await scene.lane.settle([now], []) == []
        assert scene.places()[0] == []
        await scene.committer.close()

    arun(run())


def test_a_message_of_somebody_else_stays_the_one_it_was(arun):
    async def run():
        scene = Scene(KafkaLog(), transactions=True)
        scene.lane.arrived(Record("orders", b"k", b"9", [("lang", b"nl")], 0, COUNT, 1_700_000_000_000))
        [theirs] = scene.lane.deliveries(1)
        await scene.lane.settle([], [Settlement(theirs, Verb.PARK, due_in_ms=20_000, note=Note(attempts=1))])
        [retry] = scene.log.records
        assert retry.topic == "orders.billing.retry.600s"
        other = Lane(TOPICS, (retry.topic, 0), "me", scene.committer, SystemClock())
        other.take(Point((retry.topic, 0), 0, None, 1), 100, in_place=False)
        other.arrived(Record(retry.topic, retry.key, retry.value, [
            (name, b"1" if name == "hf:due" else value) for name, value in retry.headers], 0, 0, 1_800_000_000_000))
        [back] = other.deliveries(1)
        assert (back.message.id, back.entry_id, back.attempts) == (theirs.message.id, theirs.entry_id, 1)
        assert (back.message.key, back.message.headers, back.message.at_ms) == ("k", {"lang": "nl"}, 1_700_000_000_000)
        await scene.committer.close()

    arun(run())
