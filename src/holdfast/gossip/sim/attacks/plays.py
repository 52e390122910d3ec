# SPDX-License-Identifier: Apache-2.0
"""What the attacks have in common: letters that honest members say, and members to be chosen."""

from __future__ import annotations

from functools import partial

from ..steps import some
from .outcome import QUIET_S
from .scene import Scene

#: Bytes of a letter.
TEXT = 100


def text_of(number: int) -> bytes:
    """What the letter with that number says."""
    return f"letter {number:06d} of an honest member ".encode().ljust(TEXT, b".")


def speak(scene: Scene, count: int, every_s: float) -> float:
    """So many letters, each by an honest member in turn. When the last one is said."""
    honest = scene.good
    for number in range(count):
        by = honest[number * 7 % len(honest)]
        scene.at(QUIET_S + number * every_s, partial(scene.say, by, text_of(number)))
    return QUIET_S + (count - 1) * every_s


def chosen(scene: Scene, part: float) -> list[int]:
    """A part of the members at random, one at least unless the part is none."""
    count = round(part * scene.honest)
    return some(scene.chance, scene.honest, max(1, count)) if part else []
