# SPDX-License-Identifier: Apache-2.0
"""Worker ids on Redis or Valkey: windows of the server's time, in one script each.

With ``replicas`` a window counts once so many replicas have confirmed it. Without, a failover can lose the newest
windows; then the server that takes over is met with another run id, and what it gives begins behind the longest window
that was ever given, and a second: for so long nobody new makes ids, and nobody makes one twice. That holds as long as
its clock is less than that second behind, and the record of the server before had reached it: which it has since the
first claim of all, but for that of a longer window than any before it, and for what a second failover in a row forgot
of the first. ``tests/sim/ids_model.py`` shows what each of these leads to. A server that comes back empty knows of no
window and of no other server: keep it on disk, or have replicas.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..._redis.keys import WorkerKeys
from ..._redis.open import open_server
from ..._redis.scripts import load_script
from ..._redis.urls import parse_url
from ...errors import LeaseLost, ServerError, ServerRefused
from ..scheme import Grant, Holding, Owner
from ..term import Window
from ..windows import exhausted, taken

if TYPE_CHECKING:
    from ..._redis.link import Link
    from ..._redis.scripts import Script
    from ..._redis.server import Server

_CLAIM = load_script("holdfast.ids", "claim_worker", "store_time")
_RENEW = load_script("holdfast.ids", "renew_worker", "store_time")
_RELEASE = load_script("holdfast.ids", "release_worker")
#: Longest wait for one answer, and for replicas.
ANSWER_S = 2.0
CONFIRM_S = 1.0


class RedisWorkers:
    """Fulfils ``Scheme``. url: None is the embedded server, of ``data_dir``. pool: whoever shares it shares ``workers``
    ids. replicas: how many confirm each window. Anything else goes to ``open_server``: username, password, tls_ca, …"""

    name = "redis"

    def __init__(self, url: str | None, *, pool: str = "default", workers: int = 1024, replicas: int = 0,
                 prefix: str = "hf", data_dir: Path | None = None, **connection: Any) -> None:
        self.workers, self.pool = workers, pool
        self._url, self._prefix, self._replicas, self._data_dir = url, prefix, replicas, data_dir
        self._connection = connection
        self._keys = WorkerKeys(prefix, pool)
        #: Which store and pool this is, for ``Remembered``: without a password.
        self.identity = f"redis {_shown(url, data_dir)} {prefix} {pool}"
        self._server: Server | None = None
        self._own: Link | None = None
        self._opening = asyncio.Lock()

    async def claim(self, owner: Owner, lease_ms: int) -> Grant:
        """See ``Scheme``."""
        wanted = "" if owner.wanted is None else str(owner.wanted)
        said, worker, first, last, now = await self._run(
            _CLAIM, (self._keys.worker_clock, self._keys.workers, self._keys.worker_owners),
            lambda run_id: (owner.id, owner.name, lease_ms, run_id, self.workers, wanted))
        if said == b"taken":
            raise taken(int(worker), self.pool, first.decode(), int(last) - int(now))
        if said == b"exhausted":
            raise exhausted(self.workers, self.pool, int(last) - int(now))
        return Grant(int(worker), Window(int(first), int(last)), float(now))

    async def renew(self, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        """See ``Scheme``."""
        last, now = await self._run(
            _RENEW, (self._keys.worker_clock, self._keys.workers, self._keys.worker_owners),
            lambda run_id: (owner.id, grant.worker, lease_ms, run_id, grant.window.last_ms))
        if not last:
            raise LeaseLost(f"worker id {grant.worker} of pool {self.pool!r} is not ours any more: somebody else has "
                            "it, or a failover lost it")
        return Grant(grant.worker, Window(grant.window.first_ms, int(last)), float(now))

    async def release(self, owner: Owner, grant: Grant, last_ms: int) -> None:
        """See ``Scheme``."""
        await self._run(_RELEASE, (self._keys.workers, self._keys.worker_owners),
                        lambda _: (owner.id, grant.worker, last_ms))

    async def holders(self) -> list[Holding]:
        """See ``Scheme``."""
        link = await self._link()
        ends, owners, (seconds, micros) = await link.pipeline((
            ("ZRANGE", self._keys.workers, 0, -1, "WITHSCORES"), ("HGETALL", self._keys.worker_owners), ("TIME",)))
        now = int(seconds) * 1000 + int(micros) // 1000
        said = dict(zip(owners[::2], map(msgspec.json.decode, owners[1::2]), strict=True))
        found = [_holding(worker, int(last), said.get(worker, {}), now)
                 for worker, last in zip(ends[::2], ends[1::2], strict=True)]
        return sorted(found, key=lambda holding: holding.worker)

    async def close(self) -> None:
        """See ``Scheme``."""
        server, self._server, self._own = self._server, None, None
        if server is not None:
            await server.close()

    async def _run(self, script: Script, keys: tuple[bytes, ...], args: Any) -> Any:
        """Runs it on a connection of its own, whose run id goes along; confirmed by replicas where that is wanted."""
        link = await self._link()
        words = args(link.run_id)
        if not self._replicas:
            return await link.run(script, keys, words, timeout_s=ANSWER_S)
        wait = ("WAIT", self._replicas, int(CONFIRM_S * 1000))
        answer, confirmed = await link.run_confirmed(script, keys, words, wait, ANSWER_S + CONFIRM_S)
        if isinstance(confirmed, ServerError):
            raise confirmed
        if confirmed < self._replicas:  # guard: a window counts once it is confirmed
            raise ServerRefused(f"{confirmed} of {self._replicas} replicas confirmed a window of worker ids within "
                                f"{CONFIRM_S:g} s", code="NOREPLICAS")
        return answer

    async def _link(self) -> Link:
        async with self._opening:
            if self._server is None:
                self._server = await open_server(self._url, prefix=self._prefix, data_dir=self._data_dir,
                                                 **self._connection)
            if self._own is None:
                self._own = await self._server.link(self._keys.workers, name="hf-ids", timeout_s=ANSWER_S)
            return self._own


def _shown(url: str | None, data_dir: Path | None) -> str:
    if url is None:
        from ..._redis.embedded import DEFAULT_DIR

        return str((data_dir or DEFAULT_DIR).resolve())
    parsed = parse_url(url)
    return f"{parsed.shown} db {parsed.options.get('db', 0)}"


def _holding(worker: bytes, last: int, said: dict[str, str], now: int) -> Holding:
    return Holding(int(worker), said.get("name", ""), int(said.get("first", 0)), last,
                   live=bool(said.get("id")) and last >= now)
