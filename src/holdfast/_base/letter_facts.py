# SPDX-License-Identifier: Apache-2.0
"""What is known when a message is buried. Plain values, no clock, no server: the builder makes a letter of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import HoldfastError
from .letter import Category, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where consumers run; the same for all letters of a process."""

    service: str = ""
    version: str = ""
    environment: str = ""
    host: str = ""
    pid: int | None = None
    owner_team: str = ""
    runbook_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFacts:
    """One death.

    ``stream`` and ``entry_id`` say where the message was first written; for a replayed message the lineage it carries
    knows better and wins, so either place may be given. ``lineage`` is True only for messages read from a group's own
    replay stream: there the prefixed fields are ours, anywhere else they are somebody's and are set aside untouched.
    Times are wall milliseconds. ``attempt_errors`` are rows of ``[error type, stage, count, first ms, last ms]`` and
    ``links`` are traceparents, both as ``consume.contract.Note`` keeps them. ``attempts`` counts those that ended.
    ``detail`` replaces the error's message, or stands for it when there is no error. What is left at its default is
    taken from the message's own fields or headers where these say it, or else left out of the letter.
    """

    stream: str
    entry_id: bytes | str
    group: str
    reason: Reason
    buried_ms: int
    consumer: str = ""
    handler: str = ""
    stage: str = ""
    error: BaseException | None = None
    detail: str = ""
    code: str = ""
    category: Category | None = None
    attempts: int = 0
    max_attempts: int | None = None
    policy: str = ""
    deliveries: int | None = None
    crashes: int = 0
    failed_ms: int | None = None
    first_failed_ms: int | None = None
    first_delivered_ms: int | None = None
    processing_ms: int | None = None
    attempt_errors: Sequence[Sequence[Any]] = ()
    links: Sequence[str] = ()
    applied: str = "unknown"
    traceparent: str = ""
    partition: int | None = None
    exchange: str = ""
    routing_key: str = ""
    message_id: str = ""
    message_type: str = ""
    schema: str = ""
    payload_ref: str = ""
    business_key: str = ""
    correlation_id: str = ""
    causation_id: str = ""
    tenant: str = ""
    producer: str = ""
    severity: str = ""
    max_replays: int | None = None
    site: Site = Site()
    lineage: bool = False


_BY_REASON: Final[dict[str, Category]] = {
    "timeout": "transient", "schema_invalid": "permanent", "decode_error": "permanent", "unknown_type": "permanent",
    "expired": "permanent", "crash_loop": "permanent", "payload_missing": "permanent", "trimmed": "permanent",
    "rejected": "business", "head_dead": "transient",
}


def category_of(reason: str, error: BaseException | None) -> Category:
    """What may be done, as far as reason and error tell: the reason where it settles it, or else the error's own
    class."""
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if error is None:
        return "unknown"
    kind = type(error)
    if issubclass(kind, HoldfastError):
        return "transient" if kind.retry_may_help else "permanent"
    return "transient" if issubclass(kind, (ConnectionError, TimeoutError, InterruptedError)) else "unknown"


def applied_or_unknown(text: str) -> str:
    """``text`` if it is ``no`` or ``k of n``, else ``unknown``: who reads "no" replays without looking."""
    k, of, n = text.partition(" of ")
    return text if text == "no" or (of and k.isascii() and k.isdigit() and n.isascii() and n.isdigit()) else "unknown"
