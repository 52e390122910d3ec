# SPDX-License-Identifier: Apache-2.0
"""Sessions and nodes on a real ZooKeeper that is paused, and whose answers get lost."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from holdfast._base.clock import SystemClock
from holdfast._coord.session import SessionState
from holdfast._coord.zookeeper import ZooKeeperSession, open_session
from holdfast.errors import LeaseLost, ServerUnreachable
from holdfast.testing import Proxy, Way, wait_until_async
from holdfast.testing.zookeeper import ZooKeeperServer

CONNECTED, SUSPENDED, LOST = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST
#: Longer than anything here takes, shorter than what would be heard by looking now and then.
SOON_S = 10.0


@pytest.fixture(scope="module")
def server():
    with ZooKeeperServer() as running:
        yield running


@pytest.fixture
def proxy(server):
    with Proxy(server.address, resp=False) as running:
        yield running


@pytest.fixture
def path(stream):
    return f"/{stream}"


@contextlib.asynccontextmanager
async def session_at(hosts, ttl_s=4.0):
    session = await open_session(hosts, ttl_s, watch_s=30.0)
    session.states = []
    session.on_change(session.states.append)
    try:
        yield session
    finally:
        await session.close()


def through(proxy):
    return f"127.0.0.1:{proxy.port}"


async def children(session, parent, count):
    """Names of the children once there are so many."""

    async def there():
        names = await session.children(parent)
        return len(names) == count and (names or True)

    return await wait_until_async(there, SOON_S, f"{count} nodes under {parent}")


async def away(session, path):
    async def is_away():
        return await session.get(path) is None

    await wait_until_async(is_away, SOON_S, f"no node {path}")


def test_a_session_is_renewed_over_several_ttls(server, arun, path):
    async def body():
        async with session_at(server.hosts, 1.0) as session:
            node, first = await session.create(path, b"1"), session.deadline
            await asyncio.sleep(3.5 * session.ttl_s)  # what is shown is that this long passes
            session.check()
            assert session.states == []
            assert session.deadline > first + 2.5
            assert await session.get(path) == node
            assert node.owner == session.id

    arun(body())


@pytest.mark.parametrize(("asked", "granted"), [(60.0, 4.0), (0.1, 0.4)])
def test_the_ttl_that_the_server_granted_counts(server, arun, asked, granted):
    async def body():
        async with session_at(server.hosts, asked) as session:
            assert session.ttl_s == granted
            assert session.deadline - SystemClock().now() < granted

    arun(body())


def test_a_server_that_is_paused_makes_it_suspended_and_then_lost_by_its_deadline_told_once(server, arun, path):
    async def body():
        async with session_at(server.hosts) as other, session_at(server.hosts, 1.0) as session:
            await session.create(path, b"1")
            server.pause()
            try:
                async with asyncio.timeout(SOON_S):
                    await session.lost.wait()
                late_s = session.clock.now() - session.deadline
            finally:
                server.resume()
            assert session.states == [SUSPENDED, LOST]
            assert 0 <= late_s < 0.5
            assert session.cause == "unreachable"
            with pytest.raises(LeaseLost):
                session.check()
            with pytest.raises(LeaseLost):
                await session.create(f"{path}/another", b"1")
            await away(other, path)
            assert session.states == [SUSPENDED, LOST]

    arun(body())


def test_a_connection_that_breaks_suspends_it_at_once_and_another_one_goes_on(proxy, arun, path):
    async def body():
        async with session_at(through(proxy)) as session:
            node = await session.create(path, b"1")
            proxy.refuse()
            proxy.cut()
            await wait_until_async(lambda: session.state is SUSPENDED, 1.0, "suspended")
            session.check()
            with pytest.raises(ServerUnreachable) as caught:
                await session.get(path)
            assert caught.value.maybe_done
            proxy.accept()
            await wait_until_async(lambda: session.state is CONNECTED, SOON_S, "connected")
            assert await session.get(path) == node
            assert session.states == [SUSPENDED, CONNECTED]

    arun(body())


def test_a_server_that_accepts_and_says_nothing_does_not_cost_the_session(proxy, arun, path):
    async def body():
        async with session_at(through(proxy)) as session:
            node = await session.create(path, b"1")
            proxy.stall()
            proxy.cut()
            await wait_until_async(lambda: proxy.connections, SOON_S, "it connects again")
            proxy.half_open()
            proxy.resume()
            await wait_until_async(lambda: session.states[-1:] == [CONNECTED], SOON_S, "connected")
            assert session.states == [SUSPENDED, CONNECTED]
            assert await session.get(path) == node

    arun(body())


def test_a_session_that_the_server_ended_is_lost_and_no_other_one_takes_its_place(server, arun, path):
    async def body():
        async with session_at(server.hosts) as other, session_at(server.hosts) as session:
            await session.create(path, b"1")
            await asyncio.to_thread(end_from_elsewhere, server, session)
            async with asyncio.timeout(SOON_S):
                await session.lost.wait()
            assert session.cause == "server"
            assert session.states[-1] is LOST
            assert session.states.count(LOST) == 1
            assert await other.get(path) is None
            with pytest.raises(LeaseLost):
                await session.create(path, b"1")

    arun(body())


def end_from_elsewhere(server, session):
    """Another client takes the session over and ends it: for the first one it has expired."""
    from kazoo.client import KazooClient

    thief = KazooClient(server.hosts, client_id=session._keeper._client.client_id)
    thief.start()
    thief.stop()
    thief.close()


def test_a_loop_that_hangs_loses_its_session_and_ends_it_though_threads_would_keep_it(server, arun, path):
    async def body():
        async with session_at(server.hosts) as other, session_at(server.hosts, 1.0) as session:
            await session.create(path, b"1")
            time.sleep(1.2)  # noqa: ASYNC251 - the threads of kazoo go on
            with pytest.raises(LeaseLost):
                session.check()
            await away(other, path)
            assert session.cause == "unreachable"

    arun(body())


def test_nodes_go_when_their_session_is_closed_and_lasting_ones_stay(server, arun, path):
    async def body():
        async with session_at(server.hosts) as other:
            async with session_at(server.hosts) as session:
                await session.create(f"{path}/a", b"1")
                lasting = await session.create(f"{path}/b", b"1", ephemeral=False)
                queued = await session.enqueue(f"{path}/queue")
                assert queued.owner == session.id
                assert lasting.owner == 0
            assert session.cause == "closed"
            assert await other.get(f"{path}/a") is None
            assert await other.children(f"{path}/queue") == []
            assert await other.get(f"{path}/b") == lasting

    arun(body())


def test_of_twenty_that_create_the_same_node_one_wins(server, arun, path):
    async def body():
        async with session_at(server.hosts) as one, session_at(server.hosts) as other:
            racing = [(one if n % 2 else other).create(path, b"%d" % n) for n in range(20)]
            nodes = await asyncio.gather(*racing)
            winners = [node for node in nodes if node is not None]
            assert len(winners) == 1
            assert await one.delete(path)
            assert (await other.create(path, b"next")).czxid > winners[0].czxid

    arun(body())


def test_a_queue_is_numbered_in_the_order_of_arrival(server, arun, path):
    async def body():
        async with session_at(server.hosts) as session:
            nodes = [await session.enqueue(path, b"%d" % n) for n in range(3)]
            assert [node.sequence for node in nodes] == [0, 1, 2]
            assert [(await session.get(node.path)).value for node in nodes] == [b"0", b"1", b"2"]

    arun(body())


def test_a_node_is_written_and_removed_only_as_it_was_seen(server, arun, path):
    async def body():
        async with session_at(server.hosts) as session:
            assert await session.set(path, b"1", 0) is None
            node = await session.create(path, b"1", ephemeral=False)
            assert await session.create(path, b"2", ephemeral=False) is None
            assert await session.set(path, b"2", node.version) == 1
            assert await session.set(path, b"3", node.version) is None
            assert not await session.delete(path, node.version)
            assert await session.delete(path, 1)
            assert not await session.delete(path)
            assert await session.children(path) == []

    arun(body())


def test_who_waits_is_woken_by_the_deletion_and_by_nothing_else(server, arun, path):
    async def body():
        async with session_at(server.hosts) as session, session_at(server.hosts) as other:
            before, beside = await other.enqueue(path), await other.enqueue(path)
            waiting = asyncio.create_task(session.gone(before.path))
            for version in range(3):
                await other.set(before.path, b"x", version)
            await other.delete(beside.path)
            done, _ = await asyncio.wait((waiting,), timeout=0.3)
            assert not done
            await other.delete(before.path)
            async with asyncio.timeout(SOON_S):
                await waiting
                await session.gone(before.path)  # what is not there is gone

    arun(body())


def test_a_deletion_while_the_connection_was_away_is_seen(proxy, server, arun, path):
    async def body():
        async with session_at(through(proxy)) as session, session_at(server.hosts) as other:
            before = await other.enqueue(path)
            waiting = asyncio.create_task(session.gone(before.path))
            await asyncio.wait((waiting,), timeout=0.2)
            proxy.refuse()
            proxy.cut()
            await other.delete(before.path)
            proxy.accept()
            async with asyncio.timeout(SOON_S):
                await waiting
            assert LOST not in session.states

    arun(body())


def test_waiting_ends_with_the_session(server, arun, path):
    async def body():
        async with session_at(server.hosts) as session, session_at(server.hosts) as other:
            before = await other.enqueue(path)
            waiting = asyncio.create_task(session.gone(before.path))
            await asyncio.sleep(0)
            session.lose("server")
            with pytest.raises(LeaseLost):
                await waiting

    arun(body())


def test_a_queued_node_whose_answer_was_lost_is_found_again(proxy, server, arun, path):
    async def body():
        async with session_at(through(proxy)) as session, session_at(server.hosts) as other:
            await session.create(path, b"", ephemeral=False)
            proxy.stall(Way.DOWN)
            creating = asyncio.create_task(session.enqueue(path, b"1"))
            [name] = await children(other, path, 1)
            proxy.cut()
            proxy.resume()
            node = await creating
            assert node == await other.get(f"{path}/{name}")
            assert await other.children(path) == [name]
            assert LOST not in session.states

    arun(body())


def test_a_created_node_whose_answer_was_lost_is_known_for_ours(proxy, server, arun, path):
    async def body():
        async with session_at(through(proxy)) as session, session_at(server.hosts) as other:
            await session.create(path, b"", ephemeral=False)
            proxy.stall(Way.DOWN)
            creating = asyncio.create_task(session.create(f"{path}/a", b"1"))
            await children(other, path, 1)
            proxy.cut()
            proxy.resume()
            node = await creating
            assert node == await other.get(f"{path}/a")
            assert node.owner == session.id
            assert await other.create(f"{path}/a", b"2") is None

    arun(body())


@pytest.mark.parametrize("kind", ["enqueue", "create"])
def test_a_creation_that_nobody_waits_for_any_more_leaves_no_orphan(proxy, server, arun, path, kind):
    async def body():
        async with session_at(through(proxy)) as session, session_at(server.hosts) as other:
            await session.create(path, b"", ephemeral=False)
            proxy.stall(Way.DOWN)
            asked = session.enqueue(path) if kind == "enqueue" else session.create(f"{path}/a", b"1")
            creating = asyncio.create_task(asked)
            await children(other, path, 1)
            creating.cancel()
            await asyncio.wait((creating,))
            proxy.cut()
            proxy.resume()
            await children(other, path, 0)
            assert session.state is not LOST

    arun(body())


def test_a_creation_that_is_cancelled_while_its_parents_are_made_leaves_no_orphan(server, arun, path):
    async def body():
        async with session_at(server.hosts) as session, session_at(server.hosts) as other:
            for n in range(10):
                creating = asyncio.create_task(session.enqueue(f"{path}/{n}"))
                await asyncio.sleep(0)
                creating.cancel()
                await asyncio.wait((creating,))
            await asyncio.gather(*session._errands)
            assert await session.enqueue(f"{path}/last")  # whatever was asked before it has been done by now
            for n in range(10):
                await children(other, f"{path}/{n}", 0)

    arun(body())


def test_what_is_granted_to_a_session_that_has_ended_meanwhile_is_not_granted(server, arun, path):
    class Late(ZooKeeperSession):
        async def _ask(self, what, *args, **settings):
            answer = await super()._ask(what, *args, **settings)
            if what == "create":
                self.lose("server")
            return answer

    async def body():
        async with session_at(server.hosts) as session:
            session.__class__ = Late
            with pytest.raises(LeaseLost):
                await session.enqueue(path)

    arun(body())


def test_a_server_that_cannot_be_reached_is_said_to_be(arun):
    async def body():
        with pytest.raises(ServerUnreachable, match=r"0\.3 s"):
            await open_session("127.0.0.1:9", 1.0, timeout_s=0.3)

    arun(body())


def test_a_session_outlives_a_restart_that_is_shorter_than_its_ttl(arun, path):
    async def body(server):
        async with session_at(server.hosts, 12.0) as session:
            node = await session.create(path, b"1")
            await asyncio.to_thread(server.restart)
            await wait_until_async(lambda: SUSPENDED in session.states and session.state is CONNECTED, 30, "connected")
            assert await session.get(path) == node
            assert session.states[-1] is CONNECTED

    with ZooKeeperServer(tick_ms=600) as server:
        arun(body(server))
