# SPDX-License-Identifier: Apache-2.0
"""A member that sends everybody letters whose signatures do not hold, as fast as it can.

None is believed where letters are signed; what it costs is the look at each. ``refused`` is how many of them a member
opened, on average.
"""

from __future__ import annotations

from functools import partial
from statistics import mean

from ...._base.chance import Chance
from ...messages import User
from .defences import Defences
from .outcome import QUIET_S, Outcome, believed, outcome
from .plays import speak, text_of
from .scene import Hostile, Scene

LETTERS, EVERY_S = 5, 1.0
FLOODS_S, FOR_S, EACH = 10.0, 8.0, 5


def run(defences: Defences, members: int, chance: Chance) -> Outcome:
    """One flooder, ten times a second, five letters to each other member."""
    scene = Scene(members, chance, defences=defences)
    flooder = members - 1
    scene.hostile[flooder] = Hostile()
    speak(scene, LETTERS, EVERY_S)
    for turn in range(int(FOR_S * FLOODS_S)):
        scene.at(QUIET_S + turn / FLOODS_S, partial(_flood, scene, flooder, turn))
    scene.run(QUIET_S + FOR_S + 5.0)
    return outcome(scene, false_accepted=believed(scene),
                   refused=mean(scene.posts[index].refused for index in scene.good))


def _flood(scene: Scene, flooder: int, turn: int) -> None:
    letters = [User(_broken(scene.posts[flooder].letters.say(text_of(1_000 + turn * EACH + number), scene.now)))
               for number in range(EACH)]
    for receiver in scene.good:
        scene.transmit(flooder, receiver, letters)


def _broken(letter: bytes) -> bytes:
    """With another last bit: of a signature, where there is one, else of the text."""
    return letter[:-1] + bytes([letter[-1] ^ 1])
