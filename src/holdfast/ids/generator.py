# SPDX-License-Identifier: Apache-2.0
"""Making ids: a place in time and sequence that only moves on, and blocks of ids that threads draw from.

Reading a clock and taking a lock for each id costs more than all the rest. So a thread takes a block: the next n ids
of one unit of time, n by how fast it draws. What hands them out is ``itertools.chain`` over lists, a C function from
end to end; ``bound()`` gives it to whoever wants to call nothing else.

A block that is left lying holds ids of a time that goes by. After ``lag_ms`` it is emptied, by a thread that looks
after all blocks of the process: whoever asks next has the present time. An emptied list ends its iterator, so nothing
has to be looked at for each id; a fork empties the child's blocks in the same way, before it can draw one id twice.

One place, many threads: ids of a thread grow; those of two threads are apart and need not be in the order of the calls.
``strict_id`` keeps that order, for the price of the clock and the lock.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .._base.chance import Chance, system_chance
from ..errors import IdsRefused
from .layout import Layout
from .sweeper import SWEEPER
from .term import Term

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: A block is to last so long, by how fast the last one was drawn.
BLOCK_S = 0.002
#: How long ``wait`` sleeps at a time.
_NAP_S = 0.0005


@dataclass(frozen=True)
class Pace:
    """How ids keep to the time.

    ahead_ms: ids may be made so far ahead of the store's time before a burst has to wait (0: never ahead). Price: an id
    can be that much younger than it says. lag_ms: what was taken and not used for so long is thrown away, so that no id
    is older than that. back_ms: a clock that has gone back by less is waited for, as if it stood; by more, no id is
    made. on_ahead: ``wait`` or ``refuse``.
    """

    ahead_ms: int = 1_000
    lag_ms: int = 1_000
    back_ms: int = 5_000
    on_ahead: Literal["wait", "refuse"] = "wait"


class Generator:
    """Makes ids of ``layout`` under ``term``. Any thread may ask; a forked child has none until ``again`` gives it.

    again: called in a forked child at its first id, for a term of its own; None: refused there. sleep: of the thread.
    """

    def __init__(self, layout: Layout, term: Term, pace: Pace | None = None, *, chance: Chance | None = None,
                 again: Callable[[], Term] | None = None, sleep: Callable[[float], object] = time.sleep) -> None:
        self.layout, self.term, self.pace = layout, term, pace or Pace()
        self._chance = chance or system_chance()
        self._again = again
        self._sleep = sleep
        self._guard = threading.Lock()
        #: The next place: units of time and sequence in one number.
        self._place = 0
        self._latest_ms = float("-inf")
        self._local = threading.local()
        self._orphaned = False
        term.made_by(self.last_ms)
        _ALIVE.add(self)

    # -- asking ---------------------------------------------------------------------------------------------------

    def next_id(self) -> int:
        """The next id. Some 150 ns; ``bound()`` saves the half of that."""
        try:
            draw = self._local.draw
        except AttributeError:
            draw = self._local.draw = self.bound()
        return draw()  # type: ignore[no-any-return] # what bound() gives

    def bound(self) -> Callable[[], int]:
        """A function of C that gives this thread's next id. Keep it for a loop; do not share it between threads."""
        return itertools.chain.from_iterable(_Blocks(self)).__next__

    def strict_id(self) -> int:
        """The next id in the order of all calls of this process, with the time read for it alone. Some 700 ns."""
        return self._take(1)[0]

    def next_ids(self, count: int) -> list[int]:
        """So many at once, growing. In bulk: some 30 ns each."""
        found: list[int] = []
        while len(found) < count:
            found.extend(self._take(count - len(found)))
        return found

    def next_array(self, count: int) -> npt.NDArray[np.int64]:
        """The same as a NumPy array. In bulk: some 2 ns each."""
        import numpy as np

        parts: list[Any] = []
        while count > 0:
            some = self._take(count)
            parts.append(np.arange(some.start, some.stop, some.step, dtype=np.int64))
            count -= len(some)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def last_ms(self) -> int:
        """The end of the last unit of time with an id of ours: whoever has the worker id next begins after it."""
        with self._guard:
            if not self._place:
                return 0
            return self.layout.ms_of(((self._place - 1) >> self.layout.sequence_bits) + 1) - 1

    # -- taking places --------------------------------------------------------------------------------------------

    def _take(self, wanted: int) -> range:
        """The next places, at most ``wanted`` and all in one unit of time, as ids."""
        if self._orphaned:
            self._leave_the_parent()
        while True:
            with self._guard:
                place, ahead_ms = self._next_place()
                if ahead_ms <= self.pace.ahead_ms:
                    return self._taken(place, wanted)
            if self.pace.on_ahead == "refuse":
                raise IdsRefused(f"worker {self.term.worker}: ids are {ahead_ms:.0f} ms ahead of the store's time, and "
                                 f"{self.pace.ahead_ms} are allowed: a burst beyond what the layout has in a unit")
            self._sleep(max(_NAP_S, (ahead_ms - self.pace.ahead_ms) / 1000))

    def _next_place(self) -> tuple[int, float]:
        """The place that comes next, and by how many ms it is ahead of the present."""
        layout, now_ms = self.layout, self.term.now_ms()
        if now_ms < self._latest_ms - self.pace.back_ms:  # guard: a clock that went back is not followed
            raise IdsRefused(f"worker {self.term.worker}: the time went back by "
                             f"{self._latest_ms - now_ms:.0f} ms, and {self.pace.back_ms} are waited for")
        self._latest_ms = max(self._latest_ms, now_ms)
        unit = layout.unit_of(max(now_ms, self.term.window.first_ms + layout.unit_ms - 1))
        if self._place >> layout.sequence_bits >= unit:  # guard: it only moves on
            place = self._place
        else:  # ids at a low rate are spread over all that is modulo something: no shard has all of them
            place = (unit << layout.sequence_bits) + self._chance.getrandbits(layout.sequence_bits)
        return place, layout.ms_of(place >> layout.sequence_bits) - now_ms

    def _taken(self, place: int, wanted: int) -> range:
        layout = self.layout
        unit, sequence = divmod(place, layout.sequences)
        if layout.ms_of(unit + 1) - 1 > self.term.window.last_ms:  # guard: not_after. The next one begins behind it
            raise IdsRefused(f"worker {self.term.worker}: its window has ended {self._over_ms():.0f} ms ago and was "
                             "not extended; no id is made that the next holder of this worker id could make")
        if unit >> layout.time_bits:
            raise IdsRefused(f"layout {layout.name!r} has ended: it has no bits left for the time")
        count = min(wanted, layout.sequences - sequence)
        self._place = place + count
        first = layout.encode(unit, self.term.worker, sequence)
        return range(first, first + count * layout.step, layout.step)

    def _over_ms(self) -> float:
        return max(self.term.now_ms() - self.term.window.last_ms, 0.0)

    # -- after a fork ---------------------------------------------------------------------------------------------

    def _leave_the_parent(self) -> None:
        if self._again is None:
            raise IdsRefused("this generator was made before a fork and its worker id is the parent's: claim one in "
                             "the child, or give again=")
        with self._guard:
            if self._orphaned:
                self.term, self._orphaned = self._again(), False
                self.term.made_by(self.last_ms)

    def _forked(self) -> None:
        self._guard = threading.Lock()  # the parent's may have been taken at that moment
        self._place, self._latest_ms, self._orphaned = 0, float("-inf"), True


