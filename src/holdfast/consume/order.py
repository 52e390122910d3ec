# SPDX-License-Identifier: Apache-2.0
"""Order within a key, derived from what is pending.

An entry may run when no lower pending id of its key exists and none of its key is running. Everything pending counts:
running here, held here, parked until later. Since the pending list is the server's, a restart rebuilds the same order
from it (``restore``) before it reads anything new. An entry parked for a retry therefore holds back its key, and only
its key; entries without key are never held.

When the head of a key dies, ``continue`` lets the next one run; ``bury-following`` sends what follows after it, until
the key is revived by a replay. Which keys are dead is remembered by the caller, beside the letters, and handed in here.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from .contract import Verb

#: An entry id as numbers: as text ``-100`` sorts before ``-99``.
Pair = tuple[int, int]


def pair(entry_id: bytes) -> Pair:
    """``b"1526919030474-55"`` as numbers."""
    ms, _, seq = entry_id.partition(b"-")
    return int(ms), int(seq)


class Turn(enum.Enum):
    """What may be done with an entry now."""

    RUN = "run"
    HOLD = "hold"
    BURY = "bury"


@dataclass(frozen=True, slots=True)
class Freed:
    """What a settlement set free: ids to run now (at most one a key), ids to bury now, in order."""

    run: tuple[Pair, ...] = ()
    bury: tuple[Pair, ...] = ()


@dataclass(slots=True)
class _Line:
    """The pending entries of one key: all of them in order, those waiting here, the one that runs."""

    ids: list[Pair] = field(default_factory=list)
    held: set[Pair] = field(default_factory=set)
    running: Pair | None = None


_NOTHING = Freed()


class KeyOrder:
    """The order of one partition, for the one consumer that owns it.

    held_max: above it ``paused`` is True and no more should be read: the price of one stuck key is then that the
    partition waits. Higher lets other keys pass for longer and keeps more messages in memory.
    """

    def __init__(
        self, *, held_max: int = 10_000, on_death: Literal["continue", "bury-following"] = "continue",
        dead_keys: Iterable[str] = (),
    ) -> None:
        self.held_max = held_max
        self.on_death = on_death
        self.dead_keys = set(dead_keys)
        self.held = 0
        self._lines: dict[str, _Line] = {}
        self._keys: dict[Pair, str] = {}

    @property
    def paused(self) -> bool:
        return self.held >= self.held_max

    def restore(self, pending: Iterable[tuple[Pair, str | None]]) -> None:
        """Entries known to be pending that are not here (parked, or not yet fetched again)."""
        for entry, key in pending:
            if key is not None:
                self._note(entry, key)

    def offer(self, entry: Pair, key: str | None) -> Turn:
        """An entry was delivered here (for the first time, or again after parking): what may be done with it?"""
        if key is None:
            return Turn.RUN
        line = self._note(entry, key)
        if key in self.dead_keys:
            return Turn.BURY
        if line.running is None and line.ids[0] == entry:
            self._start(line, entry)
            return Turn.RUN
        if line.running != entry and entry not in line.held:
            line.held.add(entry)
            self.held += 1
        return Turn.HOLD

    def settled(self, entry: Pair, verb: Verb) -> Freed:
        """An entry was settled on the server: what does that set free?"""
        key = self._keys.get(entry)
        if key is None:
            return _NOTHING
        line = self._lines[key]
        if line.running == entry:
            line.running = None
        self._unhold(line, entry)
        if verb in (Verb.ACK, Verb.APPLY, Verb.BURY):
            self._remove(line, entry, key)
        if verb is Verb.BURY and self.on_death == "bury-following":
            self.dead_keys.add(key)
        return self._next(line, key)

    def forget(self, entry: Pair) -> Freed:
        """The entry is no longer pending, by somebody else's doing."""
        return self.settled(entry, Verb.ACK)

    def revive(self, key: str) -> Freed:
        """The key's dead head was replayed or discarded: what follows may run again."""
        self.dead_keys.discard(key)
        line = self._lines.get(key)
        return _NOTHING if line is None else self._next(line, key)

    def _note(self, entry: Pair, key: str) -> _Line:
        line = self._lines.setdefault(key, _Line())
        if entry not in self._keys:
            self._keys[entry] = key
            insort(line.ids, entry)
        return line

    def _next(self, line: _Line, key: str) -> Freed:
        if key in self.dead_keys:
            doomed = tuple(sorted(line.held))
            for entry in doomed:
                self._unhold(line, entry)
            return Freed(bury=doomed)
        if line.running is None and line.ids and line.ids[0] in line.held:
            self._start(line, line.ids[0])
            return Freed(run=(line.ids[0],))
        return _NOTHING

    def _start(self, line: _Line, entry: Pair) -> None:
        self._unhold(line, entry)
        line.running = entry

    def _unhold(self, line: _Line, entry: Pair) -> None:
        if entry in line.held:
            line.held.discard(entry)
            self.held -= 1

    def _remove(self, line: _Line, entry: Pair, key: str) -> None:
        del line.ids[bisect_left(line.ids, entry)]
        del self._keys[entry]
        if not line.ids:
            del self._lines[key]
