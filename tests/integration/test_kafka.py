# SPDX-License-Identifier: Apache-2.0
"""Kafka behind the façade, on librdkafka's mock cluster: slow handlers, a group dealt anew under load, letters that are
refused, poison, what is sent back, and what transactions amount to there."""

from __future__ import annotations

import asyncio
import ctypes
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import confluent_kafka as ck
import pytest

from holdfast import Holdfast, Reject, Retry
from holdfast._base import events as ev
from holdfast._base.message import Message
from holdfast._kafka.mock import MockCluster
from holdfast.brokers.kafka import KafkaSettings
from holdfast.brokers.kafka.broker import ABILITIES, STEPWISE
from holdfast.brokers.kafka.settings import Topics
from holdfast.deadletters.boxed import open_box, replayer_of
from holdfast.deadletters.replay import Order
from holdfast.errors import ConfigurationError, PublishError, ServerUnreachable
from holdfast.testing import wait_until_async

GROUP = "billing"
SOON_S = 20.0
#: Sessions as short as a busy machine allows.
#: The mock cluster puts out of the group who has not joined anew within the session less a second.
QUICK = KafkaSettings(session_ms=3_000, revoke_s=1.0)
AUTHORIZATION_FAILED = 29
ASSIGNORS = ["cooperative-sticky", "range"]


