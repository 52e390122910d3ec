# SPDX-License-Identifier: Apache-2.0
"""One server of a quorum, as this process knows it: how to reach it, and whether its word counts.

**Delayed restart.** A server that comes back without what it had would grant again what a majority had given: its
vote is the one that two majorities share. So a server counts only once it has been up for the longest lease that
anybody takes (``ttl_max_s``), since by then whatever it forgot has run out. What it says of its uptime is asked when
we meet it first, and again whenever its run id has changed; so also a process that never saw it before knows. One that
writes each command to disk before it answers (``appendonly yes``, ``appendfsync always``) forgets nothing, and counts
at once. Not covered: a person who empties it (``FLUSHALL``), and a disk that lies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._base.clock import Clock, Instant
from .._base.thinned import Thinned
from .._redis.open import open_server
from ..errors import ConfigurationError, NotAuthorized, ServerError, ServerRefused

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.scripts import Script
    from .._redis.server import Server

#: Longest time for a connection to come about; it goes on beside questions, which wait no longer than they may.
CONNECT_S = 2.0


@dataclass(frozen=True)
class Told:
    """What a server answered, and whether that counts towards a majority."""

    answer: Any
    counts: bool


class Node:
    """One server. url: of a single server. ttl_max_s: see above. It is connected to when it is first asked."""

    def __init__(self, url: str, ttl_max_s: float, clock: Clock) -> None:
        self.url = url
        self._ttl_max_s, self._clock = ttl_max_s, clock
        self._server: Server | None = None
        self._opening: asyncio.Task[Server] | None = None
        self._links: dict[str, Link] = {}
        self._met = ""
        self._counts_from = Instant(float("inf"))
        self._trouble = Thinned(clock)
        #: Its clock, less ours, in µs.
        self.ahead_us = 0

    @property
    def counts(self) -> bool:
        """Whether it has been up for long enough, or forgets nothing."""
        return self._clock.now() >= self._counts_from

    @property
    def prefix(self) -> str:
        """Begins every key of ours."""
        return self._server.prefix if self._server is not None else "hf"

    async def ask(self, way: str, script: Script, keys: Sequence[bytes], args: Callable[[str], Sequence[str | int]],
                  timeout_s: float) -> Told | None:
        """Runs ``script`` with ``args`` of the server's run id; None when no answer came in time.

        way: questions of one way are asked one after the other, on a connection of their own.
        """
        try:
            async with asyncio.timeout(timeout_s):
                link = await self._link(way)
                run_id = link.run_id
                answer = await link.run(script, keys, args(run_id), timeout_s=timeout_s)
                if link.run_id != self._met:
                    await self._meet(link)
        except TimeoutError:
            return None
        except ServerError as error:
            self._trouble.warn(f"{self.url}, one of a quorum", error)
            return None
        return Told(answer, self.counts and link.run_id == run_id)  # guard: delayed restart

    def open(self) -> asyncio.Task[Server]:
        """Connects, beside whatever waits for it."""
        if self._opening is None or (self._opening.done() and self._server is None):
            self._opening = asyncio.create_task(self._opened())
            self._opening.add_done_callback(_seen)
        return self._opening

    async def _link(self, way: str) -> Link:
        if way not in self._links:
            server = await asyncio.shield(self.open())  # guard: a question that waits no longer ends no connection
            link = await server.link(b"hf", name=f"hf-quorum-{way}", timeout_s=CONNECT_S)
            self._links.setdefault(way, link)
        return self._links[way]

    async def _opened(self) -> Server:
        server = await open_server(self.url, timeout_s=CONNECT_S)
        if server.kind != "standalone":
            await server.close()
            raise ConfigurationError(f"{self.url}: a quorum is of single servers that know nothing of one another")
        link = await server.link(b"hf", name="hf-quorum-ask", timeout_s=CONNECT_S)
        self._server, self._links["ask"] = server, link
        await self._meet(link)
        return server

    async def _meet(self, link: Link) -> None:
        """Learns since when it counts."""
        asked_at = self._clock.now()
        seconds, micros = await link.call("TIME")
        self.ahead_us = int(seconds) * 1_000_000 + int(micros) - int(asked_at * 1_000_000)
        if not link.run_id:
            raise ConfigurationError(f"{self.url} hides its run id, so a restart would go unnoticed: let its "
                                     "user say INFO")
        up_s = await _up_s(link)
        self._counts_from = asked_at if await _durable(link) else Instant(asked_at + self._ttl_max_s - up_s)
        self._met = link.run_id

    async def close(self) -> None:
        """Closes the connections."""
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._server is not None:
            await self._server.close()


def _seen(task: asyncio.Task[Server]) -> None:
    """Whoever waited for it may have gone: then nobody is told that it failed."""
    if not task.cancelled():
        task.exception()


async def _up_s(link: Link) -> float:
    """Whole seconds, rounded down: it errs on the safe side."""
    info: bytes = await link.call("INFO", "server")
    lines = (line.partition(b":") for line in info.split())
    return next((float(value) for name, _, value in lines if name == b"uptime_in_seconds"), 0.0)


async def _durable(link: Link) -> bool:
    """Is each command on disk before it is answered? A server that does not say is taken to forget."""
    try:
        found = [await link.call("CONFIG", "GET", name) for name in ("appendonly", "appendfsync")]
    except (ServerRefused, NotAuthorized):
        return False
    return [reply[1] if len(reply) == 2 else b"" for reply in found] == [b"yes", b"always"]
