# SPDX-License-Identifier: Apache-2.0
"""The dead-letter metadata specification, version 1: one table.

A dead letter is the message as it was, every field byte for byte, and beside it metadata that says why it died, where,
and in which state of the system. Whoever reads dead letters (people, alerts, repair tools, archives) works from the
metadata alone and never has to know which service wrote it.

Rules that hold for every row:

* A field's name is the prefix (``x-dlq-`` unless configured) and the row's name. One meaning has one name.
* A value is UTF-8 text. Times are UTC, ISO-8601, with milliseconds and ``Z``. Numbers are decimal. No raw integers:
  the field learnt from Spring Kafka that nobody can read those.
* Each value is capped in bytes, and so is the sum; what was cut is named in ``truncated-fields``. A burial must never
  fail because its error was long (Azure Service Bus learnt that one).
* A second death appends to ``deaths`` and keeps the facts of the first; nothing is overwritten (Kafka Connect drops
  it).
* Versions only add. A reader keeps fields it does not know and reads letters of a later version as far as it can.

The validator, the JSON Schema and the reference page are made from this table; ``tests/vectors/letter-v1`` holds
letters of version 1 that every later version must read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from ..errors import ConfigurationError

SPEC_VERSION: Final = 1
DEFAULT_PREFIX: Final = "x-dlq-"

Type = Literal["string", "integer", "timestamp", "enum", "json"]
Need = Literal["required", "recommended", "optional"]
Privacy = Literal["public", "internal", "personal", "secret-bearing"]
Reason = Literal[
    "handler_error", "max_attempts", "max_age", "crash_loop", "timeout", "schema_invalid", "decode_error", "expired",
    "unknown_type", "rejected", "payload_missing", "trimmed", "head_dead", "manual",
]
Category = Literal["transient", "permanent", "business", "unknown"]

#: Why a message was buried. Closed: a new one is a new version of the specification.
REASONS: Final[dict[str, str]] = {
    "handler_error": "the handler raised an error that no further attempt would mend",
    "max_attempts": "every attempt the policy allows has failed",
    "max_age": "the message grew older than the policy allows, or passed its deadline, while it was being retried",
    "crash_loop": "the process died too often while this message was being handled",
    "timeout": "the handler ran past its limit on the last attempt",
    "schema_invalid": "the body is not what the handler's type asks for",
    "decode_error": "the body is not what its content type says",
    "expired": "the publisher's expiry had passed before the message was handled",
    "unknown_type": "no handler takes this message type, and the policy does not park it",
    "rejected": "the handler refused the message",
    "payload_missing": "the entry was pending and its payload was gone from the stream",
    "trimmed": "the entry was trimmed from the stream before this group had read it",
    "head_dead": "an earlier message of its key died, and the policy buries what follows it",
    "manual": "a person buried it",
}
#: The step at which it failed.
STAGES: Final[dict[str, str]] = {
    "decode": "bytes into a value",
    "validate": "the value into the handler's type",
    "dedupe": "looking for an effect that exists already",
    "handle": "the handler itself",
    "commit": "making the effect durable",
    "ack": "settling the entry",
}
#: What may be done about it.
CATEGORIES: Final[dict[str, str]] = {
    "transient": "the same message may succeed later with nothing mended",
    "permanent": "the message or the code must change first",
    "business": "the message was understood and refused; ``error-code`` says by which rule",
    "unknown": "nobody has said",
}
SEVERITIES: Final = ("critical", "error", "warning", "info")
ERROR_CLASSES: Final = ("transient", "poison", "schema", "dependency", "bug", "unknown")
BOOLEANS: Final = ("true", "false")

TIMESTAMP: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
_HEX32 = "[0-9a-f]{32}"


@dataclass(frozen=True, slots=True)
class Row:
    """One field of the specification.

    ``max_bytes`` caps the value. ``pattern`` is a regular expression the whole value matches. ``also`` lists names
    under which the same meaning goes elsewhere. A row that ``travels`` goes with the message when it is replayed.
    """

    name: str
    type: Type
    need: Need
    meaning: str
    example: str
    max_bytes: int
    privacy: Privacy
    pattern: str = ""
    values: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    travels: bool = False
    cut: Literal["end", "middle"] = "end"


_WIDTH: Final[dict[Type, int]] = {"integer": 19, "timestamp": 24, "enum": 32, "string": 256, "json": 4096}


def _row(need: Need, name: str, type: Type, meaning: str, example: str, *, max_bytes: int = 0,
         privacy: Privacy = "internal", pattern: str = "", values: tuple[str, ...] = (), also: str = "",
         travels: bool = False, cut: Literal["end", "middle"] = "end") -> Row:
    return Row(name, type, need, meaning, example, max_bytes or _WIDTH[type], privacy, pattern, values,
               tuple(also.split()), travels, cut)


_must, _should, _may = partial(_row, "required"), partial(_row, "recommended"), partial(_row, "optional")

#: Sections of the table, in the order in which a letter is written.
SECTIONS: Final[dict[str, tuple[Row, ...]]] = {
    "The letter": (
        _must("spec-version", "integer", "version of this specification", "1", privacy="public", also="spec_version",
              travels=True),
        _must("letter-id", "string", "identity of the letter, the same for a repeated burial of the same death",
              "01JD8Z3V5K7Q2M9T4R6W8Y0A1B", max_bytes=26, privacy="public", pattern=_ULID, also="dlq_id"),
        _should("burial-timestamp", "timestamp", "when the letter was written; retention counts from here",
                "2026-11-22T07:13:06.123Z", privacy="public", also="moved_to_dlq_at"),
        _may("truncated-fields", "string", "names of fields that were cut or left out, comma-separated",
             "exception-stacktrace", max_bytes=512, privacy="public"),
        _may("redacted", "string", "names of fields in which something was masked, comma-separated",
             "exception-message", max_bytes=128, privacy="public"),
    ),
    "Origin": (
        _must("original-topic", "string", "stream, queue or topic the message was first written to", "orders",
              max_bytes=512, also="source_stream original_stream", travels=True),
        _may("original-partition", "integer", "partition within it", "3", also="partition", travels=True),
        _should("original-offset", "string", "position there: entry id of a Redis stream, offset of a Kafka partition",
                "1763795586123-0", max_bytes=64, also="source_id", travels=True),
        _may("original-exchange", "string", "exchange it was published to", "shop", travels=True),
        _may("original-routing-key", "string", "routing key it was published with", "order.paid", travels=True),
        _should("original-message-id", "string", "identity of the message, kept through retries and replays",
                "01JD8Z3V5K0000000000000001", max_bytes=512, also="message_id original_message_id", travels=True),
        _may("original-key", "string", "key that orders and partitions", "customer-17", max_bytes=512,
             privacy="personal", also="partition_key"),
        _should("original-timestamp", "timestamp", "when it was published", "2026-11-22T07:13:05.000Z",
                also="enqueued_at"),
        _may("original-content-type", "string", "media type of the body", "application/json", max_bytes=128,
             also="content_type"),
        _may("original-content-encoding", "string", "encoding of the body", "gzip", max_bytes=64,
             also="content_encoding"),
        _may("original-headers", "json",
             'fields of the message whose names begin with the prefix, as [position, name, value]; a value that '
             'is not UTF-8 is {"b64": …}. All other fields stand in the letter under their own names. Never '
             'cut: it is payload', '[[4,"x-dlq-note","kept"]]', max_bytes=0x2000_0000, privacy="personal", also="h."),
        _should("message-type", "string", "message type chosen by the publisher", "order.paid", also="message_type"),
        _may("payload-schema", "string", "schema of the body and its version", "order.paid/2",
             also="schema_id schema_version"),
        _may("payload-ref", "string", "where the body lies when it is not in the letter", "s3:invoices/7f3a",
             max_bytes=1024, also="payload_ref"),
        _should("payload-sha256", "string",
                "SHA-256 of the body; of a message without one, of its fields, each after its length and a colon",
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", max_bytes=64,
                pattern="[0-9a-f]{64}", also="payload_sha256"),
        _may("producer", "string", "service that published it", "shop-web"),
    ),
    "Consumer": (
        _must("consumer-group", "string", "group in which it died", "billing", also="group original_group"),
        _should("consumer-service", "string", "application that consumed it", "billing-worker"),
        _should("consumer-instance", "string", "incarnation of the consumer that gave up on it", "pod-7-4242-9f3c",
                also="consumer original_consumer"),
        _may("consumer-host", "string", "host or pod of that consumer", "pod-7", also="host"),
        _may("consumer-pid", "integer", "process id of that consumer", "4242", also="pid"),
        _should("consumer-version", "string", "version of the application", "2.4.1", max_bytes=128,
                also="app_version"),
        _should("environment", "string", "where the application runs", "production", max_bytes=64),
        _should("handler", "string", "handler, as module and qualified name", "billing.handlers:bill"),
    ),
    "Failure": (
        _must("failure-reason", "enum", "why it was buried", "max_attempts", privacy="public", values=tuple(REASONS),
              also="reason"),
        _must("failure-timestamp", "timestamp", "when it failed last", "2026-11-22T07:13:06.100Z", privacy="public",
              also="failed_at last_failed_at"),
        _should("first-failure-timestamp", "timestamp", "when it failed first, over all its deaths",
                "2026-11-22T07:12:01.000Z", privacy="public", also="first_failed_at", travels=True),
        _should("error-stage", "enum", "step at which it failed", "handle", privacy="public", values=tuple(STAGES),
                also="stage"),
        _should("error-category", "enum", "what may be done about it", "transient", privacy="public",
                values=tuple(CATEGORIES)),
        _may("error-code", "string", "the application's own code for the refusal", "credit.limit", max_bytes=128),
        _should("exception-type", "string", "type of the error", "billing.errors.CardDeclined", also="error_type"),
        _should("exception-message", "string", "what the error said, masked", "declined by the bank", max_bytes=1024,
                privacy="secret-bearing", also="error_message"),
        _should("exception-fingerprint", "string",
                "equal for the same error at other data; the algorithm's version, a colon, a hash",
                "v1:8c1f0e2ab3d4c5f6", max_bytes=64, privacy="public", pattern=r"v\d+:[0-9a-f]{8,56}",
                also="error_fingerprint"),
        _may("root-cause-type", "string", "type of the innermost cause", "TimeoutError"),
        _may("exception-type-chain", "json", "types from the error to its innermost cause",
             '["billing.errors.CardDeclined","TimeoutError"]', max_bytes=1024, also="error_type_chain"),
        _should("exception-stacktrace", "string", "stack of the error and its causes, masked",
                'CardDeclined: declined\n  File "billing/handlers.py", line 12, in bill', max_bytes=8192,
                privacy="secret-bearing", also="error_stack stack_trace", cut="middle"),
        _should("applied", "string", "is the effect there although the message died: no, unknown, or k of n effects",
                "no", max_bytes=48, privacy="public", pattern=r"no|unknown|\d{1,19} of \d{1,19}"),
        _may("processing-ms", "integer", "how long the last attempt ran, in ms", "184", privacy="public",
             also="processing_ms"),
        _may("error-class", "enum", "what a classifier took it for", "dependency", privacy="public",
             values=ERROR_CLASSES, also="error_class"),
        _may("classifier", "string", "rule or model that said so", "rules/bank-down", max_bytes=128),
        _may("confidence", "string", "how sure it was, 0 to 1", "0.92", max_bytes=8, privacy="public",
             pattern=r"0(\.\d{1,6})?|1(\.0{1,6})?"),
    ),
    "Retry and history": (
        _should("attempts", "integer", "attempts that ended, the first included", "5", privacy="public"),
        _should("retry-count", "integer", "attempts after the first", "4", privacy="public"),
        _may("max-retries", "integer", "attempts after the first that the policy allows", "4", privacy="public"),
        _may("retry-policy", "string", "the policy, with its numbers", "exponential 1s..60s, 5 attempts",
             also="retry_schedule"),
        _should("retryable", "enum", "may the same message succeed later with nothing mended", "true",
                privacy="public", values=BOOLEANS, also="disposition"),
        _may("delivery-count", "integer",
             "deliveries the server counted; raised for neighbours of a crash too, so it convicts nobody", "6",
             privacy="public", also="deliveries delivery_count"),
        _may("crash-count", "integer", "process deaths charged to this message", "0", privacy="public"),
        _may("first-delivery-timestamp", "timestamp", "when it was delivered first", "2026-11-22T07:12:00.900Z",
             privacy="public", also="first_delivered_at", travels=True),
        _may("attempt-errors", "json", "failed attempts of this life by type and stage, with count, first, last",
             '[{"type":"TimeoutError","stage":"handle","count":5,"first":"2026-11-22T07:12:01.000Z",'
             '"last":"2026-11-22T07:13:06.100Z"}]', max_bytes=2048),
        _should("deaths", "json",
                "every death by group, reason and fingerprint, with count, first, last; newest first",
                '[{"group":"billing","reason":"max_attempts","fingerprint":"v1:8c1f0e2ab3d4c5f6","count":1,'
                '"first":"2026-11-22T07:13:06.100Z","last":"2026-11-22T07:13:06.100Z"}]', travels=True),
    ),
    "Correlation": (
        _should("trace-id", "string", "W3C trace id of the last attempt", "4bf92f3577b34da6a3ce929d0e0e4736",
                max_bytes=32, pattern=_HEX32, also="traceparent"),
        _should("span-id", "string", "W3C span id of the last attempt", "00f067aa0ba902b7", max_bytes=16,
                pattern="[0-9a-f]{16}"),
        _may("trace-links", "json", "traceparents of earlier attempts",
             '["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]', max_bytes=1024, also="links"),
        _may("correlation-id", "string", "what belongs together, as the publisher says", "checkout-991",
             also="correlation_id"),
        _may("causation-id", "string", "message that caused this one", "01JD8Z3V5K0000000000000000",
             also="causation_id"),
        _may("business-key", "string", "the thing it is about", "order-17", privacy="personal", also="business_key"),
        _may("tenant", "string", "tenant it belongs to", "acme", max_bytes=128),
    ),
    "Replay": (
        _should("reprocess-count", "integer", "how often it was replayed", "1", privacy="public", also="replay_count",
                travels=True),
        _may("replayed-from", "string", "letter it was replayed from last", "01JD8Z3V5K7Q2M9T4R6W8Y0A1B", max_bytes=26,
             privacy="public", pattern=_ULID, also="replayed_from", travels=True),
        _may("replay-job", "string", "job that replayed it", "nightly-7", max_bytes=128, also="replay_job",
             travels=True),
        _may("replayed-by", "string", "who replayed it", "ana", max_bytes=128, privacy="personal", also="replayed_by",
             travels=True),
        _may("replay-timestamp", "timestamp", "when it was replayed", "2026-11-22T08:00:00.000Z", privacy="public",
             also="replayed_at", travels=True),
        _may("edit-patch", "json", "edits made for replay: JSON Patch, SHA-256 of the body before and after",
             '{"patch":[{"op":"replace","path":"/amount","value":7}],"before":"9f86…","after":"60303…"}',
             privacy="personal", also="edit_patch", travels=True),
        _may("redirect-to", "string", "stream the replay went to, if not back to its group", "orders-fixed",
             max_bytes=512, also="redirect_to", travels=True),
        _may("max-reprocess-count", "integer", "replays after which it needs a person", "3", privacy="public",
             also="max_replays", travels=True),
    ),
    "Operations": (
        _may("severity", "enum", "how bad it is", "error", privacy="public", values=SEVERITIES),
        _may("owner-team", "string", "team that answers for the consumer", "payments", max_bytes=128),
        _may("runbook-url", "string", "what to do, for people", "https://wiki.example/runbooks/billing",
             max_bytes=512),
    ),
}

ROWS: Final[tuple[Row, ...]] = tuple(row for rows in SECTIONS.values() for row in rows)
BY_NAME: Final[dict[str, Row]] = {row.name: row for row in ROWS}

_PREFIX = re.compile(r"[a-z][a-z0-9.-]{0,30}-")


def checked_prefix(prefix: str) -> str:
    """``prefix`` if names can begin with it: lower-case letters, digits, dots and hyphens, ending in a hyphen, 32 at
    most.

    Ending in a hyphen keeps it apart from a message's own fields (``id``, ``body``, ``h:…``), none of which holds one
    first.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"the letter prefix {prefix!r} must be lower case and end in a hyphen, as 'x-dlq-'")
    return prefix
