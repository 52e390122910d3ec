# SPDX-License-Identifier: Apache-2.0
"""Rotates what is due, again and again, and goes on with what somebody else has left open.

Any number of processes may run one for the same secrets: of those that find one due, one begins, and the others are
refused; when it dies another goes on once its lease is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ..._base.clock import Clock, Instant, SystemClock, WallMs
from ..._base.events import Events, SecretSubscribersStood, log
from ...errors import HoldfastError
from ..contract import SecretStore
from .runner import Report, Rotation
from .schedule import Schedule

__all__ = ["Keeper", "Kept"]

#: A rotation that failed is tried again after so long, and after twice as long each time, up to the longest.
RETRY_S: Final = 60.0
RETRY_S_MAX: Final = 3600.0


class Kept(msgspec.Struct, frozen=True):
    """Of one secret: when the next rotation begins, in ms since 1970, how long it has been overdue, and what the last
    try said. overdue_s: beyond the age, however narrow the window."""

    name: str
    begins_ms: WallMs
    overdue_s: float
    failures: int = 0
    said: str = ""


class _State:
    """Of one secret."""

    def __init__(self) -> None:
        self.failures, self.said, self.not_before = 0, "", Instant(float("-inf"))


class Keeper:
    """Tends secrets. rotations: by name, with their schedules. told: called with each report, finished or not.
    events: after each round hear of the open rotation that waits for most processes; what the rotations tell is for
    those that they were given.
    """

    def __init__(self, store: SecretStore, rotations: Mapping[str, tuple[Rotation, Schedule]], *,
                 told: Callable[[Report], None] | None = None, clock: Clock | None = None,
                 events: Events | None = None) -> None:
        self._store, self._rotations, self._told = store, dict(rotations), told
        self._clock, self._events = clock or SystemClock(), events or Events()
        self._states = {name: _State() for name in self._rotations}

    def run(self, ending: threading.Event, *, every_s: float = 10.0) -> None:
        """Tends all of them until the event is set. Blocks: a thread of its own."""
        while not ending.is_set():
            self.tend()
            ending.wait(every_s)

    def tend(self) -> None:
        """Looks at each once."""
        for name in self._rotations:
            state = self._states[name]
            if self._clock.now() < state.not_before:
                continue
            try:
                self._tend(name)
            except HoldfastError as error:
                self._failed(name, str(error))
                log.warning("secrets: %s was not rotated, try %d: %s", name, state.failures, error)
            except Exception as error:  # noqa: BLE001 - the others are tended all the same
                self._failed(name, type(error).__name__)
                log.exception("secrets: %s was not rotated, try %d", name, state.failures)
            else:
                self._states[name] = _State()
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        """One event a round, of the worst: the gauge has no names, and one that waits for nobody would hide another."""
        worst: Report | None = None
        for name, (rotation, _) in self._rotations.items():
            try:
                report = rotation.report(name)
            except HoldfastError as error:
                log.debug("secrets: whom the rotation of %s waits for cannot be seen: %s", name, error)
                continue
            if report is not None and (worst is None or len(report.stragglers) > len(worst.stragglers)):
                worst = report  # guard: the worst is told
        if worst is not None:
            live = sum(one.live for one in worst.subscribers)
            self._events.emit(SecretSubscribersStood(scheme=self._store.scheme, secret=worst.name, live=live,
                                                     behind=len(worst.stragglers)))

    def inspect(self) -> tuple[Kept, ...]:
        """When each is due. Raises a SecretUnavailable."""
        now = self._clock.wall_ms()
        found = []
        for name, (_, schedule) in sorted(self._rotations.items()):
            current = self._store.get(name).version
            age_s = (now - current.made) / 1000
            state = self._states[name]
            found.append(Kept(name, schedule.begins(name, current.number, current.made, now),
                              max(0.0, age_s - schedule.age_s), state.failures, state.said))
        return tuple(found)

    def _tend(self, name: str) -> None:
        rotation, schedule = self._rotations[name]
        report = rotation.resume(name)
        if report is None:
            current, now = self._store.get(name).version, self._clock.wall_ms()
            if schedule.begins(name, current.number, current.made, now) > now:
                return
            report = rotation.rotate(name)
        if self._told is not None:
            self._told(report)

    def _failed(self, name: str, said: str) -> None:
        state = self._states[name]
        wait_s = min(RETRY_S_MAX, RETRY_S * 2.0 ** min(state.failures, 10))
        state.failures, state.said = state.failures + 1, said
        state.not_before = Instant(self._clock.now() + wait_s)
