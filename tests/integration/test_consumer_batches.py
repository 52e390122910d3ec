# SPDX-License-Identifier: Apache-2.0
"""Batch handlers: an outcome for each member, and a failed batch that convicts nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast import Drop, Fixed, Reject, Retry
from holdfast._base import events as ev
from holdfast._sql import Database, Tables, create_all
from holdfast.consume.policy import NEVER
from holdfast.errors import BadHandler, ConfigurationError
from tests.support.protocol import GROUP, Service, desk_at, eventually

BATCH = {"batch": True, "batch_size": 10, "batch_wait_s": 0.2, "concurrency": 1}


class Order(msgspec.Struct):
    id: str


def by_id(letters: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {letter["id"]: letter for letter in letters}


async def publish(service: Service, stream: str, *names: str) -> None:
    for name in names:
        await service.hf.publish(stream, Order(name), id=name)


def test_each_member_has_its_own_outcome(backend, stream, arun):
    answers: dict[str, Any] = {"bad": Reject("no such customer", code="C1"), "old": Drop("superseded"),
                               "odd": ValueError("of this one"), "ok": None}

    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=Retry(attempts=3, backoff=Fixed(0.02)), **BATCH)
        async def handle(orders: list[Order]) -> list[Any]:
            seen.append([order.id for order in orders])
            found = [answers.get(order.id) for order in orders]
            if "again" in seen[-1] and sum("again" in names for names in seen) == 1:
                found[seen[-1].index("again")] = Retry(after=0.02)
            return found

        await publish(service, stream, "ok", "bad", "old", "odd", "again")
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(lambda: sum("odd" in names for names in seen) == 3, "the failing one is tried three times")
            await eventually(desk.is_through, "all are settled")
            letters = by_id(await desk.letters())
            assert {name: letter["x-dlq-failure-reason"] for name, letter in letters.items()} == {
                "bad": "rejected", "odd": "max_attempts"}
            assert letters["odd"]["x-dlq-attempts"] == "3"
        counts = {name: sum(name in names for names in seen) for name in ("ok", "bad", "old", "again")}
        assert counts == {"ok": 1, "bad": 1, "old": 1, "again": 2}
        assert sum(e.dropped for e in service.told.of(ev.Settled)) == 1

    arun(scenario())


def test_one_bad_body_does_not_fail_the_batch(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, **BATCH)
        async def handle(orders: list[Order]) -> None:
            seen.append([order.id for order in orders])

        await publish(service, stream, "o-1", "o-2")
        await service.hf.publish(stream, {"id": 7}, id="invalid")
        async with desk_at(backend.url, stream) as desk:
            await desk.call("XADD", stream, "*", "id", "broken", "body", "{")
            async with service:
                await eventually(lambda: seen, "the good ones run")
                letters = by_id(await eventually(desk.letters, "the bad ones are dead"))
                await eventually(desk.is_through, "all are settled")
        assert seen == [["o-1", "o-2"]]
        assert {name: letter["x-dlq-failure-reason"] for name, letter in letters.items()} == {
            "invalid": "schema_invalid", "broken": "decode_error"}

    arun(scenario())


def test_a_slow_handler_is_given_whole_batches(backend, stream, arun):
    """One that takes as long for one message as for ten would otherwise be fed one by one, and stay slow."""

    async def scenario():
        service, sizes = Service(backend.url), []

        @service.consumer(stream, group=GROUP, **BATCH)
        async def handle(orders: list[Order]) -> None:
            sizes.append(len(orders))
            await asyncio.sleep(0.1)

        await publish(service, stream, *(f"o-{n}" for n in range(40)))
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(lambda: sum(sizes) == 40, "all run")
            await eventually(desk.is_through, "and are settled")
        assert sizes == [10] * 4

    arun(scenario())


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_a_failed_batch_runs_its_members_alone_and_counts_no_attempt(backend, stream, arun, plain):
    async def scenario():
        service, seen = Service(backend.url), []

        def work(orders: list[Order]) -> None:
            seen.append([order.id for order in orders])
            if "poison" in seen[-1]:
                raise ValueError("somebody in here")

        if plain:
            @service.consumer(stream, group=GROUP, retry=NEVER, **BATCH)
            def handle(orders: list[Order]) -> None:
                work(orders)
        else:
            @service.consumer(stream, group=GROUP, retry=NEVER, **BATCH)
            async def handle(orders: list[Order]) -> None:
                work(orders)

        await publish(service, stream, "o-1", "poison", "o-2")
        async with service, desk_at(backend.url, stream) as desk:
            (letter,) = await eventually(desk.letters, "the poison is dead")
            await eventually(desk.is_through, "all are settled")
            assert (letter["id"], letter["x-dlq-attempts"]) == ("poison", "1")
        assert seen == [["o-1", "poison", "o-2"], ["o-1"], ["poison"], ["o-2"]]
        assert [e.message_id for e in service.told.of(ev.AttemptFailed)] == ["poison"]

    arun(scenario())


def test_an_overdue_batch_is_cut_off_and_the_slow_member_found(backend, stream, arun):
    async def scenario():
        service, done = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=NEVER, timeout_s=0.2, **BATCH)
        async def handle(orders: list[Order]) -> None:
            if any(order.id == "slow" for order in orders):
                await asyncio.sleep(30)
            done.extend(order.id for order in orders)

        await publish(service, stream, "o-1", "slow", "o-2")
        async with service, desk_at(backend.url, stream) as desk:
            (letter,) = await eventually(desk.letters, "the slow one is dead")
            await eventually(desk.is_through, "all are settled")
            assert (letter["id"], letter["x-dlq-failure-reason"]) == ("slow", "timeout")
        assert sorted(done) == ["o-1", "o-2"]

    arun(scenario())


def test_the_wrong_number_of_outcomes_acknowledges_nobody_on_a_guess(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=NEVER, **BATCH)
        async def handle(orders: list[Order]) -> list[Any]:
            seen.append(len(orders))
            return [None, None, None]

        await publish(service, stream, "o-1", "o-2")
        async with service, desk_at(backend.url, stream) as desk:
            letters = await eventually(lambda: two(desk), "both are dead, each by its own attempt")
            assert {letter["x-dlq-exception-type"] for letter in letters} == {f"{BadHandler.__module__}.BadHandler"}
        assert seen == [2, 1, 1]

    async def two(desk):
        found = await desk.letters()
        return found if len(found) == 2 else None

    arun(scenario())


def test_draining_hands_back_members_of_a_failed_batch_that_have_not_run(backend, stream, arun):
    """The first member runs alone for long; those behind it have started nothing and are nobody's by then."""

    async def scenario():
        service, heir, alone, seen = Service(backend.url), Service(backend.url), asyncio.Event(), []

        @service.consumer(stream, group=GROUP, **BATCH)
        async def handle(orders: list[Order]) -> None:
            if len(orders) > 1:
                raise ValueError("one of you")
            alone.set()
            await asyncio.sleep(0.3)

        @heir.consumer(stream, group=GROUP, **BATCH)
        async def inherit(orders: list[Order]) -> None:
            seen.extend(order.id for order in orders)

        await publish(service, stream, "o-1", "o-2", "o-3")
        async with desk_at(backend.url, stream) as desk:
            await service.start()
            await alone.wait()
            await service.stop(drain_s=5)
            assert {owner for owner, _ in (await desk.pending()).values()} == {"hf.parked"}
            async with heir:
                await eventually(desk.is_through, "the others run elsewhere")
        assert sorted(seen) == ["o-2", "o-3"]
        assert not heir.told.of(ev.TakenOver)

    arun(scenario())


