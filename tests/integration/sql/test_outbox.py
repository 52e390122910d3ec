# SPDX-License-Identifier: Apache-2.0
"""The outbox: what is committed is published, each row exactly once, in order; what is rolled back is not."""

from __future__ import annotations

import asyncio
import json

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from holdfast import Holdfast
from holdfast._base import events as ev
from holdfast._redis.keys import LeaseKeys, StreamKeys
from holdfast._redis.lease import Lease
from holdfast._redis.open import open_server
from holdfast._sql import Database, Tables, create_all
from holdfast.errors import ConfigurationError
from holdfast.once.outbox.marks import FenceGone, Marks, Overtaken, Replicas
from holdfast.once.outbox.table import NAME_ROW
from holdfast.streams.placing import Placing
from holdfast.streams.producer import partition_of
from holdfast.testing import Proxy, wait_until_async
from tests.integration.sql.outbox_bench import OutboxBench


@pytest.fixture
def bench(backend, url):
    return OutboxBench(backend, url)


@pytest.fixture
def on(arun, bench):
    """Runs a claim, and closes what the bench opened in the same loop."""
    def run(claim):
        async def main():
            try:
                await claim()
            finally:
                await bench.close()

        arun(main())

    return run


#: Claims about Redis alone, on the database that is quickest to make.
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


# -- writing


def test_what_is_committed_is_published_and_what_is_rolled_back_is_not(bench, stream, on):
    async def claim():
        engine = bench.database.plain_engine
        with Session(engine) as session:
            bench.hf.outbox.add(session, stream, {"n": "rolled back"})
            session.rollback()
        with Session(engine) as session, session.begin():
            bench.hf.outbox.add(session, stream, {"n": "committed"}, id="m1", key="k", headers={"who": "ana"})
        async with AsyncSession(bench.database.async_engine) as session:
            await bench.hf.outbox.add_async(session, stream, {"n": "async, rolled back"})
            await session.rollback()
            await bench.hf.outbox.add_async(session, stream, {"n": "async, committed"})
            await session.commit()
        await bench.relayed()
        first, second = bench.entries(stream)
        assert json.loads(first["body"]) == {"n": "committed"}
        assert (first["id"], first["key"], first["h:who"]) == ("m1", "k", "ana")
        assert json.loads(second["body"]) == {"n": "async, committed"}
        assert bench.rows() == []
        assert bench.marks(stream) == set()

    on(claim)


@on_sqlite
def test_an_entry_is_what_publishing_would_have_written(bench, stream, on):
    async def claim():
        await bench.add(stream, {"n": 1}, key="ä", id="m1", type="order.paid", headers={"a": "1"})
        await bench.relayed()
        await bench.hf.publish(stream, {"n": 1}, key="ä", id="m1", type="order.paid", headers={"a": "1"})
        relayed, published = bench.entries(stream)
        assert relayed.pop("at").isdigit()
        assert published.pop("at").isdigit()
        assert relayed == published

    on(claim)


def test_a_row_that_a_driver_writes_by_itself_is_the_row_that_a_session_would_write(bench, stream, on):
    """For transactions that are not SQLAlchemy's: Django's, or those of a bare driver."""
    async def claim():
        engine = bench.database.plain_engine
        said = {"key": "ä", "id": "m1", "type": "order.paid", "headers": {"a": "1"}}
        await bench.add(stream, {"n": 1}, **said)
        message_id, statement, parameters = bench.hf.outbox.statement(engine.dialect.name, stream, {"n": 1}, **said)
        assert message_id == "m1"
        bare = engine.raw_connection()
        try:
            cursor = bare.cursor()
            own = statement.replace("%s", "?") if engine.dialect.paramstyle == "qmark" else statement
            cursor.execute(own, parameters)
            cursor.close()
            bare.commit()
        finally:
            bare.close()
        first, second = (bench.row(number) for number in bench.rows())
        assert (second.stream, second.message_id, second.key) == (first.stream, first.message_id, first.key)
        await bench.relayed()
        by_session, by_driver = bench.entries(stream)
        assert {**by_driver, "at": ""} == {**by_session, "at": ""}

    on(claim)


@on_sqlite
def test_a_session_of_the_other_kind_is_refused_with_advice(bench, stream, on):
    async def claim():
        async with AsyncSession(bench.database.async_engine) as session:
            with pytest.raises(ConfigurationError, match=r"await outbox\.add_async"):
                bench.hf.outbox.add(session, stream, {})
        with Session(bench.database.plain_engine) as session, pytest.raises(ConfigurationError, match=r"outbox\.add\("):
            await bench.hf.outbox.add_async(session, stream, {})

    on(claim)


