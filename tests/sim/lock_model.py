# SPDX-License-Identifier: Apache-2.0
"""Lock, fencing token and guard as a model small enough to look at every state of it. Pure.

::

    asks ─▶ primary grants, makes a token ──(WAIT: the replica has it)──▶ told ─▶ writes, at any time ─▶ guard
                │ replicates, late                                                (a pause follows the last look
                ▼                                                                  at the deadline)
             replica ──failover──▶ is the primary: with what it has, its own clock, another run id

The token's rule is that of ``acquire.lua``, written down a second time; the guard is the one that ships (``decide``).
Sources: M. Kleppmann, "How to do distributed locking" (2016), for the paused holder and for what a fence has to do;
redis.io, "Distributed Locks with Redis", for what asynchronous replication forgets; L. Lamport's TLA+ for the method.

What needs no step of its own: a lost message is one that never arrives, a dead client one that never acts, a pause a
client that acts later: an exploration has all of these. A client that acquires again is another acquisition, which is
why they are counted and not named. A replica that has a prefix of the log is one that was equal to its primary once.

Left out: renewal, which moves a deadline that nothing here relies on; release; the largest token a client has seen,
which ``acquire.lua`` is told too: it helps that client alone; an old primary that goes on granting after the failover:
with ``WAIT`` nobody is told of those, without it they are double grants like the forgotten ones. ``WAIT`` here is for
every replica that can be promoted: fewer is none for the others.

**Found by it**: the margin covers grants that are lost, not a ``lock_clock`` that is lost. It is added to the offset
that is stored; who is promoted without its predecessor's record begins no further ahead than that one did, and clocks
that differ by a tick are enough. That takes a failover before the very first grant was replicated (of any lock, they
share the record), or two, the second before the first grant in between was. ``record_kept``: the world spares us this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from holdfast.locks.guards import Offer, decide
from holdfast.testing import Exploration, explore

Move = tuple[str, "State"]


class Data(NamedTuple):
    """What a server has stored: the lock until when (its clock), the last token, and for which run id how far ahead."""

    holder: int = 0
    until: int = 0
    token: int = 0
    run: int = 0
    offset: int = 0

    @property
    def record(self) -> tuple[int, int]:
        """The run id and the offset: ``lock_clock``."""
        return self.run, self.offset


#: A lock that the first server has given away before, and has back; its replica knows.
FREE = Data(run=1)


class Hold(NamedTuple):
    """An acquisition: its number among the grants, by which run, until when by the client's clock, and told or not."""

    number: int
    token: int
    run: int
    deadline: int
    told: bool = False


class State(NamedTuple):
    """The world. ``error``: of the primary's clock. ``writes``: the last that was accepted, which is what the guard has
    stored, and before it the one it came too late for. ``steps``: of the clock, so far.
    """

    now: int = 0
    error: int = 0
    run: int = 1
    primary: Data = Data()
    replica: Data = Data()
    holds: tuple[Hold, ...] = ()
    writes: tuple[Offer, ...] = ()
    steps: int = 0

    @property
    def clock(self) -> int:
        """The time as the primary has it."""
        return self.now + self.error


def tokens_grow(state: State) -> bool:
    """Of two accepted writes the later one has no smaller token."""
    return all(before.token <= after.token for before, after in pairwise(state.writes))


def order_is_kept(state: State) -> bool:
    """Once a later acquisition has written, none of the earlier ones does."""
    return all(int(before.acquisition) <= int(after.acquisition) for before, after in pairwise(state.writes))


INVARIANTS = {"tokens grow": tokens_grow, "order is kept": order_is_kept}


@dataclass(frozen=True)
class LockModel:
    """What is switched on, and how bad the world is. Time is in ticks.

    acquisitions, failovers, ticks: how many there are at most. step: of the primary's clock, once, to either side;
    behind: by how much the clock of one that is promoted may be. margin: added for another run id. pauses: off, a
    client writes within its deadline. record_kept: who is promoted has at least the predecessor's ``lock_clock``.
    """

    guard: bool = True
    wait: bool = False
    clock_tokens: bool = True
    pauses: bool = True
    record_kept: bool = True
    acquisitions: int = 3
    failovers: int = 1
    step: int = 0
    behind: int = 0
    margin: int = 6
    ttl: int = 3
    ticks: int = 6

    def explore(self, invariants: Mapping[str, Callable[[State], bool]] | None = None) -> Exploration[State]:
        """Every state there is, or the shortest way to a violation: from nothing, and from a lock that was in use."""
        return explore([State(primary=FREE, replica=FREE), State()], self.moves, invariants or INVARIANTS)

    def moves(self, state: State) -> Iterator[Move]:
        """What may happen next."""
        if state.now < self.ticks:
            yield "a tick", state._replace(now=state.now + 1)
        yield from self._grants(state)
        yield from self._tellings(state)
        yield from self._writes(state)
        yield from self._faults(state)

    def _grants(self, state: State) -> Iterator[Move]:
        number, data = len(state.holds) + 1, state.primary
        if number > self.acquisitions or (data.holder and state.clock < data.until):
            return
        offset = data.offset + (self.margin if data.run not in (0, state.run) else 0)
        token = max(data.token + 1, state.clock + offset) if self.clock_tokens else data.token + 1
        stored = Data(number, state.clock + self.ttl, token, state.run, offset)
        hold = Hold(number, token, state.run, state.now + self.ttl)
        yield f"{number} is granted with token {token}", state._replace(primary=stored, holds=(*state.holds, hold))

    def _tellings(self, state: State) -> Iterator[Move]:
        """The answer arrives. Past the deadline it is of no use, and counts as lost."""
        for at, hold in enumerate(state.holds):
            confirmed = not self.wait or (hold.run == state.run and state.replica.token >= hold.token)
            if not hold.told and confirmed and state.now < hold.deadline:
                told = (*state.holds[:at], hold._replace(told=True), *state.holds[at + 1:])
                yield f"{hold.number} is told", state._replace(holds=told)

    def _writes(self, state: State) -> Iterator[Move]:
        """Whoever was told may write: what comes late was sent in time, by a client that has paused since."""
        last = state.writes[-1] if state.writes else None
        for hold in state.holds:
            offered = Offer(hold.token, str(hold.number))
            if not hold.told or not (self.pauses or state.now < hold.deadline):
                continue
            if last != offered and (not self.guard or decide(last, offered).accepted):
                yield f"{hold.number} writes with token {hold.token}", state._replace(writes=_written(last, offered))

    def _faults(self, state: State) -> Iterator[Move]:
        if state.replica != state.primary:
            yield "the replica catches up", state._replace(replica=state.primary)
        if state.run <= self.failovers and (not self.record_kept or state.replica.record == state.primary.record):
            lost = "grants are lost" if state.replica.token < state.primary.token else "no grant is lost"
            for error in sorted({0, -self.behind}):
                yield f"failover: {lost}, clock {error:+}", state._replace(
                    run=state.run + 1, error=error, primary=state.replica)
        if self.step and not state.steps:
            for step in (self.step, -self.step):
                yield f"the server's clock steps by {step:+}", state._replace(error=state.error + step, steps=1)


def _written(last: Offer | None, offered: Offer) -> tuple[Offer, ...]:
    """The write, and the one before it only where the two are out of order: what was in order is forgotten."""
    late = last is not None and (last.token > offered.token or int(last.acquisition) > int(offered.acquisition))
    return (last, offered) if last is not None and late else (offered,)