@dataclass
class Service:
    """A Holdfast on the mock cluster, and what it has said."""

    cluster: MockCluster
    settings: KafkaSettings = QUICK
    query: str = ""
    said: list[ev.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hf = Holdfast(self.cluster.url + self.query, broker=self.settings)
        self.hf.events.subscribe(self.said.append)

    def told(self, kind: type[ev.Event]) -> list[ev.Event]:
        return [event for event in self.said if isinstance(event, kind)]

    @asynccontextmanager
    async def running(self, drain_s: float = 5.0):
        async with self.hf:
            task = asyncio.create_task(self.hf.run(drain_s=drain_s))
            try:
                yield self
            finally:
                self.hf.stop()
                await task


def topics(cluster: MockCluster, stream: str, partitions: int, beside: int = 0) -> Topics:
    """Makes a group's topics. beside: partitions of those beside the first; 0: as many."""
    named = Topics(stream, GROUP, QUICK.levels_s)
    for topic in (*named.read, named.dead):
        cluster.create(topic, partitions if topic == stream else beside or partitions)
    return named


async def until(claim, what: str) -> None:
    await wait_until_async(claim, SOON_S, what)


async def behind(it: Service, stream: str, count: int) -> None:
    """Returns when so many messages are not done."""
    broker = it.hf._other_broker()
    async with asyncio.timeout(SOON_S):
        while sum(lag.behind for lag in await broker.lag(stream, GROUP)) != count:  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(0.05)


async def drained(it: Service, stream: str) -> None:
    """Returns when the group is behind nowhere."""
    await behind(it, stream, 0)


async def letters(cluster: MockCluster, stream: str) -> list[str]:
    async with open_box(cluster.url, stream, GROUP, own_prefix="hf") as box:
        return [letter.message_id async for letter in box.letters()]


# -- beginning -------------------------------------------------------------------------------------------------------


def test_topics_that_are_missing_are_made_and_one_that_nobody_made_is_named(kafka, stream, arun, monkeypatch):
    async def claim():
        monkeypatch.setattr("holdfast._kafka.admin._MAKE_S", 0.5)  # this cluster answers no CreateTopics
        it, got = Service(kafka), []

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            got.append(order)

        async with it.running():  # this cluster makes what is asked for
            await it.hf.publish(stream, {"n": 1})
            await until(lambda: got, "the message")

    arun(claim())


def test_what_it_cannot_is_said_and_refused(kafka, stream):
    hf = Holdfast(kafka.url)
    assert any("several steps" in sentence for sentence in hf.cannot())
    assert not any("several steps" in sentence for sentence in Holdfast("kafka://nowhere").cannot())
    assert (STEPWISE.atomic_settle, ABILITIES.atomic_settle) == (False, True)
    with pytest.raises(ConfigurationError, match="takes KafkaSettings"):
        Holdfast(kafka.url, broker=3).cannot()


def test_burying_what_follows_a_dead_head_is_refused_before_anything_runs(kafka, stream, arun):
    async def claim():
        it = Service(kafka)

        @it.hf.consumer(stream, group=GROUP, ordered=True, on_dead_head="bury-following")
        async def handle(order: dict) -> None:
            pytest.fail("nothing runs")

        async with it.hf:
            with pytest.raises(ConfigurationError, match="Kafka forgets which keys have a dead head"):
                await it.hf.run()

    arun(claim())


def test_a_message_that_the_cluster_refuses_is_not_published(kafka, stream, arun):
    async def claim():
        topics(kafka, stream, 1)
        kafka.refuse(stream, AUTHORIZATION_FAILED)
        async with Service(kafka).hf as hf:
            with pytest.raises(PublishError, match="give the user that right"):
                await hf.publish(stream, {"n": 1})

    arun(claim())


# -- handlers that take long -----------------------------------------------------------------------------------------


def test_a_handler_may_take_longer_than_the_poll_interval(kafka, stream, arun):
    async def claim():
        topics(kafka, stream, 1)
        it, runs = Service(kafka, KafkaSettings(session_ms=2_000, poll_ms=2_000, revoke_s=0.5)), []

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            runs.append(order["n"])
            await asyncio.sleep(4.0 if order["n"] == 0 else 0)

        async with it.running():
            for n in range(3):
                await it.hf.publish(stream, {"n": n})
            await drained(it, stream)
        assert Counter(runs) == {0: 1, 1: 1, 2: 1}
        assert not it.told(ev.IncarnationLost)

    arun(claim())


def test_one_that_is_slow_holds_back_no_other_and_those_do_not_come_again(kafka, stream, arun):
    """What has ended ahead of it is in the offset's metadata."""
    async def claim():
        topics(kafka, stream, 1)
        runs: Counter[int] = Counter()
        release = asyncio.Event()

        def consuming() -> Service:
            it = Service(kafka)

            @it.hf.consumer(stream, group=GROUP)
            async def handle(order: dict) -> None:
                runs[order["n"]] += 1
                if order["n"] == 0:
                    await release.wait()

            return it

        first = consuming()
        async with first.running(drain_s=0.1):
            await first.hf.publish_many(stream, [{"n": n} for n in range(50)])
            await until(lambda: len(runs) == 50, "all of them have begun")
            await behind(first, stream, 1)
            first.hf.stop()
        release.set()
        second = consuming()
        async with second.running():
            await drained(second, stream)
        assert {n: count for n, count in runs.items() if count > 1} == {0: 2}

    arun(claim())


def test_messages_of_a_key_keep_their_order_through_failures(kafka, stream, arun):
    async def claim():
        topics(kafka, stream, 2)
        it, done, failed = Service(kafka), [], set()

        @it.hf.consumer(stream, group=GROUP, ordered=True, retry=Retry(after=0.05, attempts=5))
        async def handle(order: dict) -> None:
            if order["n"] % 3 == 0 and order["n"] not in failed:
                failed.add(order["n"])
                raise ConnectionError
            done.append((order["key"], order["n"]))

        async with it.running():
            for n in range(24):
                await it.hf.publish(stream, {"key": f"k{n % 3}", "n": n}, key=f"k{n % 3}")
            await drained(it, stream)
        for key in ("k0", "k1", "k2"):
            of_key = [n for k, n in done if k == key]
            assert of_key == sorted(of_key)
        assert len(done) == 24

    arun(claim())


# -- the group dealt anew --------------------------------------------------------------------------------------------


def test_a_group_that_is_dealt_anew_under_load_loses_nothing(kafka, stream, arun):
    """Two join and one leaves while messages come. What was in flight ends, or comes again where it went."""
    async def claim():
        topics(kafka, stream, 4)
        runs: Counter[int] = Counter()

        def consuming() -> Service:
            it = Service(kafka)

            @it.hf.consumer(stream, group=GROUP, concurrency=8)
            async def handle(order: dict) -> None:
                await asyncio.sleep(0.02)
                runs[order["n"]] += 1

            return it

        async def load(it: Service) -> int:
            for n in range(200):
                await it.hf.publish(stream, {"n": n}, key=str(n))
                await asyncio.sleep(0.02)
            return 200

        first, second, third = consuming(), consuming(), consuming()
        async with first.running():
            loading = asyncio.create_task(load(first))
            await until(lambda: len(runs) > 20, "work is under way")
            async with second.running():
                await until(lambda: second.hf.worker and second.hf.worker.sources
                            and second.hf.worker.sources[0].inspect().partitions, "the second one has partitions")
                async with third.running():
                    await asyncio.sleep(1.0)
            count = await loading
            await drained(first, stream)
        assert set(runs) == set(range(count))
        twice = sum(runs.values()) - count
        print(f"{twice} of {count} ran twice")
        assert twice < count  # what had ended while this cluster refused commits comes again: a broker takes them

    arun(claim())


def test_what_does_not_end_in_time_is_abandoned_and_nothing_of_it_is_settled(kafka, stream, arun):
    async def claim():
        topics(kafka, stream, 1)
        it, settled = Service(kafka, KafkaSettings(session_ms=3_000, revoke_s=0.3)), []
        began = asyncio.Event()

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            began.set()
            await asyncio.sleep(30)

        async with it.running():
            await it.hf.publish(stream, {"n": 1})
            await asyncio.wait_for(began.wait(), SOON_S)
            source = it.hf.worker.sources[0]
            await source._revoke([(stream, 0)])
            assert [event.cause for event in it.told(ev.IncarnationLost)] == ["rebalance"]
            settled += [event for event in it.told(ev.Settled) if event.acked]
            await behind(it, stream, 1)
        assert not settled

    arun(claim())


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_who_joins_gets_what_is_not_done_by_the_deadline_and_each_is_done_once(kafka, stream, arun, assignor):
    """Handlers are in flight when their partitions go: at the deadline they are abandoned, and the new owner begins."""
    async def claim():
        count = 8
        topics(kafka, stream, count, beside=1)  # of 12 partitions each gets 6: some of the stream move, whoever deals
        settings = KafkaSettings(session_ms=4_000, revoke_s=0.5, assignor=assignor)
        stands, begun, done, abandoned = asyncio.Event(), set(), [], []

        def consuming(who: str) -> Service:
            it = Service(kafka, settings)

            @it.hf.consumer(stream, group=GROUP, concurrency=count)
            async def handle(order: dict) -> None:
                begun.add(order["n"])
                try:
                    if who == "first":
                        await stands.wait()
                except asyncio.CancelledError:
                    abandoned.append(order["n"])
                    raise
                done.append((order["n"], who))

            return it

        first, second = consuming("first"), consuming("second")
        publisher = ck.Producer({"bootstrap.servers": kafka.address, "log_level": 0})
        for n in range(count):
            publisher.produce(stream, b'{"n": %d}' % n, partition=n)
        publisher.flush(SOON_S)
        async with first.running():
            await until(lambda: len(begun) == count, "all of them are in flight")
            async with second.running():
                await until(lambda: done, "the other one has what was abandoned")
                await until(lambda: len(mine(first)) + len(mine(second)) == count + 4, "all partitions are dealt")
                moved = {n for n in range(count) if f"{stream}/{n}" in mine(second)}
                await until(lambda: {n for n, _ in done} == moved, "all that moved is done")
                assert {who for _, who in done} == {"second"}
                assert moved <= set(abandoned)
                assert sum(event.dropped for event in first.told(ev.IncarnationLost)) == len(abandoned)
                assert not sum(event.acked for event in first.told(ev.Settled))
                stands.set()
                await drained(first, stream)
        assert sorted(n for n, _ in done) == list(range(count))

    arun(claim())


def mine(it: Service) -> tuple[str, ...]:
    return it.hf.worker.sources[0].inspect().partitions if it.hf.worker and it.hf.worker.sources else ()


# -- what strangers write ---------------------------------------------------------------------------------------


def written_in_latin_1(cluster: MockCluster, topic: str, value: bytes) -> None:
    """A record whose header has a name that is no UTF-8: the driver would not write it, its library does."""
    library, said = cluster._lib, ctypes.create_string_buffer(512)
    library.rd_kafka_headers_new.restype = ctypes.c_void_p
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(conf, b"bootstrap.servers", cluster.address.encode(), said, len(said))
    client = ctypes.c_void_p(library.rd_kafka_new(0, conf, said, ctypes.c_size_t(len(said))))
    headers = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(1)))
    library.rd_kafka_header_add(headers, b"\xe9", ctypes.c_ssize_t(1), b"v", ctypes.c_ssize_t(1))
    # Numbers of rd_kafka_vtype_t: TOPIC 1, VALUE 4, HEADERS 10, END 0.
    assert not library.rd_kafka_producev(
        client, ctypes.c_int(1), topic.encode(), ctypes.c_int(4), value, ctypes.c_size_t(len(value)),
        ctypes.c_int(10), headers, ctypes.c_int(0))
    assert not library.rd_kafka_flush(client, 10_000)
    library.rd_kafka_destroy(client)


