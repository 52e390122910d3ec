# SPDX-License-Identifier: Apache-2.0
"""Blocks of ids: what a thread takes at a time, by how fast it draws.

``itertools.chain`` hands them out, a C function from end to end. A block is an iterator over a range, which makes each
id when it is drawn, and can be set to its end from anywhere: so what lies too long, and what a forked child must not
draw, is thrown away without looking at each id.
"""

from __future__ import annotations

import itertools
import math
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn, Protocol, cast

from .sweeper import SWEEPER

#: A block is to last so long, by how fast the last one was drawn.
BLOCK_S = 0.002


class _Block(Protocol):
    """What ``iter(range(…))`` gives."""

    def __iter__(self) -> Iterator[int]: ...
    def __next__(self) -> int: ...
    def __setstate__(self, index: int, /) -> None: ...  # beyond the end is the end


class Blocks:
    """The blocks of one thread, one after the other. Knows the present one, which can be ended.

    take: gives the next ids, at most so many. most: never more in one block. lag_s: what was not used for so long is
    thrown away.
    """

    def __init__(self, take: Callable[[int], range], *, most: int, lag_s: float) -> None:
        self._take, self._most, self._lag_s = take, most, lag_s
        self._wanted = 1
        self._made_at = 0.0
        self._block = _block(range(0))
        self.due = math.inf
        SWEEPER.add(self)

    def drawn(self) -> Iterator[int]:
        """Gives one id after the other, of C."""
        return itertools.chain.from_iterable(self)

    def __iter__(self) -> Iterator[Iterable[int]]:
        return self

    def __next__(self) -> Iterable[int]:
        try:
            return self.filled(self._take(self.wanted()))
        except BaseException as error:  # noqa: BLE001 - guard: raised by the block. A chain never asks again what raises
            return map(_raised, (error,))

    def wanted(self) -> int:
        """How long the next block is to be, by how long the present one has lasted."""
        now = SWEEPER.now()
        lasted_s = max(now - self._made_at, 1e-9)
        most = min(2 * self._wanted, self._most)  # guard: no more than most
        self._wanted = min(max(int(self._wanted * BLOCK_S / lasted_s), 1), most)
        self._made_at = now
        return self._wanted

    def filled(self, some: range) -> Iterator[int]:
        """The next block."""
        self._block = _block(some)
        if len(some) > 1:
            self.due = self._made_at + self._lag_s
            if not SWEEPER.awake.is_set():
                SWEEPER.awake.set()
        return self._block

    def drop(self) -> None:
        """Whoever draws next takes a new block."""
        self._block.__setstate__(sys.maxsize)


class AwaitedBlocks:
    """The tasks of one loop draw from blocks. ``_take`` gives the next ids, at most so many, and lets the task wait."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._block: Iterator[int] = iter(())

    async def next_id(self) -> int:
        """The next id. The task waits where there is none yet."""
        while (made := next(self._block, None)) is None:
            self._block = self._blocks.filled(await self._take(self._blocks.wanted()))
        return made

    async def next_ids(self, count: int) -> list[int]:
        """So many at once, growing. In bulk."""
        found: list[int] = []
        while len(found) < count:
            found.extend(await self._take(count - len(found)))
        return found

    @abstractmethod
    async def _take(self, wanted: int) -> range: ...


def _block(some: range) -> _Block:
    return cast(_Block, iter(some))


def _raised(error: BaseException) -> NoReturn:
    raise error
