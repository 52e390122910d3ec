# SPDX-License-Identifier: Apache-2.0
"""What defences cost where nobody attacks: a member crashes, and letters are said.

``t50_s`` and ``t99_s`` are of the death, from the crash until so many hold it to be dead.
"""

from __future__ import annotations

from dataclasses import replace

from ...._base.chance import Chance
from ...core.effects import Changed, Effect
from ..runs import reached
from ..steps import Crash, play
from ..world import name_of
from .audits import Audits
from .defences import Defences
from .outcome import Outcome, outcome
from .plays import speak
from .scene import Scene

LETTERS, EVERY_S = 10, 0.5
CRASH_S, WAIT_S = 10.0, 30.0


def run(defences: Defences, members: int, chance: Chance) -> Outcome:
    """Coverage is of letters."""
    scene = Scene(members, chance, defences=defences)
    Audits(scene)
    victim, knew = members - 1, dict[int, float]()

    def note(now: float, index: int, effect: Effect) -> None:
        if isinstance(effect, Changed) and effect.member.node == name_of(victim) and effect.what == "failed":
            knew.setdefault(index, now - CRASH_S)

    scene.watches.append(note)
    speak(scene, LETTERS, EVERY_S)
    play(scene, [Crash(CRASH_S, victim)])
    scene.run(CRASH_S + WAIT_S)
    found = reached(list(knew.values()), members - 1)
    return replace(outcome(scene), t50_s=found.t50_s, t99_s=found.t99_s)
