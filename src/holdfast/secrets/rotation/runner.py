# SPDX-License-Identifier: Apache-2.0
"""Carries a rotation through its stages, and through anybody's death.

::

    rotation = Rotation(store, RedisUser("app", [url]), FolderRegistry("run/secrets"))
    report = rotation.rotate("db/app")       # or resume, after a death; or abort
    report.finished, report.stragglers

Whoever works on a rotation holds a lease on it, so that others leave it alone. The lease saves work; what is safe is
the compare-and-set of each stage (see ``machine``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import msgspec

from ..._base.chance import Chance, new_id, system_chance
from ..._base.clock import Clock, SystemClock, WallMs
from ..._base.events import Events, SecretRotated, SecretRotationStage, log
from ..._base.points import reached
from ..._base.secret import Secret
from ...errors import HoldfastError, RotationFailed, SecretMoved, SecretNotFound
from ..contract import Ability, Found, SecretStore, State
from ..names import CURRENT, PENDING, PREVIOUS
from .machine import (
    Record,
    Stage,
    Step,
    Subscriber,
    begun,
    further,
    holders,
    may_go_on,
    returned,
    step_of,
    stragglers,
)
from .records import Records
from .registry import LEASE_S, Heart, Registry
from .rotators import Rotator

__all__ = ["Report", "Rotation"]

T = TypeVar("T")


class Report(msgspec.Struct, frozen=True):
    """How a rotation stands. subscribers: who uses the secret, with the version each has acknowledged, the dead ones
    marked. stragglers: those that hold it up now."""

    name: str
    id: str
    stage: Stage
    before: int
    after: int
    begun_ms: WallMs
    since_ms: WallMs
    holder: str
    why: str = ""
    subscribers: tuple[Subscriber, ...] = ()
    stragglers: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Is the new value in force, and the old one refused?"""
        return self.stage is Stage.FINISHED


class _StageFailed(Exception):
    """The service, or whoever speaks for it, failed in a stage."""


