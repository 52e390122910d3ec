# SPDX-License-Identifier: Apache-2.0
"""A store in somebody's name: the policy is asked first, and the audit knows of it before anybody has anything.

::

    reading:   judge ─▶ read ─▶ entry on disk ─▶ the value is handed over
    changing:  judge ─▶ entry "begun" on disk ─▶ change ─▶ entry "done", or what went wrong

Whatever cannot be recorded is refused. The one thing that a full disk cannot take back is a change between its two
entries: it stands as "begun", and the caller is told that it may be done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from ..._base.clock import Clock, WallMs
from ..._base.events import Event, SecretAsked
from ..._base.secret import Secret
from ...errors import ConfigurationError, HoldfastError, SecretDenied, SecretUnavailable
from ..contract import Ability, Found, SecretStore, Version
from ..names import CURRENT, below, check_name, check_prefix
from ..outcomes import outcome_of
from .approvals import Approvals
from .audit import Entry, Keys, Said
from .policy import Action, Asked, Verdict
from .tokens import Holder

T = TypeVar("T")

#: Of actions the words of ``SecretAsked``; what changes a policy, or who may what, is a write.
_TOLD = {Action.READ: "read", Action.LIST: "list", Action.ROTATE: "label", Action.DESTROY: "destroy"}


class Judge(Protocol):
    """A ``Policy``, or what has one that changes."""

    def judge(self, asked: Asked, now: WallMs) -> Verdict:
        """What may be done."""
        ...


class Recorder(Protocol):
    """An ``AuditLog``, or what stands for one."""

    @property
    def keys(self) -> Keys:
        """For what is said of values."""
        ...

    def write(self, said: Said) -> Entry:
        """Returns once it is on disk. Raises SecretUnavailable."""
        ...


class Guarded:
    """``store`` as ``who`` may use it. Fulfils ``SecretStore``; the store stays open when this is closed.

    policy: says what may be done. audit: where it is recorded. approvals: those that are open, for rules that want
    some; None: there are none. Raises SecretDenied for what is not allowed, also for names that there are not: who may
    not read a path does not learn what is in it. Lists leave out what may not be listed.

    tell: hears of each denial, for who asks this store directly; a ``WatchedStore`` around it tells them as well, so
    give one of the two.
    """

    def __init__(self, store: SecretStore, who: Holder, policy: Judge, audit: Recorder, clock: Clock, *,
                 approvals: Approvals | None = None, tell: Callable[[Event], None] = lambda _: None) -> None:
        self._store, self._who, self._policy, self._audit = store, who, policy, audit
        self._clock, self._approvals, self._tell = clock, approvals, tell

    @property
    def scheme(self) -> str:
        """See ``SecretStore``."""
        return self._store.scheme

    @property
    def abilities(self) -> Ability:
        """See ``SecretStore``: what the store can do, whether it is allowed or not."""
        return self._store.abilities

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        verdict = self._allowed(Action.READ, name)
        found = self._tried(Action.READ, name, verdict, lambda: self._store.get(name, version=version, label=label))
        self._record(Action.READ, name, "done", verdict.why, version=found.version.number,
                     value=self._audit.keys.of_value(name, found.value))  # guard: no value before its entry
        return found

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``. Under another label than ``current`` it is a step of a rotation."""
        action = Action.WRITE if label == CURRENT else Action.ROTATE
        return self._changed(action, name, lambda: self._store.put(name, value, label=label, expect=expect),
                             lambda made: made.number, value=value)

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        self._changed(Action.ROTATE, name, lambda: self._store.label(name, label, version, expect=expect),
                      lambda _: version or 0, said=f"{label} to {version}")

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``: those that may be listed."""
        prefix = check_prefix(prefix)
        found = self._tried(Action.LIST, prefix, Verdict(True, "each name by itself"),
                            lambda: self._store.names(prefix))
        shown = tuple(name for name in found if below(name, prefix) and self._judged(Action.LIST, name)[1].allowed)
        self._record(Action.LIST, prefix, "done", f"{len(shown)} of {len(found)} names")
        return shown

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        verdict = self._allowed(Action.LIST, name)
        found = self._tried(Action.LIST, name, verdict, lambda: self._store.history(name))
        self._record(Action.LIST, name, "done", verdict.why)
        return found

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._changed(Action.WRITE, name, lambda: self._store.delete(name, version=version), lambda _: version or 0,
                      said="delete")

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._changed(Action.WRITE, name, lambda: self._store.undelete(name, version=version), lambda _: version or 0,
                      said="undelete")

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._changed(Action.DESTROY, name, lambda: self._store.destroy(name, version=version), lambda _: version or 0)

    def may(self, action: Action, name: str) -> None:
        """Only asks, and records what it asked. Raises SecretDenied."""
        self._record(action, name, "done", self._allowed(action, name).why)

    def close(self) -> None:
        """See ``SecretStore``. What it guards is somebody else's, and stays open."""

    def _judged(self, action: Action, name: str) -> tuple[Asked, Verdict]:
        asked = Asked(self._who.who, self._who.roles, action, name)
        if self._approvals is not None:
            asked = replace(asked, approved=self._approvals.given(asked, self._clock.now()))
        return asked, self._policy.judge(asked, self._clock.wall_ms())

    def _allowed(self, action: Action, name: str) -> Verdict:
        asked, verdict = self._judged(action, check_name(name))
        if verdict.allowed and verdict.wanted and (
                self._approvals is None or not self._approvals.spend(asked, verdict.wanted, self._clock.now())):
            verdict = Verdict(False, "its approvals were spent meanwhile", verdict.wanted)
        if not verdict.allowed:
            self._tell(SecretAsked(scheme=self.scheme, action=_TOLD.get(action, "write"), outcome="denied", secret=name,
                                   who=self._who.who, seconds=0.0))
            self._record(action, name, "denied", verdict.why)
            raise SecretDenied(f"{self._who.who} may not {action.value} {name}: {verdict.why}")
        return verdict

    def _tried(self, action: Action, name: str, verdict: Verdict, call: Callable[[], T]) -> T:
        try:
            return call()
        except HoldfastError as error:
            asked_wrongly = isinstance(error, ConfigurationError)
            self._record(action, name, outcome_of(error) or ("refused" if asked_wrongly else "failed"), verdict.why)
            raise

    def _changed(self, action: Action, name: str, call: Callable[[], T], number: Callable[[T], int], *,
                 value: Secret[bytes] | None = None, said: str = "") -> T:
        verdict = self._allowed(action, name)
        why = f"{verdict.why}; {said}" if said else verdict.why
        told = self._audit.keys.of_value(name, value) if value is not None else ""
        self._record(action, name, "begun", why, value=told)  # guard: no change before its entry
        done = self._tried(action, name, verdict, call)
        try:
            self._record(action, name, "done", why, version=number(done), value=told)
        except SecretUnavailable as error:
            raise SecretUnavailable(f"{name} was changed, and only that it was begun could be recorded; it may be done "
                                    f"again with expect: {error}") from None
        return done

    def _record(self, action: Action, name: str, outcome: str, why: str, *, version: int = 0,
                value: str = "") -> None:
        self._audit.write(Said(self._who.who, self._who.roles, action.value, name, outcome, why, version, value))
