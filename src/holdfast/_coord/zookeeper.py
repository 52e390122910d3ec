# SPDX-License-Identifier: Apache-2.0
"""A session on ZooKeeper: nodes that go with it, nodes that stay, and waiting until one is gone.

::

    session = await open_session("127.0.0.1:2181", ttl_s=10)
    node = await session.enqueue("/locks/a")            # /locks/a/6f1c…-0000000007, numbered by the server
    before = …                                          # the one with the next smaller number
    await session.gone(before)
    ...
    await session.delete(node.path)
    await session.close()                               # whatever is left of it goes at once

Our own heartbeat is a ``sync`` every third of the ttl: only the leader answers that, so a follower that has lost its
leader confirms nothing. An answer moves the deadline; kazoo's pings, of which we do not hear, do not.

An answer that is lost on the way is looked for: a numbered node carries an id in its name (Curator calls that
protection), any other one a value that nobody else writes. Before that look a ``sync``: the server we came to may be
behind the one that did it. One object is one session, and never goes on with the next one that kazoo would open:
a node of an earlier session is about to go (CURATOR-604).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from .._base.clock import Clock, Instant, SystemClock
from ..errors import LeaseLost, ServerError, ServerRefused, ServerUnreachable
from .keeper import Keeper
from .node import Node, node_of, unless_missing
from .tenure import AGAIN_S, T, Tenure, keep


async def open_session(hosts: str, ttl_s: float, *, auth: tuple[tuple[str, str], ...] = (), timeout_s: float = 10.0,
                       watch_s: float = 10.0, clock: Clock | None = None) -> ZooKeeperSession:
    """Connects and opens a session.

    hosts, auth: see ``Keeper``. ttl_s: the server keeps it within 2 and 20 of its ticks, and what it says counts.
    timeout_s: for connecting; ServerUnreachable after that. watch_s: who waits looks again so often, lest it missed
    something.
    """
    clock, keeper = clock or SystemClock(), Keeper(hosts, ttl_s, auth)
    await keeper.start(timeout_s)
    try:
        sent_at = clock.now()
        await keeper.ask("sync", "/", timeout_s=timeout_s)
    except BaseException:
        await keeper.stop()
        raise
    return ZooKeeperSession(keeper, sent_at, clock, watch_s)


class ZooKeeperSession(Tenure):
    """Fulfils ``Session``. Made by ``open_session``; id: as its nodes' ``owner``.

    Every call raises LeaseLost when the session is lost, and NotAuthorized.
    """

    def __init__(self, keeper: Keeper, sent_at: Instant, clock: Clock, watch_s: float) -> None:
        super().__init__(f"ZooKeeper {keeper.hosts}", keeper.granted_s, clock, sent_at)
        self._keeper, self._watch_s = keeper, watch_s
        self.id = keeper.session_id
        keeper.listen(self._heard)
        self._keeping = asyncio.create_task(self._kept())

    def _heard(self, state: str) -> None:
        """In a thread of kazoo, before it opens another session."""
        if state == "LOST":  # guard: its nodes are gone, and kazoo goes on with another session
            self.lose("server")
        elif state == "SUSPENDED":
            self.suspend()

    async def _kept(self) -> None:
        """Renews, and ends the session at the server when it is lost here: kazoo would go on with it, or with the
        next one."""
        await keep(self, self._renew)
        await self.lost.wait()
        await self._keeper.stop()  # guard: lost here, ended there

    async def _renew(self, timeout_s: float) -> float | None:
        await self._keeper.ask("sync", "/", timeout_s=timeout_s)  # guard: a leader has answered
        return self._keeper.granted_s

    # -- nodes that go with the session ---------------------------------------------------------------------------

    async def enqueue(self, parent: str, value: bytes = b"", *, label: str = "") -> Node:
        """A node under ``parent`` that the server numbers (``sequence``), to go with this session.

        label: said in its name, between the id and the number.
        """
        mark = uuid.uuid4().hex
        prefix = f"{parent}/{mark}-{label}-" if label else f"{parent}/{mark}-"

        async def ask() -> Node:
            made = await self._make(prefix, value, ephemeral=True, sequence=True)
            return node_of(made[0], value, made[1])

        return await self._exactly(ask, lambda: self._marked(parent, mark))

    async def create(self, path: str, value: bytes, *, ephemeral: bool = True) -> Node | None:
        """Makes the node if it is not there, with its parents; None when somebody else's is.

        value: nobody else's, ever. ephemeral: it goes with this session; a lasting one is not taken back when the
        caller stops waiting for the answer.
        """

        async def ask() -> Node | None:
            try:
                made = await self._make(path, value, ephemeral=ephemeral)
            except ServerRefused as error:
                if error.code != "NodeExists":
                    raise
                return await self._own(path, value, ephemeral)
            return node_of(made[0], value, made[1])

        return await self._exactly(ask, lambda: self._own(path, value, ephemeral), undo=ephemeral)

    async def _make(self, path: str, value: bytes, **settings: Any) -> Any:
        """Creates it, with its parents if need be. In one request at a time: kazoo's ``makepath`` would go on by itself
        after its caller has gone, and create what was already taken back."""
        while True:
            try:
                return await self._ask("create", path, value, include_data=True, **settings)
            except ServerRefused as error:
                if error.code != "NoNode":
                    raise
                await self._ask("ensure_path", path.rpartition("/")[0])  # guard: not what we create

    async def _exactly(self, ask: Callable[[], Awaitable[T]], look: Callable[[], Awaitable[Node | None]], *,
                       undo: bool = True) -> T | Node:
        """Asks until it is answered, and looks before it asks again; what is there after the caller went is removed."""
        doubt = False
        try:
            while True:
                self.check()
                try:
                    found = await look() if doubt else None  # guard: its answer may have been lost
                    granted = found or await ask()
                except ServerUnreachable as error:
                    doubt |= error.maybe_done
                    await asyncio.sleep(AGAIN_S)
                else:
                    self.check()  # guard: granted to a session that has ended meanwhile is not granted
                    return granted
        except BaseException as error:
            if undo and (doubt or isinstance(error, asyncio.CancelledError)) and not self.over:
                self.errand(self._taken_back(look))  # guard: it may be there, and nobody would know
            raise

    async def _taken_back(self, look: Callable[[], Awaitable[Node | None]]) -> None:
        while not self.over:
            try:
                if (node := await look()) is not None:
                    await self.delete(node.path)
                break
            except ServerUnreachable:
                await asyncio.sleep(AGAIN_S)
            except (ServerError, LeaseLost):
                break

    async def _marked(self, parent: str, mark: str) -> Node | None:
        """The node whose name begins so, if it came about."""
        await self.sync(parent)
        names = [name for name in await self.children(parent) if name.startswith(mark)]
        return await self.get(f"{parent}/{names[0]}") if names else None

    async def _own(self, path: str, value: bytes, ephemeral: bool) -> Node | None:
        await self.sync(path)
        node = await self.get(path)
        # guard: asked again, it is ours
        ours = node is not None and (node.owner, node.value) == (self.id if ephemeral else 0, value)
        return node if ours else None

    # -- any node -------------------------------------------------------------------------------------------------

    async def sync(self, path: str) -> None:
        """From now on, what is read here is no older than this question. ``path`` need not be there."""
        await self._ask("sync", path)

    async def get(self, path: str) -> Node | None:
        """The node; None when it is not there. Another server may know of a newer one: ``set`` and ``delete`` do."""
        return await self._got(path, None)

    async def _got(self, path: str, watch: Callable[[object], None] | None) -> Node | None:
        try:
            value, stat = await self._ask("get", path, watch=watch)
        except ServerRefused as error:
            return unless_missing(error, None)
        return node_of(path, value, stat)

    async def children(self, parent: str) -> list[str]:
        """Names of the nodes under it, in no order; none when it is not there."""
        try:
            return list(await self._ask("get_children", parent))
        except ServerRefused as error:
            return unless_missing(error, [])

    async def set(self, path: str, value: bytes, version: int) -> int | None:
        """Writes if the node still has this ``version``; its new version, None when it has another one or is gone."""
        try:
            return int((await self._ask("set", path, value, version)).version)
        except ServerRefused as error:
            return None if error.code == "BadVersion" else unless_missing(error, None)

    async def stamp(self, path: str) -> int:
        """Writes the node, which lasts and is made if need be. The zxid of that write: a number that only grows."""
        while True:
            try:
                return int((await self._ask("set", path, b"")).mzxid)
            except ServerRefused as error:
                if error.code != "NoNode":
                    raise
                await self._ask("ensure_path", path)

    async def delete(self, path: str, version: int = -1) -> bool:
        """Removes the node if it has this ``version`` (-1: any). False when it was not there, or has another one.

        ServerUnreachable when the answer was lost: it may be gone, and asking again is harmless for a queued node.
        """
        try:
            await self._ask("delete", path, version)
        except ServerRefused as error:
            return False if error.code == "BadVersion" else unless_missing(error, False)
        return True

    async def gone(self, path: str, czxid: int = 0) -> None:
        """Returns when the node is not there, or was made anew since ``czxid`` (0: since the first look).

        Each look leaves a watch, which sees what happens after it. By ``get``, not ``exists``: that one would leave a
        watch on a node that is gone, too, which nothing ever takes away. Raises LeaseLost when the session ends before.
        """
        await self.unless_lost(self._gone(path, czxid))

    async def _gone(self, path: str, czxid: int) -> None:
        woken = asyncio.Event()
        watch = self._keeper.woken(woken)
        while True:
            woken.clear()
            try:
                node = await self._got(path, watch)  # guard: the look leaves the watch
                if node is None or node.czxid != (czxid or node.czxid):
                    return
                czxid = node.czxid
                async with asyncio.timeout(self._watch_s):
                    await woken.wait()
            except ServerUnreachable:
                await asyncio.sleep(AGAIN_S)
            except TimeoutError:
                continue  # nothing heard for long: look again

    async def close(self) -> None:
        """Ends the session: its nodes go at once, or within a ttl when the server cannot be reached.

        Waits for the threads, up to a ttl.
        """
        self.lose("closed")
        await self.end_errands()
        await self._keeping

    async def _ask(self, what: str, *args: Any, **settings: Any) -> Any:
        self.check()
        return await self._keeper.ask(what, *args, timeout_s=max(0.05, self.ttl_s / 3), **settings)
