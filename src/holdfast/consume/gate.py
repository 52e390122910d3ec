# SPDX-License-Identifier: Apache-2.0
"""The gate that lets a suspect run alone in its process.

Ordinary attempts pass while it is open and are counted while they run. A suspect closes it, waits until nothing else
runs, runs, and opens it again: if the process dies now, there is no doubt about who did it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Gate:
    """One a process, shared by all its consumers. Used from one event loop."""

    def __init__(self) -> None:
        #: Ordinary attempts that run now. Handler tasks count themselves up and down: it is on the path of every
        #: message.
        self.running = 0
        #: False while a suspect runs or waits for the others to end.
        self.open = True
        #: True while a suspect waits for the running ones to end: who ends then calls ``left``.
        self.awaited = False
        self._quiet = asyncio.Event()
        self._opened = asyncio.Event()
        self._opened.set()
        self._alone = asyncio.Lock()
        self._on_open: list[Callable[[], None]] = []

    def call_on_open(self, wake: Callable[[], None]) -> None:
        """``wake`` is called each time the gate opens again."""
        self._on_open.append(wake)

    def left(self) -> None:
        """To be called after ``running`` went down while the gate is ``awaited``."""
        if self.running == 0:
            self._quiet.set()

    async def opened(self) -> None:
        """Returns while it is open. Whoever waited after having seen it open has to ask again."""
        while not self.open:
            await self._opened.wait()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Inside it no ordinary attempt runs and none starts."""
        async with self._alone:
            self.open = False
            self._opened.clear()
            try:
                self.awaited = True
                while self.running:
                    self._quiet.clear()
                    await self._quiet.wait()
                self.awaited = False
                yield
            finally:
                self.open, self.awaited = True, False
                self._opened.set()
                for wake in self._on_open:
                    wake()
