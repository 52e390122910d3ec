# SPDX-License-Identifier: Apache-2.0
"""Somebody changes what others say: on the way of packets, or as a member that passes letters on.

What it can read it rewrites, so that the letter says something else and nothing looks wrong; of what it cannot read it
changes a byte. Checksums it makes anew. A letter that was rewritten and believed counts as false.
"""

from __future__ import annotations

from ...._base.chance import Chance
from .defences import Defences
from .outcome import Outcome, believed, outcome
from .plays import TEXT, chosen, speak
from .scene import Hostile, Scene

LETTERS, EVERY_S = 10, 0.5


def rewritten(data: bytes, scene: Scene) -> bytes:
    """With the first letter that stands in it saying something else."""
    for text in scene.said:
        at = data.find(text)
        if at >= 0:
            return data[:at] + text[:20] + b"and it was rewritten".ljust(TEXT - 20, b"!") + data[at + TEXT:]
    return data


class OnTheWay:
    """Changes a part of all datagrams."""

    def __init__(self, part: float) -> None:
        self._part = part

    def passes(self, scene: Scene, sender: int, receiver: int, data: bytes) -> bytes | None:
        if scene.chance.random() >= self._part:
            return data
        changed = rewritten(data, scene)
        if changed != data:
            return changed
        at = int(scene.chance.random() * len(data))
        return data[:at] + bytes([data[at] ^ 1 << int(scene.chance.random() * 8)]) + data[at + 1:]


class Insider(Hostile):
    """Passes letters on, rewritten."""

    def letter(self, scene: Scene, index: int, letter: bytes) -> bytes | None:
        return rewritten(letter, scene)


def run(defences: Defences, members: int, chance: Chance, *, inside: bool, part: float) -> Outcome:
    """part: of the datagrams; inside: of the members."""
    scene = Scene(members, chance, defences=defences)
    if inside:
        scene.hostile.update(dict.fromkeys(chosen(scene, part), Insider()))
    else:
        scene.paths.append(OnTheWay(part))
    scene.run(speak(scene, LETTERS, EVERY_S) + 10.0)
    return outcome(scene, false_accepted=believed(scene))
