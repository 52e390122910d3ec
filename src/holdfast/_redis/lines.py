# SPDX-License-Identifier: Apache-2.0
"""Sockets for threads that have no event loop: one for each call that is under way, kept for the next ones.

Safe to share among threads. A forked child calls ``forked`` and opens its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .server import Server
    from .sync_link import SyncLink

T = TypeVar("T")

#: Sockets kept while nobody uses them.
IDLE_MAX = 4


class Lines:
    """Links to the server that ``opening`` opens, at the first call."""

    def __init__(self, opening: Callable[[], Awaitable[Server]], *, timeout_s: float) -> None:
        self._opening, self._timeout_s = opening, timeout_s
        self.forked()

    def forked(self) -> None:
        """As at the beginning. guard: a forked child shares no socket with its parent."""
        self._guard = threading.Lock()
        self._server: Server | None = None
        self._idle: list[tuple[int, SyncLink]] = []

    @contextmanager
    def line(self, key: bytes) -> Iterator[SyncLink]:
        """A link to the master of ``key``'s slot, for one call or several that belong together."""
        server = self._opened()
        place = server.place_of(key)
        with self._guard:
            found = next((n for n, (of, _) in enumerate(self._idle) if of == place), None)
            link = self._idle.pop(found)[1] if found is not None else None
        link = link or server.sync_link(key, timeout_s=self._timeout_s)
        try:
            yield link
        finally:
            self._give_back(place, link)

    def close(self) -> None:
        """Closes the sockets and the server. A later call opens it again."""
        with self._guard:
            idle, self._idle = self._idle, []
            server, self._server = self._server, None
        for _, link in idle:
            link.close()
        if server is not None:
            apart(server.close)

    def _opened(self) -> Server:
        with self._guard:
            if self._server is None:
                self._server = apart(self._opening)
            return self._server

    def _give_back(self, place: int, link: SyncLink) -> None:
        with self._guard:
            self._idle.append((place, link))
            spare = self._idle.pop(0)[1] if len(self._idle) > IDLE_MAX else None
        if spare is not None:
            spare.close()


def apart(work: Callable[[], Awaitable[T]]) -> T:
    """Runs a coroutine to its end on a loop and a thread of its own: the caller may stand on a loop that runs."""

    async def main() -> T:
        return await work()

    coroutine: Coroutine[None, None, T] = main()
    with ThreadPoolExecutor(1, thread_name_prefix="holdfast-opening") as thread:
        return thread.submit(asyncio.run, coroutine).result()
