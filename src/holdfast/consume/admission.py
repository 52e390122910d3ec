# SPDX-License-Identifier: Apache-2.0
"""May this attempt start now? Rate limits, limits per key and the breaker, asked in one place.

A consumer without any of them has no admission at all, and its messages do not pay for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .._base import events as ev
from .._base.clock import Clock
from .breaker import Breaker, BreakerSettings, State, result_of
from .contract import Delivery
from .decide import Decision
from .limits import Bucket, KeyedBuckets, Slots
from .limits_file import Limits

#: Set aside until another message of its key has ended.
ASIDE = -1.0


class Admission:
    """The limits of one consumer in one process."""

    def __init__(self, name: str, limits: Limits, breaker: Breaker | None, events: ev.Events, clock: Clock) -> None:
        self._name = name
        self._events = events
        self._clock = clock
        self._bucket = Bucket(limits.rate_per_s, limits.burst) if limits.rate_per_s else None
        self._keyed = KeyedBuckets(limits.key_rate_per_s) if limits.key_rate_per_s else None
        self._slots = Slots(None, limits.key_concurrency) if limits.key_concurrency else None
        self.breaker = breaker
        self._tickets: dict[int, int] = {}
        self._aside: dict[str, deque[Delivery]] = {}

    @classmethod
    def of(cls, name: str, limits: Limits, settings: BreakerSettings | None, events: ev.Events, clock: Clock, *,
           breaker: Breaker | None = None) -> Admission | None:
        """None when nothing is limited. ``breaker``: the one so far, which new numbers do not close."""
        if settings or limits.rate_per_s or limits.key_rate_per_s or limits.key_concurrency:
            return cls(name, limits, breaker or (Breaker(settings) if settings else None), events, clock)
        return None

    @property
    def reading_paused(self) -> bool:
        """An open breaker stops reading: what is not read costs no attempt."""
        b = self.breaker
        # Once its pause is over there is reading again: what is read then are the probes.
        return b is not None and b.state is State.OPEN and self._clock.now() < (b.next_probe_at or 0.0)  # guard: probes

    @property
    def aside(self) -> int:
        """Deliveries waiting for their key."""
        return sum(map(len, self._aside.values()))

    def enter(self, delivery: Delivery) -> float:
        """0: start it. Above: ask again after so many seconds. ``ASIDE``: it is kept here until its key is free."""
        now, key = self._clock.now(), delivery.message.key if self._slots or self._keyed else None
        ticket = 1
        if self.breaker is not None:
            before = self.breaker.state
            ticket = self.breaker.admits(now)
            self._told(before)
            if not ticket:
                return max(0.01, (self.breaker.next_probe_at or now) - now)
        if self._slots is not None and not self._slots.enter(key):
            self._aside.setdefault(key or "", deque()).append(delivery)
            return ASIDE
        for wait_s in (self._keyed.take(key, now) if self._keyed and key is not None else 0.0,
                       self._bucket.take(now) if self._bucket else 0.0):
            if wait_s > 0:
                if self._slots is not None:
                    self._slots.leave(key)
                return wait_s
        self._tickets[id(delivery)] = ticket
        return 0.0

    def left(self, delivery: Delivery, decision: Decision | None) -> Delivery | None:
        """An attempt ended, with a decision or unsaid. Answers a delivery of the same key that may be queued again."""
        ticket = self._tickets.pop(id(delivery), None)
        if ticket is None:  # guard: it never came in (a suspect), so it does not leave (test_consumer)
            return None
        if self.breaker is not None and decision is not None:
            before = self.breaker.state
            self.breaker.on(result_of(decision), self._clock.now(), ticket)
            self._told(before)
        if self._slots is None:
            return None
        key = delivery.message.key
        self._slots.leave(key)
        waiting = self._aside.get(key or "")
        if not waiting:
            return None
        freed = waiting.popleft()
        if not waiting:
            del self._aside[key or ""]
        return freed

    def take_out(self, wanted: Callable[[Delivery], bool]) -> list[Delivery]:
        """Those set aside that are wanted; they are kept here no more."""
        found = [d for line in self._aside.values() for d in line if wanted(d)]
        if found:
            lines = {key: deque(d for d in line if not wanted(d)) for key, line in self._aside.items()}
            self._aside = {key: line for key, line in lines.items() if line}
        return found

    def _told(self, before: State) -> None:
        if self.breaker is not None and self.breaker.state is not before:
            self._events.emit(ev.BreakerChanged(name_of=self._name, state=self.breaker.state.value))
