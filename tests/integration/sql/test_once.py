# SPDX-License-Identifier: Apache-2.0
"""Mode SQL: an effect and the note that it happened live and die together. On every database, for both sides."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from holdfast._sql import Database, Timeouts
from holdfast.consume.contract import DUPLICATE
from holdfast.consume.outcome import Drop, Failed, Reject, Retry
from holdfast.errors import ConfigurationError
from tests.integration.sql.bench import Bench, delivery, effects, on


@pytest.fixture(params=["async", "plain"])
def bench(request, url):
    return Bench(url, request.param)


def test_a_message_is_applied_once_and_then_a_duplicate(bench):
    async def claim():
        assert await bench.run(delivery()) is True
        assert await bench.run(delivery()) is False
        assert bench.applied() == ["m1"] == bench.inbox()

    on(bench, claim)


def test_after_a_crash_between_commit_and_acknowledgement_the_message_is_a_duplicate(bench):
    async def claim():
        await bench.run(delivery())
        await bench.database.close()  # all this process knew is gone
        other = Bench(bench.url, bench.side)
        assert await other.run(delivery(entry=b"1-1")) is False
        await other.close()
        assert bench.applied() == ["m1"]

    on(bench, claim)


def test_an_error_takes_the_effect_and_the_inbox_row_back(bench):
    async def claim():
        with pytest.raises(ValueError, match="no"):
            await bench.run(delivery(), error=ValueError("no"))
        assert bench.applied() == [] == bench.inbox()
        assert await bench.run(delivery()) is True

    on(bench, claim)


@pytest.mark.parametrize("answer", [Retry(after=1), Reject(reason="bad"), Drop(reason="old")],
                         ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("raised", [True, False], ids=["raised", "returned"])
def test_a_directive_rolls_back_and_reaches_the_worker(bench, answer, raised):
    async def claim():
        with pytest.raises(type(answer)):
            await bench.run(delivery(), **({"error": answer} if raised else {"answer": answer}))
        assert bench.applied() == [] == bench.inbox()

    on(bench, claim)


def test_a_cancelled_attempt_rolls_back(url):
    bench = Bench(url)

    async def claim():
        written = asyncio.Event()

        async def hang():
            written.set()
            await asyncio.Event().wait()

        attempt = asyncio.create_task(bench.run(delivery(), then=hang))
        await written.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert await bench.run(delivery()) is True
        assert bench.applied() == ["m1"]

    on(bench, claim)


def test_a_cancelled_plain_handler_is_waited_for_before_its_transaction_is_rolled_back(url):
    bench = Bench(url, "plain")

    async def claim():
        written, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        in_use = []

        def handler(session):
            session.execute(sa.insert(effects), [{"message_id": "m1"}])
            loop.call_soon_threadsafe(written.set)
            go_on.wait(20)
            in_use.append(session.execute(sa.select(effects.c.message_id)).scalar())

        async def attempt(context):
            await loop.run_in_executor(None, handler, context.provide(Session))

        run = asyncio.create_task(bench.once.run(delivery(), attempt))
        await written.wait()
        for _ in range(3):
            run.cancel()
            assert await asyncio.wait([run], timeout=0.05) == (set(), {run}), "the handler's thread still runs"
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert in_use == ["m1"], "the session was taken from under the handler"
        assert bench.applied() == [] == bench.inbox()

    on(bench, claim)


def test_names_are_compared_byte_for_byte(bench):
    ids = ["a", "A", "a ", " a", "ä", "a\u0308", "å", "a\t", "ß", "ss", "", "ID-1", "id-1"]

    async def claim():
        for message_id in ids:
            assert await bench.run(delivery(message_id)) is True, message_id
        for message_id in ids:
            assert await bench.run(delivery(message_id)) is False, message_id

    on(bench, claim)


def test_long_ids_that_differ_at_their_ends_stay_apart(bench):
    ids = ["x" * 5000, "x" * 5000 + "1", "漢" * 200, "漢" * 200 + "字", "nul\0", "nul?"]

    async def claim():
        assert [await bench.run(delivery(message_id)) for message_id in ids] == [True] * len(ids)
        assert [await bench.run(delivery(message_id)) for message_id in ids] == [False] * len(ids)
        assert await bench.once.applied([delivery(ids[0])]) == [True]

    bench.handler = lambda *members, **_: (lambda context: None)  # the effect itself cannot hold such ids
    on(bench, claim)


def test_another_handler_of_the_same_message_has_its_own_effect(bench):
    async def claim():
        other = bench.once.for_consumer("orders", "billing", "mail")
        assert await bench.run(delivery()) is True
        assert await bench.run(delivery(), once=other) is True
        assert bench.applied() == ["m1", "m1"]
        await other.close()

    on(bench, claim)


def test_a_batch_is_one_transaction_without_the_duplicates(bench):
    async def claim():
        await bench.run(delivery("m2"))
        members = [delivery(f"m{i}") for i in (3, 1, 2, 1)]
        answers = await bench.run_batch(members, answer=["three", "one"])
        assert answers == ["three", "one", DUPLICATE, DUPLICATE]
        assert bench.applied() == ["m1", "m2", "m3"]

    on(bench, claim)


def test_a_batch_of_duplicates_does_not_reach_the_handler(bench):
    async def claim():
        members = [delivery("m1"), delivery("m2")]
        await bench.run_batch(members)
        assert await bench.run_batch(members, error=AssertionError("called")) == [DUPLICATE, DUPLICATE]

    on(bench, claim)


@pytest.mark.parametrize("failed", [Failed(ValueError("third")), ValueError("third"), Retry(), Drop(reason="x")],
                         ids=lambda a: type(a).__name__)
def test_one_failed_member_rolls_the_whole_batch_back(bench, failed):
    async def claim():
        members = [delivery(f"m{i}") for i in range(3)]
        with pytest.raises((ValueError, type(failed)) if not isinstance(failed, Failed) else ValueError):
            await bench.run_batch(members, answer=[None, None, failed])
        assert bench.applied() == [] == bench.inbox()
        assert [await bench.run(member) for member in members] == [True] * 3

    on(bench, claim)


def test_a_batch_of_hundreds_is_claimed_whole(bench):
    async def claim():
        members = [delivery(f"m{i:04}") for i in range(700)]
        assert await bench.run_batch(members) == [None] * 700
        assert len(bench.applied()) == 700 == len(bench.inbox())
        assert await bench.run_batch(members) == [DUPLICATE] * 700

    on(bench, claim)


def test_applied_tells_for_each_delivery(bench):
    async def claim():
        await bench.run_batch([delivery("m1"), delivery("m3")])
        asked = [delivery(f"m{i}") for i in (3, 2, 1, 3)]
        assert await bench.once.applied(asked) == [True, False, True, True]
        assert await bench.once.applied([]) == []

    on(bench, claim)


def test_two_attempts_of_one_message_at_the_same_time_have_one_effect(bench):
    """Real concurrency: both have begun before either may end, in every round."""
    rounds = 40

    async def claim():
        elsewhere = Database(bench.url)
        rivals = [bench.once, bench.consumer(elsewhere)]

        async def attempt(once, number):
            while True:
                try:
                    return await bench.run(delivery(f"m{number}"), once=once, then=lambda: asyncio.sleep(0))
                except Exception as error:
                    if not once.transient(error):
                        raise

        for number in range(rounds):
            results = await asyncio.gather(*(attempt(once, number) for once in rivals for _ in range(2)))
            assert sorted(results) == [False, False, False, True], number
        await rivals[1].close()
        assert bench.applied() == sorted(f"m{number}" for number in range(rounds))

    on(bench, claim)


def test_an_attempt_beside_an_open_one_waits_for_its_end_and_takes_over_when_it_fails(bench):
    async def claim():
        written, fail = asyncio.Event(), asyncio.Event()

        async def wait_and_fail():
            written.set()
            await fail.wait()
            raise ValueError("first")

        first = asyncio.create_task(bench.run(delivery(), then=wait_and_fail))
        await written.wait()
        second = asyncio.create_task(bench.run(delivery()))
        assert await asyncio.wait([second], timeout=0.2) == (set(), {second})
        fail.set()
        with pytest.raises(ValueError, match="first"):
            await first
        assert await second is True
        assert bench.applied() == ["m1"]

    on(bench, claim)


@pytest.mark.parametrize("side", ["async", "plain"])
def test_waiting_for_an_open_attempt_ends_with_a_transient_error(url, side):
    bench = Bench(url, side, Timeouts(lock_s=1.0))

    async def claim():
        written, go_on = asyncio.Event(), asyncio.Event()

        async def hold():
            written.set()
            await go_on.wait()

        first = asyncio.create_task(bench.run(delivery(), then=hold))
        await written.wait()
        with pytest.raises(sa.exc.DBAPIError) as caught:
            await bench.run(delivery())
        assert bench.once.transient(caught.value)
        go_on.set()
        assert await first is True
        assert await bench.run(delivery()) is False

    on(bench, claim)


def test_more_attempts_than_connections_wait_for_their_turn(bench):
    async def claim():
        results = await asyncio.gather(*(bench.run(delivery(f"m{i}")) for i in range(60)))
        assert results == [True] * 60
        assert len(bench.applied()) == 60

    on(bench, claim)


def test_a_commit_of_the_handlers_session_ends_nothing(bench):
    async def claim():
        async def attempt(context):
            if bench.side == "async":
                session = context.provide(AsyncSession)
                await session.execute(sa.insert(effects), [{"message_id": "m1"}])
                await session.commit()
            else:
                session = context.provide(Session)
                session.execute(sa.insert(effects), [{"message_id": "m1"}])
                session.commit()
            raise ValueError("after the commit")

        with pytest.raises(ValueError, match="after the commit"):
            await bench.once.run(delivery(), attempt)
        assert bench.applied() == [] == bench.inbox()

    on(bench, claim)


def test_a_commit_on_the_connection_is_refused(bench):
    async def claim():
        async def attempt(context):
            if bench.side == "async":
                await context.provide(AsyncConnection).commit()
            else:
                context.provide(sa.Connection).commit()

        with pytest.raises(ConfigurationError, match="must not commit"):
            await bench.once.run(delivery(), attempt)
        assert bench.inbox() == []

    on(bench, claim)


def test_a_failed_commit_leaves_nothing_for_the_next_message_to_commit(bench):
    """A constraint that is checked at COMMIT; SQLite keeps the transaction open when it fails there."""
    if bench.database.plain_engine.dialect.name == "mariadb":
        pytest.skip("MariaDB checks every constraint at once")
    with bench.eye.plain_engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE parents (id integer PRIMARY KEY)"))
        connection.execute(sa.text("CREATE TABLE children (parent integer REFERENCES parents (id)"
                                   " DEFERRABLE INITIALLY DEFERRED)"))

    async def claim():
        async def orphan(context):
            statements = ["INSERT INTO children VALUES (7)"]
            if bench.database.plain_engine.dialect.name == "sqlite":
                statements.insert(0, "PRAGMA defer_foreign_keys = ON")
            for statement in statements:
                if bench.side == "async":
                    await context.provide(AsyncSession).execute(sa.text(statement))
                else:
                    context.provide(Session).execute(sa.text(statement))

        with pytest.raises(sa.exc.IntegrityError):
            await bench.once.run(delivery("bad"), orphan)
        for number in range(4):
            assert await bench.run(delivery(f"m{number}")) is True
        assert bench.inbox() == ["m0", "m1", "m2", "m3"]

    if bench.url.startswith("sqlite"):
        for engine in (bench.database.plain_engine, bench.database.async_engine.sync_engine):
            sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    on(bench, claim)


def test_a_handler_may_work_on_the_connection(bench):
    async def claim():
        async def attempt(context):
            if bench.side == "async":
                await context.provide(AsyncConnection).execute(sa.insert(effects), {"message_id": "m1"})
            else:
                context.provide(sa.Connection).execute(sa.insert(effects), {"message_id": "m1"})

        assert await bench.once.run(delivery(), attempt) is True
        assert bench.applied() == ["m1"] == bench.inbox()

    on(bench, claim)


def test_a_handler_that_rolls_back_and_goes_on_is_refused(bench):
    """What it writes after its rollback would be an effect without an inbox row."""

    async def claim():
        async def attempt(context):
            if bench.side == "async":
                session = context.provide(AsyncSession)
                await session.execute(sa.insert(effects), [{"message_id": "m0"}])
                await session.rollback()
                await session.execute(sa.insert(effects), [{"message_id": "m1"}])
            else:
                session = context.provide(Session)
                session.execute(sa.insert(effects), [{"message_id": "m0"}])
                session.rollback()
                session.execute(sa.insert(effects), [{"message_id": "m1"}])

        with pytest.raises((ConfigurationError, sa.exc.InvalidRequestError)):
            await bench.once.run(delivery(), attempt)
        assert bench.applied() == [] == bench.inbox()

    on(bench, claim)


def test_pruning_removes_old_rows_of_this_group_up_to_the_limit(bench):
    async def claim():
        for number in range(5):
            await bench.run(delivery(f"m{number}"))
        other = bench.once.for_consumer("orders", "mail", "bill")
        await bench.run(delivery("m9"), once=other)
        assert await bench.once.prune(0) == 0
        later = bench.once._clock.wall_ms() + 1000
        assert await bench.once.prune(later, limit=3) == 3
        assert await bench.once.prune(later) == 2
        assert bench.inbox() == ["m9"]
        await other.close()

    on(bench, claim)
