# SPDX-License-Identifier: Apache-2.0
"""With whom a member on a real network keeps company, so that nobody can stand all around it.

SWIM pings everybody in turn and gossips with anybody, and so it stays: a failure is found whoever it is. But who is
asked for all that is known, who hears of an own event first, and with whom views and letters are compared must not be
drawn by names, which an attacker has for nothing. So these go to chosen peers (``defence.peers``)::

    members ─▶ candidates: network, who found whom, did it answer ─▶ Guard.choose ─▶ some of all
                                                                       │
         exchanges: partners ◀──────┬───────────┬───────────────┬──────┘
         own events, proofs: draw ◀─┘           │               └─▶ anchors: kept on disk
         audits, comparisons: company ◀─────────┘

A member **came by itself** where it entered by this one; others this one heard of. It is **proven** once it answered an
exchange that this member began. An **anchor** is a proven peer that was chosen for longer than a rotation takes. What
was an anchor stays one until another takes its place: whoever is cut off from all, and stopped then, still knows them.

Pure: what it knows comes in with the time, and what to do comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from ..._base.chance import Chance
from ..core.members import Member
from ..defence import Guard
from ..defence.drawing import Draw, across, shuffled
from ..defence.peers import Candidate, Choosing
from ..messages import Address

#: Between two looks at all members, for each of them: a look takes 2 to 8 µs a member, so it costs 0.3 % at most. To
#: draw whom an own event goes to takes 1 µs a member.
LOOK_S: Final = 0.003
#: Hosts whose network is remembered.
NETWORKS_MAX: Final = 1 << 15


class Peering:
    """Of one member. guard: whose choice it is."""

    def __init__(self, guard: Guard, choosing: Choosing) -> None:
        self._guard, self._choosing = guard, choosing
        #: Does it choose?
        self.began = False
        self._stale, self._at_once = True, False
        self._next = 0.0
        self._came: set[str] = set()
        self._proven: set[str] = set()
        self._asked: set[str] = set()
        self._anchors: dict[str, Address] = {}
        self._networks: dict[bytes, str] = {}

    @property
    def anchors_max(self) -> int:
        """How many are remembered."""
        return self._choosing.anchors

    # -- what happens

    def begin(self, anchors: Mapping[str, Address]) -> None:
        """This member has entered, by these of before the restart first, and chooses from now on. Not sooner: whoever
        comes while the anchors are asked would be chosen in their places."""
        self.began = True
        self._anchors = dict(anchors)
        self._guard.remember(self._anchors)

    def joined(self, name: str, *, by_itself: bool) -> None:
        """It is a member. by_itself: it entered by this one."""
        self._stale = True
        if by_itself:
            self._came.add(name)

    def gone(self, name: str) -> None:
        """It failed, left or was forgotten. What comes under its name has to prove itself."""
        self._stale = True
        self._at_once |= name in self._guard.chosen
        for known in (self._came, self._proven, self._asked):
            known.discard(name)

    def asked(self, name: str) -> None:
        """An exchange with it begins."""
        self._asked.add(name)

    def answered(self, name: str) -> None:
        """An exchange that this member began was done."""
        if name and name not in self._proven:
            self._proven.add(name)
            self._stale = True

    def turn(self) -> None:
        """It is time to exchange some of the chosen ones."""
        self._at_once = True

    def look(self, members: Iterable[Member], count: int, now: float, chance: Chance) -> None:
        """Chooses anew where there is reason to. members: all that are held, this one among them; count: how many."""
        if not self.began:  # guard: whoever comes first has to wait for the anchors
            return
        unfit = any(not self._fit(name, now) for name in self._guard.chosen)
        if not (unfit or self._at_once or (self._stale and now >= self._next)):
            return
        self._stale = self._at_once = False
        self._next = now + LOOK_S * count
        candidates = [Candidate(member.node, self._network(member.node, member.host), member.node not in self._came,
                                proven=member.node in self._proven)
                      for member in members if not member.gone and member.node != self._guard.me]
        self._asked.difference_update(self._guard.choose(candidates, now, chance).added)

    def _fit(self, name: str, now: float) -> bool:
        ledger = self._guard.ledger
        return not ledger.banned(name, now) and ledger.heard(name, now)

    # -- what is to be done

    @property
    def company(self) -> tuple[str, ...]:
        """With whom to compare what is known; nobody yet: with anybody."""
        return self._guard.chosen

    def partners(self, chance: Chance) -> list[str]:
        """With whom to exchange: first those who were not asked since they were chosen, so that each shows soon whether
        it answers, then any of them."""
        mixed = shuffled(self._guard.chosen, chance)
        return sorted(mixed, key=lambda name: name in self._asked)

    def draw(self, hosts: Mapping[str, Address]) -> Draw:
        """Draws to whom something goes at once: all chosen ones, and others by turns of their networks."""
        def drawn(names: Sequence[str], count: int, chance: Chance) -> list[str]:
            wanted = dict.fromkeys(names)
            first = [name for name in self._guard.chosen if name in wanted]
            for name in first:
                del wanted[name]
            rest = across(list(wanted), lambda name: self._network(name, hosts[name][0]), chance)
            return [*first, *rest][:max(0, count)]

        return drawn

    def anchors(self, where: Callable[[str], Address | None], now: float) -> dict[str, Address]:
        """Whom to remember over a restart, and where they are."""
        found = {name: address for name in self._guard.anchors(now - self._choosing.rotate_s)
                 if (address := where(name)) is not None}
        for name, address in self._anchors.items():
            if len(found) < self.anchors_max and self._fit(name, now):  # guard: anchors outlast a cut
                found.setdefault(name, address)
        self._anchors = found
        return found

    def _network(self, name: str, host: bytes | str) -> str:
        key = host if isinstance(host, bytes) else host.encode()
        known = self._networks.get(key)
        if known is None:
            if len(self._networks) >= NETWORKS_MAX:
                self._networks.clear()
            known = self._networks[key] = self._guard.network(host)
        return known or name
