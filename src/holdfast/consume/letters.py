# SPDX-License-Identifier: Apache-2.0
"""From a decision to bury to the letter: collects the facts, leaves the form to the letter specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .._base.clock import Clock
from .._base.letter import DEFAULT_PREFIX
from .._base.letter_build import DEFAULT_REDACTOR, Letter, Redact, build
from .._base.letter_facts import LetterFacts, Site
from .._base.letter_fit import Limits
from .._base.message import F_NOTE
from .contract import Delivery
from .decide import Bury
from .policy import RetryPolicy


def without_note(fields: Sequence[bytes]) -> Sequence[bytes]:
    """The entry as its publisher wrote it: our note on its attempts is not part of the message."""
    if F_NOTE not in fields[::2]:
        return fields
    pairs = zip(fields[::2], fields[1::2], strict=False)
    return [part for name, value in pairs if name != F_NOTE for part in (name, value)]


@dataclass(frozen=True, slots=True)
class Letters:
    """Writes the letters of one consumer.

    ``prefix`` begins every metadata field; ``site`` says where this runs; ``redactor`` masks secrets in error texts.
    """

    clock: Clock
    prefix: str = DEFAULT_PREFIX
    site: Site = field(default_factory=Site)
    limits: Limits = field(default_factory=Limits)
    redactor: Redact = DEFAULT_REDACTOR

    def of(self, delivery: Delivery, decision: Bury, *, consumer: str, handler: str, policy: RetryPolicy, attempts: int,
           applied: str, seconds: float, deliveries: int | None, is_replay: bool) -> Letter:
        """The letter of a delivery that is buried."""
        note, now = delivery.note, self.clock.wall_ms()
        message = delivery.message
        return build(without_note(message.raw or message.fields), LetterFacts(
            stream=delivery.origin.stream, entry_id=delivery.entry_id, group=delivery.origin.group,
            reason=decision.reason, stage=decision.stage, error=decision.error, detail=decision.detail or "",
            code=decision.code or "", category=decision.category, buried_ms=now, consumer=consumer, handler=handler,
            attempts=attempts,
            max_attempts=policy.attempts, policy=type(policy.backoff).__name__.lower(), deliveries=deliveries,
            crashes=delivery.crashes, failed_ms=now, first_failed_ms=(note.first_failed_ms or now) if note else now,
            processing_ms=int(seconds * 1000), attempt_errors=note.deaths if note else (),
            links=note.links if note else (), applied=applied, site=self.site, lineage=is_replay,
        ), prefix=self.prefix, redactor=self.redactor, limits=self.limits)

    def of_missing(self, stream: str, group: str, entry_id: bytes, consumer: str, deliveries: int, *,
                   is_replay: bool, fields: Sequence[bytes] = ()) -> Letter:
        """The letter of an entry whose payload was trimmed while it was pending: where it was, and that it is gone.

        ``fields``: what this process still had in memory, if it did.
        """
        now = self.clock.wall_ms()
        return build(fields, LetterFacts(stream=stream, entry_id=entry_id, group=group, reason="payload_missing",
                                     buried_ms=now, consumer=consumer, deliveries=deliveries, site=self.site,
                                     lineage=is_replay), prefix=self.prefix, redactor=self.redactor, limits=self.limits)


