# SPDX-License-Identifier: Apache-2.0
"""Back ends of locks on the bench: servers that run, doors that open on them, and a line that can be hurt.

::

    Bench       how one back end is served and opened; ``BENCHES`` has them all, by the name in ``lock_claims``
    Site        its running servers
    Line        the way to them that one test hurts: ``urls`` that lead through it, ``stall``, ``cut``, ``heal``

A back end joins with a ``BackEnd`` in ``lock_claims`` and a ``Bench`` here; the claims do not change.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast._redis.endpoint import Endpoint
from holdfast._redis.open import open_server
from holdfast._redis.server import Server
from holdfast.locks import Lock, Locks, LockSettings
from holdfast.locks.etcd import EtcdLocks
from holdfast.locks.minimal import MinimalLocks
from holdfast.locks.quorum import QuorumLocks, QuorumSettings
from holdfast.locks.zookeeper import ZooKeeperLocks
from holdfast.testing import Proxy, Single, Way
from holdfast.testing.etcd import EtcdServer
from holdfast.testing.ports import HOST
from holdfast.testing.zookeeper import ZooKeeperServer
from tests.contract.lock_claims import BACK_ENDS, BackEnd
from tests.support.backend import Backend, Pool

#: A door is ``Locks`` or what has its ``lock``, ``held`` and ``close``.
Door = Any
Urls = Sequence[str]
#: No test waits for a poll: who goes on in time was told.
POLL_S = 30.0


class Line(Protocol):
    """The way to the servers, for one test."""

    urls: Urls

    def stall(self, *ways: Way) -> None:
        """Nothing comes through; connections stay open. ``ways``: only in these directions."""
        ...

    def cut(self) -> None:
        """Breaks every connection; what is under way is lost."""
        ...

    def heal(self) -> None:
        """All is well again; new connections too."""
        ...


class Site(Protocol):
    """Servers that run. ``urls``: as ``Bench.open`` takes them, in this and in any other process."""

    urls: Urls

    def line(self) -> AbstractContextManager[Line]: ...

    def clean(self) -> None:
        """Before each test: mends what the last one broke."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Bench:
    """How one back end is served and opened.

    serve: starts its servers, or takes them from the pool. open: what one process has, with leases of ``ttl_s``.
    lock: the lock of a name.
    """

    back_end: BackEnd
    serve: Callable[[Pool], Site]
    open: Callable[[Urls, float], AbstractAsyncContextManager[Door]]
    lock: Callable[[Door, str], Lock] = lambda door, name: door.lock(name)


class Proxies:
    """A ``Line`` of one proxy a server."""

    def __init__(self, proxies: Sequence[Proxy], urls: Urls) -> None:
        self._proxies, self.urls = proxies, urls

    def stall(self, *ways: Way) -> None:
        for proxy in self._proxies:
            proxy.stall(*ways)

    def cut(self) -> None:
        for proxy in self._proxies:
            proxy.cut()

    def heal(self) -> None:
        for proxy in self._proxies:
            proxy.heal()


class Addressed:
    """A ``Site`` of servers that have addresses: ``urls`` and ``addresses`` in the same order."""

    def __init__(self, urls: Urls, addresses: Sequence[tuple[str, int]], close: Callable[[], object],
                 clean: Callable[[], object] = lambda: None) -> None:
        self.urls, self._addresses = urls, addresses
        self.close, self.clean = close, clean  # type: ignore[method-assign]

    @contextlib.contextmanager
    def line(self) -> Iterator[Line]:
        with contextlib.ExitStack() as stack:
            proxies = [stack.enter_context(Proxy(address, resp=False)) for address in self._addresses]
            yield Proxies(proxies, [proxy.through(url) for proxy, url in zip(proxies, self.urls, strict=True)])

    def close(self) -> None: ...

    def clean(self) -> None: ...


