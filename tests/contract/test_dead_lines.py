# SPDX-License-Identifier: Apache-2.0
"""What everything that keeps dead lines keeps to, run against each of them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from msgspec.structs import replace

from holdfast._base.clock import SystemClock
from holdfast._redis.open import open_server
from holdfast.consume.memory import MemoryBroker
from holdfast.errors import LetterNotFound
from holdfast.logs.dead import BrokerDeadLines, FileDeadLines, QueueDeadLines, SqlDeadLines, StreamDeadLines
from holdfast.logs.dead_lines import DeadChoice, DeadStock, dead_line
from holdfast.logs.line import Line, Source
from holdfast.logs.record import Rejected
from holdfast.logs.sink import SinkDown
from holdfast.testing.ports import free_port
from tests.contract.benches import stream_bench

ODD = b'\xff\x00 \xe2\x82\xac {"a": "\\u0000"}\r\n'


def dead(n, reason="not_json", *, raw=None, path="/var/log/app.log", ms=None, **more):
    line = Line(source=Source(id="s1", path=path, head="ab" * 32, head_bytes=64), offset=n * 100, number=n + 1,
                raw=ODD if raw is None else raw, lines=2)
    made = dead_line(Rejected(line=line, stage="decode", reason=reason, detail=f"at byte {n}", at_byte=n,
                              error="DecodeError"), now_ms=1_000 * (n + 1) if ms is None else ms, pipeline="app",
                     run="r1", parser="json/1", trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    return replace(made, **more)


@contextlib.asynccontextmanager
async def bench(kind, tmp_path, request, stream):
    """A function that makes one more on the same place."""
    if kind == "file":
        yield lambda: FileDeadLines(tmp_path / "dead", segment_bytes=2_000)
    elif kind.startswith("sql"):
        name = kind.partition("-")[2]
        url = f"sqlite:///{tmp_path}/db" if name == "sqlite" else request.getfixturevalue(name).database()
        yield lambda: SqlDeadLines(url)
    elif kind == "stream":
        server = await open_server(request.getfixturevalue("valkey").url)
        try:
            yield lambda: StreamDeadLines(stream, server=server)
        finally:
            await server.close()
    elif kind in ("queue-rabbitmq", "queue-kafka"):
        broker = request.getfixturevalue(kind.removeprefix("queue-"))
        if kind.endswith("kafka"):  # a mock cluster makes topics slowly
            broker.create(f"{stream}.logs.dead", 1)
        yield lambda: BrokerDeadLines(stream, url=broker.url)
    elif kind == "queue-streams":
        async with stream_bench(request.getfixturevalue("valkey").url, stream) as there:
            async def publish_there(fields):
                await there.call("XADD", stream, "*", *fields)

            yield lambda: QueueDeadLines(publish_there, lambda: there.source("tools"), quiet_s=0.3)
    else:
        broker = MemoryBroker(SystemClock())

        async def publish(fields):
            broker.add("dead", fields)

        yield lambda: QueueDeadLines(publish, lambda: broker.source("dead", "tools"), quiet_s=0.05)


KINDS = ["file", "sql-sqlite", "sql-postgres", "sql-mariadb", "stream", "queue", "queue-streams", "queue-rabbitmq",
         "queue-kafka"]


@pytest.fixture
def valkey():
    from holdfast.testing.single import Single

    with Single() as single:
        yield single


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def on(kind, tmp_path, request, stream, arun):
    """Runs a claim against two of this kind on one place: a pipeline's and a tool's."""
    for name in ("postgres", "mariadb", "rabbitmq", "kafka"):
        if kind.endswith(name):
            request.getfixturevalue(name)
    if kind in ("stream", "queue-streams"):
        request.getfixturevalue("valkey")

    def run(claim):
        async def work():
            async with bench(kind, tmp_path, request, stream) as make:
                one, other = make(), make()
                await one.open()
                await other.open()
                try:
                    await claim(one, other)
                finally:
                    await one.close()
                    await other.close()

        arun(work())

    return run


async def kept(lines, choice=None):
    return [line async for line in lines.list(choice)]


def test_what_was_put_is_there_to_the_last_byte(on):
    async def claim(one, other):
        put = [dead(n) for n in range(3)]
        await one.put(put)
        assert await kept(other) == put
        assert [line.raw for line in await kept(one)] == [ODD] * 3

    on(claim)


def test_twice_is_once_and_keeps_the_first_time_and_the_most_attempts(on):
    async def claim(one, other):
        await one.put([dead(0, ms=5_000), dead(0, ms=5_000)])
        await other.put([dead(0, "truncated", ms=9_000, attempts=2)])
        await one.put([dead(0, "bad_utf8", ms=7_000)])
        [found] = await kept(other)
        assert (found.first_ms, found.last_ms, found.attempts, found.reason) == (5_000, 9_000, 2, "bad_utf8")
        assert (await one.stock()).count == 1

    on(claim)


def test_the_oldest_come_first_whoever_put_them(on):
    async def claim(one, other):
        await one.put([dead(2), dead(3)])
        await other.put([dead(0), dead(1)])
        assert [line.offset for line in await kept(one)] == [0, 100, 200, 300]

    on(claim)


def test_those_that_are_meant_are_chosen(on):
    async def claim(one, other):
        await one.put([dead(0), dead(1, "bad_utf8"), dead(2, path="/var/log/b.log"), dead(3, stage="sink")])

        async def offsets(**choice):
            return [line.offset // 100 for line in await kept(other, DeadChoice(**choice))]

        assert await offsets(reason="bad_utf8") == [1]
        assert await offsets(path="/var/log/b.log") == [2]
        assert await offsets(stage="sink") == [3]
        assert await offsets(since_ms=3_000) == [2, 3]
        assert await offsets(until_ms=3_000) == [0, 1]
        assert await offsets(ids=(dead(0).id, dead(3).id)) == [0, 3]
        assert await offsets(reason="not_json", ids=(dead(1).id,)) == []

    on(claim)


def test_one_is_found_by_its_id_and_by_the_beginning_of_it(on):
    async def claim(one, other):
        await one.put([dead(n) for n in range(4)])
        assert await other.get(dead(2).id) == dead(2)
        assert await other.get(dead(2).id[:12]) == dead(2)
        for wrong in ("", dead(2).id[:2], "0" * 64, dead(2).id[:-1] + "~", "%"):
            with pytest.raises(LetterNotFound):
                await other.get(wrong)

    on(claim)


def test_what_is_removed_is_gone_for_all_and_removing_again_is_none(on):
    async def claim(one, other):
        await one.put([dead(n) for n in range(4)])
        assert await other.remove([dead(1).id, dead(3).id, dead(3).id, "unknown"]) == 2
        assert [line.offset for line in await kept(one)] == [0, 200]
        assert await one.remove([dead(1).id]) == 0
        assert await one.remove([]) == 0
        with pytest.raises(LetterNotFound):
            await one.get(dead(1).id)

    on(claim)


def test_what_was_removed_can_die_again(on):
    async def claim(one, other):
        await one.put([dead(0)])
        await one.remove([dead(0).id])
        await other.put([dead(0, ms=9_000)])
        [found] = await kept(one)
        assert (found.first_ms, found.attempts) == (9_000, 1)

    on(claim)


def test_an_edit_stays_when_the_file_s_own_bytes_come_again(on):
    async def claim(one, other):
        await one.put([dead(0)])
        await other.put([replace(dead(0), raw=b"{}\n", edited_from="f" * 64)])
        await one.put([dead(0)])
        [found] = await kept(one)
        assert (found.raw, found.edited_from) == (b"{}\n", "f" * 64)

    on(claim)


def test_the_stock_counts(on):
    async def claim(one, other):
        assert await one.stock() == DeadStock(count=0, bytes=0, oldest_ms=0)
        await one.put([dead(3), dead(1), dead(2)])
        stock = await other.stock()
        assert (stock.count, stock.oldest_ms) == (3, 2_000)
        assert stock.bytes >= 3 * len(ODD)

    on(claim)


def test_more_than_a_page_goes_in_and_comes_out(on):
    async def claim(one, other):
        put = [dead(n, raw=b"x%d\n" % n, ms=1_000 + n // 700) for n in range(1_300)]
        await one.put(put)
        assert {line.id for line in await kept(other)} == {line.id for line in put}
        assert await one.remove([line.id for line in put[:1_100]]) == 1_100
        assert len(await kept(other)) == 200

    on(claim)


def test_a_large_line_is_kept_whole(on):
    async def claim(one, other):
        put = dead(0, raw=bytes(range(256)) * 8_192)
        await one.put([put])
        assert await other.get(put.id) == put

    on(claim)


@pytest.mark.parametrize("kind", ["queue-rabbitmq"], indirect=True)
def test_who_looks_while_somebody_reads_waits_and_sees_all(on):
    async def claim(one, other):
        await one.put([dead(n) for n in range(5)])
        async with one._held() as letters:
            looking = asyncio.create_task(kept(other))
            await asyncio.wait({looking}, timeout=0.5)
            assert not looking.done(), "guard: somebody else reads, and is waited for"
            assert len(letters) == 5
        assert len(await looking) == 5

    on(claim)


#: All but queues of any kind, where who looks takes all from the others meanwhile.
TO_LOOK_AT = [kind for kind in KINDS if kind not in ("queue", "queue-streams")]


@pytest.mark.parametrize("kind", TO_LOOK_AT, indirect=True)
def test_two_who_look_at_once_see_all_of_it(on):
    async def claim(one, other):
        await one.put([dead(n) for n in range(50)])
        found = await asyncio.gather(*(kept(lines) for lines in (one, other)))
        assert [len(each) for each in found] == [50, 50]

    on(claim)


ASKING = {
    "stream": lambda port: StreamDeadLines("s", url=f"redis://127.0.0.1:{port}"),
    "sql-postgres": lambda port: SqlDeadLines(f"postgresql://127.0.0.1:{port}/x"),
    "sql-mariadb": lambda port: SqlDeadLines(f"mariadb://127.0.0.1:{port}/x"),
    "queue-rabbitmq": lambda port: BrokerDeadLines("s", url=f"amqp://127.0.0.1:{port}/"),
    "queue-kafka": lambda port: BrokerDeadLines("s", url=f"kafka://127.0.0.1:{port}"),
}


@pytest.mark.parametrize("kind", ASKING)
def test_what_cannot_be_reached_says_so(kind, arun):
    async def claim():
        lines = ASKING[kind](free_port())
        with pytest.raises(SinkDown):
            await lines.open()
        await lines.close()

    arun(claim())
