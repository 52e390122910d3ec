# SPDX-License-Identifier: Apache-2.0
"""One worker id, its windows, and who makes ids in them: a model small enough to look at every state of it. Pure.

::

    claims ─▶ primary gives a window ──(WAIT: the replica has it)──▶ told ─▶ makes ids, at any time it likes,
                │ replicates, late                                           by its own reckoning of store time
                ▼
             replica ──failover──▶ is the primary: with what it has, its own clock, another run id

The rules are those of ``store_time.lua``, ``claim_worker.lua``, ``renew_worker.lua`` and ``release_worker.lua``,
written down a second time; who makes ids keeps to what ``Generator`` keeps to. There is one worker id, because two of
them have nothing to do with each other. Ids lie in windows, so it is enough that windows are apart; where ``ids`` are
looked at, it is those of one moment, because every moment is: each is a start.

What needs no step of its own: a lost message is one whose receiver never acts, and so is a dead client; a pause is a
client that acts later; a client that claims again is another hold. A replica that has a prefix of the log is one that
was equal to its primary once. An answer that is late makes a client's reckoning late, which a pause does as well.

Left out: more than one replica (``WAIT`` is for all that can be promoted); an old primary that goes on after a failover
(with ``WAIT`` nobody is told what it gives; without, it is as good as forgotten); a server that comes back empty: it
knows of no window, and of no other server.

**Found by it**, each a test: a renewal that went on over a window which a failover had lost; a window given behind an
id that was ahead, which reached beyond the barrier; a barrier that was not behind the one before it.
**Known, and left**: without ``WAIT``, a server that takes over with its clock further behind than the margin of
``store_time.lua``; two failovers of which the second forgets that there was a first one; the first grant of a longer
window than any before it, lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from holdfast.testing import Exploration, explore

Move = tuple[str, "State"]
#: The end of a window, how far a reckoning is ahead of real time, and the same of what is on its way.
Told = tuple[int, int, tuple[int, int] | None]


class Data(NamedTuple):
    """What a server has stored. Of the worker id: its owner (0: given back, or nobody's), its window. Then
    ``worker_clock``.
    """

    owner: int = 0
    first: int = 0
    last: int = -1
    run: int = 1
    offset: int = 0
    latest: int = 0
    longest: int = 0
    barrier: int = 0
    met: int = -1


class Hold(NamedTuple):
    """A claim: its number, and the window and the reckoning of store time it was told (``base`` ahead of real time).

    answer: on its way until the replica has it: (last ms, base). renewals: that it may still ask for. waits: from the
    claim until the window begins.
    """

    number: int
    lease: int
    first: int
    last: int
    base: int
    answer: tuple[int, int] | None = None
    renewals: int = 1
    waits: int = 0
    over: bool = False


class State(NamedTuple):
    """The world. ``error``: of the primary's clock. ``made``: who has made an id of the ``moment``. ``steps``: of the
    clock, so far.
    """

    moment: int
    now: int = 0
    error: int = 0
    run: int = 1
    primary: Data = Data()
    replica: Data = Data()
    holds: tuple[Hold, ...] = ()
    made: tuple[int, ...] = ()
    steps: int = 0


def no_id_twice(state: State) -> bool:
    """No two holds make an id of one moment."""
    return len(state.made) < 2


def windows_are_apart(state: State) -> bool:
    """No two holds were told of a window with a moment in common; one that was given back ends where it said."""
    spans = sorted((hold.first, hold.last) for hold in state.holds if hold.last >= hold.first)
    return all(before[1] < after[0] for before, after in pairwise(spans))


INVARIANTS = {"no id twice": no_id_twice, "windows are apart": windows_are_apart}

#: The end of the window of a hold that was told of none yet; a moment of which no id is made.
UNTOLD = NONE = -1


@dataclass(frozen=True)
class IdsModel:
    """What is switched on, and how bad the world is. Time is in ticks.

    not_after: ids are made within the window. growing: store time never goes back. barrier: another server gives
    windows behind the longest one; ``margin`` further. behind_barrier: also behind the barrier before. from_now: a
    window ends a lease from now, however late it begins. over_lost: a renewal goes on where the window had ended before
    this server was met. wait, record_kept: as in ``lock_model``. ids: of one moment, are looked at.

    leases: how long windows may be. ahead: of the time, for bursts. holds, renewals of each, failovers, ticks: how many
    there are at most. step: of the primary's clock, once, to either side; behind: by how much the clock of one that is
    promoted may be.
    """

    not_after: bool = True
    growing: bool = True
    barrier: bool = True
    behind_barrier: bool = True
    from_now: bool = True
    over_lost: bool = False
    wait: bool = False
    record_kept: bool = True
    releases: bool = True
    ids: bool = False
    renewals: int = 1
    leases: tuple[int, ...] = (2,)
    ahead: int = 1
    margin: int = 1
    holds: int = 2
    failovers: int = 1
    step: int = 0
    behind: int = 0
    ticks: int = 5

    def explore(self, invariants: Mapping[str, Callable[[State], bool]] | None = None) -> Exploration[State]:
        """Every state there is, or the shortest way to an id that is made twice. The pool was in use before."""
        used = Data(longest=self.leases[0])
        last = (self.failovers + 1) * (max(self.leases) + self.margin + 1) + self.ticks
        moments = range(last) if self.ids else [NONE]
        return explore([State(moment, primary=used, replica=used) for moment in moments], self.moves,
                       invariants or INVARIANTS)

    def moves(self, state: State) -> Iterator[Move]:
        """What may happen next."""
        if state.now < self.ticks:
            yield "a tick", state._replace(now=state.now + 1)
        yield from self._claims(state)
        for at, hold in enumerate(state.holds):
            for label, after, changed in self._acts(state, hold):
                holds = (*state.holds[:at], changed, *state.holds[at + 1:])
                yield f"{hold.number} {label}", after._replace(holds=holds)
        yield from self._faults(state)

    # -- the store --------------------------------------------------------------------------------------------------

    def _looked(self, state: State, lease: int) -> tuple[Data, int]:
        """``store_time.lua``: what is stored, and store time."""
        data, server = state.primary, state.now + state.error
        offset = max(data.offset, data.latest - server) if self.growing else data.offset
        now, longest = server + offset, max(data.longest, lease)
        barrier, met = data.barrier, data.met
        if self.barrier and data.run != state.run:
            met = now + self.margin
            barrier = (max(met, barrier) if self.behind_barrier else met) + longest + 1
        return data._replace(run=state.run, offset=offset, latest=now, longest=longest, barrier=barrier, met=met), now

    def _claims(self, state: State) -> Iterator[Move]:
        """``claim_worker.lua``, of one worker id."""
        number = len(state.holds) + 1
        for lease in self.leases if number <= self.holds else ():
            data, now = self._looked(state, lease)
            if data.owner and data.last >= now:
                continue
            first = max(now, data.last + 1, data.barrier)
            last = max(first, max(now, data.barrier) + lease) if self.from_now else first + lease
            data = data._replace(owner=number, first=first, last=last)
            hold = Hold(number, lease, first, *self._told(state, UNTOLD, 0, last, now), renewals=self.renewals,
                        waits=first - now)
            yield f"{number} is given {first} to {last}", state._replace(primary=data, holds=(*state.holds, hold))

    def _told(self, state: State, last: int, base: int, newer: int, now: int) -> Told:
        """What its owner knows of a window: at once, or when the replica has it."""
        return (last, base, (newer, now - state.now)) if self.wait else (newer, now - state.now, None)

    # -- those who hold it ------------------------------------------------------------------------------------------

    def _acts(self, state: State, hold: Hold) -> Iterator[tuple[str, State, Hold]]:
        if hold.last == UNTOLD or hold.over:
            return
        if hold.number not in state.made and self._can_make(state, hold):
            yield f"makes an id of {state.moment}", state._replace(made=(*state.made, hold.number)), hold
        if hold.renewals and hold.answer is None:
            yield from self._renews(state, hold)
        if self.releases and state.primary.owner == hold.number:
            yield from self._releases(state, hold)

    def _can_make(self, state: State, hold: Hold) -> bool:
        clock = state.now + hold.base
        in_time = max(clock, hold.first) <= state.moment <= clock + self.ahead
        return in_time and (state.moment <= hold.last or not self.not_after)

    def _renews(self, state: State, hold: Hold) -> Iterator[tuple[str, State, Hold]]:
        """``renew_worker.lua``."""
        data, now = self._looked(state, hold.lease)
        if data.owner != hold.number or (data.last < data.met and not self.over_lost):
            return
        last = max(now + hold.lease, hold.last, data.last)
        if last > hold.last:
            told, base, answer = self._told(state, hold.last, hold.base, last, now)
            after = hold._replace(last=told, base=base, answer=answer, renewals=hold.renewals - 1)
            yield f"is extended to {last}", state._replace(primary=data._replace(last=last)), after

    def _releases(self, state: State, hold: Hold) -> Iterator[tuple[str, State, Hold]]:
        """Its last id may be any that it can have made; it makes no more."""
        least = state.moment if hold.number in state.made else hold.first - 1
        most = max(least, min(hold.last, state.now + hold.base + self.ahead))
        for last in sorted({least, most}):
            data = state.primary._replace(owner=0, last=last)
            over = hold._replace(last=last, over=True, answer=None)
            yield f"gives it back, up to {last}", state._replace(primary=data), over

    # -- what befalls the store -------------------------------------------------------------------------------------

    def _faults(self, state: State) -> Iterator[Move]:
        if state.replica != state.primary:
            yield "the replica catches up", state._replace(
                replica=state.primary, holds=tuple(_confirmed(hold) for hold in state.holds))
        if state.run <= self.failovers and (not self.record_kept or state.replica.run == state.primary.run):
            lost = "nothing" if state.replica == state.primary else "something"
            for error in sorted({0, -self.behind}):
                yield f"failover: {lost} is lost, clock {error:+}", state._replace(
                    run=state.run + 1, error=error, primary=state.replica,
                    holds=tuple(hold._replace(answer=None) for hold in state.holds))
        if self.step and not state.steps:
            for step in (self.step, -self.step):
                yield f"the store's clock steps by {step:+}", state._replace(error=state.error + step, steps=1)


def _confirmed(hold: Hold) -> Hold:
    if hold.answer is None:
        return hold
    last, base = hold.answer
    return hold._replace(last=last, base=base, answer=None)
