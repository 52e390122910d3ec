# SPDX-License-Identifier: Apache-2.0
"""How much is kept of dead lines, wherever they are kept.

What happens when it is full is a choice, and the default loses nothing: the put is refused, the pipeline says so, uses
its file of last resort, and stops advancing when that is full too; the files it reads are the buffer then.
``drop_oldest`` goes on, and removes the oldest ones for good. An age is a promise to forget: what is older is removed
whether there is room or not.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Literal

import msgspec

from ...errors import ConfigurationError
from ..dead_lines import DeadChoice, DeadLine, DeadLines, DeadStock
from ..sink import SinkDown

__all__ = ["Limited", "Quota"]

#: Seconds between two looks at what is kept; what is put meanwhile is counted here.
_LOOK_S: Final = 30.0
_LOT: Final = 500


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """bytes_max: as the back end counts them (None: no limit). age_s: since a line failed first (None: kept for ever).
    full: ``stop`` or ``drop_oldest``."""

    bytes_max: int | None = None
    age_s: float | None = None
    full: Literal["stop", "drop_oldest"] = "stop"

    def __post_init__(self) -> None:
        if self.bytes_max is not None and self.bytes_max < 1:
            raise ConfigurationError(f"bytes_max={self.bytes_max}: give a number above 0, or none for no limit")
        if self.age_s is not None and not self.age_s > 0:
            raise ConfigurationError(f"age_s={self.age_s}: give a number above 0, or none to keep them for ever")


class Limited:
    """``inner`` with a quota. Several processes on one back end each count for themselves between their looks."""

    def __init__(self, inner: DeadLines, quota: Quota, *, now: Callable[[], float] = time.monotonic,
                 wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.inner = inner
        self._quota, self._now, self._wall_ms = quota, now, wall_ms
        self._looked: float | None = None
        self._bytes = 0
        #: Lines that were removed to make room, or for their age.
        self.dropped = 0

    @property
    def name(self) -> str:
        """That of the back end."""
        return self.inner.name

    async def open(self) -> None:
        await self.inner.open()

    async def put(self, lines: Sequence[DeadLine]) -> None:
        size = sum(len(line.raw) for line in lines)
        await self._make_room(size)
        await self.inner.put(lines)
        self._bytes += size

    async def _make_room(self, size: int) -> None:
        if self._looked is None or self._now() - self._looked >= _LOOK_S:
            await self._look()
        limit = self._quota.bytes_max
        if limit is None or self._bytes + size <= limit:
            return
        await self._look()  # somebody may have purged meanwhile
        if self._bytes + size <= limit:
            return
        if self._quota.full == "stop" or size > limit:  # guard: nothing is dropped unasked
            raise SinkDown(f"{self._bytes} bytes of dead lines are kept, and {limit} may be: replay, export and purge "
                           "some, or raise the quota; nothing is dropped meanwhile")
        while self._bytes + size > limit and await self._drop(await self._oldest(self._bytes + size - limit)):
            await self._look()

    async def _look(self) -> None:
        age_s = self._quota.age_s
        if age_s is not None:
            before = DeadChoice(until_ms=max(1, self._wall_ms() - int(age_s * 1000)))
            while await self._drop([line.id async for line in _first(self.inner.list(before))
                                    if line.first_ms < before.until_ms]):
                pass
        self._bytes = (await self.inner.stock()).bytes
        self._looked = self._now()

    async def _oldest(self, size: int) -> list[str]:
        """The oldest ones, of so many bytes together."""
        found: list[str] = []
        async for line in _first(self.inner.list()):
            if size <= 0:
                break
            found.append(line.id)
            size -= max(1, len(line.raw))
        return found

    async def _drop(self, ids: list[str]) -> int:
        count = await self.inner.remove(ids) if ids else 0
        self.dropped += count
        return count

    def list(self, choice: DeadChoice | None = None) -> AsyncIterator[DeadLine]:
        """As the back end has them."""
        return self.inner.list(choice)

    async def get(self, line_id: str) -> DeadLine:
        return await self.inner.get(line_id)

    async def remove(self, ids: Sequence[str]) -> int:
        return await self.inner.remove(ids)

    async def stock(self) -> DeadStock:
        return await self.inner.stock()

    async def close(self) -> None:
        await self.inner.close()


async def _first(lines: AsyncIterator[DeadLine]) -> AsyncIterator[DeadLine]:
    count = 0
    async for line in lines:
        yield line
        count += 1
        if count == _LOT:
            return
