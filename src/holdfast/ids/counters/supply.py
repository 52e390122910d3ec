# SPDX-License-Identifier: Apache-2.0
"""Two segments of one tag: the one in use, and the next one, fetched by a thread of its own before it is needed.

While the store is away the two are used up; fetching goes on until it succeeds. Then whoever asks waits, for a stated
time. Nothing is kept on disk and nothing is given back: what a process had and did not use is lost with it, so that no
crash and no restart can make an id twice. That costs numbers, up to two segments a start.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, Instant, SystemClock
from ..._base.events import CounterJumped, Events, SegmentFailed, SegmentsEmpty, SegmentTaken, log
from ..._base.thinned import Thinned
from ...errors import ConfigurationError, HoldfastError, IdsRefused
from .forks import FORKS, begins_anew
from .rules import Sizes, pause_s
from .store import CounterStore, Segment

_NONE = range(0)


class Supply:
    """The segments of one tag in this process. Any thread may ask; a forked child fetches segments of its own."""

    def __init__(self, store: CounterStore, tag: str, sizes: Sizes, *, wait_s: float, clock: Clock | None = None,
                 chance: Chance | None = None, events: Events | None = None) -> None:
        self.store, self.tag, self.sizes, self.wait_s = store, tag, sizes, wait_s
        self._clock, self._chance, self._events = clock or SystemClock(), chance or system_chance(), events or Events()
        self.forked()
        begins_anew(self)

    def forked(self) -> None:
        """As at the beginning. guard: what the parent has is the parent's."""
        self._guard = threading.Condition()
        self._now, self._next = _NONE, _NONE
        self._size = self._asked = 0
        self._taken_at: Instant | None = None
        self._is_asking = False
        self._threads: set[threading.Thread] = set()
        self._trouble: Exception | None = None
        self._told: list[Callable[[], object]] = []
        self._closed = False
        self.epoch = ""

    # -- asking ---------------------------------------------------------------------------------------------------

    def attempt(self, wanted: int) -> range:
        """The next ids, at most ``wanted``; none when both segments are used up. Never waits.

        Raises what the store said when asking it again cannot help, and ConfigurationError after ``close``.
        """
        with self._guard:
            return self._cut(wanted)

    def take(self, wanted: int) -> range:
        """The next ids, at most ``wanted`` and at least one. IdsRefused when there are none for ``wait_s``."""
        with self._guard:
            some = self._cut(wanted)
            if some:
                return some
            began = self._clock.now()
            self._guard.wait_for(self._is_news, self.wait_s)
            some = self._cut(wanted)
        return some or self.refuse(self._clock.now() - began)

    def refuse(self, waited_s: float) -> range:
        """Raises IdsRefused, after so long a wait."""
        self._events.emit(SegmentsEmpty(scheme=self.store.name, tag=self.tag, seconds=waited_s))
        raise IdsRefused(f"both segments of {self.tag!r} are used up, and the store gave no other within "
                         f"{waited_s:.1f} s ({self.store.name}: its trouble is in the log); no id is made", why="empty")

    @contextlib.contextmanager
    def telling(self, told: Callable[[], object]) -> Iterator[None]:
        """Within the block: calls ``told`` from some thread when there are ids again, or none are to be expected; at
        once when that is so now."""
        with self._guard:
            self._told.append(told)
            if self._is_news():
                told()
        try:
            yield
        finally:
            with self._guard:
                self._told.remove(told)

    @property
    def left(self) -> int:
        """How many ids there are before the store has to answer."""
        with self._guard:
            return len(self._now) + len(self._next)

    def close(self) -> None:
        """Gives no more ids. Those that are left are lost; the store is not closed, and not asked any more."""
        with self._guard:
            self._closed, self._now, self._next = True, _NONE, _NONE
            self._news()
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(self.wait_s)

    # -- under the lock -------------------------------------------------------------------------------------------

    def _is_news(self) -> bool:
        return bool(self._now or self._next or self._trouble or self._closed)

    def _cut(self, wanted: int) -> range:
        if self._closed:
            raise ConfigurationError(f"the ids of {self.tag!r} were closed: make others")
        if not self._now:
            self._now, self._next = self._next, _NONE
            self._size = len(self._now)
        some, self._now = self._now[:wanted], self._now[wanted:]
        if not self._next and self.sizes.is_low(len(self._now), self._size):
            self._fetch()
        if not some and self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        return some

    def _fetch(self) -> None:
        if not self._is_asking and self._trouble is None:
            thread = threading.Thread(target=self._work, name="holdfast-segments", daemon=True)
            thread.start()
            self._is_asking = True
            self._threads.add(thread)

    def _news(self) -> None:
        self._guard.notify_all()
        for told in self._told:
            told()

    # -- in the thread --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            if self._fetched():
                self._tend()
        finally:
            with self._guard:
                self._threads.discard(threading.current_thread())

    def _fetched(self) -> bool:
        """Asks until the store has answered, or it cannot help."""
        thinned, failures = Thinned(self._clock), 0
        asked = self.sizes.next(self._asked, None if self._taken_at is None else self._clock.now() - self._taken_at)
        while not self._closed:
            began = self._clock.now()
            try:
                with FORKS.asking():
                    segment = self.store.take(self.tag, asked)
            except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits for an id is told
                self._events.emit(SegmentFailed(scheme=self.store.name, tag=self.tag, error=type(error).__name__,
                                                left_ratio=self._left_ratio()))
                if not (isinstance(error, HoldfastError) and error.retry_may_help) and not self.left:
                    self._ended(error)
                    return False
                thinned.warn(f"no segment of {self.tag!r} from {self.store.name}", error)
                failures += 1
                with self._guard:
                    self._guard.wait_for(lambda: self._closed, pause_s(failures, self._chance.random()))
            else:
                self._taken(segment, asked, began)
                return True
        return False

    def _left_ratio(self) -> float:
        with self._guard:
            return len(self._now) / self._size if self._size else 0.0

    def _taken(self, segment: Segment, asked: int, began: Instant) -> None:
        left_ratio = self._left_ratio()
        now = self._clock.now()
        with self._guard:
            self._is_asking = False
            if not self._closed:
                self._next, self._asked, self._taken_at, self.epoch = segment.ids, asked, now, segment.epoch
            self._news()
        report_jump(self._events, self.store.name, self.tag, segment)
        self._events.emit(SegmentTaken(scheme=self.store.name, tag=self.tag, count=len(segment.ids),
                                       seconds=now - began, left_ratio=left_ratio))

    def _tend(self) -> None:
        try:
            with FORKS.asking():
                self.store.tend(self.tag)
        except Exception:  # noqa: BLE001 - the ids are there; the next question will tell
            log.debug("tending %r", self.tag, exc_info=True)

    def _ended(self, error: Exception) -> None:
        with self._guard:
            self._is_asking, self._trouble = False, error
            self._news()


def report_jump(events: Events, scheme: str, tag: str, segment: Segment) -> None:
    """Says that a store had gone back, and what was left out because of it."""
    if segment.why:
        log.warning("the counter %r of %s had gone back (%s): %d numbers are left out, none is given twice",
                    tag, scheme, segment.why, segment.jumped)
        events.emit(CounterJumped(scheme=scheme, tag=tag, numbers=segment.jumped, why=segment.why))
