# SPDX-License-Identifier: Apache-2.0
"""Locks on ZooKeeper: numbered nodes that go with our session.

::

    locks = ZooKeeperLocks("zk1:2181,zk2:2181,zk3:2181/app")

    async with locks.lock("nightly-report").hold(wait_s=60) as held:
        await store(page, fence=held.fencing_token)      # the zxid that made our node: it only grows
    await locks.close()

The recipe is ZooKeeper's (https://zookeeper.apache.org/doc/current/recipes.html#sc_recipes_Locks), for readers and
writers too. Rejected: kazoo's, which does not notice that its session is lost, and leaves a node behind when an answer
is lost (kazoo pull request 760).

What lies there: ``{root}/mutex/{name}/{id}-x-{number}``, for readers and writers ``{root}/read-write/{name}``, with
``-s-`` for readers. The folder of a name stays; that is some 200 bytes a name on every server, so give locks names that
come again, not one an order. A folder counts to 2³¹ places; ``rmr`` it before that while nobody waits.

Which server answers does not matter: ours has made our own node, and so everything that is before it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .._coord.node import segment
from .._coord.zookeeper import ZooKeeperSession, open_session
from ..errors import LeaseLost
from .in_line import removed
from .line import Displaced, Line, Place, Share
from .sessions import SessionLocks

if TYPE_CHECKING:
    from .._coord.tenure import Tenure
    from .tied import Tied

ROOT = "/holdfast/locks"
_DIGITS = 10


class ZooKeeperLocks(SessionLocks):
    """Gives locks by name. One a process and ensemble; ``close`` gives back what is still held.

    hosts: ``host:2181,host:2181``, with ``/chroot`` behind if wanted. ttl_s: asked for; the server keeps it within 2
    and 20 of its ticks, and what it says counts. root: the node under which locks lie. auth: pairs as ``("digest",
    "user:password")``, the same for all who share locks: the nodes are that user's alone; without it anybody may remove
    them. connect_s: ServerUnreachable after that. watch_s: who waits looks again so often, lest it missed something.
    The rest: see ``SessionLocks``. Raises MissingExtra without kazoo when the first lock is asked for.
    """

    def __init__(self, hosts: str, *, ttl_s: float = 10.0, root: str = ROOT, auth: tuple[tuple[str, str], ...] = (),
                 connect_s: float = 10.0, watch_s: float = 10.0, **rest: Any) -> None:
        super().__init__(ttl_s, **rest)
        self.hosts, self.root = hosts, root.rstrip("/")
        self._auth, self._connect_s, self._watch_s = auth, connect_s, watch_s

    async def _open(self) -> Line:
        session = await open_session(self.hosts, self.ttl_s, auth=self._auth, timeout_s=self._connect_s,
                                     watch_s=self._watch_s, clock=self.clock)
        return ZooKeeperLine(self, session)

    def folder(self, name: str, line: str = "mutex") -> str:
        """The node under which the places of a lock lie."""
        return f"{self.root}/{line}/{segment(name)}"


def in_order(names: list[str]) -> list[str]:
    """Those that have a number, by that."""
    return sorted((name for name in names if name[-_DIGITS:].isdigit()), key=lambda name: (name[-_DIGITS:], name))


def is_shared(name: str) -> bool:
    """Is it a reader's?"""
    return name[:-_DIGITS].endswith("-s-")


def before(names: list[str], own: str, shared: bool) -> str | None:
    """The nearest of ``names`` that ``own`` has to wait for. Raises Displaced when ``own`` is not among them.

    A reader waits for the nearest writer, a writer for whoever is before it. Names that have no number are nobody's.
    """
    if own not in names:
        raise Displaced("the node of this acquisition was removed by somebody else")
    line = in_order(names)
    waited_for = [name for name in line[:line.index(own)] if not (shared and is_shared(name))]
    return waited_for[-1] if waited_for else None


class ZooKeeperLine:
    """Fulfils ``Line``."""

    def __init__(self, locks: ZooKeeperLocks, session: ZooKeeperSession) -> None:
        self._locks, self._session = locks, session
        self.session: Tenure = session

    async def enter(self, name: str, share: Share, acquisition: str, about: bytes) -> Place:
        """See ``Line``. An answer that is lost is looked for by an id in the node's name."""
        folder = self._locks.folder(name, share.line)
        node = await self._session.enqueue(folder, about, label="s" if share.shared else "x")
        return Place(node.path, node.czxid, share.shared)

    async def before(self, place: Place) -> str | None:
        """See ``Line``."""
        folder, _, own = place.path.rpartition("/")
        found = before(await self._session.children(folder), own, place.shared)
        return None if found is None else f"{folder}/{found}"

    async def gone(self, path: str) -> None:
        """See ``Line``."""
        await self._session.gone(path)

    async def leave(self, place: Place) -> bool:
        """See ``Line``."""
        return await self._session.delete(place.path)

    async def standing(self, folder: str) -> list[tuple[Place, bytes]]:
        """See ``Line``. One question a node: for people, not for loops."""
        names = in_order(await self._session.children(folder))
        nodes = await asyncio.gather(*(self._session.get(f"{folder}/{name}") for name in names))
        return [(Place(node.path, node.czxid, is_shared(node.path)), node.value) for node in nodes if node is not None]

    def mind(self, held: Tied, place: Place) -> None:
        """See ``Line``. A watch on our own node, which costs a look every ``watch_s``."""
        minding = asyncio.ensure_future(self._minded(held, place))
        held.on_end(minding.cancel)

    async def _minded(self, held: Tied, place: Place) -> None:
        try:
            await self._session.gone(place.path, place.token)
        except LeaseLost:
            return  # told by the session
        removed(self._locks, held)

    async def close(self) -> None:
        """See ``Line``."""
        await self._session.close()
