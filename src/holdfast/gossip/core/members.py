# SPDX-License-Identifier: Apache-2.0
"""Who there is, as one member sees it.

A member in a simulation of ten thousand knows ten thousand others, most of whom look the same to everybody. So a table
may stand on a **roll**: what all agreed on at the start, shared and never written to. A table holds only what it sees
differently; on a real member the roll is empty and the table holds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ..._base.chance import Chance
from ..messages import Address, Alive, NodeState, State, Versions
from .order import Order

#: From these protocol versions on a member answers pings by stream, and sends nacks.
STREAM_PROTOCOL: Final = 3
NACK_PROTOCOL: Final = 4


class Member(msgspec.Struct, frozen=True, gc=False):
    """What is held of one member. since: when its state became this one, on the holder's clock, in seconds."""

    node: str
    host: bytes
    port: int
    meta: bytes
    versions: Versions | None
    incarnation: int
    state: State
    since: float

    @property
    def address(self) -> Address:
        """Where it can be reached."""
        return self.host, self.port

    @property
    def gone(self) -> bool:
        """Dead, or it left."""
        return self.state >= State.DEAD

    def understands(self, protocol: int) -> bool:
        """Does it know what came with that protocol version?"""
        return self.versions is not None and self.versions.protocol_max >= protocol

    def alive(self) -> Alive:
        """The claim that it lives, as it stands here."""
        return Alive(self.incarnation, self.node, self.host, self.port, self.meta, self.versions)

    def told(self) -> NodeState:
        """The same, as it goes into an exchange."""
        return NodeState(self.node, self.host, self.port, self.meta, self.incarnation, self.state,
                         self.versions)


def held(claim: Alive, state: State, since: float, versions: Versions | None) -> Member:
    """What is held after such a claim."""
    return Member(claim.node, claim.host, claim.port, claim.meta, versions, claim.incarnation, state, since)


class Roll:
    """Members that everybody knows at the start: all alive, of equal versions. Shared between tables."""

    __slots__ = ("index", "members", "names")

    def __init__(self, members: Sequence[Member] = ()) -> None:
        self.members = tuple(members)
        self.names = tuple(member.node for member in members)
        self.index = {name: position for position, name in enumerate(self.names)}


NOBODY: Final = Roll()


class States:
    """What a table held at one moment, for an exchange. Iterating gives a ``NodeState`` a member."""

    __slots__ = ("_own", "_roll")

    def __init__(self, roll: Roll, own: Mapping[str, Member | None]) -> None:
        self._roll, self._own = roll, own

    def __len__(self) -> int:
        known = sum(1 for name in self._own if name in self._roll.index)
        return len(self._roll.names) - known + sum(1 for each in self._own.values() if each is not None)

    def __iter__(self) -> Iterator[NodeState]:
        own = self._own
        yield from (member.told() for member in self._roll.members if member.node not in own)
        yield from (member.told() for member in own.values() if member is not None)

    def news_for(self, table: Members) -> Iterator[NodeState]:
        """Those that may change what the other table holds. Standing on the same roll, only what one of the two sees
        differently can."""
        if table.roll is not self._roll:
            return iter(self)
        return self._differing(table)

    def _differing(self, table: Members) -> Iterator[NodeState]:
        yield from (member.told() for member in self._own.values() if member is not None)
        for name in table.removed():
            if name not in self._own:
                yield self._roll.members[self._roll.index[name]].told()


class Members:
    """The table: members by name, and in an order for turns and random choices."""

    __slots__ = ("_counts", "_order", "_own", "roll")

    def __init__(self, roll: Roll = NOBODY) -> None:
        self.roll = roll
        # None: of the roll, and removed here.
        self._own: dict[str, Member | None] = {}
        self._order = Order(roll.names)
        self._counts = [len(roll.names), 0, 0, 0]

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Member]:
        return (self[name] for name in self._order)

    def __getitem__(self, name: str) -> Member:
        member = self.get(name)
        if member is None:
            raise KeyError(name)
        return member

    def get(self, name: str) -> Member | None:
        """What is held of it; None when it is not known."""
        if name in self._own:
            return self._own[name]
        position = self.roll.index.get(name)
        return None if position is None else self.roll.members[position]

    def distinct(self) -> Iterator[Member]:
        """All whose versions may differ: one stands for those of the roll."""
        yield from self.roll.members[:1]
        yield from (member for member in self._own.values() if member is not None)

    def count(self, state: State) -> int:
        """How many are in that state."""
        return self._counts[state]

    def put(self, member: Member) -> None:
        """Replaces what is held of a member that is known."""
        self._counts[self[member.node].state] -= 1
        self._counts[member.state] += 1
        self._own[member.node] = member

    def enter(self, member: Member, chance: Chance) -> None:
        """Takes up one that is not known yet, at a random place of the order."""
        self._counts[member.state] += 1
        self._own[member.node] = member
        self._order.insert(member.node, chance)

    def turn(self, chance: Chance) -> Member | None:
        """The next one of this round; None at the end of the round, when another begins."""
        name = self._order.turn(chance)
        return None if name is None else self[name]

    def sample(self, wanted: int, chance: Chance, fits: Callable[[Member], bool]) -> list[Member]:
        """Up to so many different ones that fit, at random."""
        return [self[name] for name in self._order.sample(wanted, chance, lambda name: fits(self[name]))]

    def forget(self, fits: Callable[[Member], bool]) -> list[Member]:
        """Takes out those that are gone and fit, between two rounds."""
        if not self._counts[State.DEAD] and not self._counts[State.LEFT]:
            return []
        names = self._order.remove(lambda name: self[name].gone and fits(self[name]))
        return [self._drop(name) for name in names]

    def removed(self) -> list[str]:
        """Those of the roll that were taken out."""
        return [name for name, member in self._own.items() if member is None]

    def states(self) -> States:
        """All that is held now."""
        return States(self.roll, dict(self._own))

    @property
    def live(self) -> Live:
        """Who is held to be live."""
        return Live(self)

    def _drop(self, name: str) -> Member:
        member = self[name]
        self._counts[member.state] -= 1
        if name in self.roll.index:
            self._own[name] = None
        else:
            del self._own[name]
        return member


class Live(Collection[str]):
    """The names of those that a table holds to be live, the suspected ones and the holder included: always as they are
    now, and no copy."""

    __slots__ = ("_members",)

    def __init__(self, members: Members) -> None:
        self._members = members

    def __len__(self) -> int:
        return self._members.count(State.ALIVE) + self._members.count(State.SUSPECT)

    def __iter__(self) -> Iterator[str]:
        return (member.node for member in self._members if not member.gone)

    def __contains__(self, name: object, /) -> bool:
        member = self._members.get(name) if isinstance(name, str) else None
        return member is not None and not member.gone