class Rotation:
    """Rotates secrets of one kind.

    store: keeps versions and writes by compare-and-set. rotator: speaks to the service. registry: who uses the secrets.
    grace_s: at least so long between ``current`` and the end of the old value; for users that are in no register.
    wait_s: so long a call waits for acknowledgements; longer, and the rotation stays open and names the stragglers.
    poll_s: between two looks at the register. tries: of a step that a service does not answer, ``poll_s`` apart and
    doubling. lease_s: of who works on a rotation: so long after its death another one may resume it.
    keep: the old version stays in the store as ``previous``; else it is destroyed at the end.
    events: hear of each stage, and of each end: finished, returned, or failed.
    """

    def __init__(self, store: SecretStore, rotator: Rotator, registry: Registry, *, grace_s: float = 0.0,
                 wait_s: float = 60.0, poll_s: float = 0.5, tries: int = 3, lease_s: float = LEASE_S, keep: bool = True,
                 clock: Clock | None = None, chance: Chance | None = None,
                 sleep: Callable[[float], None] = time.sleep, events: Events | None = None) -> None:
        self._store, self._rotator, self._registry = store, rotator, registry
        self._records = Records(store)
        self._grace_s, self._wait_s, self._poll_s, self._tries = grace_s, wait_s, poll_s, tries
        self._keep, self._events = keep, events or Events()
        self._clock, self._chance, self._sleep = clock or SystemClock(), chance or system_chance(), sleep
        self.who = f"rotator-{os.getpid()}-{new_id(self._chance)[:8]}"
        self._heart = Heart(registry, self.who, self._clock, lease_s=lease_s)

    def rotate(self, name: str) -> Report:
        """Makes a new value, brings it into force, and disables the old one. Returns when that is so, or when
        ``wait_s`` is over: see ``stragglers``, and resume or abort.

        Raises RotationFailed when one is under way, or when a stage failed; then what was in force is again. Raises a
        SecretUnavailable or ServerError when the store or the register does not answer; the rotation can be resumed.
        """
        last, at = self._records.read(name)
        now = self._clock.wall_ms()
        labels, latest = self._labels(name)
        record = begun(last, Record(id=new_id(self._chance), before=labels.get(CURRENT, 0), latest=latest,
                                    previous=labels.get(PREVIOUS, 0), begun_ms=now, since_ms=now, holder=self.who))
        with self._at_work(name):
            return self._told(name, record, self._records.write(name, record, at))

    def resume(self, name: str) -> Report | None:
        """Goes on with a rotation whose rotator died, or gave up waiting; None: there is none.

        Raises as ``rotate``, and RotationFailed while somebody else works on it.
        """
        record, at = self._records.read(name)
        if record is None or not record.open:
            return None
        self._refuse_another(name, record)
        with self._at_work(name):
            taken = msgspec.structs.replace(record, holder=self.who)
            return self._told(name, taken, self._records.write(name, taken, at))

    def abort(self, name: str, why: str = "it was aborted") -> Report:
        """Brings the old value into force again and revokes the new one; whoever works on the rotation stops.

        Raises RotationFailed when there is none, or when the old value may have been disabled: rotate again then.
        """
        record, at = self._records.read(name)
        if record is None or not record.open:
            raise RotationFailed(f"no rotation of {name} is under way")
        back = msgspec.structs.replace(returned(record, why, self._clock.wall_ms()), holder=self.who)
        with self._at_work(name):
            return self._told(name, back, self._records.write(name, back, at))

    def report(self, name: str) -> Report | None:
        """How the latest rotation stands; None: there was none."""
        record, _ = self._records.read(name)
        return None if record is None else self._report(name, record)

    def close(self) -> None:
        """Gives back its leases. Store, rotator and register are the caller's."""
        self._heart.close()

    # -- through the stages

    def _told(self, name: str, record: Record, at: int) -> Report:
        """As ``_drive``, and its end is told, once however it came."""
        try:
            report = self._drive(name, record, at)
        except HoldfastError:
            self._failed(name, record)
            raise
        if not msgspec.structs.replace(record, stage=report.stage).open:
            self._ended(name, record, "finished" if report.finished else "returned")
        return report

    def _failed(self, name: str, record: Record) -> None:
        """It went back, or stands where it did; where somebody else goes on with it, he tells."""
        try:
            kept, _ = self._records.read(name)
        except HoldfastError:
            kept = None
        if kept is None or (kept.id, kept.holder) == (record.id, self.who):
            back = kept is not None and kept.stage is Stage.ROLLED_BACK
            self._ended(name, record, "returned" if back else "failed")  # guard: a rotation that failed is told

    def _ended(self, name: str, record: Record, outcome: str) -> None:
        seconds = max(0, self._clock.wall_ms() - record.begun_ms) / 1000
        self._events.emit(SecretRotated(scheme=self._store.scheme, secret=name, outcome=outcome, seconds=seconds))

    def _drive(self, name: str, record: Record, at: int) -> Report:
        until = self._clock.now() + self._wait_s
        while (step := step_of(record)) is not None:
            try:
                after = self._steps[step](self, name, record)
            except _Waiting:
                if self._clock.now() >= until:
                    break
                self._sleep(self._poll_s)
                if self._records.read(name)[1] != at:
                    raise RotationFailed(f"another rotator goes on with {name}: this one stops") from None
                continue
            except _StageFailed as failed:
                cause = failed.__cause__
                said = _said(cause)
                if record.backwards or record.stage is Stage.DRAINED:
                    raise RotationFailed(f"the rotation of {name} stays in stage {record.stage.value!r}, since {said}: "
                                         "resume it when that is mended") from cause
                log.warning("secrets: the rotation of %s goes back, since %s", name, said)
                back = returned(record, f"{step.value}: {said}", self._clock.wall_ms())
                at = self._written(name, back, at)
                try:
                    outcome = _went_back(self._drive(name, back, at))  # guard: a failed stage goes back
                except HoldfastError as error:
                    outcome = f"and {error}"
                raise RotationFailed(f"the rotation of {name} failed in its step {step.value!r}, since {said}; "
                                     + outcome) from cause
            record = further(record, self._clock.wall_ms(), after=after)
            try:
                at = self._written(name, record, at)
            except RotationFailed:
                self._take_back(name, step, record)  # guard: who was overtaken leaves nothing behind
                raise
        return self._report(name, record)

    def _written(self, name: str, record: Record, at: int) -> int:
        """The next stage is certain, and told."""
        at = self._records.write(name, record, at)
        self._events.emit(SecretRotationStage(scheme=self._store.scheme, secret=name, stage=record.stage.value))
        return at

    def _create(self, name: str, record: Record) -> int:
        reached("rotation.create.before")
        after = self._pending(name, record)
        if not after:
            current = self._found(name, record.before)
            value: Secret[bytes] = self._asked(lambda: self._rotator.create(current.value if current else None))
            try:
                after = self._store.put(name, value, label=PENDING, expect=record.latest or None).number
            except SecretMoved as moved:
                raise _StageFailed from moved
        reached("rotation.create.after")
        return after

    def _set(self, name: str, record: Record) -> int:
        reached("rotation.set.before")
        fresh = self._store.get(name, version=record.after)
        self._asked(lambda: self._rotator.set(fresh))
        reached("rotation.set.after")
        return 0

    def _test(self, name: str, record: Record) -> int:
        reached("rotation.test.before")
        fresh = self._store.get(name, version=record.after)
        self._asked(lambda: self._rotator.test(fresh))
        reached("rotation.test.after")
        return 0

    def _promote(self, name: str, record: Record) -> int:
        reached("rotation.promote.before")
        try:
            self._store.label(name, CURRENT, record.after, expect=record.before)
        except SecretNotFound as gone:  # whoever went back has seen to it
            raise _StageFailed from gone
        except SecretMoved as moved:
            if self._labels(name)[0].get(CURRENT) != record.after:
                raise _StageFailed from moved
        reached("rotation.promote.after")
        return 0

    def _drain(self, name: str, record: Record) -> int:
        reached("rotation.drain.before")
        self._wait(name, record)
        reached("rotation.drain.after")
        return 0

    def _disable(self, name: str, record: Record) -> int:
        reached("rotation.disable.before")
        old, fresh = self._found(name, record.before), self._store.get(name, version=record.after)
        if old is not None:
            self._asked(lambda: self._rotator.test(fresh))  # long ago, perhaps: nothing ends unless this works
            self._asked(lambda: self._rotator.disable(old))
        reached("rotation.disable.after")
        return 0

    def _finish(self, name: str, record: Record) -> int:
        reached("rotation.finish.before")
        self._store.label(name, PENDING, None)
        if not self._keep and record.before:
            self._store.destroy(name, version=record.before)
        reached("rotation.finish.after")
        return 0

    def _return(self, name: str, record: Record) -> int:
        reached("rotation.return.before")
        after = record.after or self._pending(name, record)
        if record.before:
            if after and self._labels(name)[0].get(CURRENT) == after:
                self._store.label(name, CURRENT, record.before, expect=after)
            self._wait(name, record)
        reached("rotation.return.after")
        return after

    def _revoke(self, name: str, record: Record) -> int:
        reached("rotation.revoke.before")
        fresh = self._found(name, record.after) or self._fenced(name, record.after)
        self._unlabel(name, record)
        if fresh is not None:
            # Of a version that is deleted nobody who was stopped before this can make the one in force again.
            if Ability.UNDELETE in self._store.abilities or not record.before:
                self._store.delete(name, version=record.after)  # guard: what is revoked cannot be put in force
            self._asked(lambda: self._rotator.disable(fresh))
        reached("rotation.revoke.after")
        return 0

    def _unlabel(self, name: str, record: Record) -> None:
        """The new version bears no label any more; whichever was ``previous`` is so again."""
        labels, _ = self._labels(name)
        for label, before in ((PENDING, None), (PREVIOUS, record.previous or None)):
            if record.after and labels.get(label) == record.after:
                self._store.label(name, label, before)

    def _fenced(self, name: str, version: int) -> Found | None:
        """As it was before ``_revoke`` deleted it and died."""
        if not version or Ability.UNDELETE not in self._store.abilities:
            return None
        state = next((one.state for one in self._store.history(name) if one.number == version), None)
        if state is not State.DELETED:
            return None
        self._store.undelete(name, version=version)
        return self._found(name, version)

    def _take_back(self, name: str, step: Step, record: Record) -> None:
        """Somebody else has gone on with this rotation while this rotator was in a step. If he went back, what the step
        did after that is undone; what cannot be is told."""
        try:
            kept, _ = self._records.read(name)
            if kept is not None and kept.id == record.id and not kept.backwards:
                return
            # A version that was deleted meanwhile is had back for one thing: to take its password from the service.
            fresh = self._found(name, record.after) or (self._fenced(name, record.after) if step is Step.SET else None)
            if self._labels(name)[0].get(CURRENT) == record.after:
                if step is not Step.PROMOTE or not record.before:
                    return
                self._store.label(name, CURRENT, record.before, expect=record.after)
            if fresh is None:
                return
            self._unlabel(name, record)
            if Ability.UNDELETE in self._store.abilities:
                self._store.delete(name, version=record.after)
            if step is Step.SET:
                self._asked(lambda: self._rotator.disable(fresh))
        except (HoldfastError, OSError, _StageFailed) as error:
            log.warning("secrets: what was done to %s in step %s of a rotation that went back could not be undone: %s. "
                        "Look at its labels, and at who may log in", name, step.value, _said(error))

    _steps: ClassVar[Mapping[Step, Callable[[Rotation, str, Record], int]]] = {
        Step.CREATE: _create, Step.SET: _set, Step.TEST: _test, Step.PROMOTE: _promote, Step.DRAIN: _drain,
        Step.DISABLE: _disable, Step.FINISH: _finish, Step.RETURN: _return, Step.REVOKE: _revoke}

    # -- what stages need

    def _wait(self, name: str, record: Record) -> None:
        if not may_go_on(record, self._registry.present(name), self._clock.wall_ms(), self._grace_s):
            raise _Waiting

    def _asked(self, call: Callable[[], T]) -> T:
        """What the rotator answers; a service that does not answer is asked again."""
        for attempt in range(1, self._tries + 1):
            try:
                return call()
            except Exception as error:  # whatever a rotator of somebody else's raises, the stage failed
                if attempt == self._tries or not getattr(error, "retry_may_help", False):
                    raise _StageFailed from error
                self._sleep(self._poll_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable: there is one try at least")

    def _found(self, name: str, version: int) -> Found | None:
        """A version; None for 0 and for one that is gone."""
        if not version:
            return None
        try:
            return self._store.get(name, version=version)
        except SecretNotFound:
            return None

    def _pending(self, name: str, record: Record) -> int:
        """The version that this rotation has made; 0: none yet. What lay there before it began is not its own."""
        pending = self._labels(name)[0].get(PENDING, 0)
        return pending if pending > record.latest else 0

    def _labels(self, name: str) -> tuple[dict[str, int], int]:
        """Which version bears which label, and the latest one."""
        try:
            history = self._store.history(name)
        except SecretNotFound:
            return {}, 0
        return {label: one.number for one in history for label in one.labels}, history[0].number if history else 0

    def _refuse_another(self, name: str, record: Record) -> None:
        others = [one for one in holders(self._registry.present(Records.name_of(name))) if one != self.who]
        if record.holder in others:
            raise RotationFailed(f"{record.holder} works on the rotation of {name}: wait for it, or for its lease to "
                                 "run out")

    def _at_work(self, name: str) -> _AtWork:
        return _AtWork(self._heart, Records.name_of(name))

    def _report(self, name: str, record: Record) -> Report:
        try:
            present = self._registry.present(name)
        except HoldfastError:
            present = ()
        waiting = stragglers(record, present) if record.stage in (Stage.CURRENT, Stage.BACK) else ()
        return Report(name, record.id, record.stage, record.before, record.after, record.begun_ms, record.since_ms,
                      record.holder, record.why, present, waiting)


class _Waiting(Exception):
    """Somebody has not acknowledged yet, or the grace is not over."""


class _AtWork:
    """The lease of who works on a rotation."""

    def __init__(self, heart: Heart, name: str) -> None:
        self._heart, self._name = heart, name

    def __enter__(self) -> None:
        self._heart.beat(self._name, 1)

    def __exit__(self, *_: object) -> None:
        try:
            self._heart.leave(self._name)
        except HoldfastError as error:
            log.debug("secrets: %s could not be left, its lease will run out: %s", self._name, error)


def _said(cause: BaseException | None) -> str:
    """What a failure says. Of ours, whose texts hold no values, all; of others only the kind."""
    return str(cause) if isinstance(cause, HoldfastError) else type(cause).__name__


def _went_back(report: Report) -> str:
    if report.stage is Stage.ROLLED_BACK:
        return "what was in force still is" if report.before else "nothing is in force, as before"
    waits = ", ".join(report.stragglers) or "nobody"
    return f"the way back waits for {waits}: resume it"
