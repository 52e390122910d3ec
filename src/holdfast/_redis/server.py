# SPDX-License-Identifier: Apache-2.0
"""An opened back end: gives out links, remembers the route, closes what it opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from .._base.chance import Chance, system_chance
from .abilities import ServerAbilities, probe, require
from .endpoint import Access, Endpoint
from .keys import DEFAULT_PREFIX
from .link import CONNECT_S, Link, OwnWires
from .route import ByCluster, Route
from .slots import SLOTS, slot_of
from .sync_link import SyncLink
from .wire import Wire

Kind = Literal["embedded", "standalone", "sentinel", "cluster", "adopted"]


class Server:
    """A Redis or Valkey back end that was opened (see ``open_server``).

    ``kind`` is how it was reached, ``prefix`` begins every key of ours, ``url`` is for messages and holds no password.
    """

    def __init__(
        self,
        kind: Kind,
        route: Route,
        url: str,
        *,
        prefix: str = DEFAULT_PREFIX,
        chance: Chance | None = None,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.kind = kind
        self.route = route
        self.url = url
        self.prefix = prefix
        self._chance = chance or system_chance()
        self._on_close = on_close
        self._pool = SharedWires()
        self._shared: dict[int, Link] = {}
        self._links: list[Link] = []
        self._abilities: ServerAbilities | None = None

    @property
    def clustered(self) -> bool:
        """Whether slots lie on several nodes."""
        return isinstance(self.route, ByCluster)

    def place_of(self, key: bytes) -> int:
        """What tells apart the links that ``key`` may need: its slot, or 0 where one node has them all."""
        return slot_of(key) if self.clustered else 0

    async def link(self, key: bytes, *, name: str = "hf", timeout_s: float = 5.0) -> Link:
        """A new connection, pinned to the master that serves ``key``'s slot, connected. The caller closes it."""
        link = Link(self.route, slot_of(key), OwnWires(name), self._chance, timeout_s=timeout_s)
        await link.connect()
        self._links = [kept for kept in self._links if not kept.closed] + [link]
        return link

    def sync_link(self, key: bytes, *, timeout_s: float = 2.0) -> SyncLink:
        """The same for a plain thread; connects at its first call. The caller closes it."""
        return SyncLink(self.route, slot_of(key), self._chance, timeout_s=timeout_s)

    def shared(self, key: bytes) -> Link:
        """The link that everybody uses for short commands on ``key``'s slot. Links to the same node share a connection.

        Never call a blocking command on it. ``abort`` and ``close`` of a shared link do nothing to the connection.
        """
        slot = self.place_of(key)
        link = self._shared.get(slot)
        if link is None:
            link = self._shared[slot] = Link(self.route, slot, _Borrowed(self._pool), self._chance)
        return link

    async def masters(self) -> dict[bytes, Link]:
        """A new link to every master, by a hash tag that lies in one of its slots. The caller closes them."""
        found = {b"hf": await self.link(b"hf")}
        route = self.route
        if not isinstance(route, ByCluster):
            return found
        missing = {endpoint for endpoint in route.masters() if str(endpoint) != found[b"hf"].endpoint}
        for tag in (b"hf%d" % n for n in range(SLOTS)):
            if not missing:
                break
            if route.known(slot_of(tag)) in missing:
                missing.discard(route.known(slot_of(tag)))
                found[tag] = await self.link(tag)
        return found

    async def abilities(self) -> ServerAbilities:
        """What the back end can do, asked of one master, once. Raises AbilityMissing below Redis 6.2."""
        if self._abilities is None:
            self._abilities = await probe(self.shared(b"hf"), b"%s:{hf}:probe" % self.prefix.encode())
            require(self._abilities, self.url)
        return self._abilities

    async def close(self) -> None:
        """Closes every link; the last user of an embedded server stops it."""
        for link in (*self._links, *self._shared.values()):
            await link.close()
        await self._pool.close()
        if self._on_close is not None:
            await self._on_close()
            self._on_close = None


class SharedWires:
    """One connection to each node, opened at first use, for every link that borrows it."""

    def __init__(self) -> None:
        self._open: dict[Endpoint, Wire] = {}
        self._opening: dict[Endpoint, asyncio.Lock] = {}

    async def to(self, endpoint: Endpoint, access: Access, timeout_s: float) -> Wire:
        wire = self._open.get(endpoint)
        if wire is not None and not wire.closed:
            return wire
        async with self._opening.setdefault(endpoint, asyncio.Lock()):
            wire = self._open.get(endpoint)
            if wire is None or wire.closed:
                wire = self._open[endpoint] = await Wire.open(access, endpoint, "hf-shared", min(timeout_s, CONNECT_S))
        return wire

    async def close(self) -> None:
        while self._open:
            await self._open.popitem()[1].close()


class _Borrowed:
    """A link's view of the shared connections: it remembers which it used last, and owns none."""

    def __init__(self, pool: SharedWires) -> None:
        self._pool = pool
        self._last: Wire | None = None

    async def to(self, endpoint: Endpoint, access: Access, timeout_s: float) -> Wire:
        self._last = await self._pool.to(endpoint, access, timeout_s)
        return self._last

    def current(self) -> Wire | None:
        return self._last

    def drop(self) -> None:
        self._last = None