def test_a_record_with_a_header_that_cannot_be_read_is_handled_and_ends_no_reader(kafka, stream, arun):
    async def claim():
        topics(kafka, stream, 1)
        it, got = Service(kafka), []

        @it.hf.consumer(stream, group=GROUP)
        async def handle(body: bytes, message: Message) -> None:
            got.append((body, sorted(message.headers)))
            if body == b"strange":
                raise Reject("of no use")

        async with it.running():
            await it.hf.publish_many(stream, [{"n": n} for n in range(100)])  # the interpreter has specialized by then
            await asyncio.to_thread(written_in_latin_1, kafka, stream, b"strange")
            await it.hf.publish(stream, {"n": 100})
            await drained(it, stream)
        assert len(got) == 102
        assert [one for one in got if one[1]] == [(b"strange", ["hf-unreadable"])]
        assert len(await letters(kafka, stream)) == 1

    arun(claim())


@pytest.mark.parametrize("how", [
    {"value": None}, {"value": b""}, {"value": b"x", "key": b"\xff"},
    {"value": b"x", "headers": [("a", None), ("a", b"\xff"), ("", b"")]},
    {"value": b"x", "headers": [("hf:id", b"\xff"), ("hf:field:zz", b"1"), ("hf:at", b"no")]},
    {"value": b"x", "headers": [("large", b"x" * 500_000)]}], ids=["null", "empty", "key", "headers", "ours", "large"])
