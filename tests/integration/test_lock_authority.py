# SPDX-License-Identifier: Apache-2.0
"""Fencing tokens drawn elsewhere, for locks on Redis: they grow whatever the server forgets."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from holdfast._redis.open import open_server
from holdfast._sql.install import install
from holdfast.errors import ConfigurationError, ServerUnreachable
from holdfast.locks import Locks, LockSettings
from holdfast.locks.authority import EtcdAuthority, ZooKeeperAuthority
from holdfast.locks.authority_sql import SqlAuthority
from holdfast.testing import Replicated, Way, wait_until, wait_until_async
from holdfast.testing.etcd import EtcdServer
from holdfast.testing.proxy import Proxy
from holdfast.testing.zookeeper import ZooKeeperServer
from tests.support.locks import QUICK, key_of

EPOCH_US = 1_600_000_000_000_000


@pytest.fixture(scope="module")
def etcd():
    with EtcdServer() as running:
        yield running


@pytest.fixture(scope="module")
def zookeeper():
    with ZooKeeperServer() as running:
        yield running


def with_tables(url):
    asyncio.run(install(url))
    return url


@pytest.fixture(params=["sqlite", "postgres", "mariadb", "postgres-sequence", "mariadb-sequence", "etcd", "zookeeper"])
def authority(request, tmp_path):
    """Makes authorities, each as a process of its own would have it."""
    store, _, sequence = request.param.partition("-")
    if store == "sqlite":
        url = with_tables(f"sqlite:///{tmp_path}/db")
        return lambda **how: SqlAuthority(url, **how)
    if store in {"etcd", "zookeeper"}:
        server = request.getfixturevalue(store)
        if store == "etcd":
            return lambda **how: EtcdAuthority([server.endpoint], **how)
        return lambda **how: ZooKeeperAuthority(server.hosts, ttl_s=4.0, **how)
    url = with_tables(request.getfixturevalue(store).database())
    if sequence:
        made = sa.create_engine(url.replace("://", "+psycopg://" if store == "postgres" else "+pymysql://"))
        with made.begin() as connection:
            connection.execute(sa.text("CREATE SEQUENCE tokens" + ("" if store == "postgres" else " NOCACHE")))
        made.dispose()
        return lambda **how: SqlAuthority(url, sequence="tokens", **how)
    return lambda **how: SqlAuthority(url, **how)


@contextlib.asynccontextmanager
async def closing(*authorities):
    try:
        yield authorities
    finally:
        for each in authorities:
            await each.close()


@contextlib.asynccontextmanager
async def locks_with(url, authority, **settings):
    server = await open_server(url)
    locks = Locks(server, LockSettings(**(QUICK | settings)), authority=authority)
    try:
        yield locks
    finally:
        await locks.close()
        await server.close()


def test_numbers_grow_whoever_asks_and_none_is_given_twice(authority, stream, arun):
    async def main():
        async with closing(authority(), authority()) as (one, other):
            in_turn = [await each.next(stream) for _ in range(5) for each in (one, other)]
            assert in_turn == sorted(set(in_turn)), "guard: each larger than the one before"
            at_once = await asyncio.gather(*(each.next(stream) for _ in range(10) for each in (one, other)))
            assert len(set(at_once)) == 20
            assert min(at_once) > max(in_turn)
            assert await one.next(f"{stream}/ü") > 0

    arun(main())


def test_above_is_added_so_that_guards_which_knew_other_tokens_take_them(authority, stream, arun):
    async def main():
        async with closing(authority(above=EPOCH_US)) as (one,):
            assert await one.next(stream) > EPOCH_US

    arun(main())


def test_the_holders_of_a_lock_have_the_tokens_of_its_authority(authority, backend, stream, arun):
    tokens = []

    async def main():
        async with closing(authority(), authority()) as (first, second), \
                locks_with(backend.url, first) as one, locks_with(backend.url, second) as other:
            async def take(locks, fair):
                async with locks.lock(stream, fair=fair).hold() as held:
                    tokens.append(held.fencing_token)

            for fair in (False, True):
                await asyncio.gather(*(take(locks, fair) for _ in range(5) for locks in (one, other)))

    arun(main())
    assert len(tokens) == 20
    assert tokens == sorted(set(tokens)), "guard: drawn after the grant"
    assert tokens[-1] < EPOCH_US, "not Redis's own"


async def told_across_a_failover(made, name, drawn):
    """The tokens of four holders; the last one is granted by a server that has forgotten the one before."""
    tokens = []
    async with locks_with(made.url, drawn, ttl_s=20) as before:
        for _ in range(2):
            async with before.lock(name).hold() as held:
                tokens.append(held.fencing_token)
        wait_until(lambda: offset(made.replicas[0], "slave_repl_offset") >= offset(made.master, "master_repl_offset"),
                   10, "the replica has it all")
        made.links[0].stall()
        tokens.append((await before.lock(name).acquire(wait_s=0)).fencing_token)
        made.master.kill()
        made.promote(0)
        async with locks_with(made.url, drawn, ttl_s=20) as after:
            tokens.append((await after.lock(name).acquire(wait_s=0)).fencing_token)  # granted twice: that is Redis's
        for lost in before.held:
            lost.lose("server")  # nobody is there to give it back to
    return tokens


def offset(node, field):
    return node.admin.info("replication")[field]


@contextlib.contextmanager
def pair_five_minutes_apart():
    with Replicated(replicas=1, proxied=True, faketime_offset_s=(0.0, -300.0)) as made:
        made.wait_in_sync()
        yield made


def test_a_failover_that_forgets_a_grant_repeats_no_token(authority, stream, arun):
    async def main(made):
        async with closing(authority()) as (drawn,):
            tokens = await told_across_a_failover(made, stream, drawn)
            assert tokens == sorted(set(tokens))

    with pair_five_minutes_apart() as made:
        arun(main(made))


def test_without_an_authority_a_server_five_minutes_behind_goes_back(stream, arun):
    """The control: what Redis's own tokens promise ends at a minute."""
    with pair_five_minutes_apart() as made:
        *_, before, after = arun(told_across_a_failover(made, stream, None))
        assert after < before


