# SPDX-License-Identifier: Apache-2.0
"""What every sink of logs keeps, run against each of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import aio_pika
import duckdb
import pytest
import sqlalchemy as sa

from holdfast._kafka.look import read_through
from holdfast._kafka.urls import parse_url
from holdfast._redis.open import open_server
from holdfast.logs.line import Line, Source
from holdfast.logs.record import Record
from holdfast.logs.sink import SinkDown
from holdfast.logs.sinks import SINKS, sink_class
from holdfast.testing.ports import free_port
from tests.contract.rabbit_bench import rabbit_bench
from tests.integration.logs.sinks.servers import Bulk, Collector

ONCE = {"sql", "duckdb", "parquet", "elastic"}


def record(n, fields=None, *, source="s1", path="/var/log/app.log"):
    line = Line(source=Source(id=source, path=path), offset=n * 20, number=n + 1, raw=b"x" * 19 + b"\n")
    return Record(id=line.id, line=line, fields={"n": n} if fields is None else fields, timestamp_ns=n * 10**9)


class Bench:
    """A sink and what lies in it: ``ids()``, as often as they are there; ``make()``: another one on the same."""

    def __init__(self, make, ids):
        self.make, self.ids = make, ids


@contextlib.asynccontextmanager
async def bench(kind, tmp_path, request, stream):
    if kind == "file":
        path = tmp_path / "out.jsonl"
        yield Bench(lambda: sink_class("file")(path), lambda: _ids(path.read_bytes().splitlines()))
    elif kind == "duckdb":
        path = tmp_path / "out.duckdb"
        yield Bench(lambda: sink_class("duckdb")(path), lambda: _duck(path))
    elif kind == "parquet":
        folder = tmp_path / "parquet"
        yield Bench(lambda: sink_class("parquet")(folder), lambda: _parquet(folder))
    elif kind.startswith("sql"):
        name = kind.partition("-")[2]
        url = f"sqlite:///{tmp_path}/db" if name == "sqlite" else request.getfixturevalue(name).database()
        yield Bench(lambda: sink_class("sql")(url), lambda: _rows(url))
    elif kind.startswith("stream"):
        backend = request.getfixturevalue("_valkey")
        server = await open_server(backend.url)
        window_s = 60.0 if kind.endswith("window") else 0.0
        try:
            yield Bench(lambda: sink_class("stream")(stream, server=server, window_s=window_s),
                        lambda: _entries(backend, stream))
        finally:
            await server.close()
    elif kind == "queue-rabbitmq":
        url = request.getfixturevalue("rabbitmq").url
        async with rabbit_bench(url, stream) as there:
            there.source("tools")
            await there.broker.prepare(there.broker.names(stream, "tools"))
            yield Bench(lambda: sink_class("queue")(stream, url=url), lambda: _lying(url, f"{stream}/tools"))
    elif kind == "queue-kafka":
        cluster = request.getfixturevalue("kafka")
        cluster.create(stream, 1)
        yield Bench(lambda: sink_class("queue")(stream, url=cluster.url), lambda: _records(cluster, stream))
    elif kind == "otlp":
        async with Collector().served() as server:
            yield Bench(lambda: sink_class("otlp")(server.url), lambda: [_uid(one) for one in server.records])
    else:
        async with Bulk().served() as server:
            yield Bench(lambda: sink_class("elastic")(server.url, "logs"), lambda: [key[1] for key in server.docs])


def _ids(lines):
    return [json.loads(line)["id"] for line in lines]


def _duck(path):
    with duckdb.connect(str(path)) as connection:
        return [row[0] for row in connection.execute('SELECT id FROM log ORDER BY "position"').fetchall()]


def _parquet(folder):
    if not any(folder.glob("*.parquet")):
        return []
    with duckdb.connect() as connection:
        return [row[0] for row in connection.execute(
            f"""SELECT id FROM '{folder}/*.parquet' ORDER BY "position" """).fetchall()]


def _rows(url):
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
    scheme, _, rest = url.partition("://")
    engine = sa.create_engine(f"{driver.get(scheme, scheme)}://{rest}")
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT id FROM holdfast_log ORDER BY position")).scalars().all()
    engine.dispose()
    return [one.decode() if isinstance(one, bytes) else one for one in found]


def _entries(backend, stream):
    return [fields[b"id"].decode() for _, fields in backend.admin.xrange(stream)]


def _records(cluster, stream):
    return [dict(one.headers)["hf:id"].decode() for one in read_through(parse_url(cluster.url).config, stream)]


def _lying(url, queue):
    """The ids of what lies in a queue, which stays there."""
    async def looked():
        async with await aio_pika.connect(url) as connection:
            there = await (await connection.channel()).get_queue(queue)
            return [one.message_id for _ in range(there.declaration_result.message_count) if (one := await there.get())]

    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, looked()).result()


def _uid(one):
    [found] = [a["value"]["stringValue"] for a in one["attributes"] if a["key"] == "log.record.uid"]
    return found


KINDS = ["file", "duckdb", "parquet", "sql-sqlite", "sql-postgres", "sql-mariadb", "stream", "stream-window", "otlp",
         "elastic", "queue-rabbitmq", "queue-kafka"]


@pytest.fixture
def _valkey():
    from holdfast.testing.single import Single

    with Single() as single:
        yield single


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def on(kind, tmp_path, request, stream, arun):
    """Runs a claim against a bench of this kind."""
    for name in ("postgres", "mariadb", "rabbitmq", "kafka"):
        if kind.endswith(name):
            request.getfixturevalue(name)
    if kind.startswith("stream"):
        request.getfixturevalue("_valkey")

    def run(claim):
        async def work():
            async with bench(kind, tmp_path, request, stream) as found:
                await claim(found)

        arun(work())

    return run


async def written(made, *batches):
    await made.open()
    try:
        return [await made.write(batch) for batch in batches]
    finally:
        await made.close()


def test_the_kit_leaves_no_kind_out():
    assert {kind.partition("-")[0] for kind in KINDS} == set(SINKS)


def test_a_batch_is_there_in_its_order_when_it_was_written(on):
    async def claim(found):
        batch = [record(n) for n in range(5)]
        assert await written(found.make(), batch, []) == [[], []]
        assert found.ids() == [one.id for one in batch]

    on(claim)


def test_it_says_of_itself_whether_twice_is_once_and_keeps_it(on, kind):
    async def claim(found):
        batch = [record(n) for n in range(5)]
        made = found.make()
        assert made.keeps_once is (kind.partition("-")[0] in ONCE)
        assert await written(made, batch, batch) == [[], []]
        assert await written(found.make(), [*batch[2:], record(5)]) == [[]]  # after a crash, cut elsewhere
        if made.keeps_once or kind in ("file", "stream-window"):
            assert sorted(found.ids()) == sorted(record(n).id for n in range(6))
        assert set(found.ids()) == {record(n).id for n in range(6)}

    on(claim)


def test_a_record_inside_a_range_that_was_written_joins_it(on):
    async def claim(found):
        await written(found.make(), [record(0), record(1), record(3), record(4)])
        await written(found.make(), [record(2)])
        assert sorted(found.ids()) == sorted(record(n).id for n in range(5))

    on(claim)


def test_a_bad_record_is_refused_alone_and_named(on):
    async def claim(found):
        batch = [record(0), record(1, {"x": object()}), record(2), record(3, {"x": "\ud800"})]
        [refused] = await written(found.make(), batch)
        assert [one.index for one in refused] == [1, 3]
        assert all(one.reason and one.detail for one in refused)
        assert found.ids() == [batch[0].id, batch[2].id]

    on(claim)


def test_whatever_stands_in_a_file_goes_in(on):
    async def claim(found):
        odd = {"text": "\0 \u2028 \U0001f409 'quoted' \"twice\" \\ \x1b[31m", "deep": {"a": [1, {"b": None}]},
               "big": 2**63 - 1, "float": 1.5, "flag": True, "nothing": None, "": "no name"}
        batch = [record(0, odd, path="/var/log/\udcff odd.log"), record(1, {}, source="s/2 'ö'")]
        assert await written(found.make(), batch) == [[]]
        assert sorted(found.ids()) == sorted(one.id for one in batch)

    on(claim)


def test_several_sources_go_side_by_side(on):
    async def claim(found):
        batch = [record(n // 2, source=f"s{n % 2}") for n in range(6)]
        assert await written(found.make(), batch) == [[]]
        assert sorted(found.ids()) == sorted(one.id for one in batch)

    on(claim)


def test_closing_twice_is_harmless(on):
    async def claim(found):
        made = found.make()
        await made.open()
        await made.close()
        await made.close()

    on(claim)


ASKING = {
    "otlp": lambda port: sink_class("otlp")(f"http://127.0.0.1:{port}"),
    "elastic": lambda port: sink_class("elastic")(f"http://127.0.0.1:{port}", "logs"),
    "stream": lambda port: sink_class("stream")("s", url=f"redis://127.0.0.1:{port}"),
    "queue-rabbitmq": lambda port: sink_class("queue")("s", url=f"amqp://127.0.0.1:{port}/"),
    "queue-kafka": lambda port: sink_class("queue")("s", url=f"kafka://127.0.0.1:{port}"),
    "sql-postgres": lambda port: sink_class("sql")(f"postgresql://127.0.0.1:{port}/x"),
    "sql-mariadb": lambda port: sink_class("sql")(f"mariadb://127.0.0.1:{port}/x"),
}


@pytest.mark.parametrize("kind", ASKING)
def test_what_cannot_be_reached_is_down_and_nothing_is_refused(kind, arun):
    async def opened_and_written(sink):
        await sink.open()
        await sink.write([record(0)])

    async def claim():
        sink = ASKING[kind](free_port())
        with pytest.raises(SinkDown):
            await opened_and_written(sink)
        await sink.close()

    arun(claim())
