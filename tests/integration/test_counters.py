# SPDX-License-Identifier: Apache-2.0
"""Counters on real servers: the scripts say what the rules say, dates, stores that are slow or away."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from holdfast._base.events import Events, SegmentFailed, SegmentsEmpty, SegmentTaken
from holdfast._redis.keys import CounterKeys
from holdfast._redis.scripts import load_script
from holdfast._sql.install import install
from holdfast.errors import ConfigurationError, IdsRefused, ServerError, ServerUnreachable
from holdfast.ids.counters import Dated, OneByOne, Segments, Several, Sizes
from holdfast.ids.counters.ceiling import Asked, Raised, Record, Span, begun, opened, raised, taken
from holdfast.ids.counters.floors import FileFloor, RedisFloor, SqlFloor
from holdfast.ids.counters.redis import RedisCounter
from holdfast.ids.counters.sql import SqlSegments
from holdfast.ids.counters.tickets import TIDY_EVERY, SqlTickets
from holdfast.testing import ManualClock, Proxy, Single, wait_until

DAY_S = 86_400.0
SOON_S = 20.0


def run(backend, name, key, *words, behind=("counter",)):
    script = load_script("holdfast.ids", name, *behind)
    return backend.admin.eval(script.text, 1, key, *words)


class Scripts:
    """The record as the server has it, and what the scripts make of it."""

    def __init__(self, backend, tag: str) -> None:
        self.backend, self.key = backend, CounterKeys("hf", tag).counter
        self.here = str(self.node().info("replication")["master_replid"])

    def node(self):
        """The one that has the key."""
        admin = self.backend.admin
        if self.backend.kind == "cluster":
            return admin.get_redis_connection(admin.get_node_from_key(self.key))
        return admin

    def record(self) -> Record | None:
        found = self.backend.admin.hgetall(self.key)
        if not found:
            return None
        number = {name: int(found[name.encode()]) for name in ("last", "ceiling", "raised", "part", "parts")}
        return Record(found[b"server"].decode(), found[b"epoch"].decode(), **number)

    def take(self, count: int, seen: int):
        return run(self.backend, "take_counter", self.key, count, seen, "", 1, 0)

    def raise_(self, asked: Asked):
        return run(self.backend, "raise_counter", self.key, asked.count, asked.seen, "", 1, 0, asked.reserve,
                   "" if asked.floor is None else asked.floor, asked.spare, asked.epoch, asked.part, asked.parts)

    def open_(self, epoch: str, to: int) -> int:
        return run(self.backend, "open_counter", self.key, epoch, to, behind=())


@pytest.mark.everywhere
def test_the_scripts_say_what_the_rules_say(backend, stream, rng):
    """Each step by both, from one record; now and then it is another server's, gone, or put back."""
    scripts, old, turns = Scripts(backend, stream), None, 0
    for turn in range(150):
        before = scripts.record()
        count, seen = rng.randint(1, 30), rng.choice([0, 0, rng.randint(0, 400)])
        match rng.randrange(8):
            case 0 | 1 | 2:
                said = scripts.take(count, seen)
                want = taken(before, scripts.here, count, seen, Span(before.last if before else 0))
                assert (said[0] == b"taken") is (want is not None)
                assert scripts.record() == (want or before)
            case 3 | 4:
                asked = Asked(scripts.here, f"e{turn}", count, rng.choice([1, 20]), seen,
                              rng.choice([None, 0, rng.randint(0, 400)]), rng.randint(0, 1))
                said, found = scripts.raise_(asked), begun(before, asked)
                if found is None:
                    assert said == [b"floor"], "guard: a record that is gone asks the floor"
                    continue
                want = raised(found, asked, Span(found.record.last))
                assert scripts.record() == want.record
                jumped = want.jumped if want.why else 0
                assert said[1:] == [b"%d" % want.record.raised, want.record.epoch.encode(), b"%d" % jumped,
                                    want.why.encode()]
                assert isinstance(want, Raised)
            case 5:
                epoch = rng.choice([before.epoch if before else "x", "other"])
                to = rng.choice([before.raised if before else 1, rng.randint(1, 400)])
                want = opened(before, epoch, to)
                assert scripts.open_(epoch, to) == (want is not None), "guard: only what this record has raised"
                assert scripts.record() == (want or before)
            case 6 if before is not None:
                backend.admin.hset(scripts.key, "server", "another")
            case _:
                if old is not None and rng.random() < 0.5:
                    backend.admin.restore(scripts.key, 0, old, replace=True)
                elif before is not None:
                    old = backend.admin.dump(scripts.key)
                    if rng.random() < 0.3:
                        backend.admin.delete(scripts.key)
        turns += 1
    assert turns > 50


