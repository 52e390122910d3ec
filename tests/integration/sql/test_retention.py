# SPDX-License-Identifier: Apache-2.0
"""Inbox rows go when their messages can no longer come, and not before."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from holdfast import Holdfast
from holdfast._base.clock import SystemClock
from holdfast._redis.heart import Heart
from holdfast._redis.keys import GroupKeys, StreamKeys
from holdfast.consume.gate import Gate
from holdfast.once import SqlOnce, in_sql, locked
from holdfast.once.retention import SLACK_MS, edge_ms, prune_rows
from tests.integration.sql.bench import Bench, on
from tests.support.protocol import desk_at

DAY_MS = 86_400_000


def filled(url: str, ages_days: list[float]) -> Bench:
    bench = Bench(url)
    now = time.time() * 1000
    with bench.eye.plain_engine.begin() as connection:
        connection.execute(sa.insert(bench.tables.inbox), [
            {"stream": "orders", "grp": "billing", "handler": "bill", "message_id": f"m{days}", "entry": "",
             "applied_ms": int(now - days * DAY_MS)} for days in ages_days])
    return bench


def test_a_row_goes_when_it_is_old_and_every_partition_is_past_it(url, backend, stream):
    bench = filled(url, [1, 10, 40])

    async def claim():
        async with desk_at(backend.url, stream) as desk:
            groups = [GroupKeys("hf", f"{stream}.{n}", "billing") for n in range(2)]
            now = await desk.now_ms()
            await desk.server.shared(groups[0].low).call("HSET", groups[0].low, "id", f"{now}-0")
            assert await prune_rows(desk.server, groups, bench.once, 30 * DAY_MS) == 0  # one says nothing
            await desk.server.shared(groups[1].low).call("HSET", groups[1].low, "id", f"{now - 20 * DAY_MS}-0")
            assert await prune_rows(desk.server, groups, bench.once, 30 * DAY_MS) == 1
            assert await prune_rows(desk.server, groups, bench.once, 5 * DAY_MS) == 0  # the slower partition holds it
            await desk.server.shared(groups[1].low).call("HSET", groups[1].low, "id", f"{now}-0")
            assert await prune_rows(desk.server, groups, bench.once, 5 * DAY_MS) == 1
            assert bench.inbox() == ["m1"]

    on(bench, claim)


@pytest.mark.parametrize("where", ["replay", "parked", "later"])
def test_nothing_goes_while_something_older_than_its_place_waits(backend, stream, arun, where):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await desk.call("HSET", desk.keys.low, "id", f"{await desk.now_ms()}-0")
            if where == "later":
                await desk.call("ZADD", desk.beside.later, 1, "m")
            else:
                await desk.call("XADD", getattr(desk.keys, where), "*", "body", "1")
            assert await edge_ms(desk.server, [desk.keys], 0) is None
            await desk.call("DEL", StreamKeys("hf", stream).later, desk.keys.replay, desk.keys.parked)
            edge = await edge_ms(desk.server, [desk.keys], DAY_MS)
            assert abs(edge - (await desk.now_ms() - DAY_MS - SLACK_MS)) < 5000

    arun(scenario())


@pytest.mark.parametrize("mode", ["sql", "locked"])
def test_a_worker_looks_after_the_rows_of_its_consumers(backend, stream, arun, tmp_path, mode):
    """Also of those whose record lies behind a lock."""
    hf = Holdfast(backend.url, sql=f"sqlite:///{tmp_path}/db")
    hf.stream(stream, partitions=2)

    @hf.consumer(stream, group="billing", once=in_sql(kept_days=30) if mode == "sql" else locked(inner=in_sql()))
    async def bill(body: str) -> None: ...

    async def scenario():
        async with hf:
            server = await hf.open()
            heart = Heart(server, SystemClock(), hf.events)
            running = [hf._assembly(server, heart).running(d, Gate(), None) for d in hf._declared]
            (rows,) = hf._assembly(server, heart).rows(hf._declared, running)
            assert isinstance(rows.records, SqlOnce)
            assert [keys.stream for keys in rows.groups] == [f"{stream}.0", f"{stream}.1"]
            assert rows.kept_ms == 30 * DAY_MS

    arun(scenario())
