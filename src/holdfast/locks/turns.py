# SPDX-License-Identifier: Apache-2.0
"""Taking turns within one process: of all its tasks that want one thing, one at a time asks for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable


class Turns:
    """First come, first served, for each name. Keeps nothing of names that nobody wants."""

    def __init__(self) -> None:
        self._lines: dict[Hashable, asyncio.Lock] = {}
        self._waiting: dict[Hashable, int] = {}

    @contextlib.asynccontextmanager
    async def turn(self, name: Hashable) -> AsyncIterator[None]:
        """Waits for those that came before, and is the one for the block."""
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with self._lines.setdefault(name, asyncio.Lock()):
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._lines[name]