def test_what_goes_with_no_batch_is_refused_where_it_is_declared(backend, stream):
    service = Service(backend.url)

    async def around(delivery, call_next): ...

    with pytest.raises(ConfigurationError, match="batch"):
        @service.consumer(stream, group=GROUP, batch=True, middleware=[around])
        async def handle(orders: list[Order]) -> None: ...


# -- once ------------------------------------------------------------------------------------------------------------


metadata = sa.MetaData()
applied = sa.Table("applied", metadata, sa.Column("n", sa.Integer, primary_key=True), sa.Column("id", sa.String(60)))


def test_members_applied_before_are_left_out_of_the_batch(backend, stream, arun, tmp_path):
    """The same message twice in the stream, and in two batches: under ``once`` the handler sees it a single time."""
    url = f"sqlite:///{tmp_path / 'effects.db'}"
    database = Database(url)
    with database.plain_engine.begin() as connection:
        create_all(connection, Tables())
        metadata.create_all(connection)

    async def scenario():
        service, seen = Service(backend.url, sql=url), []

        @service.consumer(stream, group=GROUP, once="sql", **BATCH)
        async def handle(orders: list[Order], session: AsyncSession) -> None:
            seen.append([order.id for order in orders])
            await session.execute(sa.insert(applied), [{"id": order.id} for order in orders])

        async with service, desk_at(backend.url, stream) as desk:
            await publish(service, stream, "o-1", "o-2")
            await eventually(lambda: seen, "the first batch runs")
            await eventually(desk.is_through, "and is settled")
            await publish(service, stream, "o-2", "o-3", "o-1", "o-4")

            async def all_four():
                return sum(map(len, seen)) == 4 and not await desk.in_stream()

            await eventually(all_four, "the second batch runs without what is there")
        assert sorted(name for names in seen for name in names) == ["o-1", "o-2", "o-3", "o-4"]
        assert sum(e.duplicates for e in service.told.of(ev.Settled)) == 2

    arun(scenario())
    with database.plain_engine.connect() as connection:
        assert sorted(connection.scalars(sa.select(applied.c.id))) == ["o-1", "o-2", "o-3", "o-4"]
