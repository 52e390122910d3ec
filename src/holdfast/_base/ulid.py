# SPDX-License-Identifier: Apache-2.0
"""Message identities: ULIDs (48 bits of wall time in ms, 80 random bits, Crockford base 32), monotonic in a process.

Two made in the same millisecond differ by one in their random part, so ids of one process sort in the order of
their making. Source: the ULID specification. Time and chance are arguments.
"""

from __future__ import annotations

import os
import threading
import weakref

from .chance import Chance, system_chance
from .clock import Clock, SystemClock, WallMs

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_RANDOM_BITS = 80


def format_ulid(value: int) -> str:
    """128 bits as 26 characters that sort like the number."""
    pairs = _PAIRS
    return "".join([pairs[(value >> shift) & 1023] for shift in range(120, -1, -10)])


class UlidFactory:
    """Makes ULIDs. Safe to share among threads; a forked child starts a random part of its own."""

    def __init__(self, clock: Clock | None = None, chance: Chance | None = None) -> None:
        self._clock = clock or SystemClock()
        self._chance = chance
        self.reseed()
        _FACTORIES.add(self)

    def reseed(self) -> None:
        """Begins anew, in a forked child: the lock may have been held by a thread that the child does not have."""
        self._lock = threading.Lock()
        self._source = self._chance or system_chance()
        self._ms = -1
        self._random = 0

    def __call__(self) -> str:
        with self._lock:
            ms = self._clock.wall_ms()
            if ms > self._ms:
                self._ms, self._random = ms, self._source.getrandbits(_RANDOM_BITS - 1)
            else:  # same millisecond, or the wall clock stepped back: stay in order
                self._random += 1
            return format_ulid((WallMs(self._ms) << _RANDOM_BITS) + self._random)


#: All there are, so that one hook serves them and keeps none alive.
_FACTORIES: weakref.WeakSet[UlidFactory] = weakref.WeakSet()


def _reseed_all() -> None:
    for factory in list(_FACTORIES):
        factory.reseed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed_all)

new_ulid = UlidFactory()
