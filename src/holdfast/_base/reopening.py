# SPDX-License-Identifier: Apache-2.0
"""Something that may come to an end, and that is opened again when somebody needs it next."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from ..errors import ConfigurationError


class Closable(Protocol):
    """What is opened."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Reopening(Generic[C]):
    """One at a time, opened with the first use, and anew when it is over. Whoever stops waiting for it spoils nothing:
    it is opened all the same, for the next one.

    Of one process: a child that was forked off gets ConfigurationError, and ``close`` does nothing there.
    """

    def __init__(self, make: Callable[[], Awaitable[C]], over: Callable[[C], bool]) -> None:
        self._make, self._over = make, over
        self._pid = os.getpid()
        self._now: C | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def alive(self) -> C:
        """The one that is not over. What opening raises; ConfigurationError once closed."""
        self._usable()
        if self._now is None or self._over(self._now):
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(_seen)
            await asyncio.shield(self._opening)  # guard: one that is half open would be left behind
        self._usable()
        if self._now is None:
            raise AssertionError  # opening raises what went wrong
        return self._now

    def _usable(self) -> None:
        if self._closed:
            raise ConfigurationError("this was closed: make another one")
        if os.getpid() != self._pid:
            raise ConfigurationError("this was made before the process forked: make another one in the child")

    async def _open(self) -> None:
        if self._now is not None:
            task = asyncio.ensure_future(self._now.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._now = await self._make()

    @property
    def ours(self) -> bool:
        """Whether there is something to close: not in a child, and not twice."""
        return not self._closed and os.getpid() == self._pid

    async def close(self) -> None:
        """Closes what is open, and waits for what was closing."""
        if not self.ours:
            return
        self._closed = True
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._now is not None:
            await self._now.close()
        await asyncio.gather(*self._closing, return_exceptions=True)


def _seen(task: asyncio.Task[None]) -> None:
    """Whoever waited for it may have gone: then nobody is told that it failed."""
    if not task.cancelled():
        task.exception()
