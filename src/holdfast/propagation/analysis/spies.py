# SPDX-License-Identifier: Apache-2.0
"""How well whoever listens at some nodes can tell where a transaction began.

The estimator is the plainest: whoever told the first of the listening nodes is taken for the origin. What it finds out,
anybody can; what a cleverer one finds out is more. Spies are drawn, so it is asked with several draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._base.chance import Chance
from ..analyse import Spread, accused
from ..relay.draws import some
from .run import origin_of


@dataclass(frozen=True)
class Privacy:
    """spies: nodes that listen. asked: transactions times draws, those left out of which a spy was the origin.
    precision: right of those that were named. recall: right of all. None: nothing to divide by."""

    spies: int
    asked: int
    named: int
    right: int

    @property
    def precision(self) -> float | None:
        """How often a name was right."""
        return self.right / self.named if self.named else None

    @property
    def recall(self) -> float | None:
        """How often the origin was found."""
        return self.right / self.asked if self.asked else None


def privacy(spreads: Sequence[Spread], share: float, chance: Chance, *, draws: int = 20) -> Privacy:
    """share: of nodes that listen, one at least. draws: of spies, for each transaction whose origin is known."""
    nodes = len(spreads[0].arrived_s) if spreads else 0
    count = max(1, round(share * nodes)) if nodes else 0
    asked = named = right = 0
    for spread in spreads:
        origin = origin_of(spread)
        if origin is None or not spread.first_peer:
            continue
        for _ in range(draws):
            spies = some(count, range(nodes), chance)
            if origin in spies:
                continue
            found = accused(spread, spies)
            asked += 1
            named += found is not None
            right += found == origin
    return Privacy(count, asked, named, right)
