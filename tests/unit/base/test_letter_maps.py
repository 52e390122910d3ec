# SPDX-License-Identifier: Apache-2.0
"""Other systems' metadata: read, written, and what is lost counted."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime

import pytest

from holdfast._base.letter import BY_NAME, ROWS
from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_maps import FORMATS, from_format, to_format
from holdfast._base.letter_maps.plainly import CloudEvent
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
    "__streams.errors.exception": b"org.example.Bad: no",
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


#: As some clients give times: without a zone.
NAIVE = datetime(2026, 11, 22, 7, 13, 6, tzinfo=UTC).replace(tzinfo=None)
OPT_DEATHS = {
    "x-opt-deaths": [
        {
            "queue": "orders",
            "reason": "rejected",
            "count": 3,
            "first-time": datetime(2026, 11, 22, 7, 12, 1, tzinfo=UTC),
            "last-time": datetime(2026, 11, 22, 7, 13, 6, 123000, tzinfo=UTC),
            "exchange": "shop",
            "routing-keys": ["order.paid"],
            "ttl": 60000,
        }
    ],
    "x-first-death-queue": "orders",
    "x-first-death-reason": "rejected",
    "x-first-death-exchange": "shop",
}
AZURE = {
    "DeadLetterReason": "MaxDeliveryCountExceeded",
    "DeadLetterErrorDescription": "Message could not be consumed after 10 delivery attempts.",
    "DeadLetterSource": "orders",
    "DeliveryCount": 10,
    "MessageId": "m1",
    "Subject": "order.paid",
    "EnqueuedTimeUtc": "2026-11-22T07:12:01Z",
    "SequenceNumber": 5,
}
PULSAR = {
    "REAL_TOPIC": "persistent://public/default/orders",
    "REAL_SUBSCRIPTION": "billing",
    "ORIGIN_MESSAGE_ID": "7:42:-1",
    "ORIGIN_MESSAGE_IDY_TIME": "7:42:-1",
    "RECONSUMETIMES": "16",
    "DELAY_TIME": "3000",
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
                "consumer-group": "connect-sink",
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
                "consumer-group": "billing",
            },
            [],
        ),
        (
            "rabbitmq-amqp-1.0",
            OPT_DEATHS,
            {
                "original-topic": "orders",
                "consumer-group": "orders",
                "failure-reason": "rejected",
                "failure-timestamp": "2026-11-22T07:13:06.123Z",
                "first-failure-timestamp": "2026-11-22T07:12:01.000Z",
            },
            ["x-opt-deaths"],
        ),
        (
            "azure-service-bus",
            AZURE,
            {
                "original-topic": "orders",
                "failure-reason": "max_attempts",
                "exception-message": "Message could not be consumed after 10 delivery attempts.",
                "delivery-count": "10",
                "original-message-id": "m1",
                "message-type": "order.paid",
                "original-timestamp": "2026-11-22T07:12:01.000Z",
            },
            ["EnqueuedTimeUtc", "SequenceNumber"],
        ),
        (
            "pulsar",
            PULSAR,
            {
                "original-topic": "persistent://public/default/orders",
                "consumer-group": "billing",
                "original-offset": "7:42:-1",
                "retry-count": "16",
                "failure-reason": "max_attempts",
            },
            ["DELAY_TIME"],
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
    assert got.rest == tuple((key, headers[key]) for key in headers if key in lost)
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
    headers, lost, _ = to_format(name, FULL)
    back = from_format(name, headers, at_ms=0).fields
    assert {key: back.get(key) for key in FULL if key not in lost} == {
        key: value for key, value in FULL.items() if key not in lost
    }


@pytest.mark.parametrize("name", FORMATS)
def test_with_the_rest_kept_under_our_prefix_everything_comes_back(name):
    headers, lost, _ = to_format(name, FULL, keep_rest=True)
    assert lost == ()
    back = from_format(name, headers, at_ms=0).fields
    assert {key: back.get(key) for key in FULL} == FULL
    assert conforms(check(back))


@pytest.mark.parametrize("name", ["cloudevents", "redis-json"])
def test_some_formats_lose_nothing(name):
    assert to_format(name, FULL).lost == ()


def test_an_entry_id_is_no_kafka_offset_and_is_named_as_lost():
    headers, lost, _ = to_format("spring-kafka", FULL | {"original-offset": "1763795586123-0"})
    assert "original-offset" in lost
    assert "kafka_dlt-original-offset" not in headers


def test_numbers_are_what_their_consumers_expect():
    assert to_format("spring-kafka", FULL).fields["kafka_dlt-original-partition"] == struct.pack(
        ">i", int(FULL["original-partition"])
    )


def test_cloudevents_names_are_lower_case_letters_and_digits_and_unique():
    headers = CloudEvent().write(dict.fromkeys(BY_NAME, "x"))
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


def test_spring_s_retry_topics_leave_dlt_out_of_their_names():
    plain = {name.replace("kafka_dlt-", "kafka_"): value for name, value in SPRING.items()}
    told = from_format("spring-kafka", plain, at_ms=0).fields
    assert (told["original-topic"], told["original-offset"], told["exception-type"]) == (
        "orders",
        "42",
        "org.example.Declined",
    )


def test_of_several_origins_the_first_counts_and_of_several_errors_the_last():
    twice = [
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-exception-fqcn", b"org.example.First"),
        ("kafka_dlt-original-topic", b"orders-dlt"),
        ("kafka_dlt-exception-fqcn", b"org.example.Second"),
    ]
    got = from_format("spring-kafka", twice, at_ms=0)
    assert (got.fields["original-topic"], got.fields["exception-type"]) == ("orders", "org.example.Second")
    assert got.rest == (twice[1], twice[2])


@pytest.mark.parametrize(
    ("given", "read"),
    [(b"\x03", "3"), (b"\x00\x00\x00\x03", "3"), ("\x00\x00\x00\x03", "3"), ("3", "3"), (3, "3"), (b"33", "33")],
)
def test_a_number_is_read_however_a_client_gives_it(given, read):
    assert from_format("spring-kafka", {"retry_topic-attempts": given}, at_ms=0).fields["attempts"] == read


def test_no_offset_is_none():
    got = from_format("kafka-streams", {"__streams.errors.offset": b"-1"}, at_ms=0)
    assert ("original-offset" not in got.fields, got.lost) == (True, ("__streams.errors.offset",))


@pytest.mark.parametrize(
    ("headers", "reason", "code"),
    [
        ({"DeadLetterReason": "TTLExpiredException"}, "expired", None),
        ({"DeadLetterReason": "credit.limit"}, "rejected", "credit.limit"),
        ({"DeadLetterReason": "crash_loop"}, "crash_loop", None),
    ],
)
def test_a_word_of_an_application_is_its_code_and_comes_back(headers, reason, code):
    got = from_format("azure-service-bus", headers, at_ms=0)
    assert (got.fields["failure-reason"], got.fields.get("error-code"), got.lost) == (reason, code, ())
    assert to_format("azure-service-bus", got.fields).fields["DeadLetterReason"] == headers["DeadLetterReason"]


def test_a_broker_s_two_causes_are_told_apart():
    refused = SHARE | {"__dlq.errors.message": b"Offset rejected by client."}
    assert from_format("kafka-share-group", refused, at_ms=0).fields["failure-reason"] == "rejected"


def test_the_first_death_of_all_is_known_when_the_history_has_moved_it_to_the_front():
    moved = RABBIT | {"x-first-death-queue": "billing", "x-first-death-reason": "delivery_limit"}
    assert from_format("rabbitmq", moved, at_ms=0).fields["original-topic"] == "billing"


@pytest.mark.parametrize("time", [1795331586, "2026-11-22T07:13:06Z", NAIVE])
def test_a_time_is_read_however_a_client_gives_it(time):
    deaths = [RABBIT["x-death"][0] | {"time": time}]
    got = from_format("rabbitmq", {"x-death": deaths}, at_ms=0)
    assert (got.fields["failure-timestamp"], got.lost) == ("2026-11-22T07:13:06.000Z", ())


def test_where_nothing_says_where_it_died_the_caller_does():
    told = from_format("azure-service-bus", {}, at_ms=7, stream="orders", group="billing").fields
    assert (told["original-topic"], told["consumer-group"]) == ("orders", "billing")
    assert from_format("azure-service-bus", {}, at_ms=7).fields["original-topic"] == "unknown"


def test_an_error_is_masked_and_kept_as_it_was_beside_the_letter():
    said = "password=hunter2"
    got = from_format("azure-service-bus", {"DeadLetterErrorDescription": said}, at_ms=0)
    assert "hunter2" not in str(got.fields)
    assert (got.fields["redacted"], got.rest) == ("exception-message", (("DeadLetterErrorDescription", said),))


def test_what_is_too_long_is_cut_and_kept_whole_beside_the_letter():
    stack = b"at org.example.Bill\n" * 5000
    got = from_format("spring-kafka", {"kafka_dlt-exception-stacktrace": stack}, at_ms=0)
    assert len(got.fields["exception-stacktrace"].encode()) <= 8192
    assert got.fields["truncated-fields"] == "exception-stacktrace"
    assert got.rest == (("kafka_dlt-exception-stacktrace", stack),)


def test_imported_letters_gather_by_their_error():
    def fingerprint(message):
        headers = SPRING | {"kafka_dlt-exception-message": message}
        return from_format("spring-kafka", headers, at_ms=0).fields["exception-fingerprint"]

    assert fingerprint(b"order 7 declined") == fingerprint(b"order 8 declined") != fingerprint(b"no route")


@pytest.mark.parametrize("headers", [7, ["a"], None])
def test_headers_that_are_none_are_refused_with_what_they_should_be(headers):
    with pytest.raises(ConfigurationError, match="a mapping, or pairs"):
        from_format("rabbitmq", headers, at_ms=0)


def test_a_field_of_ours_that_breaks_the_specification_stays_out_and_is_handed_over():
    got = from_format("pulsar", {"x-dlq-attempts": "many", "REAL_TOPIC": "orders"}, at_ms=0)
    assert conforms(check(got.fields))
    assert got.rest == (("x-dlq-attempts", "many"),)
