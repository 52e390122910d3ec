# SPDX-License-Identifier: Apache-2.0
"""From the outcome of an attempt to settlements: asks ``decide``, writes notes and letters, tells what happened.

Nothing here waits for a broker: settlements are handed to the settler of the delivery's origin. The one thing that may
be asked on the way is the effect's store, before something is buried: what has been applied is acknowledged instead.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from .._base import events as ev
from .._base import points
from ..errors import EffectFailed, MessageError
from .budget import RetryBudget
from .contract import Delivery, Note, Origin, Settled, Settlement, Verb
from .decide import Ack, Bury, Decision, HandBack, RetryAt, decide
from .letters import without_note
from .limits_file import Limits
from .outcome import Failed, Outcome
from .parts import Parts
from .routes import Routes
from .settler import Settler, WhyAcked
from .subscription import Subscription

#: An entry whose letter the server refused waits this long before it is tried again, in ms.
BURY_AGAIN_MS = 5000
#: A handler whose reads were overtaken runs again within this many ms, by chance, so that rivals part.
CHANGED_AGAIN_MS = 50
#: Seconds that a message waits about which nothing could be decided.
UNDECIDED_S = 5


class Conclusions:
    """Concludes the attempts of one consumer."""

    def __init__(self, subscription: Subscription, routes: Routes, parts: Parts,
                 settler_of: Callable[[Origin], Settler], aside: Callable[[Coroutine[Any, Any, Any]], None]) -> None:
        self._subscription = subscription
        self._routes = routes
        self._letters, self._events, self._clock, self._chance = parts.letters, parts.events, parts.clock, parts.chance
        self._settler = settler_of
        self._aside = aside
        self._budget: RetryBudget | None = None
        self.adjust(subscription.limits)

    def adjust(self, limits: Limits) -> None:
        """New numbers of the retry budget from now on; what is owed stays owed."""
        if limits.retry_ratio is None:
            self._budget = None
        elif self._budget is None:
            self._budget = RetryBudget(limits.retry_ratio, limits.retry_min_per_s)
        else:
            self._budget.set(limits.retry_ratio, limits.retry_min_per_s)

    def succeeded(self, count: int) -> None:
        """So many messages were done without being concluded one by one."""
        if self._budget is not None:
            self._budget.succeeded(self._clock.now(), count)

    async def conclude(self, delivery: Delivery, outcome: Outcome, took: float) -> Decision:
        """Decides, and sees it carried out."""
        points.reached("decide.before")
        try:
            decision = self._decide(delivery, outcome)
        except Exception as error:  # noqa: BLE001 - a classifier's own, or a back-off's: no reason to lose a message
            ev.log.error("deciding about %s failed with %s: it is tried again in %d s", delivery, type_name(error),
                         UNDECIDED_S)
            decision = RetryAt(UNDECIDED_S, True, "undecided", error=getattr(outcome, "error", None))
        points.reached("decide.after")
        await self.carry_out(delivery, decision, took)
        return decision

    def _decide(self, delivery: Delivery, outcome: Outcome) -> Decision:
        effect = self._subscription.effect
        busy = effect is not None and isinstance(outcome, Failed) and effect.transient(outcome.error)
        at_ms, now = delivery.message.at_ms, self._clock.wall_ms()
        return decide(outcome, attempts=delivery.attempts, crashes=delivery.crashes,
                      age_s=0.0 if at_ms is None else max(0.0, (now - at_ms) / 1000),
                      policy=self._subscription.policy, now=now, chance=self._chance, effect_transient=busy,
                      classifiers=self._subscription.classifiers)

    async def carry_out(self, delivery: Delivery, decision: Decision, took: float) -> None:
        """Turns a decision into a settlement."""
        settler = self._settler(delivery.origin)
        settler.times.append(took)
        match decision:
            case Ack():
                if decision.rider is not None:
                    settler.add(Settlement(delivery, Verb.APPLY, rider=decision.rider))
                elif decision.duplicate:
                    self.repeated(delivery)
                else:
                    settler.ack(delivery, _why_acked(decision))
                if self._budget is not None:
                    self._budget.succeeded(self._clock.now())
            case RetryAt():
                self._retry(delivery, decision)
            case Bury():
                await self._bury(delivery, decision, took)
            case HandBack():
                self.release(delivery)

    def repeated(self, delivery: Delivery) -> None:
        """Its effect was in before: acknowledged as what it is."""
        self._settler(delivery.origin).ack(delivery, "duplicates")
        self._tell_duplicate(delivery)

    def release(self, delivery: Delivery) -> None:
        """Hands it back as if it had not been delivered."""
        self._settler(delivery.origin).add(Settlement(delivery, Verb.RELEASE, note=delivery.note))

    def _retry(self, delivery: Delivery, decision: RetryAt) -> None:
        note = self._noted(delivery, decision.error, decision.stage, decision.reason, counts=decision.counts)
        in_s = decision.in_s
        if self._budget is not None and decision.counts:
            in_s = max(in_s, self._budget.take(self._clock.now()))
        due_in_ms = max(0, int(in_s * 1000))
        self._settler(delivery.origin).add(Settlement(delivery, Verb.PARK, due_in_ms=due_in_ms, note=note))
        message = delivery.message
        if decision.kind == "unserved":
            self._events.emit(ev.ParkedUnknown(
                stream=delivery.origin.stream, group=delivery.origin.group, message_id=message.id,
                type=message.type or "", version=message.version))
        else:
            self._tell_failed(delivery, decision.error, decision.stage, in_s)

    def _noted(self, delivery: Delivery, error: BaseException | None, stage: str, reason: str, *, counts: bool) -> Note:
        """The note that lies beside the entry until its next attempt. An outcome clears the suspicion."""
        note, now = delivery.note or Note(), self._clock.wall_ms()
        note.suspect = False
        note.attempts = delivery.attempts + counts
        note.crashes = delivery.crashes
        if error is not None and counts:
            note.first_failed_ms = note.first_failed_ms or now
            note.last_failed_ms = now
            note.reason = reason
            kind = type_name(error)
            if note.deaths and note.deaths[-1][0] == kind and note.deaths[-1][1] == stage:
                note.deaths[-1][2] += 1
                note.deaths[-1][4] = now
            else:
                note.deaths.append([kind, stage, 1, now, now])
        return note

    async def _bury(self, delivery: Delivery, decision: Bury, took: float) -> None:
        applied = await self._applied(delivery)
        settler = self._settler(delivery.origin)
        if applied is True:  # guard: what took effect is not dead
            self.repeated(delivery)
            return
        ran = decision.ran
        delivery.note = self._noted(delivery, decision.error, decision.stage, decision.reason, counts=ran)
        letter = self._letters.of(
            delivery, decision, consumer=getattr(delivery.fence, "incarnation", ""),
            handler=self.handler_name(delivery), policy=self._subscription.policy, attempts=delivery.attempts + ran,
            applied=applied if isinstance(applied, str) else "no" if applied is False else "unknown", seconds=took,
            deliveries=getattr(delivery.fence, "count", None), is_replay=getattr(delivery.origin, "is_replay", False))
        settler.add(Settlement(delivery, Verb.BURY, letter=letter.fields, letter_id=letter.id))
        if ran:
            self._tell_failed(delivery, decision.error, decision.stage, None)
        self._events.emit(ev.Buried(
            stream=delivery.origin.stream, group=delivery.origin.group, message_id=delivery.message.id,
            entry_id=delivery.entry_id.decode(), letter_id=letter.id, reason=decision.reason, stage=decision.stage,
            error_type=type_name(decision.error), attempts=delivery.attempts + ran))

    async def _applied(self, delivery: Delivery) -> bool | str | None:
        """Has the effect been applied, or how much of it? None: there is nobody to ask, or no answer."""
        effect = self._subscription.effect
        if effect is None:
            return None
        try:
            return (await effect.applied([delivery]))[0]
        except Exception as error:  # noqa: BLE001 - whatever the store says, the letter's "unknown" is then true
            ev.log.warning("asking whether %s was applied: %s", delivery, error)
            return None

    def refused(self, delivery: Delivery, settlement: Settlement | None, answer: Settled) -> None:
        """A settlement did not go through.

        Whoever owns the entry now deals with it; what is still ours is tried again.
        """
        origin, settler = delivery.origin, self._settler(delivery.origin)
        if answer is Settled.MISSING:
            letter = self._letters.of_missing(
                origin.stream, origin.group, delivery.entry_id, getattr(delivery.fence, "incarnation", ""),
                getattr(delivery.fence, "count", 0), is_replay=getattr(origin, "is_replay", False),
                fields=without_note(delivery.message.fields))
            settler.again(Settlement(delivery, Verb.BURY, letter=letter.fields, letter_id=letter.id))
        elif answer is Settled.FAILED and settlement is not None:
            self._events.emit(ev.BuryFailed(stream=origin.stream, group=origin.group, message_id=delivery.message.id,
                                            error="the server refused the write of the letter"))
            settler.again(Settlement(delivery, Verb.PARK, due_in_ms=BURY_AGAIN_MS, note=delivery.note))
        elif answer is Settled.DUPLICATE:
            self._tell_duplicate(delivery)
        elif answer is Settled.HALF and settlement is not None and settlement.detail is not None:
            done, total, error = settlement.detail
            self._events.emit(ev.EffectHalfDone(stream=origin.stream, group=origin.group, done=done, total=total,
                                                message_id=delivery.message.id, error=error))
            settler.held.add(delivery.entry_id)
            failed = EffectFailed(f"write {done + 1} of {total} was refused: {error}", done=done, total=total)
            self._aside(self.conclude(delivery, Failed(failed, "commit"), 0.0))
        elif answer is Settled.CHANGED:
            self._events.emit(ev.EffectConflict(stream=origin.stream, group=origin.group,
                                                message_id=delivery.message.id))
            settler.again(Settlement(delivery, Verb.PARK, due_in_ms=int(CHANGED_AGAIN_MS * self._chance.random()),
                                     note=delivery.note))

    def _tell_duplicate(self, delivery: Delivery) -> None:
        self._events.emit(ev.DuplicateSuppressed(
            stream=delivery.origin.stream, group=delivery.origin.group, message_id=delivery.message.id,
            strategy=getattr(self._subscription.effect, "strategy", "")))

    def _tell_failed(self, delivery: Delivery, error: BaseException | None, stage: str,
                     retry_in_s: float | None) -> None:
        self._events.emit(ev.AttemptFailed(
            stream=delivery.origin.stream, group=delivery.origin.group, message_id=delivery.message.id,
            entry_id=delivery.entry_id.decode(), handler=self.handler_name(delivery), attempt=delivery.attempt,
            error_type=type_name(error), stage=stage, retry_in_s=retry_in_s))

    def handler_name(self, delivery: Delivery) -> str:
        """Name of the handler that takes this message; empty when none does."""
        try:
            return self._routes.find(delivery.message).binding.name
        except MessageError:
            return ""


def type_name(error: BaseException | None) -> str:
    """``module.Class`` of an error; built-in ones without the module."""
    return "" if error is None else f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _why_acked(decision: Ack) -> WhyAcked:
    if decision.duplicate:
        return "duplicates"
    return "acked" if decision.dropped is None else "dropped"


def following_dead_head() -> Bury:
    """The decision for an entry whose key's head died under ``bury-following``."""
    return Bury("head_dead", "handle", "transient", ran=False)


__all__: Sequence[str] = ["Conclusions", "following_dead_head", "type_name"]
