# SPDX-License-Identifier: Apache-2.0
"""Locks on a real ZooKeeper: what only ZooKeeper has. What it shares with etcd is in ``test_locks_sessions``."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from holdfast._coord.zookeeper import open_session
from holdfast.errors import NotAuthorized
from holdfast.locks.zookeeper import ZooKeeperLocks
from holdfast.testing import wait_until_async
from holdfast.testing.zookeeper import ZooKeeperServer

SOON_S = 15.0


@pytest.fixture(scope="module")
def server():
    with ZooKeeperServer() as running:
        yield running


@contextlib.asynccontextmanager
async def locks_at(hosts, **settings):
    locks = ZooKeeperLocks(hosts, **({"ttl_s": 4.0, "watch_s": 60.0} | settings))
    try:
        yield locks
    finally:
        await locks.close()


async def nodes(locks, name, count):
    """The nodes of a lock in the order of their numbers, once there are so many."""
    session = (await locks.line()).session

    async def there():
        names = await session.children(locks.folder(name))
        return len(names) == count and sorted(names, key=lambda each: each[-10:])

    return await wait_until_async(there, SOON_S, f"{count} nodes")


def test_every_waiter_watches_the_node_before_its_own_and_no_other(server, stream, arun):
    async def main():
        async with locks_at(server.hosts) as one, locks_at(server.hosts) as other:
            await one.lock(stream).acquire()
            waiting = [asyncio.create_task(other.lock(stream).acquire()) for _ in range(6)]
            names = await nodes(one, stream, 7)
            watched = (await other.line()).session._keeper._client._data_watchers

            def set_up():
                return {path.rpartition("/")[2]: len(found) for path, found in watched.items() if found}

            await wait_until_async(lambda: len(set_up()) == 6, SOON_S, "all have their watch")
            assert set_up() == dict.fromkeys(names[:-1], 1), "guard: no herd"
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    arun(main())


def test_the_token_is_the_zxid_that_made_our_node_and_the_node_goes_with_our_session(server, stream, arun):
    async def main():
        async with locks_at(server.hosts) as locks, locks.lock(stream).hold() as held:
            [name] = await nodes(locks, stream, 1)
            node = await held.session.get(f"{locks.folder(stream)}/{name}")
            assert (node.czxid, node.owner) == (held.fencing_token, held.session.id)
            assert held.acquisition in node.value.decode()

    arun(main())


def test_what_others_have_put_beside_our_nodes_holds_up_nobody_unless_it_is_numbered(server, stream, arun):
    async def main():
        session = await open_session(server.hosts, 4.0)
        async with locks_at(server.hosts) as locks:
            folder = locks.folder(stream)
            await session.create(f"{folder}/readme", b"1")
            foreign = await session.enqueue(folder)  # as another client's recipe would
            with pytest.raises(TimeoutError):
                await locks.lock(stream).acquire(wait_s=0)
            await session.delete(foreign.path)
            async with locks.lock(stream).hold(wait_s=0):
                pass
        await session.close()

    arun(main())


def test_a_node_that_another_session_left_is_waited_for_and_never_taken_for_ours(server, stream, arun):
    """CURATOR-604: the earlier session's node is still there, about to go."""

    async def main():
        async with locks_at(server.hosts) as locks:
            session = (await locks.line()).session
            held = await locks.lock(stream).acquire()
            session._keeper._client._connection  # noqa: B018 - there is one
            session.lose("unreachable")  # here; the server has not heard of it
            stop = session._keeper.stop
            gate = asyncio.Event()

            async def stopped_late():
                await gate.wait()
                await stop()

            session._keeper.stop = stopped_late
            assert await locks.lock(stream).release(held) is False
            waiting = asyncio.create_task(locks.lock(stream).acquire())
            names = await nodes(locks, stream, 2)
            await asyncio.wait((waiting,), timeout=0.3)
            assert not waiting.done(), "guard: an earlier session's node is somebody else's"
            gate.set()
            taken = await waiting
            assert [names[1]] == await nodes(locks, stream, 1)
            assert taken.session is not session
            assert taken.fencing_token > held.fencing_token

    arun(main())


def test_a_root_that_only_its_user_may_write_to(server, stream, arun):
    from kazoo.client import KazooClient
    from kazoo.security import make_digest_acl

    def closed_to_others(path):
        admin = KazooClient(server.hosts)
        admin.start()
        admin.create(path, acl=[make_digest_acl("app", "only for this test", all=True)])
        admin.stop()
        admin.close()

    async def main():
        root = f"/{stream}"
        await asyncio.to_thread(closed_to_others, root)
        auth = (("digest", "app:only for this test"),)
        async with locks_at(server.hosts, root=root, auth=auth) as locks, locks.lock("a").hold(wait_s=SOON_S):
            pass
        async with locks_at(server.hosts, root=root) as stranger:
            with pytest.raises(NotAuthorized):
                await stranger.lock("b").acquire(wait_s=0)

    arun(main())


def test_a_chroot_is_kept_to(server, stream, arun):
    async def main():
        session = await open_session(server.hosts, 4.0)
        await session.create(f"/{stream}", b"", ephemeral=False)
        async with locks_at(f"{server.hosts}/{stream}") as locks, locks.lock("a").hold(wait_s=SOON_S):
            assert len(await session.children(f"/{stream}{locks.folder('a')}")) == 1
        await session.close()

    arun(main())