class _Blocks:
    """The blocks of one thread, one after the other, for ``chain``. Knows the present one, which can be emptied."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._wanted = 1
        self._made_at = 0.0
        self._block: list[int] = []
        self.due = math.inf
        SWEEPER.add(self)

    def __iter__(self) -> Iterator[list[int]]:
        return self

    def __next__(self) -> list[int]:
        now = SWEEPER.now()
        lasted_s = max(now - self._made_at, 1e-9)
        self._wanted = min(max(int(self._wanted * BLOCK_S / lasted_s), 1), 2 * self._wanted)
        self._made_at = now
        self._block = list(self._generator._take(self._wanted))  # noqa: SLF001 - one thing in two classes
        if self._wanted > 1:
            self.due = now + self._generator.pace.lag_ms / 1000
            if not SWEEPER.awake.is_set():
                SWEEPER.awake.set()
        return self._block

    def drop(self) -> None:
        """Whoever draws next takes a new block. An emptied list ends its iterator."""
        self._block.clear()


#: Generators of this process, as long as somebody has them.
_ALIVE: weakref.WeakSet[Generator] = weakref.WeakSet()


def _forked() -> None:
    """A child draws nothing that its parent may draw as well."""
    SWEEPER.forked()  # guard: empties every block
    for generator in tuple(_ALIVE):
        generator._forked()  # noqa: SLF001


os.register_at_fork(after_in_child=_forked)