@on_sqlite
def test_a_stream_name_that_does_not_fit_is_refused_not_shortened(bench, on):
    async def claim():
        with pytest.raises(ConfigurationError, match="191 bytes"):
            await bench.add("s" * 192, {})
        await bench.add("s" * 191, {})

    on(claim)


def test_any_bytes_and_a_large_body_come_through_whole(bench, stream, on):
    async def claim():
        raw = bytes(range(256)) * 3_000
        await bench.add(stream, raw, key="key\x00with:odd{}bytes")
        await bench.relayed()
        [(_, fields)] = bench.backend.admin.xrange(stream)
        assert fields[b"body"] == raw
        assert fields[b"key"] == b"key\x00with:odd{}bytes"

    on(claim)


# -- order


def test_rows_come_in_the_order_of_their_numbers_over_many_rounds(bench, stream, on):
    async def claim():
        for start in range(0, 350, 50):
            await bench.add(stream, *range(start, start + 50))
        await bench.relayed(batch=120)
        assert bench.bodies(stream) == list(range(350))
        assert bench.marks(stream) == set()

    on(claim)


@pytest.mark.parametrize("url", ["postgres", "mariadb"], indirect=True)
def test_a_lower_number_that_commits_later_is_relayed_too(bench, stream, on):
    async def claim():
        engine = bench.database.plain_engine
        async with bench.relaying():
            with engine.begin() as slow:
                bench.hf.outbox.add(slow, stream, "low, late")
                await bench.add(stream, "high, early")
                await wait_until_async(lambda: bench.bodies(stream) == ["high, early"], 10, "the higher one came")
            await wait_until_async(lambda: len(bench.bodies(stream)) == 2, 10, "the lower one came")
        assert bench.bodies(stream) == ["high, early", "low, late"]

    on(claim)


@on_sqlite
def test_keys_lead_to_the_partition_that_publishing_uses(bench, stream, on):
    async def claim():
        async with Holdfast(bench.backend.url) as hf:
            hf.stream(stream, partitions=3)
            keyed = [f"k{n}" for n in range(12)]
            for key in keyed:
                await bench.add(stream, key, key=key)
            ids = await bench.add(stream, *range(6))
            relay = Placing(await hf.open(), {stream: 3})
            await bench.relayed(place=relay)
            for key in keyed:
                assert key in bench.bodies(f"{stream}.{partition_of(key, 3)}")
            for n, message_id in enumerate(ids):
                assert n in bench.bodies(f"{stream}.{partition_of(message_id, 3)}")

    on(claim)


@on_sqlite
def test_a_stream_declared_nowhere_has_the_partitions_its_consumers_agreed_on(bench, stream, on):
    async def claim():
        server = await open_server(bench.backend.url)
        placing = Placing(server, {})
        assert (await placing(stream))("k") == stream
        bench.backend.admin.hset(StreamKeys("hf", f"{stream}.0").meta, "partitions", 4)
        assert (await placing(stream))("k") == f"{stream}.{partition_of('k', 4)}"
        await server.close()

    on(claim)


# -- exactly once


@on_sqlite
def test_a_row_that_was_sent_before_a_crash_is_not_sent_again(bench, stream, on):
    """guard: HEXISTS in relay.lua"""
    async def claim():
        await bench.add(stream, "a", "b", "c")
        await bench.crash_at("outbox.written.after")
        assert bench.bodies(stream) == ["a", "b", "c"]
        await bench.relayed()
        assert bench.bodies(stream) == ["a", "b", "c"]
        assert [event.repeated for event in bench.events_of(ev.OutboxRelayed)] == [0, 3]
        assert bench.marks(stream) == set()

    on(claim)


@on_sqlite
def test_marks_of_a_crash_before_forgetting_are_removed_by_the_next_term(bench, stream, on):
    async def claim():
        await bench.add(stream, "a", "b")
        await bench.crash_at("outbox.deleted.after")
        assert len(bench.marks(stream)) == 2
        await bench.add(stream, "c")
        await bench.relayed()
        assert bench.bodies(stream) == ["a", "b", "c"]
        assert bench.marks(stream) == set()

    on(claim)


@on_sqlite
def test_rows_leave_the_table_only_after_they_are_in_their_stream(bench, stream, on):
    """guard: the order of writing and deleting"""
    async def claim():
        await bench.add(stream, "a")
        [number] = bench.rows()
        await bench.crash_at("outbox.written.after")
        assert bench.bodies(stream) == ["a"]
        assert bench.rows() == [number]

    on(claim)


