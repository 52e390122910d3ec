# SPDX-License-Identifier: Apache-2.0
"""Apache Pulsar: properties that its clients add when they send a message to a retry or dead-letter topic.

They say where it came from and how often it was tried, and nothing of an error. Old clients misspelt the origin's key;
new ones write both. Source: ``RetryMessageUtil`` and ``ConsumerImpl`` of the Java client.
"""

from __future__ import annotations

from typing import Final

from .codecs import DIGITS, TEXT, Table

PULSAR: Final = Table(
    "Apache Pulsar, properties `REAL_TOPIC`, `REAL_SUBSCRIPTION`, `ORIGIN_MESSAGE_ID` (and `ORIGIN_MESSAGE_IDY_TIME`, "
    "as old clients spell it), `RECONSUMETIMES`; no error", (
        ("REAL_TOPIC", "original-topic", TEXT),
        ("REAL_SUBSCRIPTION", "consumer-group", TEXT),
        ("ORIGIN_MESSAGE_ID", "original-offset", TEXT),
        ("ORIGIN_MESSAGE_IDY_TIME", "original-offset", TEXT),
        ("RECONSUMETIMES", "retry-count", DIGITS),
    ), implied={"failure-reason": "max_attempts"})
