# SPDX-License-Identifier: Apache-2.0
"""One group's letters on their way in: a source on its stream of dead letters, and the intake that it feeds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ..._redis.keys import GroupKeys
from ...consume.letters import Letters
from ...errors import HoldfastError
from ...streams.scene import Scene
from ...streams.settings import StreamSettings
from ...streams.source import StreamSource
from .groups import Whose
from .hand import Hand
from .intake import Intake

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._redis.heart import Heart

#: Before a source that ended, for want of a right or by a server's refusal, is begun again, in seconds.
AGAIN_S = 5.0


class Feed:
    """Runs until it is closed."""

    def __init__(self, hand: Hand, heart: Heart, whose: Whose, taken: Callable[[], object]) -> None:
        self.whose = whose
        self._hand, s = hand, hand.settings
        dead = hand.outside.keys(whose.stream, whose.group).dead.decode()
        server = hand.outside.server
        self.settings = StreamSettings(keep=True, gone_is_done=True, lease_ms=s.lease_ms, sweep_ms=s.sweep_ms,
                                       block_ms=s.block_ms, letters_max=0, letters_days=0,
                                       letter_prefix=s.letter_prefix)
        self._scene = Scene(server, heart, hand.events, hand.clock, hand.chance, Letters(hand.clock))
        self._keys = GroupKeys(server.prefix, dead, s.group)
        self.intake = Intake(hand.desk, whose, hand.actor, s.letter_prefix, events=hand.events, clock=hand.clock,
                             taken=taken)
        self._source = StreamSource(self._scene, self._keys, self.settings)
        self._error = ""
        self._closing = False
        self._tasks = [asyncio.create_task(self.intake.run()), asyncio.create_task(self._run())]

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._source.run(self.intake)
            except HoldfastError as error:  # what a person has to mend, and perhaps does
                self._error = str(error)
                await asyncio.sleep(AGAIN_S)
                self._source = StreamSource(self._scene, self._keys, self.settings)
            else:
                return

    def why_not(self) -> str:
        """What keeps letters from being taken in; empty when nothing does."""
        where = f"{self.whose.stream}/{self.whose.group}"
        state = self._source.inspect()
        if state.consumer and not state.lost and state.lease_left_s > 0:
            self._error = ""
            return f"{where}: {self.intake.why_not}" if self.intake.why_not else ""
        return f"{where}: {self._error or ('its lease was lost' if state.consumer else 'not joined yet')}"

    async def close(self) -> None:
        """Takes nothing more, writes what it holds, hands back the rest."""
        self._closing = True
        self.intake.stop()
        with contextlib.suppress(HoldfastError):
            await self._source.stop_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._hand.settings.drain_s):
                await asyncio.shield(self._tasks[0])
        with contextlib.suppress(HoldfastError):
            await self._source.close(self.intake)
        await asyncio.wait(self._tasks, timeout=5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