def test_a_user_who_may_not_ask_which_server_it_is_is_refused(stream):
    with Single() as server:
        server.admin.execute_command("ACL", "SETUSER", "blind", "on", ">x", "~*", "+@all", "-info")
        url = server.url.replace("redis://", "redis://blind:x@")
        with contextlib.closing(RedisCounter(url)) as store, pytest.raises(ServerError, match=r"(?i)info|permission"):
            store.take(stream, 1)


class TestDates:
    @staticmethod
    def read(dated, ids, count=1):
        return [dated.read(number) for number in ids.next_ids(count)]

    def test_a_new_date_begins_at_1_and_a_clock_that_goes_back_goes_on_with_the_later_one(self, stream):
        dated = Dated("day")
        with Single(faketime_offset_s=0.0) as server, \
                contextlib.closing(RedisCounter(server.url, dated=dated)) as store:
            ids = OneByOne(store, stream)
            (today, _), *_ = first = self.read(dated, ids, 3)
            assert [count for _, count in first] == [1, 2, 3]
            server.step_clock(DAY_S)
            (tomorrow, count), = self.read(dated, ids)
            assert (tomorrow > today, count) == (True, 1)
            server.step_clock(-DAY_S)
            assert self.read(dated, ids, 2) == [(tomorrow, 2), (tomorrow, 3)], "guard: never an earlier date"
            server.step_clock(3 * DAY_S)
            assert self.read(dated, ids)[0][1] == 1

    def test_it_expires_in_the_step_that_uses_it(self, stream):
        with Single() as server:
            store = RedisCounter(server.url, dated=Dated("hour"), keep_s=7_200)
            key = CounterKeys("hf", stream).counter
            with contextlib.closing(store):
                for _ in range(2):
                    store.take(stream, 1)
                    assert 7_100_000 < server.admin.pttl(key) <= 7_200_000, "guard: expiry in the same step"
                    server.admin.persist(key)

    def test_a_date_that_is_full_is_refused_and_the_next_one_is_not(self, stream):
        dated = Dated("day", 2)
        with Single(faketime_offset_s=0.0) as server, \
                contextlib.closing(RedisCounter(server.url, dated=dated)) as store:
            found = OneByOne(store, stream)
            assert [count for _, count in self.read(dated, found, 99)] == list(range(1, 100))
            with pytest.raises(IdsRefused, match=r"day \d{8} of .* has no number left: its 2 digits") as full:
                found.next_id()
            assert full.value.why == "layout", "guard: no number of a date that is full"
            server.step_clock(DAY_S)
            assert self.read(dated, found)[0][1] == 1

    def test_a_failover_within_a_date_stays_within_it(self, stream):
        dated = Dated("day")
        with Single() as server, contextlib.closing(RedisCounter(server.url, dated=dated)) as store:
            before = store.take(stream, 5).ids
            server.admin.hset(CounterKeys("hf", stream).counter, "server", "another")
            after = store.take(stream, 5)
            assert min(after.ids) > max(before)
            assert dated.read(after.ids[0])[0] == dated.read(before[0])[0]
            assert after.why == "server"

    @pytest.mark.parametrize("wrong", [{"keep_s": 60}, {"dated": Dated("day"), "keep_s": 60},
                                       {"dated": Dated("day"), "parts": 2}, {"reserve": 0}])
    def test_what_would_repeat_numbers_is_refused(self, wrong):
        with pytest.raises(ConfigurationError):
            RedisCounter("redis://localhost:1", **wrong)


