# SPDX-License-Identifier: Apache-2.0
"""Dead-letter metadata as other systems write it, to and from ours.

Each format is a table of (their name, our name, how the value is written), so that what gets lost is a matter of
counting: ``to_format`` names our fields that found no place there, ``from_format`` their headers that found none here.
Formats with headers of free choice can carry the rest under our own prefix (``keep_rest``); then nothing is lost on
the way back.

Sources: Spring for Apache Kafka (KafkaHeaders), KIP-298 (Connect), KIP-1034 (Streams), KIP-1191 (share groups),
RabbitMQ's dead-lettering guide, NServiceBus's message headers, CloudEvents 1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ..errors import ConfigurationError
from .letter import BY_NAME, DEFAULT_PREFIX, SPEC_VERSION
from .letter_codecs import (
    BYTES,
    CONNECT_STAGE,
    INT32,
    INT64,
    MS64,
    NSB_TIME,
    TEXT,
    Codec,
    Format,
    Mapped,
    Table,
    ms_required,
    renamed,
    text_of,
)
from .letter_lineage import json_list, letter_id
from .letter_text import iso


class Deaths:
    """RabbitMQ: ``x-death`` is our ``deaths``, with their reasons, in whole seconds and without fingerprints."""

    says = "RabbitMQ, headers `x-death`, `x-first-death-*`, `x-last-death-*`, `x-delivery-count`"
    #: Their reason → ours. Ours has more of them; those without a like become ``rejected``.
    REASONS: Final = {"rejected": "rejected", "expired": "expired", "maxlen": "trimmed",
                      "delivery_limit": "max_attempts"}

    def write(self, metadata: Mapping[str, str]) -> Mapped:
        reason = renamed(self.REASONS, "rejected").write
        queue, exchange = metadata.get("original-topic", ""), metadata.get("original-exchange", "")
        keys = [metadata["original-routing-key"]] if metadata.get("original-routing-key") else []
        deaths = [{"queue": queue, "reason": reason(row["reason"]), "count": row["count"], "exchange": exchange,
                   "routing-keys": keys, "time": datetime.fromtimestamp(ms_required(row["last"]) // 1000, UTC)}
                  for row in json_list(metadata.get("deaths", ""))]
        headers: dict[str, Any] = {"x-death": deaths} if deaths else {}
        for which, row in (("first", deaths[-1]), ("last", deaths[0])) if deaths else ():
            headers |= {f"x-{which}-death-{part}": row[part] for part in ("queue", "reason", "exchange")}
        kept = {"original-topic", "original-exchange", "original-routing-key"} if deaths else set()
        if metadata.get("delivery-count"):
            headers["x-delivery-count"] = int(metadata["delivery-count"])
            kept.add("delivery-count")
        return Mapped(headers, tuple(sorted({name for name, value in metadata.items() if value} - kept)))

    def read(self, headers: Mapping[str, Any]) -> Mapped:
        lost = set(headers)
        metadata: dict[str, str] = {}
        if str(headers.get("x-delivery-count", "")).isdigit():
            metadata["delivery-count"] = str(headers["x-delivery-count"])
            lost.discard("x-delivery-count")
        deaths = headers.get("x-death") or []
        if not isinstance(deaths, list) or not all(isinstance(row, dict) for row in deaths) or not deaths:
            return Mapped(metadata, tuple(sorted(lost)))
        metadata |= self._origin(deaths[-1]) | self._failure(deaths)
        lost -= {name for name in headers if name == "x-death" or name.startswith(("x-first-death-", "x-last-death-"))}
        return Mapped(metadata, tuple(sorted(lost)))

    @staticmethod
    def _origin(first: Mapping[str, Any]) -> dict[str, str]:
        keys = first.get("routing-keys") or [""]
        return {"original-topic": text_of(first.get("queue", "")), "consumer-group": text_of(first.get("queue", "")),
                "original-exchange": text_of(first.get("exchange", "")), "original-routing-key": text_of(keys[0])}

    def _failure(self, deaths: list[Any]) -> dict[str, str]:
        rows = [{"group": text_of(row.get("queue", "")), "fingerprint": "", "count": int(row.get("count", 1)),
                 "reason": self.REASONS.get(text_of(row.get("reason", "")), "rejected"),
                 "first": _moment(row), "last": _moment(row)} for row in deaths]
        return {"failure-reason": str(rows[0]["reason"]), "failure-timestamp": str(rows[0]["last"]),
                "first-failure-timestamp": str(rows[-1]["first"]), "deaths": msgspec.json.encode(rows).decode()}


def _moment(row: Mapping[str, Any]) -> str:
    time = row.get("time")
    if isinstance(time, datetime):
        return iso(round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000))
    return iso(int(time) * 1000 if isinstance(time, (int, float)) else 0)


class CloudEvent:
    """Everything has a place: attributes where CloudEvents has one, else extensions named ``dlq`` and our name, no
    hyphens."""

    says = "CloudEvents 1.0, attributes and extensions `dlq…`; the event says that a message was buried"
    TYPE: Final = "holdfast.letter.buried.v1"
    NAMES: Final = {"id": "letter-id", "source": "original-topic", "time": "burial-timestamp",
                    "subject": "original-message-id", "datacontenttype": "original-content-type",
                    "partitionkey": "original-key"}
    _FIXED: Final = {"specversion": "1.0", "type": TYPE}

    def __init__(self) -> None:
        taken = set(self.NAMES.values())
        self._ours = self.NAMES | {"dlq" + name.replace("-", ""): name for name in BY_NAME if name not in taken}
        self._theirs = {ours: theirs for theirs, ours in self._ours.items()}

    def write(self, metadata: Mapping[str, str]) -> Mapped:
        known = {self._theirs[name]: value for name, value in metadata.items() if value and name in self._theirs}
        lost = sorted(name for name, value in metadata.items() if value and name not in self._theirs)
        return Mapped({**self._FIXED, **known}, tuple(lost))

    def read(self, headers: Mapping[str, Any]) -> Mapped:
        metadata = {self._ours[name]: text_of(value) for name, value in headers.items() if name in self._ours}
        lost = (name for name in headers if name not in self._ours and name not in self._FIXED)
        return Mapped(metadata, tuple(sorted(lost)))


class OneField:
    """A stream has no headers: all metadata as JSON in one field, for readers that want few fields."""

    says = "Redis stream, one field `x-dlq` that holds all metadata as a JSON object (flat fields are our own form)"
    NAME: Final = "x-dlq"

    def write(self, metadata: Mapping[str, str]) -> Mapped:
        return Mapped({self.NAME: msgspec.json.encode(dict(metadata))}, ())

    def read(self, headers: Mapping[str, Any]) -> Mapped:
        try:
            found = msgspec.json.decode(headers.get(self.NAME, b"{}"), type=dict[str, str])
        except msgspec.DecodeError:
            return Mapped({}, tuple(sorted(headers)))
        return Mapped(found, tuple(sorted(name for name in headers if name != self.NAME)))


def _rows(prefix: str, codec: Codec, **names: str) -> tuple[tuple[str, str, Codec], ...]:
    return tuple((prefix + theirs.replace("__", "-").replace("_", "."), ours, codec) for theirs, ours in names.items())


#: Every format by name.
FORMATS: Final[dict[str, Format]] = {
    "spring-kafka": Table(
        "Spring for Apache Kafka, headers `kafka_dlt-*`; numbers are raw big-endian bytes there", (
            *_rows("kafka_dlt-", BYTES, original__topic="original-topic", original__consumer__group="consumer-group",
                   exception__fqcn="exception-type", exception__cause__fqcn="root-cause-type",
                   exception__message="exception-message", exception__stacktrace="exception-stacktrace"),
            ("kafka_dlt-original-partition", "original-partition", INT32),
            ("kafka_dlt-original-offset", "original-offset", INT64),
            ("kafka_dlt-original-timestamp", "original-timestamp", MS64),
            ("retry_topic-attempts", "attempts", INT32),
        ), {"failure-reason": "handler_error"}),
    "kafka-connect": Table(
        "Kafka Connect (KIP-298), headers `__connect.errors.*`, written only with `context.headers.enable`", (
            *_rows("__connect.errors.", BYTES, topic="original-topic", partition="original-partition",
                   offset="original-offset", connector_name="consumer-service", task_id="consumer-instance",
                   class_name="handler", exception_class_name="exception-type", exception_message="exception-message",
                   exception_stacktrace="exception-stacktrace"),
            ("__connect.errors.stage", "error-stage", CONNECT_STAGE),
        ), {"failure-reason": "handler_error"}),
    "kafka-streams": Table(
        "Kafka Streams (KIP-1034), headers `__streams.errors.*`",
        _rows("__streams.errors.", BYTES, exception="exception-type", stacktrace="exception-stacktrace",
              message="exception-message", topic="original-topic", partition="original-partition",
              offset="original-offset"),
        {"failure-reason": "handler_error"}),
    "kafka-share-group": Table(
        "Kafka share groups (KIP-1191), headers `__dlq.errors.*`",
        _rows("__dlq.errors.", BYTES, topic="original-topic", partition="original-partition", offset="original-offset",
              group="consumer-group", delivery_count="delivery-count", message="exception-message"),
        {"failure-reason": "max_attempts"}),
    "rabbitmq": Deaths(),
    "nservicebus": Table(
        "NServiceBus, headers `NServiceBus.*`", (
            *_rows("NServiceBus.", TEXT, FailedQ="original-topic", ExceptionInfo_ExceptionType="exception-type",
                   ExceptionInfo_InnerExceptionType="root-cause-type", ExceptionInfo_Message="exception-message",
                   ExceptionInfo_StackTrace="exception-stacktrace", ProcessingEndpoint="consumer-service",
                   ProcessingMachine="consumer-host", MessageId="original-message-id", CorrelationId="correlation-id",
                   RelatedTo="causation-id", OriginatingEndpoint="producer", EnclosedMessageTypes="message-type",
                   ContentType="original-content-type"),
            ("NServiceBus.TimeOfFailure", "failure-timestamp", NSB_TIME),
            ("NServiceBus.TimeSent", "original-timestamp", NSB_TIME),
        ), {"failure-reason": "handler_error"}),
    "cloudevents": CloudEvent(),
    "redis-json": OneField(),
}


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise ConfigurationError(f"there is no letter format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def to_format(name: str, metadata: Mapping[str, str], *, keep_rest: bool = False,
              prefix: str = DEFAULT_PREFIX) -> Mapped:
    """Metadata in another system's words. ``lost`` are our fields that could not be said there, or not exactly; with
    ``keep_rest`` these go along under our own prefix, and nothing is lost."""
    headers, lost = _format(name).write(metadata)
    if not keep_rest:
        return Mapped(headers, lost)
    return Mapped(headers | {prefix + ours: metadata[ours] for ours in lost}, ())


def from_format(name: str, headers: Mapping[str, Any], *, at_ms: int, group: str = "",
                prefix: str = DEFAULT_PREFIX) -> Mapped:
    """Another system's metadata in our words, complete as far as those words go. ``lost`` are headers without a place
    here.

    ``at_ms`` is the record's own time and stands for the time of failure where the format has none; ``group`` for the
    consumer group. The letter id follows from the headers, so that importing twice makes one letter.
    """
    own = {n.removeprefix(prefix): text_of(v) for n, v in headers.items() if n.startswith(prefix)}
    theirs = {n: v for n, v in headers.items() if not n.startswith(prefix)}
    metadata, lost = _format(name).read(theirs)
    told = sorted(f"{n}={text_of(v)}" for n, v in theirs.items())
    filled = {"spec-version": str(SPEC_VERSION), "failure-timestamp": iso(at_ms), "burial-timestamp": iso(at_ms),
              "letter-id": letter_id([name, group, *told], at_ms),
              "consumer-group": group or metadata.get("consumer-service", "") or metadata.get("original-topic", "")}
    return Mapped({**filled, **metadata, **own}, lost)


def page() -> str:
    """The part of the reference page that lists formats and what each leaves out."""
    lines = ["`holdfast._base.letter_maps` reads and writes these:", ""]
    for name, form in FORMATS.items():
        lines.append(f"- **{name}**: {form.says}.")
        if isinstance(form, Table):
            lines.append("  " + "; ".join(f"`{theirs}` is `{ours}`" for theirs, ours, _ in form.rows) + ".")
    return "\n".join(lines)
