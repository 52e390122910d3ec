# SPDX-License-Identifier: Apache-2.0
"""May this attempt start now? Rate limits, limits per key and the breaker, asked in one place.

A consumer without any of them has no admission at all, and its messages do not pay for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .._base import events as ev
from .._base.clock import Clock, Instant
from .breaker import Breaker, BreakerSettings, Result, State, result_of
from .contract import Delivery
from .decide import Decision
from .limits import Bucket, KeyedBuckets, Slots
from .limits_file import Limits

#: Set aside until another message of its key has ended.
ASIDE = -1.0
#: Seconds between two questions whether a probe is free.
PROBE_WAIT_S = 0.05


class Admission:
    """The limits of one consumer in one process."""

    def __init__(self, name: str, breaker: Breaker | None, events: ev.Events, clock: Clock) -> None:
        self._name = name
        self._events = events
        self._clock = clock
        self._bucket: Bucket | None = None
        self._keyed: KeyedBuckets | None = None
        self._slots: Slots | None = None
        self.breaker = breaker
        self._tickets: dict[int, int] = {}
        self._aside: dict[str, deque[Delivery]] = {}
        #: When the rate of a key lets the next of those set aside for it pass.
        self._again: dict[str, float] = {}

    @classmethod
    def of(cls, name: str, limits: Limits, settings: BreakerSettings | None, events: ev.Events,
           clock: Clock) -> Admission | None:
        """None when nothing is limited."""
        if settings is None and not (limits.rate_per_s or limits.key_rate_per_s or limits.key_concurrency):
            return None
        made = cls(name, None if settings is None else Breaker(settings), events, clock)
        made.adjust(limits)
        return made

    def adjust(self, limits: Limits) -> None:
        """New numbers from now on. What was taken stays taken, what runs keeps its place, the breaker is as it was."""
        now, rate, key_rate = self._clock.now(), limits.rate_per_s, limits.key_rate_per_s
        if self._bucket is not None and rate:
            self._bucket.set(rate, limits.burst, now)
        else:
            self._bucket = Bucket(rate, limits.burst) if rate else None
        if self._keyed is not None and key_rate:
            self._keyed.set(key_rate, now)
        else:
            self._keyed = KeyedBuckets(key_rate) if key_rate else None
        if self._slots is not None and limits.key_concurrency:
            self._slots.per_key = limits.key_concurrency
        else:
            self._slots = Slots(None, limits.key_concurrency) if limits.key_concurrency else None

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
        now, ticket = self._clock.now(), 1
        if self.breaker is not None:
            before = self.breaker.state
            ticket = self.breaker.admits(now)
            self._told(before)
            if not ticket:
                return max(PROBE_WAIT_S, (self.breaker.next_probe_at or now) - now)
        wait_s = self._take(delivery, now)
        if wait_s:
            self._answered("ignored", now, ticket)  # guard: what does not start is no probe (test_consumer_limits)
            return wait_s
        self._tickets[id(delivery)] = ticket
        return 0.0

    def _take(self, delivery: Delivery, now: Instant) -> float:
        """Takes a place and a token of its key, and one of all; or nothing."""
        key = delivery.message.key if self._slots is not None or self._keyed is not None else None
        if self._slots is not None and not self._slots.enter(key):
            self._aside.setdefault(key or "", deque()).append(delivery)
            return ASIDE
        wait_s = 0.0 if self._keyed is None else self._keyed.take(key, now)
        if wait_s > 0 and key is not None:
            # guard: it waits beside the queue, or one busy key would hold up all others (test_consumer_limits)
            self._aside.setdefault(key, deque()).append(delivery)
            self._again.setdefault(key, now + wait_s)
            wait_s = ASIDE
        elif self._bucket is not None and (wait_s := self._bucket.take(now)) > 0 and self._keyed is not None:
            self._keyed.put_back(key, now)
        if wait_s and self._slots is not None:
            self._slots.leave(key)
        return wait_s

    def due(self) -> list[Delivery]:
        """Those set aside whose key's rate lets them pass by now."""
        found: list[Delivery] = []
        now = self._clock.now()
        for key, at in [(key, at) for key, at in self._again.items() if at <= now]:
            rate, line = 1.0 if self._keyed is None else self._keyed.rate_per_s, self._aside.pop(key, deque())
            found += [line.popleft() for _ in range(min(len(line), 1 + int((now - at) * rate)))]
            if line:
                self._aside[key], self._again[key] = line, now + 1 / rate
            else:
                del self._again[key]
        return found

    def left(self, delivery: Delivery, decision: Decision | None) -> Delivery | None:
        """An attempt ended, with a decision or unsaid. Answers a delivery of the same key that may be queued again."""
        ticket = self._tickets.pop(id(delivery), None)
        if ticket is None:  # guard: it never came in (a suspect), so it does not leave (test_consumer)
            return None
        self._answered("ignored" if decision is None else result_of(decision), self._clock.now(), ticket)
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

    def _answered(self, result: Result, now: Instant, ticket: int) -> None:
        if self.breaker is not None:
            before = self.breaker.state
            self.breaker.on(result, now, ticket)
            self._told(before)

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
