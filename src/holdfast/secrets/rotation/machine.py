# SPDX-License-Identifier: Apache-2.0
"""The stages of a rotation: what is done next, when it may go on, and how it goes back. Pure.

::

           create       set       test       promote        acks, grace       disable       finish
      NEW ─────▶ CREATED ─▶ SET ─────▶ TESTED ─────▶ CURRENT ─────────▶ DRAINED ─────▶ DISABLED ─▶ FINISHED
       ╰─────────────┴───────┴───────────┴──────────────┤                a stage failed, or abort
                                                        ▼
                                                       BACK ──────────▶ RETURNED ────▶ ROLLED_BACK
                                                            acks                revoke

Secrets Manager's four steps (create, set, test, finish) with the last one drawn out: ``current`` moves, every process
that uses the secret says so, and only then the old value is disabled. A rotation is a *record*, kept in the store
beside the secret; a stage is written behind its step, by compare-and-set on the record's version. So a step may run
twice, after a death between the two, and each is made to bear it; and of two rotators that go on with the same record
one is refused at its next stage.

DRAINED is the point of no return, and is written before anything is disabled: a rotator that was stopped in its middle
may disable the old value whenever it wakes, so nobody may have put it in force again. Beyond, the way back is another
rotation.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

from ..._base.clock import WallMs
from ...errors import RotationFailed

__all__ = [
    "Record",
    "Stage",
    "Step",
    "Subscriber",
    "begun",
    "further",
    "holders",
    "may_go_on",
    "returned",
    "step_of",
    "stragglers",
]


class Stage(Enum):
    """How far a rotation is. Each is what is certain, not what is under way."""

    NEW = "new"
    #: The new value is in the store, labelled ``pending``.
    CREATED = "created"
    #: The service takes the new value, and the old one still.
    SET = "set"
    #: Somebody has logged in with the new one.
    TESTED = "tested"
    #: The new one is ``current``; processes change over.
    CURRENT = "current"
    #: Every live process has acknowledged the new one, and the old one may be disabled: no way back.
    DRAINED = "drained"
    #: The service refuses the old one.
    DISABLED = "disabled"
    FINISHED = "finished"
    #: The old one is to be in force again.
    BACK = "back"
    #: It is, and every live process has acknowledged that.
    RETURNED = "returned"
    #: The service refuses the new one.
    ROLLED_BACK = "rolled-back"


class Step(Enum):
    """What is done in a stage to come to the next."""

    CREATE = "create"
    SET = "set"
    TEST = "test"
    PROMOTE = "promote"
    DRAIN = "drain"
    DISABLE = "disable"
    FINISH = "finish"
    RETURN = "return"
    REVOKE = "revoke"


_COURSE = {
    Stage.NEW: (Step.CREATE, Stage.CREATED),
    Stage.CREATED: (Step.SET, Stage.SET),
    Stage.SET: (Step.TEST, Stage.TESTED),
    Stage.TESTED: (Step.PROMOTE, Stage.CURRENT),
    Stage.CURRENT: (Step.DRAIN, Stage.DRAINED),
    Stage.DRAINED: (Step.DISABLE, Stage.DISABLED),
    Stage.DISABLED: (Step.FINISH, Stage.FINISHED),
    Stage.BACK: (Step.RETURN, Stage.RETURNED),
    Stage.RETURNED: (Step.REVOKE, Stage.ROLLED_BACK),
}
_CAN_RETURN = frozenset({Stage.NEW, Stage.CREATED, Stage.SET, Stage.TESTED, Stage.CURRENT})


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A rotation as the store keeps it; no value is in it.

    before: the version in force when it began, 0 for a secret that is made. latest: the latest one's number then.
    previous: the version that was ``previous`` then. after: the new one, 0 until it is made. begun_ms, since_ms: when
    the rotation and its stage began. holder: who works on it. why: for which reason it goes back.
    """

    id: str
    stage: Stage = Stage.NEW
    before: int
    latest: int
    previous: int = 0
    after: int = 0
    begun_ms: WallMs
    since_ms: WallMs
    holder: str
    why: str = ""

    @property
    def open(self) -> bool:
        """Is there anything left to do?"""
        return self.stage in _COURSE

    @property
    def backwards(self) -> bool:
        """Does it go back, or has it gone?"""
        return self.stage in (Stage.BACK, Stage.RETURNED, Stage.ROLLED_BACK)

    @property
    def wanted(self) -> int:
        """The version that subscribers have to acknowledge before it goes on."""
        return self.before if self.backwards else self.after


class Subscriber(msgspec.Struct, frozen=True):
    """A process that uses a secret. version: what it has acknowledged, that is: it uses this one and no other; 0 for
    none yet. live: its lease runs. silent_s: since it last renewed it."""

    who: str
    version: int
    live: bool
    silent_s: float = 0.0


def begun(last: Record | None, fresh: Record) -> Record:
    """The record of a new rotation. Raises RotationFailed while the last one is open."""
    if last is not None and last.open:  # guard: one in flight
        raise RotationFailed(f"a rotation is under way, in stage {last.stage.value!r} by {last.holder}: resume it "
                             "or abort it first")
    return fresh


def step_of(record: Record) -> Step | None:
    """What is to be done now; None: nothing."""
    found = _COURSE.get(record.stage)
    return found[0] if found else None


def further(record: Record, now: WallMs, *, after: int = 0) -> Record:
    """The record behind its step. after: the version that was made."""
    return msgspec.structs.replace(record, stage=_COURSE[record.stage][1], since_ms=now, after=after or record.after)


def returned(record: Record, why: str, now: WallMs) -> Record:
    """The record on its way back. Raises RotationFailed where there is none."""
    if record.backwards and record.open:
        return record
    if record.stage not in _CAN_RETURN:  # guard: no way back
        raise RotationFailed(f"the rotation is {record.stage.value}: there is nothing to go back from; rotate again")
    return msgspec.structs.replace(record, stage=Stage.BACK, since_ms=now, why=why)


def holders(present: Iterable[Subscriber]) -> tuple[str, ...]:
    """The live ones among them."""
    return tuple(sorted(one.who for one in present if one.live))


def stragglers(record: Record, present: Iterable[Subscriber]) -> tuple[str, ...]:
    """The live processes that have not acknowledged yet, by name. A dead one holds nothing up: what it held is gone
    with it, and it asks anew before it uses a secret again."""
    return holders(one for one in present if one.version != record.wanted)  # guard: acknowledged by every live one


def may_go_on(record: Record, present: Iterable[Subscriber], now: WallMs, grace_s: float) -> bool:
    """May the old value be disabled? All have acknowledged the new one, and the grace is over."""
    return not stragglers(record, present) and (record.backwards or now - record.since_ms >= grace_s * 1000)
