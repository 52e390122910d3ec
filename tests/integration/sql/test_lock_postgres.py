# SPDX-License-Identifier: Apache-2.0
"""What only advisory locks have: a connection whose end is everybody's end. The rest is in
``tests/contract/test_lock.py``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from holdfast.errors import ConfigurationError, LeaseLost
from holdfast.locks.postgres import PostgresLocks, key_of
from holdfast.testing import wait_until_async
from tests.contract.lock_claims import BACK_ENDS

SOON_S = 10.0
LONG_S = 20.0


@pytest.fixture(scope="module")
def url(postgres):
    return postgres.database()


@contextlib.asynccontextmanager
async def door(source, ttl_s=LONG_S):
    locks = PostgresLocks(source, ttl_s=ttl_s)
    try:
        yield locks
    finally:
        await locks.close()


def end_sessions(postgres, held):
    """As an administrator ends them."""
    pid = held.session.link.pid
    with postgres.admin.connect() as connection:
        assert connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid}).scalar()


def test_a_session_that_the_server_ends_is_noticed_at_once(postgres, url, stream, arun):
    told = []

    async def main():
        async with door(url) as locks:
            began = 0.0
            with pytest.raises(LeaseLost, match="server"):  # noqa: PT012 - the block is what is under test
                async with locks.lock(stream).hold() as held:
                    held.on_lost(told.append)
                    end_sessions(postgres, held)
                    began = time.monotonic()
                    await asyncio.sleep(SOON_S)
            assert time.monotonic() - began < 3, "guard: its end is read, and not found at the next renewal"
            async with locks.lock(stream).hold(wait_s=SOON_S) as later:
                assert later.fencing_token > held.fencing_token

    arun(main())
    assert told == ["server"]


def test_a_frozen_process_loses_its_session(url, stream, arun):
    """The kernel goes on confirming packets in its name: nothing but the silence tells."""
    ttl_s = BACK_ENDS["postgres"].ttl_s

    async def main():
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.contract.lock_holder", "hold", "postgres", stream, url,
            stdout=asyncio.subprocess.PIPE)
        try:
            assert (await holder.stdout.readline()).startswith(b"held")
            async with door(url) as locks:
                with pytest.raises(TimeoutError):
                    await locks.lock(stream).acquire(wait_s=0)
                holder.send_signal(signal.SIGSTOP)
                began = time.monotonic()
                held = await locks.lock(stream).acquire(wait_s=SOON_S)
                assert time.monotonic() - began < ttl_s + BACK_ENDS["postgres"].crash_s, "guard: the session is a lease"
                held.check()
        finally:
            holder.kill()
            await holder.communicate()

    arun(main())


def test_tasks_of_one_process_exclude_one_another_although_their_session_is_one(url, stream, arun):
    inside = []

    async def main():
        async with door(url) as locks:
            async def take():
                async with locks.lock(stream).hold(wait_s=SOON_S):
                    inside.append(1)
                    assert len(inside) == 1, "guard: who of this process has it is counted here"
                    await asyncio.sleep(0.05)  # longer than a question takes
                    inside.pop()

            await asyncio.gather(*(take() for _ in range(6)))
            assert not locks._keeper._owners
            assert not locks._keeper._free

    arun(main())


def test_two_names_of_one_hash_exclude_one_another(url, stream, arun, monkeypatch):
    monkeypatch.setattr("holdfast.locks.postgres.key_of", lambda name: 7)

    async def main():
        async with door(url) as one, door(url) as two:
            async with one.lock(stream).hold():
                for other in (one, two):
                    with pytest.raises(TimeoutError):
                        await asyncio.create_task(other.lock(f"{stream}-other").acquire(wait_s=0))
            async with two.lock(f"{stream}-other").hold(wait_s=0) as held:
                held.check()

    arun(main())


def test_a_pooler_that_lends_somebody_elses_process_is_noticed(url, stream, arun):
    async def main():
        async with door(url, ttl_s=0.6) as locks:
            held = await locks.lock(stream).acquire()
            held.session.link.pid = -1
            await wait_until_async(lambda: held.over, SOON_S, "it is given up")
            assert held.cause == "server", "guard: the process behind the connection is another one"

    arun(main())


def test_an_engine_of_the_users_gets_no_connection_back_that_holds_something(url, stream, arun):
    async def main():
        engine = create_async_engine(url.replace("postgresql:", "postgresql+psycopg:"), pool_size=1, max_overflow=0)
        async with door(engine) as locks:
            await locks.lock(stream).acquire()
        async with engine.connect() as connection:
            left = await connection.execute(sa.text(
                "SELECT current_setting('idle_session_timeout'), (SELECT count(*) FROM pg_locks WHERE locktype = "
                "'advisory' AND pid = pg_backend_pid())"))
            assert tuple(left.one()) == ("0", 0)
        await engine.dispose()

    arun(main())


def test_a_user_who_may_not_make_the_sequence_is_told_what_to_run(postgres, stream, arun):
    fresh = postgres.database()
    engine = sa.create_engine(fresh.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE ROLE guest LOGIN"))
    engine.dispose()

    async def main():
        async with door(fresh.replace("postgres@", "guest@")) as locks:
            with pytest.raises(ConfigurationError, match="CREATE SEQUENCE holdfast_lock_token"):
                await locks.lock(stream).acquire(wait_s=0)
        async with door(fresh) as locks, locks.lock(stream).hold() as held:
            assert held.fencing_token > time.time_ns() // 1000 - 60_000_000, "above those of a lock in Redis"

    arun(main())


def test_what_cannot_hold_them_is_refused(tmp_path, stream, arun):
    async def main():
        async with door(f"sqlite:///{tmp_path}/db") as locks:
            with pytest.raises(ConfigurationError, match="advisory locks are PostgreSQL's"):
                await locks.lock(stream).acquire(wait_s=0)

    arun(main())
    with pytest.raises(ConfigurationError, match=r"0\.1 s at least"):
        PostgresLocks("postgresql://db/shop", ttl_s=0.01)


def test_keys_are_numbers_that_postgresql_takes():
    keys = {key_of(f"order:{n}") for n in range(1000)}
    assert len(keys) == 1000
    assert all(-2**63 <= key < 2**63 for key in keys)
