# SPDX-License-Identifier: Apache-2.0
"""Other systems' metadata: read, written, and what is lost counted."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime

import pytest

from holdfast._base.letter import BY_NAME, ROWS
from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_maps import FORMATS, CloudEvent, from_format, to_format
from holdfast.errors import ConfigurationError

#: A letter that every format can say something about: a Kafka offset rather than an entry id.
FULL = {row.name: row.example for row in ROWS} | {"original-offset": "42"}

SPRING = {
    "kafka_dlt-original-topic": b"orders",
    "kafka_dlt-original-partition": struct.pack(">i", 3),
    "kafka_dlt-original-offset": struct.pack(">q", 42),
    "kafka_dlt-original-timestamp": struct.pack(">q", 1763795585000),
    "kafka_dlt-original-timestamp-type": b"CreateTime",
    "kafka_dlt-original-consumer-group": b"billing",
    "kafka_dlt-exception-fqcn": b"org.example.Declined",
    "kafka_dlt-exception-message": b"declined",
    "kafka_dlt-exception-stacktrace": b"at org.example.Bill",
    "retry_topic-attempts": struct.pack(">i", 5),
}
CONNECT = {
    "__connect.errors.topic": b"orders",
    "__connect.errors.partition": b"3",
    "__connect.errors.offset": b"42",
    "__connect.errors.connector.name": b"sink",
    "__connect.errors.task.id": b"0",
    "__connect.errors.stage": b"VALUE_CONVERTER",
    "__connect.errors.class.name": b"org.example.Json",
    "__connect.errors.exception.class.name": b"org.example.Bad",
    "__connect.errors.exception.message": b"no json",
    "__connect.errors.exception.stacktrace": b"at x",
}
STREAMS = {
    "__streams.errors.exception": b"org.example.Bad",
    "__streams.errors.stacktrace": b"at x",
    "__streams.errors.message": b"no",
    "__streams.errors.topic": b"orders",
    "__streams.errors.partition": b"3",
    "__streams.errors.offset": b"42",
}
SHARE = {
    "__dlq.errors.topic": b"orders",
    "__dlq.errors.partition": b"3",
    "__dlq.errors.offset": b"42",
    "__dlq.errors.group": b"billing",
    "__dlq.errors.delivery.count": b"6",
    "__dlq.errors.message": b"gave up",
}
RABBIT = {
    "x-death": [
        {
            "queue": "billing",
            "reason": "delivery_limit",
            "count": 2,
            "exchange": "shop",
            "routing-keys": ["order.paid"],
            "time": datetime(2026, 11, 22, 7, 13, 6, tzinfo=UTC),
        },
        {
            "queue": "orders",
            "reason": "expired",
            "count": 1,
            "exchange": "shop",
            "routing-keys": ["order.paid"],
            "time": datetime(2026, 11, 22, 7, 12, 1, tzinfo=UTC),
        },
    ],
    "x-first-death-queue": "orders",
    "x-first-death-reason": "expired",
    "x-first-death-exchange": "shop",
    "x-last-death-queue": "billing",
    "x-last-death-reason": "delivery_limit",
    "x-last-death-exchange": "shop",
    "x-delivery-count": 20,
}
NSB = {
    "NServiceBus.FailedQ": "orders@pod-7",
    "NServiceBus.ExceptionInfo.ExceptionType": "Acme.Declined",
    "NServiceBus.ExceptionInfo.Message": "declined",
    "NServiceBus.ExceptionInfo.StackTrace": "at Acme.Bill",
    "NServiceBus.TimeOfFailure": "2026-11-22 07:13:06:123000 Z",
    "NServiceBus.TimeSent": "2026-11-22 07:13:05:000000 Z",
    "NServiceBus.MessageId": "7f3a",
    "NServiceBus.ProcessingEndpoint": "billing",
    "NServiceBus.ProcessingMachine": "pod-7",
    "NServiceBus.ExceptionInfo.HelpLink": "https://example",
}


@pytest.mark.parametrize(
    ("name", "headers", "told", "lost"),
    [
        (
            "spring-kafka",
            SPRING,
            {
                "original-topic": "orders",
                "original-partition": "3",
                "original-offset": "42",
                "consumer-group": "billing",
                "attempts": "5",
                "original-timestamp": "2025-11-22T07:13:05.000Z",
                "exception-type": "org.example.Declined",
            },
            ["kafka_dlt-original-timestamp-type"],
        ),
        (
            "kafka-connect",
            CONNECT,
            {
                "original-offset": "42",
                "error-stage": "decode",
                "consumer-service": "sink",
                "consumer-group": "sink",
                "exception-message": "no json",
            },
            [],
        ),
        (
            "kafka-streams",
            STREAMS,
            {"original-topic": "orders", "exception-type": "org.example.Bad", "consumer-group": "orders"},
            [],
        ),
        (
            "kafka-share-group",
            SHARE,
            {"delivery-count": "6", "consumer-group": "billing", "failure-reason": "max_attempts"},
            [],
        ),
        (
            "rabbitmq",
            RABBIT,
            {
                "original-topic": "orders",
                "original-exchange": "shop",
                "original-routing-key": "order.paid",
                "failure-reason": "max_attempts",
                "failure-timestamp": "2026-11-22T07:13:06.000Z",
                "first-failure-timestamp": "2026-11-22T07:12:01.000Z",
                "delivery-count": "20",
            },
            [],
        ),
        (
            "nservicebus",
            NSB,
            {
                "original-topic": "orders@pod-7",
                "failure-timestamp": "2026-11-22T07:13:06.123Z",
                "original-message-id": "7f3a",
                "consumer-service": "billing",
            },
            ["NServiceBus.ExceptionInfo.HelpLink"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_their_letter_is_read_into_a_valid_one_of_ours(name, headers, told, lost):
    got = from_format(name, headers, at_ms=1763795586999)
    assert {key: got.fields.get(key) for key in told} == told
    assert list(got.lost) == lost
    assert [p for p in check(got.fields) if p.level != "info"] == []


def test_rabbit_s_history_becomes_ours():
    deaths = json.loads(from_format("rabbitmq", RABBIT, at_ms=0).fields["deaths"])
    assert [(d["group"], d["reason"], d["count"]) for d in deaths] == [
        ("billing", "max_attempts", 2),
        ("orders", "expired", 1),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_importing_twice_makes_one_letter(name):
    headers = to_format(name, FULL).fields
    ids = {from_format(name, headers, at_ms=1763795586999).fields["letter-id"] for _ in range(2)}
    assert len(ids) == 1
    assert from_format(name, {**headers, "more": "x"}, at_ms=1763795586999, group="other").fields["consumer-group"]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_not_named_as_lost_comes_back_as_it_was(name):
    headers, lost = to_format(name, FULL)
    back = from_format(name, headers, at_ms=0).fields
    assert {key: back.get(key) for key in FULL if key not in lost} == {
        key: value for key, value in FULL.items() if key not in lost
    }


@pytest.mark.parametrize("name", FORMATS)
def test_with_the_rest_kept_under_our_prefix_everything_comes_back(name):
    headers, lost = to_format(name, FULL, keep_rest=True)
    assert lost == ()
    back = from_format(name, headers, at_ms=0).fields
    assert {key: back.get(key) for key in FULL} == FULL
    assert conforms(check(back))


@pytest.mark.parametrize("name", ["cloudevents", "redis-json"])
def test_some_formats_lose_nothing(name):
    assert to_format(name, FULL).lost == ()


def test_an_entry_id_is_no_kafka_offset_and_is_named_as_lost():
    headers, lost = to_format("spring-kafka", FULL | {"original-offset": "1763795586123-0"})
    assert "original-offset" in lost
    assert "kafka_dlt-original-offset" not in headers


def test_numbers_are_what_their_consumers_expect():
    assert to_format("spring-kafka", FULL).fields["kafka_dlt-original-partition"] == struct.pack(
        ">i", int(FULL["original-partition"])
    )


def test_cloudevents_names_are_lower_case_letters_and_digits_and_unique():
    headers = CloudEvent().write(dict.fromkeys(BY_NAME, "x")).fields
    assert len(headers) == len(BY_NAME) + 2
    assert [name for name in headers if not (name.isalnum() and name == name.lower() and name.isascii())] == []
    assert (headers["specversion"], headers["type"]) == ("1.0", "holdfast.letter.buried.v1")


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("spring-kafka", {"kafka_dlt-original-offset": b"xx", "kafka_dlt-original-topic": b"\xff"}),
        ("kafka-connect", {"__connect.errors.stage": b"UNHEARD_OF"}),
        ("rabbitmq", {"x-death": "no list"}),
        ("rabbitmq", {"x-death": [7]}),
        ("nservicebus", {"NServiceBus.TimeOfFailure": "yesterday"}),
        ("redis-json", {"x-dlq": b"{"}),
        ("rabbitmq", {}),
    ],
)
def test_what_cannot_be_read_is_named_and_stops_nothing(name, headers):
    got = from_format(name, headers, at_ms=1)
    assert got.fields["failure-timestamp"] == "1970-01-01T00:00:00.001Z"
    assert set(got.lost) >= {key for key, value in headers.items() if key != "kafka_dlt-original-topic"}


def test_a_format_nobody_knows_is_refused_with_the_list():
    with pytest.raises(ConfigurationError, match="rabbitmq"):
        to_format("smoke signals", FULL)
