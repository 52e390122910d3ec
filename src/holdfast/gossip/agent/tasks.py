# SPDX-License-Identifier: Apache-2.0
"""What is under way besides: each task has a parent that waits for it, and there are never too many."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("holdfast")


class Tasks:
    """limits: how many of each kind. turned_away: that would have been too many, by kind. failed: that ended in an
    error nobody expected; it is logged."""

    def __init__(self, limits: dict[str, int]) -> None:
        self._limits = limits
        self._running: dict[asyncio.Task[None], str] = {}
        self._count: Counter[str] = Counter()
        self.turned_away: Counter[str] = Counter()
        self.failed = 0

    def __len__(self) -> int:
        return len(self._running)

    def start(self, kind: str, work: Coroutine[Any, Any, None]) -> bool:
        """Runs it besides. False: there are too many of its kind, and it is not run."""
        if self._count[kind] >= self._limits[kind]:  # guard: tasks have a bound
            self.turned_away[kind] += 1
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work, name=f"gossip: {kind}")
        self._running[task] = kind
        self._count[kind] += 1
        task.add_done_callback(self._done)
        return True

    def _done(self, task: asyncio.Task[None]) -> None:
        self._count[self._running.pop(task)] -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed += 1
            log.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Stops all of them and waits until they have."""
        running = [task for task in self._running if task is not asyncio.current_task()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
