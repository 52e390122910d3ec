# SPDX-License-Identifier: Apache-2.0
"""Drawing at random, so that names alone do not raise the odds.

An attacker has names for nothing and networks for money. Drawing first a network and then a member of it makes a
swarm in one network as likely as one honest member alone in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from ..._base.chance import Chance
from ..core.order import below

T = TypeVar("T")

#: Draws so many of some names, or all, as ``sample`` does.
Draw: TypeAlias = Callable[[Sequence[str], int, Chance], list[str]]


def shuffled(items: Sequence[T], chance: Chance) -> list[T]:
    """All of them in random order."""
    mixed = list(items)
    for place in range(len(mixed) - 1, 0, -1):
        other = below(chance, place + 1)
        mixed[place], mixed[other] = mixed[other], mixed[place]
    return mixed


def sample(items: Sequence[T], count: int, chance: Chance) -> list[T]:
    """So many of them, or all."""
    return shuffled(items, chance)[:max(0, count)]


def across(items: Sequence[T], network: Callable[[T], str], chance: Chance) -> list[T]:
    """All of them, by turns of the networks: each round takes one at random of each network, in random order."""
    lines: dict[str, list[T]] = {}
    for item in shuffled(items, chance):
        lines.setdefault(network(item), []).append(item)
    order: list[T] = []
    waiting = list(lines.values())
    while waiting:
        order += [line.pop() for line in shuffled(waiting, chance)]
        waiting = [line for line in waiting if line]
    return order
