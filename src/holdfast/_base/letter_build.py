# SPDX-License-Identifier: Apache-2.0
"""The builder: a dead message and what is known of its death become a letter.

Never raises for what a message or an error holds, and never makes a letter that the server would refuse for its size:
it runs when something has failed already, and the message has no other place to go. About 150 µs for a kilobyte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from .fingerprint import fingerprint_of
from .letter import BY_NAME, DEFAULT_PREFIX, SPEC_VERSION, checked_prefix
from .letter_error import ErrorText, Redact, clipped, describe, masked
from .letter_facts import LetterFacts, applied_or_unknown, category_of
from .letter_fit import Limits, fit
from .letter_lineage import body_sha256, letter_id, lineage_of, nested_json, set_aside, with_death
from .letter_text import cut, iso, ms_of, number, readable, utf8
from .message import Message
from .redact import DEFAULT_REDACTOR

__all__ = ["DEFAULT_REDACTOR", "Letter", "Limits", "Redact", "build", "letter_id_of"]

_DEFAULT_LIMITS = Limits()
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})(?:-|$)")


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is written: its identity, and flat ``[field, value, …]``, metadata first."""

    id: str
    fields: list[bytes]


def build(fields: Sequence[bytes], facts: LetterFacts, *, prefix: str = DEFAULT_PREFIX,
          redactor: Redact = DEFAULT_REDACTOR, limits: Limits = _DEFAULT_LIMITS) -> Letter:
    """The letter of one death. ``fields`` is the entry as it lies in the stream, byte for byte, or empty when it is
    gone.

    The same death gives the same letter id, whoever builds it and how often. ``redactor`` masks what errors say.
    """
    checked_prefix(prefix)
    lineage, message = lineage_of(fields, prefix) if facts.lineage else ({}, list(fields))
    kept, aside = set_aside(message, prefix)
    letter_id = letter_id_of(facts, lineage, message)
    error = _error_text(facts, redactor)
    values = {**_lineage(lineage), **_origin(facts, lineage, message), **_consumer(facts), **_failure(facts, error),
              **_history(facts, lineage, error), **_correlation(facts)}
    values |= {"spec-version": str(SPEC_VERSION), "letter-id": letter_id, "burial-timestamp": iso(facts.buried_ms)}
    metadata = fit(values, prefix, limits, masked=error.masked)
    if aside:
        metadata += (utf8(prefix + "original-headers"), utf8(nested_json(aside)))
    return Letter(letter_id, metadata + kept)


def letter_id_of(facts: LetterFacts, lineage: Mapping[str, str], message: Sequence[bytes]) -> str:
    """26 characters that sort by the time the message was first written.

    Hashed are origin, group and the replay that preceded this death, all of which the entry itself holds: a repeated
    burial meets its own record, a second death after a replay does not, and neither do two replays of one letter.
    """
    stream, entry = _root(facts, lineage)
    parts = [stream, entry, facts.group, *(lineage.get(n, "") for n in
             ("reprocess-count", "replayed-from", "replay-job", "replay-timestamp"))]
    return letter_id(parts, _published_ms(Message(stream, utf8(entry), message)) or 0)


def _published_ms(message: Message) -> int | None:
    """When the message was first written: the time in its entry id, or else what its publisher says."""
    head, dash, _ = readable(message.entry_id).partition("-")
    text = head if dash else readable(message.map.get(b"at", b""))
    return number(text) if text.isdigit() else None


def _root(facts: LetterFacts, lineage: Mapping[str, str]) -> tuple[str, str]:
    entry = facts.entry_id if isinstance(facts.entry_id, str) else readable(facts.entry_id)
    return lineage.get("original-topic", facts.stream), lineage.get("original-offset", entry)


def _error_text(facts: LetterFacts, redactor: Redact) -> ErrorText:
    if facts.error is not None:
        return describe(facts.error, facts.detail, redactor)
    said = clipped(facts.detail)
    message = masked(said, redactor)
    told_apart = fingerprint_of([facts.reason], message=message) if said else ""
    return ErrorText((), message, "", told_apart, ("exception-message",) if message != said else ())


def _lineage(lineage: Mapping[str, str]) -> dict[str, str]:
    """What travelled with the message: our rows, and names of a later version, which are kept."""
    return {n: v for n, v in lineage.items() if n not in BY_NAME or BY_NAME[n].travels}


