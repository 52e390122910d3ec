# SPDX-License-Identifier: Apache-2.0
"""A guarded key in the user's own transaction: effect and record commit together, or neither does."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from holdfast._sql import Database, Tables, Timeouts, create_all
from holdfast.errors import ConfigurationError, EffectBusy
from holdfast.once.guard import sql_records
from holdfast.once.guard.guard import Guard
from holdfast.once.guard.records import Done, Mark, Running
from holdfast.once.guard.sql_store import SqlStore
from holdfast.testing import wait_until

SOON_S = 10.0

metadata = sa.MetaData()
#: No unique key: an effect that is repeated shows as a second row.
payments = sa.Table("payments", metadata, sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("order_id", sa.String(50)))


class Shop:
    """A user's database, with our tables and a guard in it."""

    def __init__(self, url, timeouts=None):
        self.database = Database(url, timeouts=timeouts or Timeouts())
        with self.database.plain_engine.begin() as connection:
            create_all(connection, Tables())
            metadata.create_all(connection)
        self.store = SqlStore(self.database)
        self.guard = Guard(self.store, namespace="payments", lease_s=30)

    def pay(self, order, *, error=None, meanwhile=None):
        """In one plain transaction; answers whether it was the first."""
        with Session(self.database.plain_engine) as session, session.begin():
            with self.guard.once(order, session=session) as call:
                if call.first:
                    session.execute(sa.insert(payments).values(order_id=order))
                    call.result = {"paid": order}
                if meanwhile is not None:
                    meanwhile()
                if error is not None:
                    raise error
            assert call.result == {"paid": order}
            return call.first

    async def pay_async(self, order, *, error=None):
        async with AsyncSession(self.database.async_engine) as session, session.begin():
            async with self.guard.once(order, session=session) as call:
                if call.first:
                    await session.execute(sa.insert(payments).values(order_id=order))
                    call.result = {"paid": order}
                if error is not None:
                    raise error
            assert call.result == {"paid": order}
            return call.first

    def paid(self):
        with self.database.plain_engine.connect() as connection:
            return sorted(connection.execute(sa.select(payments.c.order_id)).scalars())

    def known(self, order):
        return self.store.plain().look("payments", order)


@pytest.fixture
def shop(url):
    made = Shop(url)
    yield made

    async def close():
        await made.store.close()
        await made.database.close()

    asyncio.run(close())


@pytest.fixture(params=["coroutines", "plain"])
def pay(request, shop):
    """``pay(order)``: in one transaction of either kind."""

    def run(order, **how):
        if request.param == "plain":
            return shop.pay(order, **how)

        async def main():
            try:
                return await shop.pay_async(order, **how)
            finally:
                await shop.database.async_engine.dispose()

        return asyncio.run(main())

    return run


def test_effect_and_record_commit_together(shop, pay):
    assert pay("o-1") is True
    assert pay("o-1") is False
    assert shop.paid() == ["o-1"]
    assert isinstance(shop.known("o-1"), Done)


def test_what_fails_is_rolled_back_mark_and_all(shop, pay):
    with pytest.raises(OSError, match="hung up"):
        pay("o-1", error=OSError("the bank hung up"))
    assert shop.paid() == []
    assert shop.known("o-1") is None
    assert pay("o-1") is True


def test_of_two_transactions_at_once_the_second_waits_and_finds_the_result(shop):
    answers = []
    begun, may_end = threading.Event(), threading.Event()

    def slow():
        def meanwhile():
            begun.set()
            assert may_end.wait(SOON_S)

        answers.append(shop.pay("o-1", meanwhile=meanwhile))

    def second():
        answers.append(shop.pay("o-1"))

    threads = [threading.Thread(target=slow), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(SOON_S)
    threads[1].start()
    may_end.set()
    for thread in threads:
        thread.join(SOON_S)
    assert sorted(answers) == [False, True]
    assert shop.paid() == ["o-1"]


def test_a_key_that_an_open_transaction_holds_is_busy_to_others(url):
    shop = Shop(url, Timeouts(lock_s=1.0))

    def meanwhile():
        with pytest.raises(EffectBusy), shop.guard.once("o-1"):
            pytest.fail("it is in somebody's transaction")

    assert shop.pay("o-1", meanwhile=meanwhile)
    assert shop.paid() == ["o-1"]
    asyncio.run(shop.database.close())


def test_a_mark_that_was_left_is_taken_over_inside_a_transaction(shop, pay):
    left = Guard(shop.store, namespace="payments", lease_s=0.05)
    with pytest.raises(OSError, match="gone"), left.once("o-1"):
        raise OSError("gone")
    assert isinstance(shop.known("o-1"), Running)
    wait_until(lambda: pay("o-1"), SOON_S, "it is taken over after its lease", errors=(EffectBusy,))
    assert shop.paid() == ["o-1"]


def test_of_two_who_saw_the_same_mark_one_takes_it_over(shop):
    left, one, other = (Mark("payments", "o-1", owner, 1, 60_000) for owner in ("left", "one", "other"))
    shop.store.plain().claim(left)
    seen = shop.known("o-1")
    row = {"state": "running", "until_ms": seen.until_ms + 60_000}
    with shop.database.plain_engine.connect() as connection:
        for mark, won in ((one, True), (other, False)):
            with connection.begin():
                taken = {**row, "owner": mark.owner}
                assert sql_records._swap(connection, shop.database.tables, seen, mark, taken) is won
    assert shop.known("o-1").owner == "one"


def test_a_session_of_the_wrong_side_is_refused(shop):
    with Session(shop.database.plain_engine) as session:
        once = shop.guard.once("o-1", session=session)
        with pytest.raises(ConfigurationError, match="not `async with`"):
            asyncio.run(once.__aenter__())
    with pytest.raises(ConfigurationError, match="no transaction to join"):
        shop.guard.once("o-1", session=object())


def test_without_our_tables_the_error_says_what_to_do(tmp_path):
    guard = Guard(SqlStore(f"sqlite:///{tmp_path}/empty"), namespace="payments")
    with pytest.raises(ConfigurationError, match="holdfast sql init"), guard.once("o-1"):
        pytest.fail("there is no table")
    guard.store.plain().close()


def test_an_engine_of_the_users_stays_open(url):
    database = Database(url)
    with database.plain_engine.begin() as connection:
        create_all(connection, Tables())
    store = SqlStore(database.plain_engine)
    with Guard(store, namespace="payments").once("o-1") as call:
        call.result = 1
    asyncio.run(store.close())
    store.plain().close()
    with database.plain_engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    asyncio.run(database.close())


def test_an_asynchronous_engine_alone_serves_coroutines(url):
    async def main():
        database = Database(url)
        async with database.async_engine.begin() as connection:
            await connection.run_sync(create_all, Tables())
        guard = Guard(SqlStore(database.async_engine), namespace="payments", lease_s=0.3)
        for first in (True, False):
            async with guard.once("o-1") as call:
                assert call.first is first
                if first:
                    await asyncio.sleep(0.5)  # past its first lease: it is renewed
                    call.result = 1
        assert call.result == 1
        with pytest.raises(ConfigurationError, match="Engine"), guard.once("o-2"):
            pytest.fail("a plain block needs a plain engine")
        await guard.store.close()
        await database.close()

    asyncio.run(main())
