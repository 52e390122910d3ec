# SPDX-License-Identifier: Apache-2.0
"""Who is called next, of those that are known: four strategies.

* ``uniform``: anybody. Nobody can make himself liked, and nothing is gained.
* ``latency``: of two, the quicker one. Words arrive sooner; the network falls into regions, and who is near us has a
  better chance to surround us.
* ``diversity``: somebody in a part of the network that we have fewest links to, and there somebody with the label that
  we have fewest links to. What an attacker needs to surround us is many parts of the network. The default. A label is
  its node's own word, so it decides nothing but between those who are in one part.
* ``score``: the more useful somebody was, the likelier. Rewards who brings things first; newcomers wait longer.

Whichever it is, half of the calls go to those who were tried, and no part of the network gets more than ``of_group`` of
our own links: these are the links that nobody but us chose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from ..._base.chance import Chance
from .book import Known

#: Where a link's time to answer is not known, this is assumed.
RTT_S: Final = 0.1


@dataclass(frozen=True)
class Wanted:
    """What a choice goes by. groups, labels: links that we opened, by part of the network, and by label. score_of: how
    useful an id was; 0 for strangers. of_group: links of ours into one part."""

    groups: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    score_of: Callable[[str], float] = lambda _: 0.0
    of_group: int = 2


_Strategy: TypeAlias = Callable[[Sequence[Known], Wanted, Chance], Known]


def choose(strategy: str, known: Sequence[Known], wanted: Wanted, chance: Chance) -> Known | None:
    """Who is called; None: nobody may be. strategy: one of ``STRATEGIES``."""
    allowed = [one for one in known if wanted.groups.get(one.group, 0) < wanted.of_group]  # guard: outbound-group
    if not allowed:
        return None
    tried = [one for one in allowed if one.tried]
    new = [one for one in allowed if not one.tried]
    among = (tried if chance.random() < 0.5 else new) if tried and new else tried or new
    return STRATEGIES[strategy](among, wanted, chance)


def _any(among: Sequence[Known], chance: Chance) -> Known:
    return among[int(chance.random() * len(among))]


def _uniform(among: Sequence[Known], _: Wanted, chance: Chance) -> Known:
    return _any(among, chance)


def _latency(among: Sequence[Known], _: Wanted, chance: Chance) -> Known:
    return min(_any(among, chance), _any(among, chance), key=lambda one: one.rtt_s or RTT_S)


def _diversity(among: Sequence[Known], wanted: Wanted, chance: Chance) -> Known:
    # A part is drawn first, and then somebody in it: who has many addresses in one part gains nothing by it.
    there = _fewest(among, lambda one: one.group, wanted.groups, chance)
    return _any(_fewest(there, lambda one: one.label, wanted.labels, chance), chance)


def _fewest(among: Sequence[Known], part_of: Callable[[Known], str], links: Mapping[str, int], chance: Chance
            ) -> list[Known]:
    """Those of one part, of the parts with the fewest links."""
    parts = list(dict.fromkeys(map(part_of, among)))
    least = min(links.get(part, 0) for part in parts)
    fewest = [part for part in parts if links.get(part, 0) == least]
    part = fewest[int(chance.random() * len(fewest))]
    return [one for one in among if part_of(one) == part]


def _score(among: Sequence[Known], wanted: Wanted, chance: Chance) -> Known:
    weights = [max(0.05, 1.0 + wanted.score_of(one.id)) for one in among]
    left = chance.random() * sum(weights)
    for one, weight in zip(among, weights, strict=True):
        left -= weight
        if left < 0:
            return one
    return among[-1]


STRATEGIES: Final[Mapping[str, _Strategy]] = MappingProxyType({
    "uniform": _uniform, "latency": _latency, "diversity": _diversity, "score": _score,
})
