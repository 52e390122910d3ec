# SPDX-License-Identifier: Apache-2.0
"""One attacker with many names: they enter, answer pings, and pass nothing on.

It has got hold of what every member has, the group's key, and of addresses in a few networks; a key that somebody
admitted it has not. ``share`` is the part of what honest members hold to be live that is the attacker's.
"""

from __future__ import annotations

from functools import partial
from statistics import mean

from ...._base.chance import Chance
from ..world import name_of
from .defences import Defences
from .dropper import Dropper
from .outcome import Outcome, outcome
from .plays import text_of
from .scene import Scene

LETTERS, EVERY_S = 10, 0.5
ENTER_S, SPEAK_S, END_S = 2.0, 12.0, 25.0


def run(defences: Defences, members: int, chance: Chance, *, names: int, networks: int) -> Outcome:
    """names: of the swarm, for each honest member. networks: that its addresses are in."""
    swarm = names * members
    scene = Scene(members, chance, defences=defences, later=swarm)
    for number in range(swarm):
        index = members + number
        scene.hosts[name_of(index)] = bytes([66, 0, number % networks, 1 + number // networks % 254])
        scene.hostile[index] = Dropper(news=True)
        scene.at(ENTER_S + 5.0 * number / swarm, partial(_enter, scene, index))
    for number in range(LETTERS):
        scene.at(SPEAK_S + number * EVERY_S, partial(scene.say, number * 7 % members, text_of(number)))
    scene.run(END_S)
    return outcome(scene, share=mean(_share(scene, index) for index in scene.good))


def _enter(scene: Scene, index: int) -> None:
    """It knows whom to ask, and asks one of them."""
    scene.start(index, scene.roll)
    scene.join(index, int(scene.chance.random() * scene.honest))


def _share(scene: Scene, index: int) -> float:
    names = list(scene.view(index))
    return sum(int(name[5:]) >= scene.honest for name in names) / len(names)