def test_what_strangers_write_is_retried_and_buried(kafka, stream, arun, how):
    async def claim():
        topics(kafka, stream, 1)
        it, tries = Service(kafka), []

        @it.hf.consumer(stream, group=GROUP, retry=Retry(after=0.05, attempts=3))
        async def handle(body: bytes) -> None:
            tries.append(body)
            raise ConnectionError("not now")

        publisher = ck.Producer({"bootstrap.servers": kafka.address, "log_level": 0})
        publisher.produce(stream, **how)
        await asyncio.to_thread(publisher.flush, SOON_S)
        async with it.running():
            await until(lambda: it.told(ev.Buried), "it is buried")
            await drained(it, stream)
        assert tries == [how["value"] or b""] * 3
        assert len(await letters(kafka, stream)) == 1

    arun(claim())


# -- records that are not there ------------------------------------------------------------------------------------

#: The mock cluster keeps 5 MB of a partition.
LARGE = "x" * 900_000


async def overrun(it: Service, stream: str) -> int:
    """Publishes until the cluster has cut off the beginning of the partition; answers how many are left."""
    for n in range(8):
        await it.hf.publish(stream, {"n": n, "large": LARGE})
    place = ck.TopicPartition(stream, 0)
    look = ck.Consumer({"bootstrap.servers": it.cluster.address, "group.id": "look", "log_level": 0})
    low, high = await asyncio.to_thread(look.get_watermark_offsets, place, 10)
    look.close()
    assert low > 0
    return high - low


