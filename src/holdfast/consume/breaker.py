# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: when most attempts fail because a dependency does, stop reading, and ask again with a few.

::

              failures ≥ ratio of ≥ min_calls              open_s over
    CLOSED ────────────────────────────────────▶ OPEN ───────────────────▶ HALF-OPEN
       ▲                                          ▲   (twice as long each time)   │  │
       │                                          └────────── a probe failed ─────┘  │
       └───────────────────────────── ``probes`` succeeded ─────────────────────────┘

The worker pauses reading while it is open, so an outage costs no attempts and fills no dead letters. Only failures that
blame the world count (transient, busy): a bug in the handler or a bad message says nothing about the dependency.
Calls carry the ticket they were admitted with; what comes back late, from before the breaker changed, is not mistaken
for a probe's answer. Source: M. Nygard, "Release It!".
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from .._base.clock import Instant
from ..errors import ConfigurationError
from .decide import Ack, Bury, Decision, RetryAt
from .outcome import Retry

Result = Literal["ok", "failed", "ignored"]

_SLICES = 10


class State(enum.Enum):
    """Where a breaker is; the values are what events and metrics show."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """When to open and how to come back.

    ratio, min_calls, window_s: opens when of at least ``min_calls`` counted in the last ``window_s`` this share failed.
        A smaller ``min_calls`` notices an outage sooner and trips over bad luck more often.
    open_s: pause before the first probes; doubled after each failed one up to ``open_s_max``.
    probes: how many run at once when half-open, and how many must succeed to close.
    """

    ratio: float = 0.5
    min_calls: int = 20
    window_s: float = 30.0
    open_s: float = 5.0
    open_s_max: float = 60.0
    probes: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ConfigurationError(f"breaker ratio {self.ratio!r}: give a share above 0 and up to 1")
        if self.min_calls < 1 or self.probes < 1:
            raise ConfigurationError("breaker: min_calls and probes count from 1")
        if not (0 < self.window_s < math.inf and 0 < self.open_s <= self.open_s_max < math.inf):
            raise ConfigurationError("breaker: window_s, open_s, open_s_max are seconds above 0, open_s ≤ open_s_max")


class Breaker:
    """One breaker; belongs to one handler in one process."""

    __slots__ = ("_counts", "_opened", "_probed_at", "_probes_ok", "_probes_out", "_ticket", "next_probe_at",
                 "settings", "state")

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self.settings = settings or BreakerSettings()
        self.state = State.CLOSED
        #: When the next probe may start; None while closed.
        self.next_probe_at: Instant | None = None
        self._counts: deque[list[int]] = deque()  # [slice, ok, failed]
        self._opened = 0  # times opened in a row
        self._ticket = 1
        self._probes_out = self._probes_ok = 0
        self._probed_at = Instant(-math.inf)

    def admits(self, now: Instant) -> int:
        """May a call start now? 0: no. Otherwise its ticket, to be handed to ``on``; half-open it takes a probe."""
        if self.state is State.OPEN and self.next_probe_at is not None and now >= self.next_probe_at:
            self._change(State.HALF_OPEN)
        if self.state is State.CLOSED:
            return self._ticket
        if self.state is State.OPEN or not self._probe_free(now):
            return 0
        self._probes_out += 1
        self._probed_at = now
        return self._ticket

    def on(self, result: Result, now: Instant, ticket: int) -> State:
        """How a call ended. Returns the state after it."""
        if ticket != self._ticket:
            return self.state
        if self.state is State.CLOSED and result != "ignored":
            self._count(result, now)
            if result == "failed" and self._failing(now):
                self._open(now)
        elif self.state is State.HALF_OPEN:
            self._probe_ended(result, now)
        return self.state

    def _probe_free(self, now: Instant) -> bool:
        # A probe that never answers (its delivery was lost) must not keep the breaker half-open for ever.
        if self._probes_out and now - self._probed_at > self.settings.open_s_max:
            self._probes_out = 0
        return self._probes_out + self._probes_ok < self.settings.probes

    def _probe_ended(self, result: Result, now: Instant) -> None:
        self._probes_out = max(0, self._probes_out - 1)
        if result == "failed":
            self._open(now)
        elif result == "ok":
            self._probes_ok += 1
            if self._probes_ok >= self.settings.probes:
                self._opened = 0
                self._change(State.CLOSED)

    def _open(self, now: Instant) -> None:
        s = self.settings
        pause_s = min(s.open_s_max, s.open_s * 2.0 ** min(self._opened, 60))
        self._opened += 1
        self._change(State.OPEN)
        self.next_probe_at = Instant(now + pause_s)

    def _change(self, state: State) -> None:
        self.state = state
        self._ticket += 1
        self._probes_out = self._probes_ok = 0
        self._counts.clear()
        if state is State.CLOSED:
            self.next_probe_at = None

    def _count(self, result: Result, now: Instant) -> None:
        part = math.floor(now / self.settings.window_s * _SLICES)
        if not self._counts or self._counts[-1][0] != part:
            self._counts.append([part, 0, 0])
        self._counts[-1][1 if result == "ok" else 2] += 1

    def _failing(self, now: Instant) -> bool:
        oldest = math.floor(now / self.settings.window_s * _SLICES) - _SLICES
        while self._counts and self._counts[0][0] <= oldest:
            self._counts.popleft()
        failed = sum(row[2] for row in self._counts)
        total = failed + sum(row[1] for row in self._counts)
        return total >= self.settings.min_calls and failed >= self.settings.ratio * total


def result_of(decision: Decision) -> Result:
    """What a decision says about the handler's dependencies."""
    if isinstance(decision, Ack):
        return "ignored" if decision.duplicate or decision.dropped is not None else "ok"
    if isinstance(decision, RetryAt | Bury) and decision.kind in ("transient", "busy"):
        return "ignored" if isinstance(decision.error, Retry) else "failed"
    return "ignored"
