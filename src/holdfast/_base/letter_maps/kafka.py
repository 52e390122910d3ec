# SPDX-License-Identifier: Apache-2.0
"""Dead letters of the Kafka family: Spring for Apache Kafka, Connect, Streams, share groups.

Kafka headers are bytes. Spring writes numbers raw, which no tool shows readably; the others write digits. Sources:
Spring's ``KafkaHeaders``, ``RetryTopicHeaders`` and ``DeadLetterRecordManager``; KIP-298, KIP-1034 with
``ExceptionHandlerUtils``; KIP-1191 with ``ShareGroupDLQStateManager``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..letter_text import utf8
from .codecs import BYTE_DIGITS, BYTES, INT32, INT64, MS64, Table, renamed, rows
from .form import text_of

_DLT: Final = "kafka_dlt-"
_ORIGINAL: Final = ("topic", "partition", "offset", "timestamp", "timestamp-type", "consumer-group")
_EXCEPTION: Final = ("fqcn", "cause-fqcn", "message", "stacktrace")
#: Retry topics write the same without ``dlt-``.
_PLAIN: Final = {f"kafka_{kind}-{part}": f"{_DLT}{kind}-{part}" for kind, parts in
                 (("original", _ORIGINAL), ("exception", _EXCEPTION)) for part in parts}

#: A record that dies twice has several ``original-…`` of one name, each of one death; the first tells where it was
#: first.
SPRING: Final = Table(
    "Spring for Apache Kafka, headers `kafka_dlt-*`, and `kafka_*` of retry topics; numbers are raw big-endian bytes "
    "there, and `exception-fqcn` is mostly Spring's own wrapper, with the cause in `exception-cause-fqcn`", (
        *rows(_DLT, BYTES, original__topic="original-topic", original__consumer__group="consumer-group",
              exception__fqcn="exception-type", exception__cause__fqcn="root-cause-type",
              exception__message="exception-message", exception__stacktrace="exception-stacktrace"),
        (_DLT + "original-partition", "original-partition", INT32),
        (_DLT + "original-offset", "original-offset", INT64),
        (_DLT + "original-timestamp", "original-timestamp", MS64),
        ("retry_topic-attempts", "attempts", INT32),
    ), aliases=_PLAIN, implied={"failure-reason": "handler_error"},
    firsts=(f"{start}original-{part}" for start in (_DLT, "kafka_") for part in _ORIGINAL))


class _Connect(Table):
    """A sink's consumer group is named after its connector, unless the connector says otherwise."""

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """As the rows say."""
        found = super().read(headers)
        if found.get("consumer-service"):
            found["consumer-group"] = "connect-" + found["consumer-service"]
        return found


CONNECT: Final = _Connect(
    "Kafka Connect (KIP-298), headers `__connect.errors.*`, written only with `context.headers.enable`", (
        *rows("__connect.errors.", BYTES, topic="original-topic", connector_name="consumer-service",
              task_id="consumer-instance", class_name="handler", exception_class_name="exception-type",
              exception_message="exception-message", exception_stacktrace="exception-stacktrace"),
        *rows("__connect.errors.", BYTE_DIGITS, partition="original-partition", offset="original-offset"),
        ("__connect.errors.stage", "error-stage", renamed(
            {"VALUE_CONVERTER": "decode", "KEY_CONVERTER": "decode", "HEADER_CONVERTER": "decode",
             "TASK_PUT": "handle", "TRANSFORMATION": "handle", "TASK_POLL": "handle", "KAFKA_CONSUME": "decode",
             "KAFKA_PRODUCE": "commit"}, "TASK_PUT")),
    ), implied={"failure-reason": "handler_error"})


class _Streams(Table):
    """``exception`` is Java's ``toString``: the type, and behind a colon the message once more."""

    NAME: Final = "__streams.errors.exception"

    def write(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """As the rows say, and the message behind the type."""
        headers = super().write(metadata)
        if self.NAME in headers and metadata.get("exception-message"):
            headers[self.NAME] += utf8(f": {metadata['exception-message']}")
        return headers

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """As the rows say, without the message behind the type."""
        found = super().read(headers)
        kind, colon, said = found.get("exception-type", "").partition(": ")
        if colon:
            found["exception-type"] = kind
            if headers.get("__streams.errors.message") is None:
                found["exception-message"] = said
        return found


STREAMS: Final = _Streams(
    "Kafka Streams (KIP-1034), headers `__streams.errors.*`; `exception` holds the type, a colon and the message", (
        *rows("__streams.errors.", BYTES, exception="exception-type", stacktrace="exception-stacktrace",
              message="exception-message", topic="original-topic"),
        *rows("__streams.errors.", BYTE_DIGITS, partition="original-partition", offset="original-offset"),
    ), implied={"failure-reason": "handler_error"})


class _ShareGroup(Table):
    """The broker gives a cause only in words; one of its two is a consumer's refusal."""

    REJECTED: Final = "Offset rejected by client."

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """As the rows say; the words decide the reason."""
        rejected = text_of(headers.get("__dlq.errors.message")) == self.REJECTED
        return super().read(headers) | ({"failure-reason": "rejected"} if rejected else {})


SHARE_GROUP: Final = _ShareGroup(
    "Kafka share groups (KIP-1191), headers `__dlq.errors.*`", (
        *rows("__dlq.errors.", BYTES, topic="original-topic", group="consumer-group", message="exception-message"),
        *rows("__dlq.errors.", BYTE_DIGITS, partition="original-partition", offset="original-offset",
              delivery_count="delivery-count"),
    ), implied={"failure-reason": "max_attempts"})
