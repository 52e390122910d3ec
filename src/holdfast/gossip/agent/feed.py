# SPDX-License-Identifier: Apache-2.0
"""What happens, to be read as it comes by somebody who may be slow.

A cluster does not wait for its users: what a slow one has no room for is dropped, the oldest first, and counted, and it
is told so in its place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from .view import Missed

T = TypeVar("T")


class Feed(Generic[T]):
    """Iterate over it; one reader at a time. room: items that wait to be read; beyond that the oldest are dropped, and
    a ``Missed`` says how many."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: deque[T] = deque()
        self._missed = 0
        #: How many were dropped in all.
        self.dropped = 0
        self._there = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Something happened. Was something older dropped for it?"""
        if self._ended:
            return False
        before = self.dropped
        if len(self._items) >= self._room:  # guard: a slow reader costs no more memory than its room
            self._items.popleft()
            self._missed += 1
            self.dropped += 1
        self._items.append(item)
        self._there.set()
        return self.dropped > before

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will happen. Who reads gets what is left, and then the error, if there is one."""
        if not self._ended:
            self._ended, self._error = True, error
            self._there.set()

    @property
    def ended(self) -> bool:
        """Will nothing more happen?"""
        return self._ended

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T | Missed:
        while True:
            if self._missed:
                missed, self._missed = self._missed, 0
                return Missed(missed)
            if self._items:
                return self._items.popleft()
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._there.clear()
            await self._there.wait()
