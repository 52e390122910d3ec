# SPDX-License-Identifier: Apache-2.0
"""What stands in a store: is it sealed, what should have been rotated, what ends and nobody renews.

::

    standing = Standing(vault, events, clock, schedules={"db/app": Schedule(age_s=30 * DAY_S)},
                        ends=(ends_of_leases(leases), ends_of_tokens(tokens)))
    while serving:
        standing.look()          # blocking, once a minute: asks the store, tells SecretsStood, never raises for it
        wait(60)

A server that keeps secrets calls ``look`` in its loop, in a thread; ``run`` is that loop for who has none. What a look
takes: one list of names, and the history of each name that has a schedule. No value is read.

A lease or a token *ends* when it has less than a day, and less than a sixth of its life, and nobody has renewed it:
who renews at two thirds, as leases say (``renew_at``), is never among them. A token is renewed by another one of the
same holder with the same roles that lives on for longer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import msgspec

from .._base.clock import Clock, WallMs
from .._base.events import Events, SecretsStood, log
from ..errors import HoldfastError, SecretNotFound, SecretsSealed
from .contract import SecretStore, Version
from .names import CURRENT
from .outcomes import outcome_of
from .rotation.schedule import Schedule

if TYPE_CHECKING:
    from .access.tokens import Tokens
    from .vault.leases import Leases

__all__ = [
    "Counted",
    "End",
    "Overdue",
    "Standing",
    "Stood",
    "ending",
    "ends_of_leases",
    "ends_of_tokens",
    "overdue",
    "stood",
]

#: What ends within this, and is in the last part of its life, is told: ms.
SOON_MS: Final = 86_400_000
#: Of a life, after which who renews in time has done so.
LATE: Final = 5 / 6


class End(msgspec.Struct, frozen=True):
    """What ends by itself: a lease or a token. kind: which of them. Times in ms since 1970."""

    kind: str
    id: str
    who: str
    made: int
    ends: int


class Overdue(msgspec.Struct, frozen=True):
    """A secret whose version in force is older than its schedule allows. by_s: how much."""

    name: str
    version: int
    by_s: float


class Stood(msgspec.Struct, frozen=True):
    """What a look found. away: why the store could not be asked; what is said of it is then as of the last look.
    overdue: the longest first. ending: the next first."""

    sealed: bool = False
    secrets: int = 0
    overdue: tuple[Overdue, ...] = ()
    ending: tuple[End, ...] = ()
    away: str = ""


def overdue(current: Mapping[str, Version], schedules: Mapping[str, Schedule], now: WallMs) -> tuple[Overdue, ...]:
    """Of the versions in force those that are older than their age, whatever the window says. Pure."""
    found = []
    for name, schedule in schedules.items():
        version = current.get(name)
        by_s = (now - version.made) / 1000 - schedule.age_s if version is not None else 0.0
        if version is not None and by_s > 0:  # guard: what is older than its schedule is overdue
            found.append(Overdue(name, version.number, by_s))
    return tuple(sorted(found, key=lambda one: (-one.by_s, one.name)))


def ending(ends: Iterable[End], now: WallMs) -> tuple[End, ...]:
    """Of what ends, what does so soon and was not renewed in time. Pure."""
    return tuple(sorted((one for one in ends
                         if now < one.ends <= now + SOON_MS
                         and now >= one.made + (one.ends - one.made) * LATE),  # guard: who renews in time is no alarm
                        key=lambda one: (one.ends, one.kind, one.id)))


def stood(scheme: str, found: Stood) -> SecretsStood:
    """The event. Pure."""
    return SecretsStood(scheme=scheme, sealed=found.sealed, secrets=found.secrets, overdue=len(found.overdue),
                        ending=len(found.ending))


def ends_of_leases(leases: Leases) -> Callable[[], tuple[End, ...]]:
    """Of those that were not revoked."""
    return lambda: tuple(End("lease", one.id, one.who, one.made, one.until) for one in leases.all() if one.most)


def ends_of_tokens(tokens: Tokens) -> Callable[[], tuple[End, ...]]:
    """Of those that no other one of the same holder, with the same roles or more, outlives."""
    def ends() -> tuple[End, ...]:
        kept = tokens.listed()
        return tuple(End("token", one.id, one.who, one.made, one.ends) for one in kept
                     if not any(other.who == one.who and {*other.roles} >= {*one.roles} and other.ends > one.ends
                                for other in kept))

    return ends


@runtime_checkable
class Counted(Protocol):
    """A store of several parts."""

    def stand(self) -> None:
        """Tells how many of them answer."""
        ...


class Standing:
    """Looks at a store and tells how it stands. From one thread at a time.

    schedules: by name of a secret, when it is to be replaced; those that are not there yet are not overdue.
    ends: each answers what ends by itself; see ``ends_of_leases``, ``ends_of_tokens``.
    """

    def __init__(self, store: SecretStore, events: Events, clock: Clock, *,
                 schedules: Mapping[str, Schedule] | None = None,
                 ends: tuple[Callable[[], Iterable[End]], ...] = ()) -> None:
        self._store, self._events, self._clock = store, events, clock
        self._schedules, self._ends = dict(schedules or {}), ends
        self._last = Stood()

    def look(self) -> Stood:
        """Once, and tells. A store that is away, or sealed, is said in the answer and raised to nobody: then what was
        known of the rest stays, or an alert on it would end when the store does. Blocks as the store does."""
        self._last = found = self._found()
        if not found.away:
            self._events.emit(stood(self._store.scheme, found))
        if isinstance(self._store, Counted):
            self._store.stand()
        return found

    def run(self, ended: threading.Event, *, every_s: float = 60.0) -> None:
        """Looks until the event is set. Blocks: a thread of its own."""
        while not ended.is_set():
            self.look()
            ended.wait(every_s)

    def _found(self) -> Stood:
        last = self._last
        try:
            if getattr(self._store, "sealed", False):
                raise SecretsSealed("the store is sealed")
            now = self._clock.wall_ms()
            names = self._store.names()
            current = {name: version for name in self._schedules if (version := self._current(name)) is not None}
            return Stood(secrets=len(names), overdue=overdue(current, self._schedules, now),
                         ending=ending((one for ends in self._ends for one in ends()), now))
        except SecretsSealed:
            return msgspec.structs.replace(last, sealed=True, away="")  # guard: a sealed store is told
        except HoldfastError as error:
            log.warning("secrets: how %s stands cannot be seen: %s", self._store.scheme, error)
            return msgspec.structs.replace(last, away=outcome_of(error) or str(error))

    def _current(self, name: str) -> Version | None:
        try:
            return next((one for one in self._store.history(name) if CURRENT in one.labels), None)
        except SecretNotFound:
            return None