class TestFloors:
    @pytest.fixture(params=["file", "sqlite", "postgres", "mariadb", "redis"])
    def floor(self, request, tmp_path):
        if request.param == "file":
            yield FileFloor(tmp_path / "floor")
            return
        if request.param == "redis":
            found = RedisFloor(request.getfixturevalue("_pool").get("valkey").url)
        else:
            url = (f"sqlite:///{tmp_path}/f.db" if request.param == "sqlite"
                   else request.getfixturevalue(request.param).database())
            asyncio.run(install(url))
            found = SqlFloor(url)
        yield found
        found.close()

    def test_a_floor_only_rises_and_each_tag_has_its_own(self, floor):
        assert floor.read("orders") == 0
        for to, want in ((10, 10), (7, 10), (2**53 - 1, 2**53 - 1)):
            floor.raise_to("orders", to)
            assert floor.read("orders") == want, "guard: a floor only rises"
        floor.raise_to("bills", 3)
        assert (floor.read("bills"), floor.read("orders")) == (3, 2**53 - 1)

    def test_a_floor_that_no_replica_confirms_is_none(self, stream):
        with Single() as server, contextlib.closing(RedisFloor(server.url, replicas=1)) as floor, \
                pytest.raises(ServerError, match="0 of 1 replicas confirmed the floor"):
            floor.raise_to(stream, 5)

    def test_while_the_floor_is_away_numbers_end_at_the_ceiling(self, stream):
        with Single() as server, Single() as elsewhere, \
                contextlib.closing(RedisCounter(server.url, floor=RedisFloor(elsewhere.url), reserve=50)) as store:
            ids = OneByOne(store, stream)
            before = [ids.next_id() for _ in range(10)]
            elsewhere.kill()
            with pytest.raises(ServerError):
                before += iter(ids.next_id, None)
            assert len(set(before)) == len(before) <= 50 + 10, "guard: a ceiling counts once the floor has it"


class TestAway:
    def test_segments_serve_on_while_postgres_is_away(self, postgres, stream):
        url = postgres.database()
        asyncio.run(install(url))
        host, port = "127.0.0.1", int(url.rsplit(":", 1)[1].split("/")[0])
        events = []
        with Proxy((host, port), resp=False) as way, \
                contextlib.closing(SqlSegments(way.through(url))) as store, \
                Segments(store, stream, Sizes(100, 100), wait_s=0.3, events=Events(events.append)) as ids:
            ids.next_ids(20)
            wait_until(lambda: ids.supply.left == 180, SOON_S, "the second segment is there")
            way.refuse()
            way.cut()
            assert ids.next_ids(180)[-1] == 200, "guard: the buffer serves on"
            with pytest.raises(IdsRefused, match="both segments"):
                ids.next_id()
            assert any(isinstance(event, SegmentFailed) for event in events)
            way.heal()
            wait_until(lambda: ids.supply.left > 0, SOON_S, "it is fetched again")
            assert ids.next_id() > 200

    def test_a_store_that_is_50_ms_away_is_not_waited_for(self, stream):
        """Drawn at a rate of some thousand a second, once it is going: every segment is there before it is needed."""
        events = []
        with Single() as server, Proxy(server.address) as way, \
                contextlib.closing(RedisCounter(way.through(server.url))) as store, \
                Segments(store, stream, Sizes(2_000, 2_000), events=Events(events.append)) as ids:
            ids.next_ids(300)
            wait_until(lambda: ids.supply.left > 3_000, SOON_S, "both are there")
            way.delay(0.025)  # each way
            events.clear()
            found, longest_s = [], 0.0
            for _ in range(40):  # 200 ids every 20 ms
                time.sleep(0.02)
                began = time.perf_counter()
                found += [ids.next_id() for _ in range(200)]
                longest_s = max(longest_s, time.perf_counter() - began)
            way.delay(0)
            fetched = [event for event in events if isinstance(event, SegmentTaken)]
            assert len(fetched) >= 3
            assert min(event.seconds for event in fetched) >= 0.05, "each was fetched from far away"
            assert all(event.left_ratio > 0 for event in fetched), "guard: before it is needed"
            assert not [event for event in events if isinstance(event, SegmentsEmpty)]
            assert len(set(found)) == 8_000
            print(f"longest batch of 200: {longest_s * 1000:.1f} ms")

    def test_several_go_on_when_one_is_down_and_use_it_again(self, stream):
        clock = ManualClock()
        with Single() as one, Single() as two:
            stores = [RedisCounter(server.url, part=n, parts=4) for n, server in enumerate((one, two))]
            with contextlib.closing(Several(stores, clock=clock)) as both:
                ids = OneByOne(both, stream)
                found = [ids.next_id() for _ in range(20)]
                assert {number % 4 for number in found} == {0, 1}
                two.kill()
                alone = [ids.next_id() for _ in range(20)]
                assert {number % 4 for number in alone} == {0}, "guard: the other one goes on"
                two.start()
                assert {ids.next_id() % 4 for _ in range(4)} == {0}, "it is left alone for a while"
                clock.advance(6)
                again = [ids.next_id() for _ in range(20)]
                assert {number % 4 for number in again} == {0, 1}
                one.kill()
                two.kill()
                with pytest.raises(ServerUnreachable, match="none of 2 stores"):
                    ids.next_id()
        numbers = found + alone
        assert len(set(numbers)) == len(numbers)