@on_sqlite
def test_a_predecessor_that_deletes_and_forgets_between_read_and_send_causes_no_double(bench, stream, on):
    """guard: fence before read"""
    async def claim():
        await bench.add(stream, "a")
        [number] = bench.rows()
        server = await open_server(bench.backend.url)
        row, once = bench.row(number), asyncio.Event()

        await bench.relayed()  # the outbox gets its name
        bench.backend.admin.delete(stream)
        name = _name(bench)
        with bench.database.plain_engine.begin() as connection:
            connection.execute(sa.insert(bench.tables.outbox), {
                "number": number + 1000, "stream": stream, "message_id": row.message_id, "msg_key": None,
                "fields": row.fields, "written_ms": row.written_ms})
        old_row = bench.row(number + 1000)
        bench.backend.admin.hdel(StreamKeys("hf", stream).relayed, name)
        old = Marks(server, name, 0, "old", Replicas())
        await old.enter(stream)
        assert (await old.send(stream, [old_row])).error is None

        async def place(logical):
            if not once.is_set():  # the new term has read; the old one only now comes to its end
                once.set()
                bench.remove([old_row.number])
                await old.forget(stream, [old_row.mark])
            return lambda _: logical

        async with bench.relaying(place=place):
            await asyncio.wait_for(once.wait(), 10)
            await bench.drained()
            await bench.add(stream, "b")
            await wait_until_async(lambda: "b" in bench.bodies(stream), 10, "the next row came")
        assert bench.bodies(stream) == ["a", "b"]
        await server.close()

    on(claim)


@on_sqlite
@pytest.mark.kinds("valkey")
@pytest.mark.parametrize("given_back", [True, False], ids=["lease-given-back", "lease-left-to-run-out"])
def test_a_call_in_doubt_that_arrives_late_is_refused(bench, stream, on, monkeypatch, given_back):
    """guard: a call in doubt ends the term, and the next has another epoch even when the old lease is still there"""
    async def not_reached(self, term):
        term.lose("released")
        self._heart.remove(term.pulse)

    async def claim():
        await bench.add(stream, "a")
        if not given_back:
            monkeypatch.setattr(Lease, "release", not_reached)
        with Proxy(bench.backend.masters[0].address) as proxy:
            trap = proxy.eat_reply(to=lambda words: b"send" in words, then="cut")
            async with bench.relaying(url=proxy.through(bench.backend.url)):
                await bench.drained()
                await wait_until_async(lambda: not bench.marks(stream), 10, "its mark is forgotten")
            [words] = trap.eaten
            bench.backend.admin.execute_command(*words)  # it had been on its way all the time
        assert bench.bodies(stream) == ["a"]

    on(claim)


@on_sqlite
def test_a_term_that_was_overtaken_can_do_nothing_on_the_stream(bench, stream, on):
    """guard: epoch in relay.lua"""
    async def claim():
        await bench.add(stream, "a", "b")
        rows = [bench.row(number) for number in bench.rows()]
        server = await open_server(bench.backend.url)
        old, new, other = (Marks(server, "box", epoch, term, Replicas())
                           for epoch, term in ((1, "old"), (2, "new"), (2, "other")))
        await old.enter(stream)
        assert (await old.send(stream, rows[:1])).error is None
        assert await new.enter(stream) == [rows[0].mark]
        assert isinstance((await old.send(stream, rows[1:])).error, Overtaken)
        for late in (old.forget(stream, [rows[0].mark]), old.enter(stream), other.enter(stream)):
            with pytest.raises(Overtaken):
                await late
        assert bench.bodies(stream) == ["a"]
        assert len(bench.marks(stream)) == 1
        await server.close()

    on(claim)


@on_sqlite
def test_a_term_whose_fence_was_lost_with_a_server_sends_nothing_until_it_stands_again(bench, stream, on):
    """guard: fence stands in relay.lua"""
    async def claim():
        await bench.add(stream, "a")
        rows = [bench.row(number) for number in bench.rows()]
        server = await open_server(bench.backend.url)
        marks = Marks(server, "box", 1, "mine", Replicas())
        await marks.enter(stream)
        bench.backend.admin.delete(StreamKeys("hf", stream).relayed)
        assert isinstance((await marks.send(stream, rows)).error, FenceGone)
        with pytest.raises(FenceGone):
            await marks.forget(stream, [rows[0].mark])
        await server.close()
        assert bench.bodies(stream) == []

        bench.remove(bench.rows())
        async with bench.relaying():
            await bench.add(stream, "b")
            await bench.drained()
            bench.backend.admin.delete(StreamKeys("hf", stream).relayed)
            await bench.add(stream, "c")
            await bench.drained()
        assert bench.bodies(stream) == ["b", "c"]

    on(claim)


