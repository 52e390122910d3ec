# SPDX-License-Identifier: Apache-2.0
"""UUIDs, which need nobody: neither a store nor a worker id. What all other schemes are compared with.

Version 4 is 122 bits of chance. Version 7 begins with the time in ms, so that ids sort by when they were made; behind
it stand a counter of 42 bits and 32 bits of chance (RFC 9562, method 1 of 6.2; Python 3.14 has the same layout)::

    | 48 time (ms) | 4 version | 12 counter | 2 variant | 30 counter | 32 chance |

Within a process version 7 only grows: in one ms, and while the clock is behind the latest one, the counter counts. It
begins anew in the lower half of its range with each ms, and when it is at its end the time goes on by 1 ms, which takes
two million million ids. So the time of an id is ahead of the clock by no more than the clock itself went back, or by
that one ms (cpython#138862: one that goes on by 1 ms for each id from then on).

Unlike other families these are not proved to be apart, they are improbable to meet: of version 4 two among 10^15 with a
chance of 1 in 10 million; of version 7 two that were made in one ms, by two processes, with 1 in 2^73.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable

from .._base.chance import Chance
from .._base.clock import Clock, SystemClock
from .counters.forks import begins_anew

_COUNTER_BITS, _CHANCE_BITS = 42, 32
_VERSION = 7 << 76
_VARIANT = 2 << 62
_LOW = (1 << 30) - 1


class Uuid4:
    """Fulfils ``Ids``: ``uuid.uuid4`` of the standard library, as numbers of 128 bits, in no order."""

    def next_id(self) -> int:
        """The next id."""
        return uuid.uuid4().int

    def next_ids(self, count: int) -> list[int]:
        """So many at once; nothing is gained by it."""
        return [uuid.uuid4().int for _ in range(count)]

    def next_uuid(self) -> uuid.UUID:
        """The next one, as ``uuid.UUID``."""
        return uuid.uuid4()


class Uuid7:
    """Fulfils ``Ids``: version 7, as numbers of 128 bits that grow within this process, whichever thread asks.

    A forked child begins a counter of its own. chance: of the operating system, if none is given.
    """

    def __init__(self, *, clock: Clock | None = None, chance: Chance | None = None) -> None:
        self._clock, self._bits = clock or SystemClock(), _bits(chance)
        self.forked()
        begins_anew(self)

    def forked(self) -> None:
        """guard: a child shares no counter with its parent."""
        self._guard = threading.Lock()
        self._ms = -1
        self._counter = 0

    def next_id(self) -> int:
        """The next id."""
        with self._guard:
            return self._made()

    def next_ids(self, count: int) -> list[int]:
        """So many at once, growing."""
        with self._guard:
            return [self._made() for _ in range(count)]

    def next_uuid(self) -> uuid.UUID:
        """The next one, as ``uuid.UUID``."""
        return uuid.UUID(int=self.next_id())

    def _made(self) -> int:
        now_ms = self._clock.wall_ms()
        if now_ms > self._ms:
            self._begin(now_ms)
        else:
            self._counter += 1  # guard: it only grows, in one ms and while the clock is behind
            if self._counter >> _COUNTER_BITS:
                self._begin(self._ms + 1)  # guard: the counter runs into nothing
        counter = self._counter
        return (self._ms << 80 | _VERSION | counter >> 30 << 64 | _VARIANT | (counter & _LOW) << 32
                | self._bits(_CHANCE_BITS))

    def _begin(self, ms: int) -> None:
        """Half of the counter's range is left to count, at least."""
        self._ms, self._counter = ms, self._bits(_COUNTER_BITS - 1)


def read_ms(number: int) -> int:
    """The time in a version 7, in ms since 1970. ValueError for what is none."""
    if number >> 128 or number >> 76 & 15 != 7 or number >> 62 & 3 != 2:
        raise ValueError(f"{number} is no UUID of version 7")
    return number >> 80


class AsyncUuids:
    """Fulfils ``AsyncIds`` with either of them: nothing is ever waited for."""

    def __init__(self, ids: Uuid4 | Uuid7) -> None:
        self._ids = ids

    async def next_id(self) -> int:
        """The next id."""
        return self._ids.next_id()

    async def next_ids(self, count: int) -> list[int]:
        """So many at once."""
        return self._ids.next_ids(count)


def _bits(chance: Chance | None) -> Callable[[int], int]:
    return secrets.randbits if chance is None else chance.getrandbits
