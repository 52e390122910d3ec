# SPDX-License-Identifier: Apache-2.0
"""Sessions and keys on a real etcd that is paused, and whose answers get lost."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from holdfast._coord.etcd import Etcd
from holdfast._coord.etcd_session import EtcdSession, open_session
from holdfast._coord.session import SessionState
from holdfast.errors import LeaseLost, ServerRefused, ServerUnreachable
from holdfast.testing import Proxy, Way, wait_until_async
from holdfast.testing.etcd import EtcdServer

CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST
#: Longer than anything here takes, shorter than what would be heard by looking now and then.
SOON_S = 10.0


@pytest.fixture(scope="module")
def server():
    with EtcdServer() as running:
        yield running


@pytest.fixture
def proxy(server):
    with Proxy(server.address, resp=False) as running:
        yield running


@contextlib.asynccontextmanager
async def etcd_at(*endpoints, **settings):
    etcd = Etcd(endpoints, watch_s=30.0, **settings)
    try:
        yield etcd
    finally:
        await etcd.close()


@contextlib.asynccontextmanager
async def session_on(etcd, ttl_s):
    session = await open_session(etcd, ttl_s)
    session.states = []
    session.on_change(session.states.append)
    try:
        yield session
    finally:
        await session.close()


def through(proxy):
    return f"http://127.0.0.1:{proxy.port}"


async def there(etcd, key):
    """Returns the key once the server has it."""
    return await wait_until_async(lambda: etcd.get(key), SOON_S, f"the server has {key!r}")


async def away(etcd, key):
    async def is_away():
        return await etcd.get(key) is None

    await wait_until_async(is_away, SOON_S, f"the server has no {key!r}")


def test_a_session_is_renewed_over_several_ttls(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 1) as session:
            key, first = stream.encode(), session.deadline
            await session.create(key, b"1")
            await asyncio.sleep(3.5 * session.ttl_s)  # what is shown is that this long passes
            session.check()
            assert session.states == []
            assert session.deadline > first + 2.5
            assert (await etcd.get(key)).lease == session.lease

    arun(body())


def test_the_servers_least_ttl_counts_when_less_was_asked_for(arun):
    async def body(server):
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 1) as session:
            assert session.ttl_s == 3.0
            assert 2.5 < session.deadline - etcd.clock.now() < 2.97

    with EtcdServer(heartbeat_ms=150) as slow:
        arun(body(slow))


def test_a_server_that_is_paused_makes_it_suspended_and_then_lost_by_its_deadline_told_once(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint, timeout_s=0.3) as etcd, session_on(etcd, 1) as session:
            await session.create(stream.encode(), b"1")
            server.pause()
            try:
                async with asyncio.timeout(SOON_S):
                    await session.lost.wait()
                late_s = etcd.clock.now() - session.deadline
            finally:
                server.resume()
            assert session.states == [SUSPENDED, LOST]
            assert 0 <= late_s < 0.5
            assert session.cause == "unreachable"
            with pytest.raises(LeaseLost):
                session.check()
            with pytest.raises(LeaseLost):
                await session.create(b"another", b"1")
            await away(etcd, stream.encode())
            assert session.state is LOST
            assert session.states == [SUSPENDED, LOST]

    arun(body())


def test_a_lease_that_somebody_revoked_is_lost(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 1) as session:
            way = etcd.own_way()
            await way.call("/v3/lease/revoke", {"ID": str(session.lease)})
            await way.close()
            async with asyncio.timeout(SOON_S):
                await session.lost.wait()
            assert session.cause == "server"
            assert session.states[-1] is LOST

    arun(body())


def test_a_creation_finds_out_that_the_lease_is_gone(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 30) as session:
            way = etcd.own_way()
            await way.call("/v3/lease/revoke", {"ID": str(session.lease)})
            await way.close()
            with pytest.raises(LeaseLost):
                await session.create(stream.encode(), b"1")
            assert session.cause == "server"

    arun(body())


def test_keys_go_when_their_session_is_closed_and_when_its_process_dies(server, arun, stream):
    async def body():
        key = stream.encode()
        async with etcd_at(server.endpoint) as etcd:
            async with session_on(etcd, 30) as session:
                await session.create(key, b"1")
            assert await etcd.get(key) is None
            assert session.cause == "closed"
            async with session_on(etcd, 1) as dead:
                await dead.create(key, b"2")
                dead._keeping.cancel()
                await away(etcd, key)
                assert dead.state is LOST

    arun(body())


def test_of_twenty_that_create_the_same_key_one_wins(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 30) as one, session_on(etcd, 30) as other:
            key = stream.encode()
            racing = [(one if n % 2 else other).create(key, b"%d" % n) for n in range(20)]
            written = await asyncio.gather(*racing)
            winners = [n for n, each in enumerate(written) if each.done]
            assert len(winners) == 1
            token = written[winners[0]].revision
            assert {each.current.create_revision for each in written if not each.done} == {token}
            assert not await one.give_back(key, b"of nobody")
            holder = one if winners[0] % 2 else other
            assert await holder.give_back(key, b"%d" % winners[0])
            assert (await one.create(key, b"next")).revision > token

    arun(body())


def test_a_key_is_written_and_removed_only_as_it_was_seen(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd:
            key = stream.encode()
            first = await etcd.put_if(key, b"1", mod_revision=0)
            assert first.done
            again = await etcd.put_if(key, b"2", mod_revision=0)
            assert (again.done, again.current.value) == (False, b"1")
            second = await etcd.put_if(key, b"2", mod_revision=first.revision)
            assert second.done
            assert second.revision > first.revision
            assert (await etcd.delete_if(key, mod_revision=first.revision)).current.value == b"2"
            assert (await etcd.delete_if(key, mod_revision=second.revision)).done
            assert not await etcd.delete(key)

    arun(body())


def test_keys_under_a_prefix_come_oldest_first(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd:
            for name in ("c", "a", "b"):
                await etcd.put(f"{stream}/{name}".encode(), b"")
            await etcd.put(f"{stream}0".encode(), b"")
            assert [each.key[-1:] for each in await etcd.among(f"{stream}/".encode())] == [b"c", b"a", b"b"]

    arun(body())


def test_who_waits_is_woken_by_the_deletion_and_by_nothing_else(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 30) as session:
            key = stream.encode()
            await etcd.put(key, b"1")
            waiting = asyncio.create_task(session.gone(key))
            for n in range(3):
                await etcd.put(key, b"%d" % n)
                await etcd.put(key + b"/beside", b"1")
                await etcd.delete(key + b"/beside")
            done, _ = await asyncio.wait((waiting,), timeout=0.3)
            assert not done
            await etcd.delete(key)
            async with asyncio.timeout(SOON_S):
                await waiting
                await session.gone(key)  # what is not there is gone

    arun(body())


def test_a_deletion_between_the_look_and_the_watch_is_seen(server, arun, stream):
    class Unlucky(Etcd):
        async def _deleted(self, key, revision):
            await self.delete(key)
            await super()._deleted(key, revision)

    async def body():
        etcd = Unlucky([server.endpoint], watch_s=30.0)
        await etcd.put(stream.encode(), b"1")
        async with asyncio.timeout(SOON_S):
            await etcd.gone(stream.encode())
        await etcd.close()

    arun(body())


def test_a_watch_that_breaks_off_is_no_deletion_and_misses_none(proxy, server, arun, stream):
    async def body():
        key = stream.encode()
        async with etcd_at(through(proxy)) as etcd, etcd_at(server.endpoint) as direct:
            await direct.put(key, b"1")
            waiting = asyncio.create_task(etcd.gone(key))
            for _ in range(3):
                await wait_until_async(lambda: len(proxy.connections) >= 2, SOON_S, "it watches")
                proxy.cut()
            await wait_until_async(lambda: len(proxy.connections) >= 2, SOON_S, "it watches")
            assert not waiting.done()
            proxy.refuse()
            proxy.cut()
            await direct.delete(key)
            proxy.accept()
            async with asyncio.timeout(SOON_S):
                await waiting

    arun(body())


def test_a_key_that_was_made_anew_is_another_one(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd:
            key = stream.encode()
            first = await etcd.put(key, b"1")
            await etcd.delete(key)
            await etcd.put(key, b"2")
            async with asyncio.timeout(SOON_S):
                await etcd.gone(key, first)

    arun(body())


def test_waiting_ends_with_the_session(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 30) as session:
            await etcd.put(stream.encode(), b"1")
            waiting = asyncio.create_task(session.gone(stream.encode()))
            await asyncio.sleep(0)
            session.lose("server")
            with pytest.raises(LeaseLost):
                await waiting

    arun(body())


def test_a_creation_whose_answer_was_lost_is_known_for_ours(proxy, server, arun, stream):
    async def body():
        key = stream.encode()
        async with etcd_at(through(proxy)) as etcd, etcd_at(server.endpoint) as direct, \
                session_on(etcd, 10) as session:
            proxy.stall(Way.DOWN)
            creating = asyncio.create_task(session.create(key, b"1"))
            made = await there(direct, key)
            proxy.cut()
            proxy.resume()
            written = await creating
            assert (written.done, written.revision) == (True, made.create_revision)
            assert await direct.get(key) == made
            assert session.state is CONNECTED

    arun(body())


def test_a_creation_that_nobody_waits_for_any_more_leaves_no_orphan(proxy, server, arun, stream):
    async def body():
        key = stream.encode()
        async with etcd_at(through(proxy)) as etcd, etcd_at(server.endpoint) as direct, \
                session_on(etcd, 30) as session:
            proxy.stall(Way.DOWN)
            creating = asyncio.create_task(session.create(key, b"1"))
            await there(direct, key)
            creating.cancel()
            await asyncio.wait((creating,))
            proxy.cut()
            proxy.resume()
            await away(direct, key)
            assert session.state is not LOST
            assert not (await session._created(key, b"1")).done  # the same words, come late
            assert (await session.create(key, b"another acquisition")).done

    arun(body())


def test_what_is_granted_to_a_session_that_has_ended_meanwhile_is_not_granted(server, arun, stream):
    class Late(EtcdSession):
        async def _created(self, key, value):
            written = await super()._created(key, value)
            self.lose("server")
            return written

    async def body():
        async with etcd_at(server.endpoint) as etcd, session_on(etcd, 30) as session:
            session.__class__ = Late
            with pytest.raises(LeaseLost):
                await session.create(stream.encode(), b"1")

    arun(body())


def test_a_write_whose_answer_was_lost_is_not_said_twice(proxy, server, arun, stream):
    async def body():
        key = stream.encode()
        async with etcd_at(through(proxy), server.endpoint) as etcd, etcd_at(server.endpoint) as direct:
            proxy.stall(Way.DOWN)
            writing = asyncio.create_task(etcd.put(key, b"1"))
            made = await there(direct, key)
            proxy.cut()
            with pytest.raises(ServerUnreachable) as caught:
                await writing
            assert caught.value.maybe_done
            assert await direct.get(key) == made

    arun(body())


def test_a_question_goes_on_to_an_endpoint_that_answers(proxy, server, arun, stream):
    async def body():
        async with etcd_at(through(proxy), server.endpoint, timeout_s=1.0) as etcd:
            await etcd.put(stream.encode(), b"1")
            proxy.stall()
            began = time.monotonic()
            assert (await etcd.get(stream.encode())).value == b"1"
            assert time.monotonic() - began < 0.9
        proxy.refuse()
        async with etcd_at(through(proxy), server.endpoint) as etcd:
            await etcd.put(stream.encode(), b"2")  # no connection came about, so it was never said

    arun(body())


def test_what_etcd_refuses_is_said_with_its_word(server, arun, stream):
    async def body():
        async with etcd_at(server.endpoint) as etcd:
            with pytest.raises(ServerRefused, match="lease not found") as caught:
                await etcd.put(stream.encode(), b"1", lease=12345)
            assert caught.value.code == "NOT_FOUND"
            with pytest.raises(ServerUnreachable) as away_:
                await Etcd(["http://127.0.0.1:9"], timeout_s=0.5).get(b"a")
            assert not away_.value.maybe_done

    arun(body())


def test_a_server_keeps_its_keys_over_a_restart(arun, stream):
    async def body(server):
        async with etcd_at(server.endpoint) as etcd:
            await etcd.put(stream.encode(), b"1")
            server.restart()
            assert (await there(etcd, stream.encode())).value == b"1"

    with EtcdServer() as server:
        arun(body(server))
