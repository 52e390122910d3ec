# SPDX-License-Identifier: Apache-2.0
"""What each part of Lifeguard is worth: the same slow members, and one part more, or one part alone.

The worst case for a failure detector is a member that gets to run for a moment every few seconds, as on a host that is
starved of processor time: it hears nobody, takes the others for dead, and has just the time to say so. ``SLOW`` is such
a case. Source of the experiment: A. Dadgar, J. Phillips, J. Currey, *Lifeguard*, 2018, section V; theirs had 128
members on 100 machines, and found some 50 to 100 times fewer live members declared dead with all three parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..._base.chance import Chance
from ..profiles import AS_MEMBERLIST, LAN, NO_LIFEGUARD, Lifeguard, Profile
from .runs import Mistakes, mistakes

#: Parts of Lifeguard as its authors add them, each alone first; then what memberlist lacks and ours has.
STAGES: Final[Mapping[str, Lifeguard]] = {
    "SWIM": NO_LIFEGUARD,
    "SWIM + LHA-Probe": replace(NO_LIFEGUARD, probe=True),
    "SWIM + LHA-Suspicion": replace(NO_LIFEGUARD, suspicion=True),
    "SWIM + Buddy": replace(NO_LIFEGUARD, buddy=True),
    "Lifeguard": AS_MEMBERLIST,
    "Lifeguard + lag": replace(AS_MEMBERLIST, lag=True),
    "Lifeguard + lag + last word": Lifeguard(),
}


@dataclass(frozen=True)
class Slowness:
    """Who is slow. slow: how many of ``count``; stopped_s, running_s: for how long on average, and how long in between;
    for_s: of the whole."""

    count: int = 50
    slow: int = 10
    stopped_s: float = 6.0
    running_s: float = 0.001
    for_s: float = 70.0


SLOW: Final = Slowness()


def ablated(chances: Callable[[], Iterable[Chance]], *, slowness: Slowness = SLOW, profile: Profile = LAN,
            stages: Mapping[str, Lifeguard] = STAGES) -> dict[str, Mistakes]:
    """Stage → mistakes of all its runs together. chances: one a run, and the same ones for each stage."""
    return {name: _together([
        mistakes(slowness.count, chance, slow=slowness.slow, stopped_s=slowness.stopped_s,
                 running_s=slowness.running_s, for_s=slowness.for_s, profile=replace(profile, lifeguard=lifeguard))
        for chance in chances()]) for name, lifeguard in stages.items()}


def fewer(before: int, after: int) -> float:
    """How many times fewer, at least: where none is left it is as if one were."""
    return before / max(1, after)


def _together(runs: Iterable[Mistakes]) -> Mistakes:
    found = list(runs)
    return Mistakes(*(sum(getattr(one, name) for one in found) for name in Mistakes.__dataclass_fields__))
