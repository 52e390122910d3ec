# SPDX-License-Identifier: Apache-2.0
"""Letters that come to one incident together are counted together.

Ten thousand that die of the same are one row that changes ten thousand times, or a few hundred times: whatever comes
while a count is being written goes into the next one. Each caller waits until its own letter is counted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
#: Letters in one write: other writers of the desk wait for it.
MANY = 500


class Counting(Generic[T]):
    """write: counts letters of one slot, and is not asked for the same slot before it has answered."""

    def __init__(self, write: Callable[[str, Sequence[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: defaultdict[str, list[tuple[T, asyncio.Future[None]]]] = defaultdict(list)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def count(self, slot: str, letter: T) -> None:
        """Returns when it is counted. Raises what the write raises."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[slot].append((letter, answer))
        if slot not in self._tasks:
            self._tasks[slot] = asyncio.create_task(self._drain(slot))
        await answer

    async def _drain(self, slot: str) -> None:
        try:
            while self._waiting[slot]:
                taken, self._waiting[slot] = self._waiting[slot][:MANY], self._waiting[slot][MANY:]
                await self._answered(slot, taken)
        finally:
            del self._tasks[slot], self._waiting[slot]

    async def _answered(self, slot: str, taken: list[tuple[T, asyncio.Future[None]]]) -> None:
        error: BaseException | None = None
        try:
            await self._write(slot, [letter for letter, _ in taken])
        except Exception as why:  # noqa: BLE001 - it is whose letters they are that are told
            error = why
        for _, answer in taken:
            if answer.done():
                continue
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)