class Failing:
    """Fulfils ``TokenAuthority`` badly."""

    def __init__(self, error=None, wait_s=0.0):
        self.error, self.wait_s, self.asked = error, wait_s, 0

    async def next(self, name):
        self.asked += 1
        await asyncio.sleep(self.wait_s)
        if self.error is not None:
            raise self.error
        return 1_000_000 - self.asked


@pytest.mark.parametrize(("failing", "error"), [
    (Failing(ServerUnreachable("away")), ServerUnreachable), (Failing(ZeroDivisionError()), ZeroDivisionError),
    (Failing(wait_s=30), ServerUnreachable)], ids=["away", "broken", "silent"])
def test_without_a_token_it_is_not_granted_and_given_back(backend, stream, arun, failing, error):
    async def main():
        async with locks_with(backend.url, failing, ttl_s=1.0) as locks, locks_with(backend.url, None) as other:
            for fair in (False, True):
                with pytest.raises(error):
                    await locks.lock(stream, fair=fair).acquire(wait_s=0)
                assert failing.asked
                assert locks.held == ()
                async with other.lock(stream, fair=fair).hold(wait_s=0.2):
                    pass  # at once, not after its lease

    arun(main())


def test_whoever_waits_is_granted_once_the_authority_is_back(backend, stream, arun):
    async def main():
        failing = Failing(ServerUnreachable("away"))
        async with locks_with(backend.url, failing) as locks:
            waiting = asyncio.create_task(locks.lock(stream).acquire(wait_s=30))
            await wait_until_async(lambda: failing.asked > 1, 10, "asked again")
            failing.error = None
            assert (await waiting).fencing_token == 1_000_000 - failing.asked

    arun(main())


def test_a_lease_that_ran_out_while_its_token_was_drawn_is_not_granted(backend, stream, arun):
    """The guard: the deadline is looked at again. The clock goes on, the answer comes all the same."""

    class Late:
        def __init__(self, clock):
            self.clock = clock

        async def next(self, name):
            self.clock.ahead += 20
            return 7

    class Ahead:
        def __init__(self, inner):
            self.inner, self.ahead = inner, 0.0

        def now(self):
            return self.inner.now() + self.ahead

        def __getattr__(self, name):
            return getattr(self.inner, name)

    async def main():
        async with locks_with(backend.url, None, ttl_s=10) as locks:
            locks.clock = Ahead(locks.clock)
            locks.authority = Late(locks.clock)
            with pytest.raises(ServerUnreachable, match="ran out while its token was drawn"):
                await locks.lock(stream).acquire(wait_s=0)
            assert not backend.admin.exists(key_of(stream))

    arun(main())


def test_a_waiter_that_is_cancelled_while_its_token_is_drawn_leaves_no_lock(backend, stream, arun):
    async def main():
        silent = Failing(wait_s=30)
        async with locks_with(backend.url, silent, ttl_s=20) as locks, locks_with(backend.url, None) as other:
            asking = asyncio.create_task(locks.lock(stream).acquire())
            await wait_until_async(lambda: silent.asked, 10, "it draws")
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            async with other.lock(stream).hold(wait_s=0.2):
                pass

    arun(main())


def test_an_authority_whose_answer_is_lost_says_so_and_goes_on(etcd, zookeeper, stream, arun):
    async def main(server, make):
        with Proxy(server.address, resp=False) as proxy:
            async with closing(make(proxy)) as (one,):
                first = await one.next(stream)
                proxy.stall(Way.DOWN)
                with pytest.raises(ServerUnreachable):
                    await one.next(stream)
                proxy.cut()
                proxy.heal()

                async def again():
                    return await one.next(stream)

                assert await wait_until_async(again, 15, "it answers", errors=(ServerUnreachable,)) > first + 1

    arun(main(etcd, lambda proxy: EtcdAuthority([f"http://127.0.0.1:{proxy.port}"], timeout_s=0.5)))
    arun(main(zookeeper, lambda proxy: ZooKeeperAuthority(f"127.0.0.1:{proxy.port}", ttl_s=4.0)))


def test_an_engine_of_the_users_is_drawn_from_and_stays(postgres, stream, arun):
    url = with_tables(postgres.database())
    plain = sa.create_engine(url.replace("://", "+psycopg://"))

    async def main():
        engine = create_async_engine(url.replace("://", "+psycopg://"))
        async with closing(SqlAuthority(engine), SqlAuthority(plain)) as (one, other):
            assert [await each.next(stream) for each in (one, other, one)] == [1, 2, 3]
        await engine.dispose()

    arun(main())
    plain.dispose()


def test_a_sequence_where_there_are_none_is_refused(tmp_path, stream, arun):
    async def main():
        async with closing(SqlAuthority(f"sqlite:///{tmp_path}/db", sequence="tokens")) as (one,):
            with pytest.raises(ConfigurationError, match="no sequences"):
                await one.next(stream)

    arun(main())


def test_a_database_that_is_away_is_said_to_be(stream, arun):
    async def main():
        async with closing(SqlAuthority("postgresql://postgres@127.0.0.1:9/nothing")) as (one,):
            with pytest.raises(ServerUnreachable):
                await one.next(stream)

    arun(main())
