# SPDX-License-Identifier: Apache-2.0
"""What locks allow when everybody calls one after the other: the models ``check_linearizable`` compares with. Pure.

The words of a history, the same for all of them::

    acquire        → True | False     waits; False: gave up waiting, which is allowed at any time and changes nothing
    try_acquire    → True | False     does not wait; False: somebody had it at that very instant
    release        → True | False     False: the caller did not have it (any more)
    renew          → True | False     did the caller have it at that instant?
    expire, lost   → not looked at    the hold has ended, if it had not before

A ``FencedMutex`` answers acquires with the fence, an ``int``, in place of True. A ``ReadWriteLock`` says ``read_…`` and
``write_…`` of acquires and releases (``try_read_acquire``). A ``Semaphore`` gives one permit an acquire.

**The argument names the hold** (its lease, permit id or token), in every call about it or in none. A hold is a client
*and* a name. Without names, the end of a client's first hold could excuse the breach of its second, so name them where
leases run out or outcomes are unknown.

**Leases.** Let a recorder write an ``expire`` in the holder's name. With an answer: the store had forgotten the hold by
then. Without one, begun at the earliest time at which the lease could run out: the hold may have ended at any time
since, or not yet. The latter is also what ``lost`` is when the holder has only given up by its own clock.

The states are small tuples. Where an outcome is unknown, one state stands for all it can have been, so that a step has
one result: a fence nobody was told is a lower bound (Hazelcast's *fenced mutex*, whose model this follows: a fence
grows from owner to owner, and is the same when its owner enters again).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar

from .linearize import Operation

S = TypeVar("S")

_ENDS = frozenset({"expire", "lost"})


class Hold(NamedTuple):
    """Who has it: a client, and the name of this hold of its; None where holds go unnamed."""

    client: Hashable
    name: Hashable

    def __str__(self) -> str:
        return str(self.client) if self.name is None else f"{self.client} ({self.name!r})"


class Held(NamedTuple):
    """A mutex: its owner, how often it entered, its fence (None: unknown), and a number no earlier fence exceeds."""

    owner: Hold | None = None
    depth: int = 0
    fence: int | None = None
    floor: int = 0


#: Holds and how many each client has of them under one name.
Holds = frozenset[tuple[Hold, int]]


class Sides(NamedTuple):
    """A read-write lock: who writes, who reads."""

    writer: Hold | None
    readers: Holds


@dataclass(frozen=True, slots=True, kw_only=True)
class _LockModel:
    """What the models share.

    may_refuse: the lock may turn a ``try_acquire`` away though it is free: others wait in a fair queue, a writer
    waits, a quorum was not reached. The price: a lock that refuses out of confusion passes too.
    """

    may_refuse: bool = False

    def only_reads(self, operation: Operation) -> bool:
        """A refusal, or a question. An end is neither: it does nothing only while there is no hold."""
        return operation.call == "renew" or (operation.result is False and operation.call not in _ENDS)

    def _refused(self, operation: Operation, taken: bool) -> bool:
        """May this acquire have been turned away?"""
        return taken or self.may_refuse or not operation.call.startswith("try_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutex(_LockModel):
    """One hold at a time; its owner is turned away, or waits for itself, like anybody else."""

    name: ClassVar[str] = "mutex"
    calls: ClassVar[frozenset[str]] = frozenset({"acquire", "try_acquire", "release", "renew"}) | _ENDS
    initial: ClassVar[Held] = Held()
    _reentrant: ClassVar[bool] = False

    def step(self, state: Held, operation: Operation) -> Held | None:
        """The state after this call; None when a mutex would not have answered so."""
        owns = state.owner == _hold(operation)
        match operation.call:
            case "acquire" | "try_acquire":
                taken = state.owner is not None and not (owns and self._reentrant)
                if self._answer(operation) is False:
                    return state if self._refused(operation, taken) else None
                return None if taken else self._enter(state, operation)  # guard: one owner (test_a_mutex_has_one_owner)
            case "release" if owns and _agrees(operation, True):
                return _left(state, state.depth - 1)
            case "release" | "renew":
                return _confirmed(state, operation, owns)
            case _:
                return _left(state, 0) if owns else state

    def describe(self, state: Held) -> str:
        """Who has it."""
        if state.owner is None:
            return "free"
        return f"held by {state.owner}" + (f", entered {state.depth} times" if state.depth > 1 else "")

    def _answer(self, operation: Operation) -> bool | None:
        return _answer(operation)

    def _enter(self, state: Held, operation: Operation) -> Held | None:
        return state._replace(owner=_hold(operation), depth=state.depth + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReentrantMutex(Mutex):
    """One hold at a time, which its owner may enter again; each entry needs its release. ``expire`` ends them all."""

    name: ClassVar[str] = "re-entrant mutex"
    _reentrant: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FencedMutex(ReentrantMutex):
    """A re-entrant mutex whose acquires answer with a fence: greater than every earlier owner's, equal on re-entry.

    A lock without re-entry fits too as long as its owners do not ``try_acquire`` what they have.
    """

    name: ClassVar[str] = "fenced mutex"

    def describe(self, state: Held) -> str:
        """Who has it, and the fence."""
        fence = f"above {state.floor - 1}" if state.fence is None else state.fence
        return f"free, fences up to {state.floor} given" if state.owner is None else (
            f"{ReentrantMutex.describe(self, state)}, fence {fence}")

    def _answer(self, operation: Operation) -> bool | None:
        if operation.returned_at is None or operation.result is False:
            return _answer(operation)
        if isinstance(operation.result, int) and operation.result is not True:
            return True
        raise ValueError(f"{operation}: a fenced mutex answers an acquire with its fence, an int, or with False")

    def _enter(self, state: Held, operation: Operation) -> Held | None:
        entered = state._replace(owner=_hold(operation), depth=state.depth + 1)
        told = operation.result if operation.returned_at is not None and isinstance(operation.result, int) else None
        if state.owner is None:
            return _fenced_anew(entered, told)
        return _fenced_again(entered, told)


@dataclass(frozen=True, slots=True)
class Semaphore(_LockModel):
    """At most ``permits`` holds at a time; a client may have several. Name those which expire apart."""

    permits: int
    name: ClassVar[str] = "semaphore"
    calls: ClassVar[frozenset[str]] = Mutex.calls
    initial: ClassVar[Holds] = frozenset()

    def __post_init__(self) -> None:
        if self.permits < 1:
            raise ValueError(f"permits={self.permits}: a semaphore that lets nobody in; give at least 1")

    def step(self, state: Holds, operation: Operation) -> Holds | None:
        """The state after this call; None when a semaphore would not have answered so."""
        hold = _hold(operation)
        has = _count(state, hold)
        match operation.call:
            case "acquire" | "try_acquire":
                taken = sum(count for _, count in state) >= self.permits
                if _answer(operation) is False:
                    return state if self._refused(operation, taken) else None
                # guard: the permits (test_a_semaphore_gives_no_more_than_its_permits)
                return None if taken else _with(state, hold, has + 1)
            case "release" if has and _agrees(operation, True):
                return _with(state, hold, has - 1)
            case "release" | "renew":
                return _confirmed(state, operation, has > 0)
            case _:
                return _with(state, hold, 0)

    def describe(self, state: Holds) -> str:
        """Who has permits."""
        return f"{sum(count for _, count in state)} of {self.permits} permits out: {_listed(state)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadWriteLock(_LockModel):
    """Many readers or one writer. Without re-entry across sides: a writer that wants to read is turned away too."""

    name: ClassVar[str] = "read-write lock"
    calls: ClassVar[frozenset[str]] = frozenset({
        "read_acquire", "try_read_acquire", "read_release", "write_acquire", "try_write_acquire", "write_release",
        "renew"}) | _ENDS
    initial: ClassVar[Sides] = Sides(None, frozenset())

    def step(self, state: Sides, operation: Operation) -> Sides | None:
        """The state after this call; None when a read-write lock would not have answered so."""
        hold = _hold(operation)
        writes, reads = state.writer == hold, _count(state.readers, hold)
        match operation.call:
            case "read_release" if reads and _agrees(operation, True):
                return state._replace(readers=_with(state.readers, hold, reads - 1))
            case "write_release" if writes and _agrees(operation, True):
                return state._replace(writer=None)
            case "read_release" | "write_release" | "renew" as call:
                has = {"read_release": reads > 0, "write_release": writes}.get(call, writes or reads > 0)
                return _confirmed(state, operation, has)
            case "expire" | "lost":
                return Sides(None if writes else state.writer, _with(state.readers, hold, 0))
            case _:
                return self._acquired(state, operation, hold)

    def describe(self, state: Sides) -> str:
        """Who writes, who reads."""
        return f"written by {state.writer}" if state.writer else f"read by {_listed(state.readers)}"

    def _acquired(self, state: Sides, operation: Operation, hold: Hold) -> Sides | None:
        writing = "write" in operation.call
        taken = state.writer is not None or (writing and bool(state.readers))
        if _answer(operation) is False:
            return state if self._refused(operation, taken) else None
        if taken:
            return None
        readers = state.readers
        return Sides(hold, readers) if writing else Sides(None, _with(readers, hold, _count(readers, hold) + 1))


def _hold(operation: Operation) -> Hold:
    return Hold(operation.client, operation.argument)


def _answer(operation: Operation) -> bool | None:
    """The answer; None when there was none."""
    if operation.returned_at is None:
        return None
    if isinstance(operation.result, bool):
        return operation.result
    raise ValueError(f"{operation}: the answer has to be True or False; an unknown one is returned_at=None")


def _agrees(operation: Operation, fact: bool) -> bool:
    """Is the answer what the fact demands? One that never came agrees with everything."""
    return _answer(operation) in (None, fact)


def _confirmed(state: S, operation: Operation, fact: bool) -> S | None:
    """The same state, unless the answer denies the fact."""
    return state if _agrees(operation, fact) else None


def _left(state: Held, depth: int) -> Held:
    """Entered so often by now; without an owner, and with the fence remembered, at none."""
    return state._replace(depth=depth) if depth else Held(floor=state.floor)


def _fenced_anew(entered: Held, told: int | None) -> Held | None:
    """A new owner's fence. One that nobody was told is at least the next number, and so the floor for those to come."""
    if told is None:
        return entered._replace(fence=None, floor=entered.floor + 1)
    if told <= entered.floor:  # guard: the fence grows (test_a_fence_that_does_not_grow_is_rejected)
        return None
    return entered._replace(fence=told, floor=told)


def _fenced_again(entered: Held, told: int | None) -> Held | None:
    """The owner's fence once more: the one it has, or the first it is told of."""
    if told is None or told == entered.fence:
        return entered
    if entered.fence is None and told >= entered.floor:
        return entered._replace(fence=told, floor=told)
    return None


def _count(holds: Holds, hold: Hold) -> int:
    return next((count for one, count in holds if one == hold), 0)


def _with(holds: Holds, hold: Hold, count: int) -> Holds:
    """The holds, of which this one is there so often."""
    others = frozenset(entry for entry in holds if entry[0] != hold)
    return others | {(hold, count)} if count else others


def _listed(holds: Holds) -> str:
    return ", ".join(sorted(f"{hold} × {count}" if count > 1 else str(hold) for hold, count in holds)) or "nobody"
