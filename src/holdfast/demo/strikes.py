# SPDX-License-Identifier: Apache-2.0
"""The two blows: one worker is killed, one is frozen for three leases, each at a moment that hurts.

A moment cannot be aimed at from outside: what was seen is over when the signal arrives. So a worker is stopped first,
looked at while it cannot move, and then killed, left frozen, or let go for another try; it notices nothing of a stop of
some milliseconds.

The moment looked for is the worst there is: the database has the effect of a message and the stream has no
acknowledgement of it yet, so the message will be delivered again and only the inbox stands between it and a second
effect. It lasts a few milliseconds a batch. If it is not met for a while, any moment serves at which the worker holds
entries. Where all that was published is through, the worker is stopped first and then given something: the server hands
it to the read that the worker left open.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

from .crew import Crew, Member
from .effects import Effects
from .outbox import Outbox
from .watch import Watch

#: Seconds between two looks while entries of a dead worker are waited for: how exact the recovery time is.
LOOK_S = 0.03
#: Seconds for which a worker is stopped to be given something: a quarter of its lease.
BAIT_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Blow:
    """What was hit: a worker with ``entries`` in its hands, of which ``committed`` had their effect already."""

    pid: int
    entries: int
    committed: int

    def __str__(self) -> str:
        inside = f", {self.committed} of them committed and not acknowledged" if self.committed else ""
        return f"worker {self.pid} while it held {self.entries} entries{inside}"


#: Which moments will do: the worst one only; any at which something is held; one that is brought about, since nothing
#: is going on; none any more.
Mood = Literal["worst", "any", "bait", "none"]


class Strikes:
    """Hits workers of a crew."""

    def __init__(self, crew: Crew, watch: Watch, effects: Effects, outbox: Outbox, rng: random.Random) -> None:
        self._crew = crew
        self._watch = watch
        self._effects = effects
        self._outbox = outbox
        self._rng = rng

    async def kill(self, mood: Callable[[], Mood]) -> tuple[Blow, float] | None:
        """Kills one and hires another; the blow and the instant. None: no worker was met with anything in its hands."""
        caught = await self._catch(mood)
        if caught is None:
            return None
        member, blow = caught
        self._crew.kill(member)
        at = time.monotonic()
        self._crew.hire()
        return blow, at

    async def recovered(self, blow: Blow, at: float) -> float:
        """Seconds from the kill until nothing is pending to the dead worker any more."""
        while True:
            sight = await self._watch.look()
            if not sight.held_by(blow.pid):
                return time.monotonic() - at
            await asyncio.sleep(LOOK_S)

    async def freeze(self, mood: Callable[[], Mood]) -> tuple[Blow, Member] | None:
        """Stops one and leaves it so.

        Not while it is writing, where a writer keeps everybody else out and nothing limits for how long (SQLite): the
        whole crew would stand still as long as the frozen one, and nothing else could be seen.
        """
        caught = await self._catch(mood, writing=False)
        return None if caught is None else (caught[1], caught[0])

    async def _catch(self, mood: Callable[[], Mood], *, writing: bool = True) -> tuple[Member, Blow] | None:
        """A worker, stopped at a moment that hurts."""
        for member in cycle(list(self._crew.members)):
            wanted = mood()
            if wanted == "none":
                return None
            member.pause()
            kept = False
            try:
                blow = await (self._baited if wanted == "bait" else self._seen)(member)
                kept = bool(blow.committed if wanted == "worst" else blow.entries)
                kept = kept and (writing or not await self._effects.locked())
            finally:
                if not kept:
                    member.resume()
            if kept:
                return member, blow
            await asyncio.sleep(self._rng.uniform(0.002, 0.012))
        return None

    async def _baited(self, member: Member) -> Blow:
        """What a stopped worker holds, when it was given something."""
        until = time.monotonic() + BAIT_S
        self._outbox.bait()
        while True:
            blow = await self._seen(member)
            if blow.entries or time.monotonic() > until:
                return blow
            await asyncio.sleep(LOOK_S)

    async def _seen(self, member: Member) -> Blow:
        entries = await self._watch.entries_of(member.pid)
        lines = [line for place in entries if (line := self._outbox.lines.get(place)) is not None]
        return Blow(pid=member.pid, entries=len(entries), committed=await self._effects.committed(lines))
