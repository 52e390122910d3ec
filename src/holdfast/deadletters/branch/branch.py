# SPDX-License-Identifier: Apache-2.0
"""One group's branch office, from start to orderly end: what died at its broker lands, what is sent back is carried.

The broker may be away at the start and at any time later: it is asked again, and why is said (``why_not``).
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from ..._base import events as ev
from ..._base.thinned import Thinned
from ..._redis.keys import GroupKeys
from ...brokers import World, broker_for
from ...consume.letters import Letters
from ...errors import ConfigurationError, HoldfastError, ServerUnreachable
from ...streams.scene import Scene
from ...streams.settings import StreamSettings
from ...streams.source import StreamSource
from ..desk.carried import confirm
from ..shelf import Shelf
from .landing import Landing
from .origin import Origin
from .post import Post

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._redis.heart import Heart
    from ...brokers.letters import Box
    from ..service.hand import Hand

__all__ = ["Branch"]

#: Before what ended, or did not answer, is begun again, in seconds.
AGAIN_S: Final = 5.0


class Branch:
    """Runs from ``start`` until ``close``."""

    def __init__(self, hand: Hand, heart: Heart, origin: Origin) -> None:
        self.origin = origin
        self._hand, s = hand, hand.settings
        server = hand.outside.server
        world = World(prefix=server.prefix, events=hand.events, clock=hand.clock, chance=hand.chance)
        self._broker = cast("Any", broker_for(origin.url, world))
        self._box: Box = self._broker.letters(origin.stream, origin.group, s.letter_prefix)
        shelf = Shelf(server, origin.name, origin.group, prefix=s.letter_prefix)
        self.landing = Landing(origin, self._box, shelf, hand.desk, chance=hand.chance, clock=hand.clock,
                               counted=self._count)
        self.post = Post(self._published, partial(confirm, hand.desk, actor=hand.actor), hand.clock,
                         prefix=s.letter_prefix, watch_s=s.watch_s, counted=self._count)
        self._scene = Scene(server, heart, hand.events, hand.clock, hand.chance, Letters(hand.clock))
        self._keys = GroupKeys(server.prefix, origin.name, origin.group)
        self._settings = StreamSettings(gone_is_done=True, lease_ms=s.lease_ms, sweep_ms=s.sweep_ms,
                                        block_ms=s.block_ms, letters_max=0, letters_days=0,
                                        letter_prefix=s.letter_prefix)
        self._source = StreamSource(self._scene, self._keys, self._settings)
        self._trouble = Thinned(hand.clock)
        self._opened = asyncio.Event()
        self._stop = asyncio.Event()
        self._why = {"landing": "its broker was not asked yet", "post": ""}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins both ways."""
        self._tasks = [asyncio.create_task(work) for work in (self._land(), self.post.run(), self._carry(),
                                                              self._tell())]

    async def _published(self, entry: Sequence[bytes]) -> object:
        await self._opened.wait()
        return await self._box.post(entry)

    async def _land(self) -> None:
        while not self._stop.is_set():
            done = 0
            try:
                if not self._opened.is_set():
                    await self._broker.open()
                    self._opened.set()
                    await self.landing.restore()
                done = await self.landing.sweep()
                self._why["landing"] = ""
            except Exception as error:  # noqa: BLE001 - whatever a driver says, it is tried again, and said
                self._why["landing"] = said = self._said(error)
                self._trouble.warn(f"letters of {self.origin.name}/{self.origin.group} do not land",
                                   said if isinstance(error, HoldfastError) else f"{said}: {error}")
            if not done:
                await self._pause(self._hand.settings.land_s * (0.8 + 0.4 * self._hand.chance.random()))

    def _said(self, error: Exception) -> str:
        """What keeps letters from landing, and what is to be done. A driver's own words are for the log."""
        if isinstance(error, ServerUnreachable | TimeoutError):
            return f"{str(error) or 'it did not answer in time'}; it is tried again"
        if isinstance(error, ConfigurationError) and self._opened.is_set():
            return f"{error}: name stream and group in --also as their consumer does, and let that run once"
        if isinstance(error, HoldfastError):
            return str(error)
        return f"the broker's driver refuses with {type(error).__name__}: the log has its words; mend --also"

    async def _tell(self) -> None:
        while not self._stop.is_set():
            await self._pause(self._hand.settings.poll_s)
            await self.post.tell()

    def _count(self, what: str, count: int) -> None:
        self._hand.events.emit(ev.BranchLetters(stream=self.origin.name, group=self.origin.group, what=what,
                                                count=count))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _carry(self) -> None:
        await self._opened.wait()
        while not self._stop.is_set():
            try:
                await self._source.run(self.post)
            except HoldfastError as error:  # what a person has to mend, and perhaps does
                self._why["post"] = str(error)
                await self._pause(AGAIN_S)
                self._source = StreamSource(self._scene, self._keys, self._settings)
            else:
                return

    def stood(self, replaying: int, replaying_s: float) -> ev.BranchStood:
        """How it stands. replaying, replaying_s: as the desk has it."""
        landing, now_ms = self.landing, self._hand.clock.wall_ms()
        oldest_s = 0.0 if landing.oldest_ms is None else max(0, now_ms - landing.oldest_ms) / 1000
        return ev.BranchStood(stream=self.origin.name, group=self.origin.group, looked_at=landing.swept_ms / 1000,
                              oldest_s=oldest_s, replaying=replaying, replaying_s=replaying_s)

    def why_not(self) -> str:
        """What keeps letters from coming or from going back; empty when nothing does."""
        state = self._source.inspect()
        if state.consumer and not state.lost and state.lease_left_s > 0:
            self._why["post"] = ""
        why = self._why["landing"] or self.landing.left or self._why["post"] or self.post.why_not or self.post.refused
        return f"{self.origin.name}/{self.origin.group}: {why}" if why else ""

    async def close(self) -> None:
        """Takes nothing more, finishes the lot that is under way, hands back the rest."""
        self._stop.set()
        self.post.stop()
        if not self._tasks:
            return
        with contextlib.suppress(HoldfastError):
            await self._source.stop_reading()
        await asyncio.wait(self._tasks[:2], timeout=self._hand.settings.drain_s)
        with contextlib.suppress(HoldfastError):
            await self._source.close(self.post)
        await self.post.tell()
        await asyncio.wait(self._tasks, timeout=5.0 if self._opened.is_set() else 0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(HoldfastError, TimeoutError):
            await self._broker.close()


def branches(hand: Hand, heart: Heart, origins: Sequence[Origin]) -> list[Branch]:
    """One for each. Raises ConfigurationError when two say the same, MissingExtra without the broker's driver."""
    if len({(one.name, one.group) for one in origins}) != len(origins):
        raise ConfigurationError("--also names one group at one broker twice: leave one of them out")
    return [Branch(hand, heart, origin) for origin in origins]
