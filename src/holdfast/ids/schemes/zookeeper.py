# SPDX-License-Identifier: Apache-2.0
"""Worker ids on ZooKeeper: a node a worker id, changed by its version, and nodes that go with our session.

::

    with WorkerId(ZooKeeperWorkers("zk1:2181,zk2:2181,zk3:2181/app", pool="orders")) as worker:
        ids = Generator(layout_called("snowflake"), worker)

What lies there: ``{root}/{pool}/record/{worker id}``, which stays, and ``{root}/{pool}/alive/{hold}``, which goes with
the session. A claim asks for each record of the pool; a renewal asks once.

The server that answers may be behind: each look begins with a ``sync``, and what is read is never more than a proposal,
which the version decides about. Records are read before marks: a mark is there before a record names it, and so nobody
takes for dead who has come in between.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..._coord.node import segment
from ..._coord.zookeeper import ZooKeeperSession, open_session
from ...errors import LeaseLost, ServerUnreachable
from ..clockless import from_bytes, to_bytes
from ..sessions import Seen, SessionWorkers, Store, Stored

if TYPE_CHECKING:
    from ..._coord.node import Node
    from ..._coord.tenure import Tenure
    from ..windows import Record

ROOT = "/holdfast/ids"


class ZooKeeperWorkers(SessionWorkers):
    """Fulfils ``Scheme``.

    hosts: ``host:2181,host:2181``, with ``/chroot`` behind if wanted. ttl_s: asked for; the server keeps it within 2
    and 20 of its ticks (4 s and 40 s, as it comes), and what it says counts. root: the node under which pools lie.
    auth: pairs as ``("digest", "user:password")``, the same for all who share a pool: the nodes are that user's alone;
    without it anybody may remove them. connect_s: ServerUnreachable after that. The rest: see ``SessionWorkers``.

    Raises MissingExtra without kazoo when the first id is claimed.
    """

    name = "zookeeper"

    def __init__(self, hosts: str, *, pool: str = "default", workers: int = 1024, ttl_s: float = 30.0,
                 behind_s: float = 30.0, root: str = ROOT, auth: tuple[tuple[str, str], ...] = (),
                 connect_s: float = 10.0, **rest: Any) -> None:
        super().__init__(pool=pool, workers=workers, ttl_s=ttl_s, behind_s=behind_s, **rest)
        self.hosts, self.folder = hosts, f"{root.rstrip('/')}/{segment(pool)}"
        self.identity = f"zookeeper {hosts} {self.folder}"
        self._auth, self._connect_s = auth, connect_s

    async def _open(self) -> Store:
        return ZooKeeperStore(await open_session(self.hosts, self.ttl_s, auth=self._auth, timeout_s=self._connect_s,
                                                 clock=self.clock), self.folder)


class ZooKeeperStore:
    """Fulfils ``Store``. folder: the node of the pool."""

    def __init__(self, session: ZooKeeperSession, folder: str) -> None:
        self._session, self._folder = session, folder
        self.session: Tenure = session
        self.tag = f"{session.id:x}"

    async def look(self) -> Seen:
        """See ``Store``."""
        await self._session.sync(self._folder)
        names = [name for name in await self._session.children(f"{self._folder}/record") if name.isdecimal()]
        found = await asyncio.gather(*(self._session.get(self._record(int(name))) for name in names))
        marks = await self._session.children(f"{self._folder}/alive")  # guard: marks after records
        return Seen({int(name): self._stored(int(name), node) for name, node in zip(names, found, strict=True)
                     if node is not None}, frozenset(map(unquote, marks)))

    async def read(self, worker: int) -> Stored | None:
        """See ``Store``."""
        await self._session.sync(self._folder)
        node = await self._session.get(self._record(worker))
        return None if node is None else self._stored(worker, node)

    async def write(self, record: Record, before: Stored | None, hold: str) -> Stored | None:
        """See ``Store``. A session that has ended writes nothing: the server says so."""
        path, value = self._record(record.worker), to_bytes(record)
        if before is None:
            made = await self._session.create(path, value, ephemeral=False)
            return None if made is None else Stored(record, made.version)
        version = await self._session.set(path, value, before.version)  # guard: as it was read
        return None if version is None else Stored(record, version)

    async def put_mark(self, hold: str) -> None:
        """See ``Store``."""
        if await self._session.create(self._mark(hold), hold.encode()) is None:
            raise LeaseLost(f"{self._mark(hold)} is there, and not ours")

    async def remove_mark(self, hold: str) -> None:
        """See ``Store``."""
        with suppress(ServerUnreachable):
            await self._session.delete(self._mark(hold))

    async def close(self) -> None:
        """See ``Store``."""
        await self._session.close()

    def _record(self, worker: int) -> str:
        return f"{self._folder}/record/{worker}"

    def _mark(self, hold: str) -> str:
        return f"{self._folder}/alive/{segment(hold)}"

    def _stored(self, worker: int, node: Node) -> Stored:
        return Stored(from_bytes(worker, node.value, f"{node.path} of {self._session.name}"), node.version)
