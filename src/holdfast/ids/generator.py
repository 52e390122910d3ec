# SPDX-License-Identifier: Apache-2.0
"""Making ids: a place in time and sequence that only moves on, and blocks of ids that threads draw from.

Reading a clock and taking a lock for each id costs more than all the rest. So a thread takes a block: the next n ids
of one unit of time, n by how fast it draws. What hands them out is ``itertools.chain`` over ranges, a C function from
end to end; ``bound()`` gives it to whoever wants to call nothing else.

A block that is left lying holds ids of a time that goes by. After ``lag_ms`` it is ended, by a thread that looks
after all blocks of the process: whoever asks next has the present time. An iterator can be set to its end, so nothing
has to be looked at for each id; a fork ends the child's blocks in the same way, before it can draw one id twice.

One place, many threads: ids of a thread grow; those of two threads are apart and need not be in the order of the calls.
``strict_id`` keeps that order, for the price of the clock and the lock.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any, Literal

from .._base.chance import Chance, system_chance
from .._base.events import Events, IdClockBack, IdRefused
from ..errors import IdsRefused
from .back import Back
from .blocks import Blocks
from .layout import Layout
from .sweeper import SWEEPER
from .term import Held, Term

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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
                 again: Callable[[], Term] | None = None, events: Events | None = None,
                 sleep: Callable[[float], object] = time.sleep) -> None:
        self.layout, self.term, self.pace = layout, term, pace or Pace()
        self._chance = chance or system_chance()
        self._again = again
        self._events = events or Events()
        self._sleep = sleep
        self._guard = threading.Lock()
        #: The next place: units of time and sequence in one number.
        self._place = 0
        self._worker = -1
        self._back = Back()
        self._local = threading.local()
        self._orphaned = False
        self.made = 0
        self._blocks: weakref.WeakSet[Blocks] = weakref.WeakSet()
        term.made_by(self)
        _ALIVE.add(self)

    # -- asking ---------------------------------------------------------------------------------------------------

    def next_id(self) -> int:
        """The next id. ``bound()`` saves the larger half of what that costs."""
        try:
            ids: Iterator[int] = self._local.ids
        except AttributeError:
            ids = self._local.ids = self.blocks().drawn()
        return next(ids)

    def bound(self) -> Callable[[], int]:
        """A function of C that gives this thread's next id. Keep it for a loop; do not share it between threads."""
        # ``next`` with its argument: a tenth quicker than the ``__next__`` of what it is bound to.
        return MethodType(next, self.blocks().drawn())

    def blocks(self) -> Blocks:
        """Blocks of one more thread, or of a loop."""
        blocks = Blocks(self._take, most=self.layout.sequences, lag_s=self.pace.lag_ms / 1000)
        self._blocks.add(blocks)
        return blocks

    def strict_id(self) -> int:
        """The next id in the order of all calls of this process, with a clock and a lock for it alone."""
        return self._take(1)[0]

    def next_ids(self, count: int) -> list[int]:
        """So many at once, growing."""
        found: list[int] = []
        while len(found) < count:
            found.extend(self._take(count - len(found)))
        return found

    def next_array(self, count: int) -> npt.NDArray[np.int64]:
        """The same as a NumPy array."""
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

    def drop(self) -> None:
        """Throws away every block: whoever draws next asks for the window."""
        for blocks in tuple(self._blocks):
            blocks.drop()

    # -- taking places --------------------------------------------------------------------------------------------

    def _take(self, wanted: int) -> range:
        """The next places, at most ``wanted`` and all in one unit of time, as ids. Sleeps until there are some."""
        while True:
            some = self.attempt(wanted)
            if isinstance(some, range):
                return some
            self._sleep(some)

    def attempt(self, wanted: int) -> range | float:
        """The same without sleeping: for how many seconds to sleep, where there are none now."""
        if self._orphaned:
            self._leave_the_parent()
        try:
            with self._guard:
                held = self.term.held  # once: what is replaced meanwhile counts for the next one
                place, ahead_ms = self._next_place(held)
                if ahead_ms <= self.pace.ahead_ms:
                    return self._taken(held, place, wanted)
            if self.pace.on_ahead == "refuse":
                raise IdsRefused(f"worker {held.worker}: ids are {ahead_ms:.0f} ms ahead of the store's time, and "
                                 f"{self.pace.ahead_ms} are allowed: a burst beyond what the layout has in a unit",
                                 why="burst")
        except IdsRefused as refused:
            self._events.emit(IdRefused(worker=self.term.held.worker, why=refused.why))
            raise
        finally:
            if self._back.news:
                self._events.emit(IdClockBack(worker=self.term.held.worker, back_s=self._back.told() / 1000))
        return max(_NAP_S, (ahead_ms - self.pace.ahead_ms) / 1000)

    def _next_place(self, held: Held) -> tuple[int, float]:
        """The place that comes next, and by how many ms it is ahead of the present."""
        layout, now_ms = self.layout, self.term.now_ms()
        back_ms = self._back.at(now_ms)
        if back_ms > self.pace.back_ms:  # guard: a clock that went back is not followed
            raise IdsRefused(f"worker {held.worker}: the time went back by {back_ms:.0f} ms, and {self.pace.back_ms} "
                             "are waited for", why="clock")
        unit = layout.unit_of(max(now_ms, held.window.first_ms + layout.unit_ms - 1))
        if held.worker != self._worker:  # guard: ids grow, whichever worker id they bear
            unit = max(unit, (self._place >> layout.sequence_bits) + 1)
        if self._place >> layout.sequence_bits >= unit:  # guard: it only moves on
            place = self._place
        else:  # ids at a low rate are spread over all that is modulo something: no shard has all of them
            place = (unit << layout.sequence_bits) + self._chance.getrandbits(layout.sequence_bits)
        return place, layout.ms_of(place >> layout.sequence_bits) - now_ms

    def _taken(self, held: Held, place: int, wanted: int) -> range:
        layout = self.layout
        unit, sequence = divmod(place, layout.sequences)
        if layout.ms_of(unit + 1) - 1 > held.window.last_ms:  # guard: not_after. The next one begins behind it
            raise IdsRefused(f"worker {held.worker}: {self.term.cause or self._over(held)}", why="window")
        if unit >> layout.time_bits:
            raise IdsRefused(f"layout {layout.name!r} has ended: it has no bits left for the time", why="layout")
        count = min(wanted, layout.sequences - sequence)
        self._place, self._worker = place + count, held.worker
        self._back.made()  # guard: only a time of which ids were made can have gone back
        self.made += count
        first = layout.encode(unit, held.worker, sequence)
        return range(first, first + count * layout.step, layout.step)

    def _over(self, held: Held) -> str:
        over_ms = max(self.term.now_ms() - held.window.last_ms, 0.0)
        return (f"its window has ended {over_ms:.0f} ms ago and was not extended; no id is made that the next holder "
                "of this worker id could make")

    # -- after a fork ---------------------------------------------------------------------------------------------

    def _leave_the_parent(self) -> None:
        if self._again is None:
            raise IdsRefused("this generator was made before a fork and its worker id is the parent's: claim one in "
                             "the child, or give again=", why="fork")
        with self._guard:
            if self._orphaned:
                self.term, self._orphaned = self._again(), False
                self.term.made_by(self)

    def _forked(self) -> None:
        self._guard = threading.Lock()  # the parent's may have been taken at that moment
        self._place, self._back, self._orphaned = 0, Back(), True


#: Generators of this process, as long as somebody has them.
_ALIVE: weakref.WeakSet[Generator] = weakref.WeakSet()


def _forked() -> None:
    """A child draws nothing that its parent may draw as well."""
    SWEEPER.forked()  # guard: empties every block
    for generator in tuple(_ALIVE):
        generator._forked()  # noqa: SLF001


os.register_at_fork(after_in_child=_forked)
