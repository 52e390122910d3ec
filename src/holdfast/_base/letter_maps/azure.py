# SPDX-License-Identifier: Apache-2.0
"""Azure Service Bus: two properties that its dead-letter queues add, and what messages carry there anyway.

``DeadLetterReason`` is one of the broker's own words or any word of an application; such a word is our ``error-code``.
Names are those of the .NET client and of ``BrokerProperties``; the annotations of AMQP are read too. The queue itself
is named only for a letter that was forwarded on, so tell ``from_format`` which one was read. Source: "Overview of
Service Bus dead-letter queues", AMQP 1.0 protocol guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..letter import REASONS as OURS
from .codecs import ISO, NUMBER, TEXT, Table, rows
from .form import text_of

REASON: Final = "DeadLetterReason"
#: The broker's own words → ours.
REASONS: Final = {"MaxDeliveryCountExceeded": "max_attempts", "TTLExpiredException": "expired"}
_BACK: Final = {ours: theirs for theirs, ours in REASONS.items()}


class _ServiceBus(Table):
    def write(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """As the rows say. A refusal with a code is told by its code."""
        reason, code = metadata.get("failure-reason", ""), metadata.get("error-code", "")
        word = code if code and reason == "rejected" else _BACK.get(reason, reason)
        return ({REASON: word} if word else {}) | super().write(metadata)

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """As the rows say. A word that is nobody's is an application's code."""
        found = super().read(headers)
        if headers.get(REASON) is None:
            return found
        word = text_of(headers[REASON])
        ours = REASONS.get(word, word)
        code = {} if ours in OURS else {"error-code": word}
        return found | {"failure-reason": "rejected" if code else ours} | code


SERVICE_BUS: Final = _ServiceBus(
    "Azure Service Bus, properties `DeadLetterReason`, `DeadLetterErrorDescription` and those of the message", (
        *rows("", TEXT, DeadLetterErrorDescription="exception-message", DeadLetterSource="original-topic",
              MessageId="original-message-id", CorrelationId="correlation-id", PartitionKey="original-key",
              Subject="message-type", ContentType="original-content-type"),
        *rows("", NUMBER, DeliveryCount="delivery-count", EnqueuedSequenceNumber="original-offset"),
        ("EnqueuedTimeUtc", "original-timestamp", ISO),
    ), aliases={"x-opt-deadletter-source": "DeadLetterSource", "Label": "Subject", "EnqueuedTime": "EnqueuedTimeUtc",
                "x-opt-enqueued-time": "EnqueuedTimeUtc", "x-opt-enqueue-sequence-number": "EnqueuedSequenceNumber"},
    implied={"failure-reason": "rejected"})
