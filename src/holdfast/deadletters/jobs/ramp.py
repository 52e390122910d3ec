# SPDX-License-Identifier: Apache-2.0
"""How many letters go next, and when a job stops. Pure.

A canary sends 1 letter, then 2, 5, 10, 20, 50 … more, and waits after each step until all that was sent has come to an
end. Without it letters go as fast as the rate allows, and what dies again is counted while it goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .job import Counts, Plan
from .pace import SLICE_S, Pace

#: Letters in one batch: one transaction before, one write to Redis, one transaction after. More are faster by little,
#: and more are in doubt when a runner is killed.
BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Go:
    """Send so many."""

    count: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now; look again after so many seconds."""

    for_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """No more, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Done:
    """All have come to an end."""


Next = Go | Wait | Stop | Done


def steps(upto: int) -> list[int]:
    """Letters sent in all after each step of a canary: 1, 3, 8, 18, 38, 88 …, up to ``upto``."""
    found: list[int] = []
    total = 0
    while total < upto:
        total += _step(len(found))
        found.append(min(total, upto))
    return found


def _step(n: int) -> int:
    return int((1, 2, 5)[n % 3] * 10 ** (n // 3))


def too_many_died(plan: Plan, counts: Counts, failed: int) -> str:
    """Why the job has to stop; empty when it need not."""
    ended = counts.handled + counts.died
    enough = 1 if plan.canary else plan.enough
    if ended >= enough and failed > plan.stop_at * ended:  # guard: stop on failures
        return f"{failed} of the {ended} letters that came to an end died again: more than {plan.stop_at:.0%}"
    return ""


def following(plan: Plan, counts: Counts, *, failed: int, pace: Pace, now: float, quiet_s: float) -> Next:
    """What to do now. quiet_s: seconds since anything was sent or came to an end."""
    if why := too_many_died(plan, counts, failed):
        return Stop(why)
    blind = bool(plan.redirect_to)  # what becomes of a letter elsewhere is not seen from here
    on_way = 0 if blind else counts.sent
    if not counts.waiting and not counts.working:
        if not on_way or not plan.wait:
            return Done()
        return Done() if quiet_s > plan.within_s else Wait(SLICE_S)
    room = BATCH
    if plan.canary and not blind:
        room = _canary_room(counts)
        if not room:
            if quiet_s > plan.within_s:
                return Stop(f"{on_way} letters did not come to an end within {plan.within_s:g} s: does a consumer run?")
            return Wait(SLICE_S)
    room = pace.room(now, min(room, BATCH))
    return Go(room) if room > 0 else Wait(min(SLICE_S, pace.wait_s(now)))


def _canary_room(counts: Counts) -> int:
    """What the step that is under way has left; 0 while it has not come to its end."""
    out = counts.replayed
    ends = steps(max(out, counts.chosen))
    for end in ends:
        if out < end:
            before = ends[ends.index(end) - 1] if ends.index(end) else 0
            begun = out > before
            return end - out if begun or not counts.sent else 0  # guard: a step waits for the one before
    return 0
