# SPDX-License-Identifier: Apache-2.0
"""Ids for an event loop: the same generator, which is never slept in. Where it has to wait, the task waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from .blocks import AwaitedBlocks
from .generator import Generator


class AwaitedIds(AwaitedBlocks):
    """Fulfils ``AsyncIds``. For the tasks of one loop; another loop has one of its own.

    Ids grow from call to call within the loop. close: what is called by ``close``, and at the end of ``async with``.
    """

    def __init__(self, generator: Generator, *, close: Callable[[], Awaitable[object]] | None = None) -> None:
        self.generator = generator
        super().__init__(generator.blocks())
        self._close = close

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
