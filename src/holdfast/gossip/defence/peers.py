# SPDX-License-Identifier: Apache-2.0
"""With whom this member talks more than with others, so that nobody can stand all around it.

An eclipse is an attacker who is every peer of a victim. It becomes unlikely by four rules that each cost little:

- **Outbound quota**: a part of the chosen peers is picked by this member; those who came by themselves never fill all
  places.
- **Networks**: few peers of one network, however many of it there are.
- **Anchors**: a few peers that have proven themselves for long are remembered over a restart, when an attacker would
  otherwise only have to be there first.
- **Rotation**: now and then a part is exchanged for others at random, so whoever got in by luck does not stay.

Where this choice knows too few networks to keep the second rule, places stay empty, down to ``at_least``: a cluster
that lives in one network has peers all the same, and there the rule protects from nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from ..._base.chance import Chance
from ...errors import ConfigurationError
from .drawing import across, sample


@dataclass(frozen=True)
class Choosing:
    """size: chosen peers; more: harder to eclipse and to silence, and each message goes out so often. With size 8 and a
    third of all members hostile, all 8 are with probability 0.015 %. outbound_min: of these, picked by this member.
    per_network: of one /24 or /64. at_least: so many are chosen, however few their networks are; 0: never more than
    per_network, which in a cluster of one network is everybody. anchors: remembered; each that is down costs a restart
    the time-out of a stream. rotate_s, rotate_share: how often which part is exchanged; more often: an attacker's luck
    lasts shorter, and connections are made anew. back_off_s: how long one that was rotated out is not picked while
    others are there."""

    size: int = 8
    outbound_min: int = 4
    per_network: int = 2
    at_least: int = 4
    anchors: int = 2
    rotate_s: float = 300.0
    rotate_share: float = 0.25
    back_off_s: float = 600.0

    def __post_init__(self) -> None:
        if not 0 <= self.outbound_min <= self.size or self.size < 1 or self.per_network < 1 or self.at_least < 0:
            raise ConfigurationError("peers: size from 1, outbound_min up to size, per_network from 1, at_least from 0")
        if not 0 <= self.anchors <= self.size or not 0 <= self.rotate_share <= 1 or self.rotate_s <= 0:
            raise ConfigurationError("peers: anchors up to size, rotate_share from 0 to 1, rotate_s above 0")


class Candidate(msgspec.Struct, frozen=True):
    """One that could be chosen. network: see ``subnets.neighbourhood``. outbound: this member found it (in its table,
    by a seed); False: it came by itself. score: candidates below 0 are taken last; leave out those on the graylist.
    proven: it answered when it was asked; others are no anchors."""

    name: str
    network: str
    outbound: bool = True
    score: float = 0.0
    proven: bool = True


class Chosen(msgspec.Struct, frozen=True):
    """What changed. peers: all that are chosen now."""

    peers: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


class Peers:
    """Chosen peers. anchors: names from before the restart, taken before others while they are candidates."""

    __slots__ = ("_backed_off", "_before", "_chosen", "_proven", "_rotated", "choosing")

    def __init__(self, choosing: Choosing, anchors: Iterable[str] = ()) -> None:
        self.choosing = choosing
        self._before: tuple[str, ...] = ()
        self._chosen: dict[str, float] = {}
        self._proven: frozenset[str] = frozenset()
        self._backed_off: dict[str, float] = {}
        self._rotated: float | None = None
        self.remember(anchors)

    def remember(self, anchors: Iterable[str]) -> None:
        """Peers from before the restart: before ``choose`` is asked first."""
        self._before = tuple(dict.fromkeys(anchors))[:self.choosing.anchors]  # guard: anchors never fill all places

    @property
    def chosen(self) -> tuple[str, ...]:
        """Their names, the longest chosen first."""
        return tuple(self._chosen)

    def choose(self, candidates: Sequence[Candidate], now: float, chance: Chance) -> Chosen:
        """Looks over the choice: those that are no candidates any more go, some are exchanged if it is time, and free
        places are filled."""
        known = {one.name: one for one in candidates}
        before = tuple(self._chosen)
        for name in before:
            if name not in known:
                del self._chosen[name]
        self._backed_off = {name: until for name, until in self._backed_off.items() if now < until}
        self._proven = frozenset(name for name in self._chosen if known[name].proven)
        self._rotate(known, now, chance)
        self._fill(known, chance, now)
        self._proven = frozenset(name for name in self._chosen if known[name].proven)
        after = tuple(self._chosen)
        return Chosen(after, tuple(one for one in after if one not in before),
                      tuple(one for one in before if one not in after))

    def anchors(self, by: float = math.inf) -> tuple[str, ...]:
        """Whom to remember: those chosen for the longest, to be given to ``Peers`` after a restart. by: chosen at that
        time at the latest."""
        lasting = [name for name, since in self._chosen.items() if since <= by and name in self._proven]
        return tuple(lasting)[:self.choosing.anchors]

    def _rotate(self, known: dict[str, Candidate], now: float, chance: Chance) -> None:
        if self._rotated is None:
            self._rotated = now
        if now - self._rotated < self.choosing.rotate_s:
            return
        self._rotated = now
        movable = [name for name in self._chosen if name not in self.anchors()]  # guard: anchors stay
        others = len(known) - len(self._chosen)
        count = min(len(movable), others, round(self.choosing.rotate_share * len(self._chosen)))
        for name in sample(movable, count, chance):
            del self._chosen[name]
            self._backed_off[name] = now + self.choosing.back_off_s

    def _fill(self, known: dict[str, Candidate], chance: Chance, now: float) -> None:
        order = [known[name] for name in self._before if name in known]
        # Once each: an anchor that was left out or went is a candidate like others.
        self._before = tuple(name for name in self._before if name not in known)
        rest = across(list(known.values()), lambda one: one.network, chance)
        rest.sort(key=lambda one: (one.name in self._backed_off, one.score < 0))
        # Those that are more than their network may have were taken for want of others, who may have come by now.
        beyond = self._beyond(known)
        self._take((*order, *rest), known, now, self.choosing.size, self.choosing.per_network)
        if len(self._chosen) < self.choosing.at_least:
            kept = [known[name] for name in beyond]
            self._take((*kept, *rest), known, now, min(self.choosing.at_least, self.choosing.size), None)
            self._chosen.update((name, since) for name, since in beyond.items() if name in self._chosen)

    def _beyond(self, known: dict[str, Candidate]) -> dict[str, float]:
        """Takes out those of each network that are more than it may have, the latest ones."""
        of: Counter[str] = Counter()
        found: dict[str, float] = {}
        for name, since in self._chosen.items():
            of[known[name].network] += 1
            if of[known[name].network] > self.choosing.per_network:  # guard: others have come
                found[name] = since
        for name in found:
            del self._chosen[name]
        return found

    def _take(self, order: Iterable[Candidate], known: dict[str, Candidate], now: float, size: int,
              per_network: int | None) -> None:
        for one in order:
            if len(self._chosen) >= size:
                break
            if one.name not in self._chosen and self._fits(one, known, per_network):
                self._chosen[one.name] = now

    def _fits(self, one: Candidate, known: dict[str, Candidate], per_network: int | None) -> bool:
        chosen = [known[name] for name in self._chosen]
        if per_network and sum(other.network == one.network for other in chosen) >= per_network:  # guard: networks
            return False
        inbound_max = self.choosing.size - self.choosing.outbound_min
        return one.outbound or sum(not other.outbound for other in chosen) < inbound_max  # guard: outbound quota


def seeds(candidates: Sequence[Candidate], count: int, chance: Chance) -> list[str]:
    """So many to enter by: at random across networks, so that a list an attacker filled with names of one network gives
    one of these. Ask several, and compare what they say (``views``)."""
    return [one.name for one in across(candidates, lambda one: one.network, chance)[:count]]
