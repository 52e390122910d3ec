# SPDX-License-Identifier: Apache-2.0
"""Randomness as an argument, so that a seed can replay what happened."""

from __future__ import annotations

import random
import secrets
from typing import Protocol


class Chance(Protocol):
    """Where randomness comes from. ``random.Random(seed)`` fits."""

    def random(self) -> float:
        """A float in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """An integer of ``k`` random bits."""
        ...


def new_id(chance: Chance) -> str:
    """An id that nothing else has: 80 random bits, as 20 hexadecimal digits."""
    return f"{chance.getrandbits(80):020x}"


def system_chance() -> random.Random:
    """A generator of its own, seeded by the operating system: a fork does not share its stream with its parent."""
    return random.Random(secrets.randbits(128))
