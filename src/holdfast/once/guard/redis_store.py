# SPDX-License-Identifier: Apache-2.0
"""Records on Redis or Valkey: one hash for each guarded key, which expires by itself. Time is the server's.

Every step is one script on one key, so a Cluster spreads the keys over its nodes. Renewals use connections of their
own: they must not queue behind whatever else the process sends. Plain code uses blocking sockets, each borrowed for one
call, so that a thread that renews never waits for the one that works.

What a failover or a crash of the machine loses is forgotten: under ``appendfsync everysec`` a second or two of marks
and results, and whatever a replica that is promoted had not received. Whoever asks for such a key again is the first.

Memory, for as long as ``retention_s``: a million done keys of 40 characters with results of 100 bytes take about 540 MB
(measured on Valkey 9.1: 542 bytes a record).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from ..._redis.keys import GuardKeys
from ..._redis.link import Link
from ..._redis.scripts import Script, load_script
from ..._redis.server import Server
from ..._redis.slots import slot_of
from ..._redis.sync_link import SyncLink
from ...errors import ConfigurationError, ServerError
from .records import Busy, Claimed, Done, First, Mark, Record, Repeated, Running
from .store import DedupStore

T = TypeVar("T")

#: Hands out the open server, and opens it at its first call. Asked at every step, so that it may hand out another one
#: later: after a fork, or on another event loop. What it opens is its own to close.
Opener = Callable[[], Awaitable[Server]]

_CLAIM = load_script("holdfast.once.guard", "guard_claim")
_RENEW = load_script("holdfast.once.guard", "guard_renew")
_FINISH = load_script("holdfast.once.guard", "guard_finish")

#: Blocking sockets that are kept open between calls.
IDLE_MAX = 16


class RedisStore:
    """Keeps records on the server that ``server`` is or hands out (``Holdfast.open``). Fulfils ``DedupStore``.

    apart: opens a server for plain code, once, on an event loop of its own that ends at once; only its blocking sockets
        are used, and it is closed here. By default ``server`` is asked.
    """

    def __init__(self, server: Server | Opener, *, apart: Opener | None = None) -> None:
        self._server = server
        self._beside: tuple[Server, Server] | None = None
        self._plain = PlainRedisStore(server if apart is None else apart)

    async def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        return _claimed(await self._run(_CLAIM, mark, mark.lease_ms, mark.retention_ms))

    async def renew(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        server = self._renewing(await self._opened())
        key = _key(server, mark.namespace, mark.key)
        args = (mark.owner, mark.lease_ms, mark.retention_ms)
        return bool(await server.shared(key).run(_RENEW, (key,), args))

    async def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        return bool(await self._run(_FINISH, mark, "done", result, mark.retention_ms))

    async def clear(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return bool(await self._run(_FINISH, mark, "cleared", b"", 0))

    async def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        server = await self._opened()
        record = _key(server, namespace, key)
        return _record(await server.shared(record).pipeline(_looks(record)))

    async def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """Records expire by themselves: there is nothing to prune."""
        return 0

    async def close(self) -> None:
        """Closes the renewals' connections and the plain side's; the server handed in stays open."""
        if self._beside is not None:
            await self._beside[1].close()
            self._beside = None
        await asyncio.to_thread(self._plain.close)

    def plain(self) -> PlainRedisStore:
        """The same records for plain code."""
        return self._plain

    def within(self, session: Any) -> DedupStore:
        """The effect of an SQL transaction cannot commit together with a record on Redis."""
        raise ConfigurationError(_NO_SESSION)

    async def _opened(self) -> Server:
        return self._server if isinstance(self._server, Server) else await self._server()

    async def _run(self, script: Script, mark: Mark, *args: Any) -> Any:
        server = await self._opened()
        key = _key(server, mark.namespace, mark.key)
        link: Link = server.shared(key)
        return await link.run(script, (key,), (mark.owner, *args))

    def _renewing(self, server: Server) -> Server:
        """The same nodes over a second set of connections. Another server, as after a fork, gets a new set."""
        if self._beside is None or self._beside[0] is not server:
            self._beside = server, Server(server.kind, server.route, server.url, prefix=server.prefix)
        return self._beside[1]


class PlainRedisStore:
    """The same for plain code: scripts, threads, cron jobs. Safe to share among threads, and after a fork."""

    def __init__(self, source: Server | Opener) -> None:
        self._source = source
        self._opening = threading.Lock()
        self._home = 0
        self._server: Server | None = None
        self._idle: OrderedDict[SyncLink, int] = OrderedDict()

    def claim(self, mark: Mark) -> Claimed:
        """See ``PlainStore``."""
        return _claimed(self._run(_CLAIM, mark, mark.lease_ms, mark.retention_ms))

    def renew(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return bool(self._run(_RENEW, mark, mark.lease_ms, mark.retention_ms))

    def finish(self, mark: Mark, result: bytes) -> bool:
        """See ``PlainStore``."""
        return bool(self._run(_FINISH, mark, "done", result, mark.retention_ms))

    def clear(self, mark: Mark) -> bool:
        """See ``PlainStore``."""
        return bool(self._run(_FINISH, mark, "cleared", b"", 0))

    def look(self, namespace: str, key: str) -> Record | None:
        """See ``PlainStore``."""
        record = _key(self._opened(), namespace, key)
        with self._link(record) as link:
            return _record(link.pipeline(_looks(record)))

    def prune(self, namespace: str, retention_ms: int, limit: int) -> int:
        """Records expire by themselves: there is nothing to prune."""
        return 0

    def close(self) -> None:
        """Closes the sockets, and the server if it was opened here. A later call opens it again."""
        with self._opening:
            while self._idle:
                self._idle.popitem()[0].close()
            server, self._server = self._server, None
            if server is not None and server is not self._source and self._home == os.getpid():
                _apart(server.close)

    def _run(self, script: Script, mark: Mark, *args: Any) -> Any:
        key = _key(self._opened(), mark.namespace, mark.key)
        with self._link(key) as link:
            return link.run(script, (key,), (mark.owner, *args))

    def _opened(self) -> Server:
        with self._opening:
            if self._home != os.getpid():  # guard: a forked child shares no socket
                self._idle, self._server, self._home = OrderedDict(), None, os.getpid()
            if self._server is None:
                source = self._source
                self._server = source if isinstance(source, Server) else _apart(source)
            return self._server

    @contextmanager
    def _link(self, key: bytes) -> Iterator[SyncLink]:
        """A socket for one call: an idle one to the slot, or a new one. Kept for the next unless there are many."""
        server = self._opened()
        slot = slot_of(key) if server.clustered else 0
        with self._opening:
            link = next((idle for idle, of in reversed(self._idle.items()) if of == slot), None)
            if link is not None:
                del self._idle[link]
        link = link or server.sync_link(key)
        try:
            yield link
        finally:
            self._give_back(link, slot)

    def _give_back(self, link: SyncLink, slot: int) -> None:
        with self._opening:
            self._idle[link] = slot
            spare = self._idle.popitem(last=False)[0] if len(self._idle) > IDLE_MAX else None
        if spare is not None:
            spare.close()


_NO_SESSION = ("a record on Redis joins no SQL transaction: give the guard an SqlStore, or leave `session` out and let "
               "the callee honour the key")


def _apart(work: Callable[[], Awaitable[T]]) -> T:
    """Runs a coroutine to its end on a loop and a thread of its own: the caller may stand on a loop that runs."""

    async def main() -> T:
        return await work()

    coroutine: Coroutine[Any, Any, T] = main()
    with ThreadPoolExecutor(1, thread_name_prefix="holdfast-guard") as thread:
        return thread.submit(asyncio.run, coroutine).result()


def _key(server: Server, namespace: str, key: str) -> bytes:
    return GuardKeys(server.prefix, namespace, key).record


def _claimed(reply: list[Any]) -> Claimed:
    if reply[0] == b"repeated":
        return Repeated(reply[1])
    if reply[0] == b"busy":
        return Busy(int(reply[1]))
    return First(int(reply[1]), taken_over=bool(reply[2]))


def _looks(key: bytes) -> tuple[tuple[Any, ...], ...]:
    return ("HMGET", key, "state", "owner", "until", "began", "result"), ("PTTL", key), ("TIME",)


def _record(replies: list[Any]) -> Record | None:
    for reply in replies:
        if isinstance(reply, ServerError):
            raise reply
    (state, owner, until, began, result), left_ms, (seconds, micros) = replies
    if state is None:
        return None
    if state == b"running":
        return Running(owner.decode(), int(until), int(began))
    return Done(owner.decode(), result or b"", int(seconds) * 1000 + int(micros) // 1000 + max(0, left_ms))
