# SPDX-License-Identifier: Apache-2.0
"""What to do with a message after an attempt: the whole decision, as one pure function.

::

    outcome ─┬─ Done, Drop ───────────────────────────────▶ Ack
             ├─ Interrupted, lease lost ──────────────────▶ HandBack            nothing is counted
             ├─ busy store, Retry(counts=False) ──────────▶ RetryAt, uncounted  ┐ unless its age or
             ├─ Retry(after=…) ───────────────────────────▶ RetryAt             ├ date has run out:
             ├─ failed: transient, unknown ───────────────▶ RetryAt             ┘ Bury(max_age)
             ├─ no handler for its type or version ───────▶ RetryAt, uncounted, for ever
             └─ Reject, permanent, attempts used up ──────▶ Bury

Reasons are those of the letter specification: ``handler_error`` is an error no attempt would mend, ``max_attempts`` one
that outlasted them all; a last attempt that ran out of time says ``timeout``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .._base.chance import Chance
from .._base.clock import WallMs
from .._base.letter import Category, Reason
from .classify import Classifier, Kind, Verdict, classify
from .contract import Rider
from .outcome import Done, Drop, Failed, Interrupted, Outcome, Reject, Retry, Stage
from .policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class Ack:
    """Done with it. ``dropped``: the reason when the handler dropped it; ``duplicate``: the effect existed before;
    ``rider``: the effect that goes in with the acknowledgement."""

    dropped: str | None = None
    duplicate: bool = False
    rider: Rider | None = None


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Again in ``in_s`` seconds. ``counts``: this attempt is used up. ``reason`` is for the note and the event."""

    in_s: float
    counts: bool
    reason: str
    stage: Stage = "handle"
    kind: Kind = "unknown"
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Bury:
    """To the dead letters. ``detail`` is the handler's own word (``Reject``); ``code`` what it classified it as.

    Without ``ran`` no attempt led here.
    """

    reason: Reason
    stage: Stage = "handle"
    kind: Kind = "permanent"
    error: BaseException | None = None
    detail: str | None = None
    code: str | None = None
    ran: bool = True

    @property
    def category(self) -> Category:
        """What a letter says may be done about it."""
        if self.reason == "rejected":
            return "business"
        if self.kind in ("transient", "busy"):
            return "transient"
        return "permanent" if self.kind == "permanent" else "unknown"


@dataclass(frozen=True, slots=True)
class HandBack:
    """To whoever is next, at once, as if it had not been delivered."""

    cause: str


Decision: TypeAlias = Ack | RetryAt | Bury | HandBack

ACK = Ack()
_DUPLICATE = Ack(duplicate=True)


@dataclass(frozen=True, slots=True)
class _Case:
    """What every branch needs. ``runs`` counts attempts before this one, charged crashes among them."""

    runs: int
    age_s: float
    policy: RetryPolicy
    now: WallMs
    chance: Chance


def decide(
    outcome: Outcome,
    *,
    attempts: int,
    crashes: int = 0,
    age_s: float,
    policy: RetryPolicy,
    now: WallMs,
    chance: Chance,
    effect_transient: bool = False,
    classifiers: Sequence[Classifier] = (),
) -> Decision:
    """What to do with a message.

    attempts: attempts that ended before this one; crashes: process deaths charged to it; age_s: seconds since it was
    published; effect_transient: the effect's store says the error was its own (lock wait, serialization failure).
    """
    if isinstance(outcome, Done):
        return _acked(outcome)
    case = _Case(attempts + crashes, age_s, policy, now, chance)
    match outcome:
        case Failed():
            return _after_failure(outcome, case, effect_transient, classifiers)
        case Retry():
            return _as_asked(outcome, case)
        case Interrupted(cause):
            return HandBack(cause)
        case Drop():
            return Ack(dropped=outcome.reason)
        case Reject():
            return Bury("rejected", detail=outcome.reason, code=outcome.code)


def _acked(done: Done) -> Ack:
    if done.rider is not None:
        return Ack(rider=done.rider)
    return _DUPLICATE if done.duplicate else ACK


def before_start(crashes: int, policy: RetryPolicy) -> Bury | None:
    """Asked before a suspect's handler starts: has this message killed its process too often?"""
    return Bury("crash_loop", "handle", "permanent", ran=False) if crashes >= policy.crash_limit else None


def too_late(age_s: float, now: WallMs, policy: RetryPolicy) -> Bury | None:
    """Asked before an attempt starts: did its time run out while it waited in the stream, or parked?"""
    return Bury("max_age", "handle", "transient", ran=False) if policy.time_left_s(age_s, now) < 0 else None


def _after_failure(failed: Failed, case: _Case, effect_transient: bool, classifiers: Sequence[Classifier]) -> Decision:
    error = failed.error
    verdict = classify(error, classifiers)
    if verdict.kind == "lost":
        return HandBack("lease lost")
    if verdict.kind == "unserved":
        return RetryAt(case.policy.unknown_s, False, verdict.reason, failed.stage, verdict.kind, error)
    if effect_transient or verdict.kind == "busy":
        verdict = Verdict("busy", verdict.reason, verdict.by)
        return _unless_expired(RetryAt(_busy_s(case), False, "busy", failed.stage, "busy", error), verdict, case)
    return _by_policy(failed, verdict, case)


def _by_policy(failed: Failed, verdict: Verdict, case: _Case) -> Decision:
    """Counted failures: the rule for the error's class, or else its kind, or else the number of attempts."""
    rule = case.policy.rule_for(failed.error)
    if rule == "bury" or (rule is None and verdict.kind == "permanent"):
        return Bury(verdict.reason, failed.stage, "permanent", failed.error)
    policy = rule if isinstance(rule, RetryPolicy) else case.policy
    if _used_up(case, policy):
        reason = "max_attempts" if verdict.reason == "handler_error" else verdict.reason
        return Bury(reason, failed.stage, verdict.kind, failed.error)
    wait_s = policy.backoff.delay_s(case.runs + 1, case.chance)
    again = RetryAt(wait_s, True, verdict.reason, failed.stage, verdict.kind, failed.error)
    return _unless_expired(again, verdict, case, policy)


def _as_asked(asked: Retry, case: _Case) -> Decision:
    """The handler said ``Retry``: its wait, and its word on whether that was an attempt."""
    if asked.counts and _used_up(case, case.policy):
        return Bury("max_attempts", kind="transient", error=asked, detail=asked.reason)
    wait_s = asked.after
    if wait_s is None or not math.isfinite(wait_s):
        wait_s = case.policy.backoff.delay_s(case.runs + 1, case.chance) if asked.counts else _busy_s(case)
    again = RetryAt(max(wait_s, 0.0), asked.counts, asked.reason or "asked", kind="transient", error=asked)
    return _unless_expired(again, Verdict("transient", "handler_error", "asked"), case)


def _used_up(case: _Case, policy: RetryPolicy) -> bool:
    return policy.attempts is not None and case.runs + 1 >= policy.attempts


def _busy_s(case: _Case) -> float:
    # Without a count there is nothing to grow by, so the wait is short, and spread so that rivals part.
    return case.policy.busy_s * (0.5 + case.chance.random())


def _unless_expired(again: RetryAt, verdict: Verdict, case: _Case, policy: RetryPolicy | None = None) -> Decision:
    """No attempt starts after the message's age or date has run out, so one that would is not waited for."""
    left_s = min(p.time_left_s(case.age_s, case.now) for p in (case.policy, policy) if p is not None)
    if again.in_s <= left_s:
        return again
    return Bury("max_age", again.stage, verdict.kind, again.error)