def missing(it: Service) -> int:
    return sum(event.count for event in it.told(ev.EntriesMissing))


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_records_lost_to_retention_before_they_were_read_are_counted_and_told(kafka, stream, arun, assignor):
    async def claim():
        topics(kafka, stream, 1)
        kept: list[int] = []
        it = Service(kafka, KafkaSettings(session_ms=3_000, revoke_s=1.0, assignor=assignor, start="latest"))

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            kept.append(order["n"])

        async with it.hf as hf:
            await hf.publish(stream, {"n": -1})
            member = ck.Consumer({"bootstrap.servers": kafka.address, "group.id": GROUP, "log_level": 0})
            member.commit(offsets=[ck.TopicPartition(stream, 0, 0)], asynchronous=False)
            member.close()
            left = await overrun(it, stream)
        async with it.running():
            await drained(it, stream)
        assert (missing(it), kept) == (9 - left, list(range(8 - left, 8)))

    arun(claim())


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_what_is_in_hand_when_the_log_is_cut_off_behind_it_ends_and_the_rest_is_counted(kafka, stream, arun, assignor):
    async def claim():
        topics(kafka, stream, 1)
        it = Service(kafka, KafkaSettings(session_ms=3_000, revoke_s=1.0, assignor=assignor, ahead=1))
        kept: list[int] = []
        began, go_on = asyncio.Event(), asyncio.Event()

        @it.hf.consumer(stream, group=GROUP, concurrency=1)
        async def handle(order: dict) -> None:
            began.set()
            await go_on.wait()
            kept.append(order["n"])

        async with it.running():
            await it.hf.publish(stream, {"n": -1})
            await asyncio.wait_for(began.wait(), SOON_S)
            left = await overrun(it, stream)
            go_on.set()
            await drained(it, stream)
        assert kept[0] == -1
        assert len(kept) == len(set(kept))
        assert missing(it) == 9 - len(kept)
        assert set(range(8 - left, 8)) <= set(kept)

    arun(claim())


@pytest.mark.parametrize("assignor", ASSIGNORS)
def test_a_topic_that_ends_before_the_groups_offset_is_read_from_its_beginning(kafka, stream, arun, assignor, caplog):
    async def claim():
        topics(kafka, stream, 1)
        it = Service(kafka, KafkaSettings(session_ms=3_000, revoke_s=1.0, assignor=assignor))
        got: list[int] = []

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            got.append(order["n"])

        async with it.hf as hf:
            await hf.publish_many(stream, [{"n": n} for n in range(3)])
            member = ck.Consumer({"bootstrap.servers": kafka.address, "group.id": GROUP, "log_level": 0})
            member.commit(offsets=[ck.TopicPartition(stream, 0, 1_000, '{"d":"Bw=="}')], asynchronous=False)
            member.close()
        async with it.running():
            await until(lambda: len(got) == 3, "what is there")
            await drained(it, stream)
        assert got == [0, 1, 2]
        assert not missing(it)
        assert "the topic was made anew, or has lost its end" in caplog.text

    arun(claim())


# -- letters ---------------------------------------------------------------------------------------------------------


def test_a_letter_that_is_refused_leaves_its_message_pending_and_says_so(kafka, stream, arun):
    async def claim():
        named = topics(kafka, stream, 1)
        it = Service(kafka)

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            raise Reject("of no use")

        async with it.running():
            await until(lambda: it.told(ev.ConsumerStarted), "it has begun")
            kafka.refuse(named.dead, AUTHORIZATION_FAILED)
            await it.hf.publish(stream, {"n": 1}, id="m1")
            await until(lambda: it.told(ev.BuryFailed), "the refusal is told")
            await behind(it, stream, 1)
            kafka.refuse(named.dead, 0)
            await until(lambda: sum(event.buried for event in it.told(ev.Settled)), "it is buried in the end")
        assert await letters(kafka, stream) == ["m1"]

    arun(claim())