@on_sqlite
def test_a_server_that_forgot_the_last_rows_gets_those_again_that_are_in_the_table(bench, stream, on):
    async def claim():
        await bench.add(stream, "a", "b")
        await bench.crash_at("outbox.written.after")
        bench.backend.admin.flushall()  # a failover that had got nothing
        await bench.relayed()
        assert bench.bodies(stream) == ["a", "b"]

    on(claim)


@on_sqlite
@pytest.mark.kinds("valkey")
def test_rows_stay_in_the_table_until_replicas_have_them(bench, stream, on):
    """guard: replicas"""
    async def claim():
        await bench.add(stream, "a")
        async with bench.relaying(replicas=1, wait_s=0.05):
            await wait_until_async(lambda: bench.events_of(ev.OutboxStalled), 10, "the lack of replicas is reported")
            assert bench.rows()
        assert "0 of 1 replicas" in bench.events_of(ev.OutboxStalled)[0].error
        await bench.relayed()
        assert bench.bodies(stream) == ["a"]

    on(claim)


@on_sqlite
def test_two_outboxes_share_a_stream_and_take_nothing_for_each_others(bench, stream, on, tmp_path):
    async def claim():
        other = OutboxBench(bench.backend, f"sqlite:///{tmp_path}/other")
        for one in (bench, other):
            await one.add(stream, *(f"{one.url[-5:]} {n}" for n in range(20)))
        assert bench.rows() == other.rows()
        async with bench.relaying(), other.relaying():
            await bench.drained()
            await other.drained()
        assert len(bench.bodies(stream)) == len(set(bench.bodies(stream))) == 40
        assert _name(bench) != _name(other)
        await other.close()

    on(claim)


def test_numbers_that_begin_anew_are_new_rows(bench, stream, on):
    """A table that was truncated, or came back from a dump, counts from 1 again; marks may be left from before."""
    async def claim():
        await bench.add(stream, "a")
        [number] = bench.rows()
        await bench.crash_at("outbox.deleted.after")
        assert bench.marks(stream)
        await bench.add(stream, "b")
        with bench.database.plain_engine.begin() as connection:
            connection.execute(sa.update(bench.tables.outbox).where(bench.tables.outbox.c.number > NAME_ROW)
                               .values(number=number))
        await bench.relayed()
        assert bench.bodies(stream) == ["a", "b"]

    on(claim)


def test_an_outbox_whose_table_was_emptied_under_its_relay_goes_on_under_a_new_name(bench, stream, on):
    async def claim():
        async with bench.relaying():
            await bench.add(stream, "a")
            await bench.drained()
            before = _name(bench)
            with bench.database.plain_engine.begin() as connection:
                connection.execute(sa.delete(bench.tables.outbox))
            await bench.add(stream, "b")
            await bench.drained()
        assert _name(bench) != before
        assert bench.bodies(stream) == ["a", "b"]

    on(claim)


def _name(bench):
    return bench.row(NAME_ROW).message_id


# -- one leads


def test_of_two_relays_one_leads_and_the_other_follows_when_it_ends(bench, stream, on):
    async def claim():
        async with bench.relaying() as first:
            await wait_until_async(lambda: first.inspect().leading, 10, "it leads")
            async with bench.relaying() as second:
                await bench.add(stream, *range(30))
                await bench.drained()
                assert (first.inspect().relayed, second.inspect().relayed) == (30, 0)
                first.stop()
                await wait_until_async(lambda: second.inspect().leading, 10, "the other follows")
                await bench.add(stream, *range(30, 40))
                await bench.drained()
                assert second.inspect().relayed == 10
        assert bench.bodies(stream) == list(range(40))

    on(claim)


@on_sqlite
def test_a_lease_that_lost_its_count_catches_up_with_the_fences(bench, stream, on):
    async def claim():
        await bench.add(stream, "a")
        await bench.relayed()
        keys = StreamKeys("hf", stream)
        bench.backend.admin.hset(keys.relayed, _name(bench), "5000 somebody-before")
        await bench.add(stream, "b")
        await bench.relayed()
        assert bench.bodies(stream) == ["a", "b"]
        assert int(bench.backend.admin.get(LeaseKeys("hf", f"outbox-{_name(bench)}").lease_epoch)) > 5000

    on(claim)


# -- trouble


