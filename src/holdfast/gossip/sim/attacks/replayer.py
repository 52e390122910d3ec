# SPDX-License-Identifier: Apache-2.0
"""Somebody on the way keeps what passes and sends it again, later, in its sender's name.

Ten letters are said; then some members restart and have forgotten what they heard; then everything that was recorded
comes again, to whom it was sent and to those that restarted. A letter that somebody takes for new again is false.
"""

from __future__ import annotations

from ...._base.chance import Chance
from ..steps import Enter, play, some
from .defences import Defences
from .outcome import QUIET_S, Outcome, believed, outcome
from .plays import speak
from .scene import Scene

LETTERS, EVERY_S = 10, 0.3
RESTARTED, RESTART_S, REPLAY_S, AGAIN_MAX = 5, 12.0, 20.0, 3_000


class Recorder:
    """Keeps datagrams, in order."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, int, bytes]] = []
        self.on = True

    def passes(self, scene: Scene, sender: int, receiver: int, data: bytes) -> bytes | None:
        if self.on and scene.now >= QUIET_S and len(self.kept) < AGAIN_MAX:
            self.kept.append((sender, receiver, data))
        return data


def run(defences: Defences, members: int, chance: Chance) -> Outcome:
    """false_accepted: letters taken for new again."""
    scene = Scene(members, chance, defences=defences)
    recorder = Recorder()
    scene.paths.append(recorder)
    restarted = some(scene.chance, members, RESTARTED)
    speak(scene, LETTERS, EVERY_S)
    play(scene, [Enter(RESTART_S, index, seed=0) for index in restarted])
    scene.run(REPLAY_S)
    recorder.on = False
    for number, (sender, receiver, data) in enumerate(recorder.kept):
        for to in (receiver, restarted[number % RESTARTED]):
            scene.inject(sender, to, data)
    scene.run(REPLAY_S + 8.0)
    return outcome(scene, false_accepted=believed(scene))