def _origin(facts: LetterFacts, lineage: Mapping[str, str], message: list[bytes]) -> dict[str, str]:
    stream, entry = _root(facts, lineage)
    origin = {"original-topic": stream, "original-offset": entry, "original-partition": _int(facts.partition),
              "original-exchange": facts.exchange, "original-routing-key": facts.routing_key,
              "payload-ref": facts.payload_ref, "message-type": facts.message_type, "payload-schema": facts.schema,
              "original-message-id": facts.message_id}
    origin = {name: lineage.get(name, "") or value for name, value in origin.items()}
    if not message:
        return origin
    view = Message(stream, utf8(entry), message)
    headers, published_ms = view.headers, _published_ms(view)
    written = {"original-message-id": view.id, "original-key": view.key or "", "message-type": view.type or "",
               "original-content-type": view.content_type if b"ct" in view.map else "",
               "original-content-encoding": headers.get("content-encoding", ""), "payload-sha256": body_sha256(message),
               "original-timestamp": "" if published_ms is None else iso(published_ms),
               "payload-schema": f"{view.type}/{readable(view.map.get(b'v', b'1'))}" if view.type else ""}
    for name in ("correlation-id", "causation-id", "tenant", "producer", "business-key"):
        written[name] = headers.get(name, "")
    return written | {name: value for name, value in origin.items() if value}


def _consumer(facts: LetterFacts) -> dict[str, str]:
    site = facts.site
    return {"consumer-group": facts.group, "consumer-service": site.service, "consumer-instance": facts.consumer,
            "consumer-host": site.host, "consumer-pid": _int(site.pid), "consumer-version": site.version,
            "environment": site.environment, "handler": facts.handler, "owner-team": site.owner_team,
            "runbook-url": site.runbook_url, "severity": facts.severity}


def _failure(facts: LetterFacts, error: ErrorText) -> dict[str, str]:
    category, caused = facts.category or category_of(facts.reason, facts.error), len(error.types) > 1
    return {"failure-reason": facts.reason, "failure-timestamp": iso(_failed_ms(facts)), "error-stage": facts.stage,
            "error-category": category, "error-code": facts.code, "exception-message": error.message,
            "exception-type": error.types[0] if error.types else "", "exception-stacktrace": error.stack,
            "exception-fingerprint": error.fingerprint, "root-cause-type": error.types[-1] if caused else "",
            "exception-type-chain": _json([cut(name, 256) for name in error.types]) if caused else "",
            "applied": applied_or_unknown(facts.applied), "processing-ms": _int(facts.processing_ms),
            "retryable": "" if category == "unknown" else ("true" if category == "transient" else "false")}


def _failed_ms(facts: LetterFacts) -> int:
    return facts.buried_ms if facts.failed_ms is None else facts.failed_ms


def _history(facts: LetterFacts, lineage: Mapping[str, str], error: ErrorText) -> dict[str, str]:
    failed_ms = _failed_ms(facts)
    first_ms = failed_ms if facts.first_failed_ms is None else min(facts.first_failed_ms, failed_ms)
    kept_first = lineage.get("first-failure-timestamp", "")
    return {"attempts": _int(facts.attempts), "retry-count": _int(facts.attempts - 1), "retry-policy": facts.policy,
            "max-retries": "" if facts.max_attempts is None else _int(facts.max_attempts - 1),
            "delivery-count": _int(facts.deliveries), "crash-count": _int(facts.crashes),
            "first-delivery-timestamp": lineage.get("first-delivery-timestamp", "")
            or ("" if facts.first_delivered_ms is None else iso(facts.first_delivered_ms)),
            "first-failure-timestamp": kept_first if ms_of(kept_first) is not None else iso(first_ms),
            "attempt-errors": _attempt_errors(facts), "reprocess-count": _int(number(lineage.get("reprocess-count"))),
            "max-reprocess-count": lineage.get("max-reprocess-count", "") or _int(facts.max_replays),
            "deaths": with_death(lineage.get("deaths", ""), group=facts.group, reason=facts.reason,
                                 fingerprint=error.fingerprint, at_ms=failed_ms)}


def _attempt_errors(facts: LetterFacts) -> str:
    rows = [{"type": cut(str(row[0]), 128), "stage": cut(str(row[1]), 16), "count": row[2], "first": iso(row[3]),
             "last": iso(row[4])}
            for row in facts.attempt_errors[:8] if len(row) == 5 and all(type(n) is int for n in row[2:])]
    return _json(rows) if rows else ""


def _correlation(facts: LetterFacts) -> dict[str, str]:
    trace = _TRACEPARENT.match(facts.traceparent)
    named = {"correlation-id": facts.correlation_id, "causation-id": facts.causation_id, "tenant": facts.tenant,
             "producer": facts.producer, "business-key": facts.business_key}
    return {"trace-id": trace[1] if trace else "", "span-id": trace[2] if trace else "",
            "trace-links": _json([cut(link, 64) for link in facts.links[-8:]]) if facts.links else "",
            **{name: value for name, value in named.items() if value}}


def _int(value: int | None) -> str:
    return "" if value is None else str(min(max(int(value), 0), 2**63 - 1))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