@on_sqlite
def test_a_stream_that_refuses_holds_up_no_other_and_keeps_its_order(bench, stream, on):
    """guard: rows of a resting stream are not read"""
    async def claim():
        bench.backend.admin.set(f"{stream}-bad", "not a stream")
        await bench.add(f"{stream}-bad", *range(10))
        await bench.add(stream, "fine")
        async with bench.relaying(batch=5) as relay:
            await wait_until_async(lambda: bench.bodies(stream) == ["fine"], 10, "the other stream's row came")
            await wait_until_async(lambda: len(bench.rows()) == 10, 10, "and left the table")
            assert f"{stream}-bad" in relay.inspect().stalled
            assert f"{stream}-bad" in bench.events_of(ev.OutboxStalled)[0].error
            bench.backend.admin.delete(f"{stream}-bad")
            await bench.drained()
            assert relay.inspect().stalled == {}
        assert bench.bodies(f"{stream}-bad") == list(range(10))

    on(claim)


@on_sqlite
def test_a_wrong_number_of_partitions_stalls_that_stream_alone(bench, stream, on):
    async def claim():
        bench.backend.admin.hset(StreamKeys("hf", f"{stream}-p.0").meta, "partitions", 4)
        await bench.add(f"{stream}-p", "a")
        await bench.add(stream, "fine")
        server = await open_server(bench.backend.url)
        async with bench.relaying(place=Placing(server, {f"{stream}-p": 3})):
            await wait_until_async(lambda: bench.bodies(stream) == ["fine"], 10, "the other stream's row came")
            await wait_until_async(lambda: len(bench.rows()) == 1, 10, "and left the table")
        assert "4 partitions" in bench.events_of(ev.OutboxStalled)[0].error
        await server.close()

    on(claim)


def test_a_missing_table_is_said_with_advice(backend, url, arun):
    async def claim():
        server = await open_server(backend.url)
        async with Holdfast(backend.url, sql=url) as hf:
            with pytest.raises(ConfigurationError, match="holdfast sql init"):
                await (await hf.relay()).run()
        await server.close()

    arun(claim())


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_an_engine_that_shows_what_is_not_committed_is_refused(backend, url, arun):
    """guard: dirty reads"""
    async def claim():
        engine = sa.create_engine(url.replace("mariadb://", "mariadb+pymysql://"), isolation_level="READ UNCOMMITTED")
        with engine.begin() as connection:
            create_all(connection, Tables())
        async with Holdfast(backend.url, sql=engine) as hf:
            with pytest.raises(ConfigurationError, match="not committed"):
                await (await hf.relay()).run(until_empty=True)
        engine.dispose()

    arun(claim())


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
def test_a_plain_engine_of_the_users_serves_too(backend, url, stream, arun):
    async def claim():
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            create_all(connection, Tables())
        async with Holdfast(backend.url, sql=engine) as hf:
            with engine.begin() as connection:
                hf.outbox.add(connection, stream, 1)
            await (await hf.relay()).run(until_empty=True)
        assert backend.admin.xlen(stream) == 1
        engine.dispose()

    arun(claim())


@on_sqlite
def test_a_poke_makes_it_immediate_and_the_backlog_is_told(bench, stream, on):
    async def claim():
        async with bench.relaying(poll_s=60) as relay:
            await wait_until_async(lambda: bench.events_of(ev.OutboxBacklog), 10, "a first look at the table")
            await bench.add(stream, "a")
            await asyncio.to_thread(relay.poke)
            await bench.drained(10)
        first = bench.events_of(ev.OutboxBacklog)[0]
        assert (first.rows, first.oldest_s) == (0, 0.0)

    on(claim)


@on_sqlite
def test_what_waits_is_listed_by_stream(bench, stream, on):
    async def claim():
        from holdfast.once.outbox.store import OutboxStore

        await bench.add(stream, "a", "b")
        await bench.add(f"{stream}-2", "c")
        store = OutboxStore(bench.database)
        waiting = await store.by_stream()
        assert [(w.stream, w.rows) for w in waiting] == [(stream, 2), (f"{stream}-2", 1)]
        assert all(w.bytes > 0 and w.oldest_ms > 0 for w in waiting)
        assert (await store.backlog())[0] == 3

    on(claim)


def test_the_database_shared_with_the_user_is_left_open(bench, stream, on):
    async def claim():
        await bench.add(stream, 1)
        relay = await bench.hf.relay()
        await relay.run(until_empty=True)
        assert isinstance(bench.database, Database)
        assert bench.rows() == []

    on(claim)
