# SPDX-License-Identifier: Apache-2.0
"""Chance, drawn the same way wherever a decision needs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from ..._base.chance import Chance

T = TypeVar("T")


def exponential(mean_s: float, chance: Chance) -> float:
    """A wait without memory, of that mean: a Poisson timer's next turn, seen from any moment."""
    return -mean_s * math.log(1.0 - chance.random())


def some(count: int, among: Sequence[T], chance: Chance) -> list[T]:
    """So many of them, each as likely; all of them where there are no more."""
    left = list(among)
    for place in range(min(count, len(left))):
        other = place + int(chance.random() * (len(left) - place))
        left[place], left[other] = left[other], left[place]
    return left[:count]