class Pooled:
    """A ``Site`` of several nodes, out of the pool. Clients are told their addresses; the line's urls say where to go
    instead: ``url``, and ``port=proxy's port`` for each node."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.urls = backend, (backend.url,)

    @contextlib.contextmanager
    def line(self) -> Iterator[Line]:
        server: Any = self._backend.server
        nodes = getattr(server, "data_nodes", server.nodes)
        with contextlib.ExitStack() as stack:
            proxies = [stack.enter_context(Proxy(node.address)) for node in nodes]
            detours = [f"{node.port}={proxy.port}" for node, proxy in zip(nodes, proxies, strict=True)]
            yield Proxies(proxies, (self._backend.url, *detours))

    def clean(self) -> None:
        self._backend.clean()

    def close(self) -> None:
        """It belongs to the pool."""


def detour(server: Server, ports: dict[int, int]) -> None:
    """From now on every new connection to one of ``ports`` goes to the other port."""
    route: Any = server.route
    known, find = route.known, route.find

    def elsewhere(endpoint: Endpoint | None) -> Endpoint | None:
        return endpoint and Endpoint(endpoint.host, ports.get(endpoint.port, endpoint.port))

    def found(slot: int) -> Any:
        return elsewhere((yield from find(slot)))

    route.known, route.find = lambda slot: elsewhere(known(slot)), found


def pooled(kind: str) -> Callable[[Pool], Site]:
    """One kind of server of the pool."""

    def serve(pool: Pool) -> Site:
        backend = pool.get(kind)
        if hasattr(backend.server, "address"):
            return Addressed((backend.url,), (backend.server.address,), lambda: None, backend.clean)
        return Pooled(backend)

    return serve


@contextlib.asynccontextmanager
async def redis_door(urls: Urls, ttl_s: float) -> AsyncIterator[Locks]:
    """What one process has of locks on Redis or Valkey."""
    server = await open_server(urls[0])
    if len(urls) > 1:
        detour(server, {int(port): int(other) for port, other in (pair.split("=") for pair in urls[1:])})
    locks = Locks(server, LockSettings(ttl_s=ttl_s, poll_s=POLL_S))
    try:
        yield locks
    finally:
        await locks.close()
        await server.close()


@contextlib.asynccontextmanager
async def minimal_door(urls: Urls, ttl_s: float) -> AsyncIterator[MinimalLocks]:
    """What one process has of the minimal lock."""
    server = await open_server(urls[0])
    locks = MinimalLocks(server, ttl_s=ttl_s)
    try:
        yield locks
    finally:
        await locks.close()
        await server.close()


def several(count: int) -> Callable[[Pool], Site]:
    """Independent servers that forget nothing, so that they count at once."""

    def serve(_: Pool) -> Site:
        servers = [Single("valkey", {"appendonly": "yes", "appendfsync": "always"}) for _ in range(count)]
        stack = contextlib.ExitStack()
        for server in servers:
            stack.enter_context(server)
        return Addressed([server.url for server in servers], [server.address for server in servers], stack.close)

    return serve


@contextlib.asynccontextmanager
async def quorum_door(urls: Urls, ttl_s: float) -> AsyncIterator[QuorumLocks]:
    """What one process has of quorum locks."""
    locks = QuorumLocks(urls, QuorumSettings(ttl_s=ttl_s, answer_s=0.2, retry_s=0.05))
    try:
        yield locks
    finally:
        await locks.close()


def one(make: Callable[[], Any], url_of: Callable[[Any], str]) -> Callable[[Pool], Site]:
    """A server that no pool has."""

    def serve(_: Pool) -> Site:
        server = make().start()
        return Addressed([url_of(server)], [server.address], server.close)

    return serve


def postgres(_: Pool) -> Site:
    """A database of its own."""
    from tests.integration.sql.servers import Postgres  # the driver is left to processes that need it

    server = Postgres()
    return Addressed([server.database()], [(HOST, server.port)], server.close)


def postgres_locks(urls: Urls, ttl_s: float) -> Door:
    """A door to advisory locks."""
    from holdfast.locks.postgres import PostgresLocks

    return PostgresLocks(urls[0], ttl_s=ttl_s, poll_s=0.5)


def session_door(make: Callable[[Urls, float], Any]) -> Callable[[Urls, float], AbstractAsyncContextManager[Door]]:
    """What one process has of locks that go with a session. Who watches is told: no test waits for another look."""

    @contextlib.asynccontextmanager
    async def opened(urls: Urls, ttl_s: float) -> AsyncIterator[Door]:
        locks = make(urls, ttl_s)
        try:
            yield locks
        finally:
            await locks.close()

    return opened


def fair(door: Locks, name: str) -> Lock:
    """The lock that keeps the order of arrival."""
    return door.lock(name, fair=True)


BENCHES: dict[str, Bench] = {bench.back_end.name: bench for bench in (
    Bench(BACK_ENDS["valkey"], pooled("valkey"), redis_door),
    Bench(BACK_ENDS["redis70"], pooled("redis70"), redis_door),
    Bench(BACK_ENDS["sentinel"], pooled("sentinel"), redis_door),
    Bench(BACK_ENDS["cluster"], pooled("cluster"), redis_door),
    Bench(BACK_ENDS["valkey-fair"], pooled("valkey"), redis_door, fair),
    Bench(BACK_ENDS["minimal"], pooled("valkey"), minimal_door),
    Bench(BACK_ENDS["quorum-3"], several(3), quorum_door),
    Bench(BACK_ENDS["quorum-5"], several(5), quorum_door),
    Bench(BACK_ENDS["postgres"], postgres, session_door(postgres_locks)),
    Bench(BACK_ENDS["zookeeper"], one(ZooKeeperServer, lambda server: server.hosts),
          session_door(lambda urls, ttl_s: ZooKeeperLocks(urls[0], ttl_s=ttl_s, watch_s=POLL_S))),
    Bench(BACK_ENDS["etcd"], one(EtcdServer, lambda server: server.endpoint),
          session_door(lambda urls, ttl_s: EtcdLocks(urls, ttl_s=ttl_s, watch_s=POLL_S))),
)}
