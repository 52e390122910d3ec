# SPDX-License-Identifier: Apache-2.0
"""What a node knows of others and of its links, apart from the sockets: who may come in, who is called, who is heard.

It puts the decisions of ``peers`` together and keeps, for each link, its buckets and whether it still answers. Times
are the loop's, save those of the book, which is kept and so goes by seconds since 1970 (``wall``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ..._base.chance import Chance
from ..peers import AddressBook, Liveness, Present, Rates, Standing, Wanted, admit, choose, group_of
from ..peers.book import Address, Known
from .frames import ADDRESSES_MAX, Addresses, Seen
from .greeting import Met
from .settings import Settings

#: Greetings at once with one part of the network.
GREETING_OF_GROUP: Final = 8


@dataclass
class Neighbour:
    """One link. called: where we called it; None: it called us. group: which part of the network it is in.
    label: which part of the world it says to be in."""

    number: int
    id: str
    host: str
    group: str
    label: str
    since_s: float
    rates: Rates
    alive: Liveness
    called: Address | None = None
    asked: bool = False
    asked_us: int = 0
    told: set[Address] = field(default_factory=set)


class Neighbours:
    """The links there are, the addresses there might be, and what was seen of either."""

    def __init__(self, settings: Settings, own_id: str, now: float) -> None:
        self._settings, self._own = settings, own_id
        self.book = AddressBook(settings.bounds)
        self.standing = Standing(settings.acts)
        self.linked: dict[int, Neighbour] = {}
        self._ask_at = now

    def of(self, id: str) -> Neighbour | None:
        """The link to this node."""
        return next((one for one in self.linked.values() if one.id == id), None)

    def refuses(self, who: str, now: float) -> bool:
        """Is this id, or this address, banned?"""
        return self.standing.banned(who, now) is not None

    def hears(self, host: str, greeting: Counter[str]) -> bool:
        """Is a greeting with one more from there begun? greeting: those under way, by part of the network. Nobody who
        says half a hello a hundred times keeps others from saying theirs."""
        group = group_of(host)
        return group in self._settings.links.exempt or greeting[group] < GREETING_OF_GROUP  # guard: greetings-of-group

    def place(self, host: str, now: float) -> tuple[bool, int | None]:
        """May somebody who called come in, and does one of those that are here go for it?"""
        present = [Present(one.number, one.group, one.since_s, self.standing.useful(one.id, now), one.alive.rtt_s)
                   for one in self.linked.values() if one.called is None]
        group = group_of(host)
        most = self._settings.links
        of_group = most.inbound if group in most.exempt else most.inbound_of_group
        return admit(group, present, most.inbound, of_group)

    def double(self, id: str, *, outbound: bool) -> tuple[bool, int | None]:
        """A second link to the same node: may it be, and which one goes for it? Of two that were opened from both ends
        at once, both ends keep the one that the lesser id opened; else the newer one stays, since only the node itself
        can have opened it."""
        old = self.of(id)
        if old is None:
            return True, None
        if outbound == (old.called is not None):
            return True, old.number
        lesser_opened = outbound == (self._own < id)
        return (True, old.number) if lesser_opened else (False, None)

    def joined(self, number: int, met: Met, host: str, called: Address | None, *, now: float, wall: float
               ) -> Neighbour:
        """There is a link."""
        one = Neighbour(number, met.id, host, group_of(host), met.about.label, now, Rates(now),
                        Liveness(now, self._settings.ping_s, self._settings.dead_s), called)
        self.linked[number] = one
        if called is not None:
            self.book.answered(called, wall, label=met.about.label, id=met.id)
        elif met.about.port:
            self.book.heard((host, met.about.port), wall, label=met.about.label, source=group_of(host),
                            id=met.id)
        return one

    def left(self, number: int) -> None:
        """There is not any more."""
        self.linked.pop(number, None)

    def next_call(self, busy: set[Address], now: float, wall: float, chance: Chance) -> Address | None:
        """Who is called, when links are missing."""
        own = [one for one in self.linked.values() if one.called is not None and one.called not in
               self._settings.calls]
        if len(own) + len(busy) >= self._settings.links.outbound:
            return None
        here = {one.called for one in self.linked.values()} | busy
        ids = {one.id for one in self.linked.values()}
        known = [one for one in self.book.callable(wall) if one.address not in here and one.id not in ids
                 and not self.refuses(one.host, now) and not self.refuses(one.id, now)]
        groups = Counter(one.group for one in own)
        for part in self._settings.links.exempt:
            groups.pop(part, None)
        wanted = Wanted(groups, Counter(one.label for one in own), lambda who: self.standing.score(who, now),
                        self._settings.links.of_group)
        chosen = choose(self._settings.links.strategy, known, wanted, chance)
        return None if chosen is None else chosen.address

    def to_ask(self, now: float, chance: Chance) -> Neighbour | None:
        """Whom to ask for addresses now: one of those that we called, since nobody chose us there."""
        if now < self._ask_at:
            return None
        among = [one for one in self.linked.values() if one.called is not None and not one.asked]
        if not among:
            return None
        self._ask_at = now + self._settings.ask_s
        one = among[int(chance.random() * len(among))]
        one.asked = True
        return one

    def answer(self, one: Neighbour, wall: float, chance: Chance) -> Addresses | None:
        """What it is told who asks for addresses; None: it had its answers."""
        one.asked_us += 1
        if one.asked_us > 3:  # guard: addresses-asked
            return None
        known = [each for each in self.book.sample(ADDRESSES_MAX, wall, chance) if each.address not in one.told]
        one.told.update(each.address for each in known)
        return Addresses(tuple(_seen(each, wall) for each in known))

    def told(self, one: Neighbour, said: Addresses, now: float, wall: float) -> int:
        """It told us addresses: how many are new. What was not asked for is held against it and not looked at."""
        if not one.asked:  # guard: addresses-unasked
            self.standing.blame(one.id, "addresses", now)
            return 0
        one.asked = False
        source = group_of(one.host)
        return sum(self.book.heard((each.host, each.port), wall, age_s=each.age_s, label=each.label, source=source)
                   for each in said.known)


def _seen(one: Known, wall: float) -> Seen:
    return Seen(one.host, one.port, int(min(max(wall - one.seen_s, 0), 2**31 - 1)), one.label)