class TestRows:
    @pytest.fixture(params=["sqlite", "postgres", "mariadb"])
    def url(self, request, tmp_path):
        found = (f"sqlite:///{tmp_path}/t.db" if request.param == "sqlite"
                 else request.getfixturevalue(request.param).database())
        asyncio.run(install(found))
        return found

    def test_a_row_that_went_back_is_not_believed(self, url, stream):
        with contextlib.closing(SqlSegments(url)) as store:
            store.take(stream, 50)
            table = store._plainly.tables.counter
            store._plainly.do(lambda connection: connection.execute(table.update().values(last=7)))
            segment = store.take(stream, 5)
            assert segment.ids == range(51, 56), "guard: a number that was seen is not given again"
            assert (segment.jumped, segment.why) == (43, "behind")
            assert store.take(stream, 1).ids[0] == 56

    def test_tickets_keep_the_newest_rows_and_delete_what_is_far_behind(self, url, stream):
        with contextlib.closing(SqlTickets(url)) as store:
            table = store._plainly.tables.ticket

            def numbers():
                return store._plainly.do(lambda connection: [row.number for row in connection.execute(table.select())])

            first = store.take(stream, 1).ids[0]
            store._plainly.do(lambda c: c.execute(table.insert().values(number=first + 5_000, tag="x")))
            if url.startswith("postgresql"):
                store._plainly.do(lambda c: c.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'number'), {first + 5_000})"))
            store._since = TIDY_EVERY - 1
            newest = store.take(stream, 1).ids[0]
            assert newest == first + 5_001
            assert sorted(numbers()) == [first + 5_000, newest], "guard: the newest rows stay"
            assert store.take(stream, 1).ids[0] == newest + 1

    def test_a_sequence_that_went_back_is_refused(self, stream, postgres):
        url = postgres.database()
        asyncio.run(install(url))
        with contextlib.closing(SqlTickets(url)) as store:
            for _ in range(5):
                store.take(stream, 1)
            name = store._plainly.tables.ticket.name
            store._plainly.do(lambda c: c.exec_driver_sql(f"TRUNCATE {name} RESTART IDENTITY"))
            with pytest.raises(IdsRefused, match="ticket 1 after 5"):  # guard: a number that was seen
                store.take(stream, 1)
