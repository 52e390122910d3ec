# SPDX-License-Identifier: Apache-2.0
"""Ids for an event loop: the same generator, which is never slept in. Where it has to wait, the task waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Self

from .generator import Generator


class AwaitedIds:
    """Fulfils ``AsyncIds``. For the tasks of one loop; another loop has one of its own.

    Ids grow from call to call within the loop. close: what is called by ``close``, and at the end of ``async with``.
    """

    def __init__(self, generator: Generator, *, close: Callable[[], Awaitable[object]] | None = None) -> None:
        self.generator = generator
        self._blocks = generator.blocks()
        self._block: Iterator[int] = iter(())
        self._close = close

    async def next_id(self) -> int:
        """The next id."""
        while (made := next(self._block, None)) is None:
            self._block = self._blocks.filled(await self._take(self._blocks.wanted()))
        return made

    async def next_ids(self, count: int) -> list[int]:
        """So many at once, growing. In bulk."""
        found: list[int] = []
        while len(found) < count:
            found.extend(await self._take(count - len(found)))
        return found

    async def _take(self, wanted: int) -> range:
        while True:
            some = self.generator.attempt(wanted)
            if isinstance(some, range):
                return some
            await asyncio.sleep(some)

    async def close(self) -> None:
        """Gives back what it stands on, where it is this one's to give back."""
        if self._close is not None:
            await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
