# SPDX-License-Identifier: Apache-2.0
"""What is refused before the first message, and engines that stay the user's."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from holdfast._sql import Database, Tables, Timeouts, create_all, ddl, missing_tables
from holdfast.errors import BadHandler, ConfigurationError, ServerUnreachable
from holdfast.once import SqlOnce
from tests.integration.sql.bench import Bench, delivery, effects, on

ASYNC = {"sqlite": "aiosqlite", "postgresql": "psycopg", "mariadb": "asyncmy"}


def async_url(url):
    name, rest = url.split("://")
    return f"{name}+{ASYNC[name]}://{rest}"


def plain_url(url):
    return url.replace("postgresql://", "postgresql+psycopg://").replace("mariadb://", "mariadb+pymysql://")


@pytest.mark.parametrize("side", ["async", "plain"])
def test_a_sound_database_opens(url, side):
    bench = Bench(url, side)

    async def claim():
        await bench.once.open()
        assert bench.inbox() == []

    on(bench, claim)


@pytest.mark.parametrize("side", ["async", "plain"])
def test_missing_tables_are_named_with_the_command_that_makes_them(url, side):
    async def claim():
        once = SqlOnce(url, plain=side == "plain")
        with pytest.raises(ConfigurationError, match=r"holdfast_inbox, holdfast_fence: run `holdfast sql init`"):
            await once.open()
        await once.close()

    asyncio.run(claim())


def test_an_engine_in_autocommit_mode_is_refused(url):
    """Its inbox row would be durable before the handler has run: a crash then loses the message."""
    bench = Bench(url)

    async def claim():
        engine = create_async_engine(async_url(url), isolation_level="AUTOCOMMIT")
        with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
            await SqlOnce(engine).open()
        await engine.dispose()

    on(bench, claim)


@pytest.mark.parametrize("side", ["async", "plain"])
def test_a_server_that_does_not_answer_is_said_to_be_unreachable(side):
    async def claim():
        for url in ["postgresql://nobody:secret@127.0.0.1:1/x", "mariadb://nobody:secret@127.0.0.1:1/x"]:
            once = SqlOnce(url, plain=side == "plain")
            with pytest.raises(ServerUnreachable) as caught:
                await once.open()
            assert "secret" not in str(caught.value)
            await once.close()

    asyncio.run(claim())


@pytest.mark.parametrize("given", ["engine", "maker"])
@pytest.mark.parametrize("side", ["async", "plain"])
def test_an_engine_of_the_users_serves_and_stays_open(url, side, given):
    bench = Bench(url, side)

    class Own(AsyncSession if side == "async" else Session):
        pass

    async def claim():
        engine = create_async_engine(async_url(url)) if side == "async" else sa.create_engine(plain_url(url))
        maker = (async_sessionmaker if side == "async" else sessionmaker)(engine, class_=Own)
        once = SqlOnce(engine if given == "engine" else maker, stream="orders", group="billing")
        await once.open()
        if given == "maker":
            assert issubclass(once.provides()[1], Own)  # a sessionmaker makes a class of its own

        async def attempt(context):
            wanted = once.provides()[1] if given == "maker" else once.provides()[0]
            session = context.provide(wanted)
            assert isinstance(session, wanted)
            done = session.execute(sa.insert(effects), [{"message_id": "m1"}])
            if side == "async":
                await done

        results = await asyncio.gather(*(once.run(delivery(), attempt) for _ in range(4)), return_exceptions=True)
        assert results.count(True) == 1
        assert all(isinstance(r, bool) or once.transient(r) for r in results), results
        assert bench.applied() == ["m1"]
        await once.close()
        assert await _still_usable(engine, side)
        await (engine.dispose() if side == "async" else asyncio.to_thread(engine.dispose))

    on(bench, claim)


async def _still_usable(engine, side):
    if side == "plain":
        with engine.connect() as connection:
            return connection.execute(sa.text("SELECT 1")).scalar() == 1
    async with engine.connect() as connection:
        return (await connection.execute(sa.text("SELECT 1"))).scalar() == 1


@pytest.mark.parametrize("owned", [True, False], ids=["ours", "the user's"])
def test_limits_hold_inside_the_transaction_and_leave_the_users_engine_alone(postgres, owned):
    url = postgres.database()
    engine = None if owned else create_async_engine(async_url(url), pool_size=1, max_overflow=0)
    bench = Bench(url)
    once = SqlOnce(Database(engine or url, timeouts=Timeouts(lock_s=1.5, idle_s=7)), stream="orders", group="billing")

    async def limits(session):
        return [(await session.execute(sa.text(f"SHOW {name}"))).scalar()
                for name in ("lock_timeout", "idle_in_transaction_session_timeout")]

    async def claim():
        seen = []

        async def attempt(context):
            seen.extend(await limits(context.provide(AsyncSession)))

        await once.run(delivery(), attempt)
        assert seen == ["1500ms", "7s"]
        if engine is not None:
            async with engine.connect() as connection:
                assert await limits(connection) == ["0", "0"]
            await engine.dispose()
        await once.close()

    on(bench, claim)


def test_sqlite_is_set_up_for_one_writer_and_many_readers(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/db", timeouts=Timeouts(lock_s=2.5))
    with database.plain_engine.connect() as connection:
        for pragma, value in {"journal_mode": "wal", "busy_timeout": 2500, "synchronous": 2}.items():
            assert connection.execute(sa.text(f"PRAGMA {pragma}")).scalar() == value
    asyncio.run(database.close())


def test_sides_that_an_engine_does_not_have_are_refused(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path}/db")
    with pytest.raises(BadHandler, match="AsyncEngine"):
        SqlOnce(engine, plain=False)
    with pytest.raises(BadHandler, match="AsyncEngine"):
        SqlOnce(create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/db"), plain=True)
    assert Session in SqlOnce(engine).provides()


def test_the_printed_statements_make_the_tables(url):
    database = Database(url)
    with database.plain_engine.begin() as connection:
        for statement in ddl(database.plain_engine.dialect.name).split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    with database.plain_engine.begin() as connection:
        assert missing_tables(connection, Tables()) == []
        create_all(connection, Tables())  # harmless when they exist
    asyncio.run(database.close())


def test_prefix_and_schema_name_the_tables(postgres):
    url = postgres.database()
    database = Database(url, tables=Tables(prefix="hf_", schema="infra"))
    with database.plain_engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA infra"))
        assert missing_tables(connection, database.tables) == [
            "infra.hf_inbox", "infra.hf_fence", "infra.hf_outbox", "infra.hf_guard",
            "infra.hf_lock_fence", "infra.hf_lock_token", "infra.hf_worker_pool", "infra.hf_worker", "infra.hf_counter",
            "infra.hf_ticket", "infra.hf_dead_line"]
        create_all(connection, database.tables)
        assert missing_tables(connection, database.tables) == []

    async def claim():
        once = SqlOnce(database, stream="orders", group="billing")
        await once.open()
        assert await once.run(delivery(), lambda context: None) is True
        assert await once.run(delivery(), lambda context: None) is False
        await once.close()

    asyncio.run(claim())
