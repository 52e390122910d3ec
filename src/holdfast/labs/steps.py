# SPDX-License-Identifier: Apache-2.0
"""Steps of a lab that block, one after the other beside the event loop; and an end that leaves none of them at work."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .._base.aside import aside
from ..errors import HoldfastError

#: Seconds that a step has to come to its end when the lab is interrupted.
END_S = 15.0


@dataclass
class Steps:
    """Counts them. total: how many there will be. done: is told how many of how many are through."""

    total: int
    done: Callable[[int, int], None]
    #: Set when the lab is interrupted.
    stopped: threading.Event = field(default_factory=threading.Event)
    _through: int = 0

    async def do(self, work: Callable[[], object], stop: Callable[[], object] = lambda: None) -> None:
        """One step. Interrupted, it calls ``stop`` and waits for the step's end: what is tidied up then, stays so."""
        step = asyncio.ensure_future(aside(work))
        try:
            await asyncio.shield(step)
        except asyncio.CancelledError:
            self.stopped.set()
            stop()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(asyncio.shield(step), END_S)
            raise
        self._through += 1
        self.done(self._through, self.total)

    def rest(self, seconds: float) -> None:
        """Within a step: while others are at work. HoldfastError when the lab is interrupted meanwhile."""
        if self.stopped.wait(seconds):
            raise HoldfastError("the lab was interrupted")
