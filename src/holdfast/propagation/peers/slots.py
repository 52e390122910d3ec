# SPDX-License-Identifier: Apache-2.0
"""Who is let in when all places are taken.

Who calls us was not chosen by us, so all inbound links may be one attacker's. When there is no place left, somebody
gives way, and not those who would be hard to imitate: who answers soonest, who brought most things first, who has been
here longest. Of the others, the youngest in the most crowded part of the network goes. Bitcoin's rule, with fewer
kinds of merit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

#: How many are kept for each merit.
KEPT: Final = 4


@dataclass(frozen=True)
class Present:
    """Somebody who called us. since_s: when. useful: what it brought first, lately. rtt_s: 0: not known yet."""

    number: int
    group: str
    since_s: float
    useful: float = 0.0
    rtt_s: float = 0.0


#: The best come first.
_MERITS: Final[tuple[Callable[[Present], float], ...]] = (
    lambda one: one.rtt_s or math.inf, lambda one: -one.useful, lambda one: one.since_s,
)


class Place(NamedTuple):
    """Is there one? gives_way: whose it is, that one goes; None: nobody's."""

    free: bool
    gives_way: int | None = None


def admit(newcomer: str, present: Sequence[Present], most: int, of_group: int) -> Place:
    """Is there a place for somebody who calls?

    newcomer: the part of the network it calls from. most: inbound links; of_group: from one part.
    """
    crowd = [one for one in present if one.group == newcomer]
    if len(crowd) >= of_group:  # guard: inbound-group
        return Place(False)
    if len(present) < most:
        return Place(True)
    kept: set[int] = set()
    for merit in _MERITS:
        kept.update(one.number for one in sorted(present, key=merit)[:min(KEPT, most // 4)])
    left = [one for one in present if one.number not in kept]
    if not left:
        return Place(False)
    parts = Counter(one.group for one in left)
    worst = max(left, key=lambda one: (parts[one.group], one.since_s, one.number))
    return Place(True, worst.number)
