# SPDX-License-Identifier: Apache-2.0
"""Locks that go with a session, as one process after another would have them; and somebody else, who looks at what
lies on the server and meddles with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from holdfast._coord.etcd import Etcd
from holdfast._coord.zookeeper import open_session
from holdfast.locks.etcd import EtcdLocks
from holdfast.locks.zookeeper import ZooKeeperLocks
from holdfast.testing import wait_until_async
from holdfast.testing.etcd import EtcdServer
from holdfast.testing.zookeeper import ZooKeeperServer

#: Longer than anything takes that is told, shorter than what would be noticed by looking now and then.
SOON_S = 15.0


class Ground:
    """A running server and doors to it. ``address``: for a proxy."""

    kind = ""

    def __init__(self, server: Any) -> None:
        self.server = server

    def locks(self, proxy: Any = None, **settings: Any) -> Any:
        """A door as one process has it; the caller closes it."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def door(self, proxy: Any = None, **settings: Any) -> AsyncIterator[Any]:
        """A door, closed at the end."""
        locks = self.locks(proxy, **({"ttl_s": 4.0, "watch_s": 60.0} | settings))
        try:
            yield locks
        finally:
            await locks.close()

    async def places(self, locks: Any, name: str, line: str = "mutex") -> list[str]:
        """What lies in a line now, as somebody else sees it."""
        raise NotImplementedError

    async def remove(self, path: str) -> None:
        """Removes a place, as ``force-unlock`` would."""
        raise NotImplementedError

    async def in_line(self, locks: Any, name: str, count: int, line: str = "mutex") -> list[str]:
        """The places of a line, once there are so many."""

        async def there() -> Any:
            found = await self.places(locks, name, line)
            return len(found) == count and (found or True)

        found = await wait_until_async(there, SOON_S, f"{count} places in the line of {name}")
        return [] if found is True else found

    async def end_session(self, locks: Any) -> None:
        """Ends the session of ``locks`` at the server."""
        raise NotImplementedError

    async def close(self) -> None:
        """Ends what looked."""


class ZooKeeperGround(Ground):
    """ZooKeeper."""

    kind = "zookeeper"
    _looking: Any = None

    def locks(self, proxy: Any = None, **settings: Any) -> ZooKeeperLocks:
        hosts = self.server.hosts if proxy is None else f"127.0.0.1:{proxy.port}"
        return ZooKeeperLocks(hosts, **settings)

    async def _session(self) -> Any:
        if self._looking is None or self._looking.over:
            self._looking = await open_session(self.server.hosts, 4.0)
        return self._looking

    async def places(self, locks: Any, name: str, line: str = "mutex") -> list[str]:
        folder = locks.folder(name, line)
        names = await (await self._session()).children(folder)
        return [f"{folder}/{each}" for each in sorted(names, key=lambda each: each[-10:])]

    async def remove(self, path: str) -> None:
        await (await self._session()).delete(path)

    async def end_session(self, locks: Any) -> None:
        await asyncio.to_thread(_taken_over, self.server.hosts, (await locks.line()).session)

    async def close(self) -> None:
        if self._looking is not None:
            await self._looking.close()
            self._looking = None


def _taken_over(hosts: str, session: Any) -> None:
    """Another client takes the session over and ends it: for the first one it has expired."""
    from kazoo.client import KazooClient

    thief = KazooClient(hosts, client_id=session._keeper._client.client_id)
    thief.start()
    thief.stop()
    thief.close()


class EtcdGround(Ground):
    """etcd."""

    kind = "etcd"
    _looking: Any = None

    def locks(self, proxy: Any = None, **settings: Any) -> EtcdLocks:
        endpoint = self.server.endpoint if proxy is None else f"http://127.0.0.1:{proxy.port}"
        return EtcdLocks([endpoint], **settings)

    def _etcd(self) -> Etcd:
        if self._looking is None:
            self._looking = Etcd([self.server.endpoint])
        return self._looking

    async def places(self, locks: Any, name: str, line: str = "mutex") -> list[str]:
        found = await self._etcd().among(locks.folder(name, line).encode())
        return [each.key.decode() for each in found]

    async def remove(self, path: str) -> None:
        await self._etcd().delete(path.encode())

    async def end_session(self, locks: Any) -> None:
        session = (await locks.line()).session
        await self._etcd()._gateway.call("/v3/lease/revoke", {"ID": str(session.lease)})

    async def close(self) -> None:
        if self._looking is not None:
            await self._looking.close()
            self._looking = None


SERVERS = {"zookeeper": (ZooKeeperServer, ZooKeeperGround), "etcd": (EtcdServer, EtcdGround)}