def test_a_letter_is_sent_back_to_its_group_with_its_history_and_is_gone(kafka, stream, arun):
    async def claim():
        topics(kafka, stream, 2)
        it, mended, got = Service(kafka), [], []

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            if not mended:
                raise Reject("not yet")
            got.append(order["n"])

        async with it.running():
            await it.hf.publish(stream, {"n": 7}, id="m7", key="k", headers={"lang": "nl"})
            await until(lambda: sum(event.buried for event in it.told(ev.Settled)), "it is dead")
            mended.append(True)
            async with open_box(kafka.url, stream, GROUP, own_prefix="hf") as box:
                [letter] = [letter async for letter in box.letters()]
                assert (letter.message_id, letter.reason, letter.source_stream, letter.key) == (
                    "m7", "rejected", stream, "k")
                assert letter.source_id.count("-") == 1
                sent = await replayer_of(box).one(letter.id, Order(by="me"))
                assert sent.outcome == "replayed"
            await until(lambda: got == [7], "it is handled")
            assert await letters(kafka, stream) == []
            await drained(it, stream)

    arun(claim())


# -- poison ----------------------------------------------------------------------------------------------------------


def test_a_partition_taken_over_twice_runs_its_first_messages_alone_and_marks_them(kafka, stream, arun):
    """As after two deaths: what a message is charged with is in the offset's metadata, and buries it in the end."""
    async def claim():
        topics(kafka, stream, 1)
        it, runs = Service(kafka), []

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            runs.append(order["n"])

        async with it.hf as hf:
            await hf.publish_many(stream, [{"n": n} for n in range(3)])
            member = ck.Consumer({"bootstrap.servers": kafka.address, "group.id": GROUP, "log_level": 0})
            mark = '{"t":1,"u":100,"r":0,"n":{"0":[0,2]}}'
            member.commit(offsets=[ck.TopicPartition(stream, 0, 0, mark)], asynchronous=False)
            member.close()
        async with it.running():
            await drained(it, stream)
        assert sorted(runs) == [1, 2]
        [buried] = it.told(ev.Buried)
        assert (buried.reason, buried.entry_id) == ("crash_loop", "0-0")

    arun(claim())


# -- transactions ----------------------------------------------------------------------------------------------------


def test_with_transactions_the_mock_cluster_answers_and_stores_no_offsets_of_them(kafka, stream, arun):
    """Measured, so that we hear of it when it changes: then the crash matrix can run with transactions there."""
    async def claim():
        named = topics(kafka, stream, 1)
        it = Service(kafka)
        it.hf = Holdfast(f"kafka://{kafka.address}", broker=QUICK)
        it.hf.events.subscribe(it.said.append)

        @it.hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            raise Reject("of no use")

        async with it.running():
            await it.hf.publish(stream, {"n": 1}, id="m1")
            await until(lambda: sum(event.buried for event in it.told(ev.Settled)), "it is buried")
            broker = it.hf._other_broker()
            behind = {lag.topic: lag.behind for lag in await broker.lag(stream, GROUP)}
        assert await letters(kafka, stream) == ["m1"]
        assert behind[stream] == 1
        assert named.dead not in behind

    arun(claim())


def test_where_nobody_answers_the_start_says_so(stream, arun, monkeypatch):
    async def claim():
        monkeypatch.setattr("holdfast._kafka.admin._ASK_S", 1.0)
        hf = Holdfast("kafka://127.0.0.1:1?transactions=off")

        @hf.consumer(stream, group=GROUP)
        async def handle(order: dict) -> None:
            pytest.fail("there is nothing to handle")

        with pytest.raises(ServerUnreachable, match="asking for topics"):
            await hf.run()
        await hf.close()

    arun(claim())
