# SPDX-License-Identifier: Apache-2.0
"""Messages and letters over AMQP and back: byte for byte, whatever their fields hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast._amqp.parcel import Arrived, Parcel
from holdfast._base.message import F_BODY, F_ID, Message
from holdfast.brokers.notes import pack, unpack
from holdfast.brokers.rabbitmq.form import (
    H_IDENTITY,
    HEADERS_MAX,
    PACKED,
    again,
    fields_of,
    id_of,
    letter_parcel,
    note_of,
    parcel_of,
)
from holdfast.consume.contract import Note

NAMES = st.sampled_from([b"id", b"key", b"type", b"v", b"at", b"ct", b"traceparent", b"tracestate", b"h:lang", b"h:",
                         b"h:x-death", b"h:hf-at", b"h:x-dlq-a", b"h:traceparent", b"own", b"x-dlq-reason", b"hf:note"])
FIELDS = st.lists(st.tuples(NAMES | st.binary(max_size=300), st.binary(max_size=300)), max_size=12)


def carried(parcel: Parcel, **more) -> Arrived:
    """As RabbitMQ delivers it: names in another order, times in whole seconds, and an id from the driver."""
    at = parcel.properties.get("timestamp")
    properties = {"message_id": "from-the-driver", **parcel.properties}
    if at is not None:
        properties["timestamp"] = datetime.fromtimestamp(at, UTC)
    return Arrived(tag=1, redelivered=False, exchange=parcel.exchange, key=parcel.key,
                   headers={**dict(sorted(parcel.headers.items())), **more}, properties=properties, body=parcel.body)


def pairs(fields):
    return sorted(zip(fields[::2], fields[1::2], strict=True))


@given(FIELDS, st.booleans())
@example([(b"id", b"7"), (b"ct", b"application/json")], True)
@example([(b"id", b"7"), (b"id", b"8")], True)
@example([(b"h:a", b"1"), (b"h:a", b"2")], True)
@example([(b"at", b"1700000000123")], True)
def test_what_goes_out_comes_back(given_fields, has_body):
    fields = [part for pair in given_fields if pair[0] != F_BODY for part in pair] + ([F_BODY, b"\x00{"] * has_body)
    parcel = parcel_of(fields, exchange="orders", key="orders", prefix="x-dlq-")
    back = fields_of(carried(parcel), "x-dlq-")
    if parcel.properties.get("content_type") == PACKED:
        assert back == fields
    else:
        assert pairs(back) == pairs([p for n, v in zip(fields[::2], fields[1::2], strict=True) if n != b"hf:note"
                                     for p in (n, v)])
    assert sum(len(n) + len(str(v)) for n, v in parcel.headers.items()) <= HEADERS_MAX * 2


def test_a_message_is_what_others_expect_of_one():
    fields = [b"id", b"7", b"type", b"order", b"at", b"1700000000123", b"h:lang", b"nl", b"body", b"{}"]
    parcel = parcel_of(fields, exchange="orders", key="orders", prefix="x-dlq-")
    assert parcel.properties == {"message_id": "7", "message_type": "order", "content_type": "application/json",
                                 "timestamp": 1700000000}
    assert parcel.headers == {"hf-at": "1700000000123", "lang": "nl"}
    assert parcel.body == b"{}"


def test_the_lineage_of_a_replay_comes_last_and_begins_with_its_mark():
    fields = [b"id", b"7", b"body", b"{}", b"x-dlq-spec-version", b"1", b"x-dlq-attempts", b"3"]
    back = fields_of(carried(parcel_of(fields, exchange="", key="q", prefix="x-dlq-")), "x-dlq-")
    assert back[:4] == [b"id", b"7", b"body", b"{}"]
    assert back[4] == b"x-dlq-spec-version"


def test_headers_of_strangers_are_text():
    told = Arrived(tag=1, redelivered=False, exchange="", key="q", body=b"x", properties={"content_type": "text/plain"},
                   headers={"count": 3, "flags": [1, {"a": True}], "raw": b"\xff", "x-death": [],
                            "x-delivery-count": 2})
    message = Message("s", b"e", fields_of(told, "x-dlq-"))
    assert message.map[b"h:count"] == b"3"
    assert message.map[b"h:flags"] == b'[1,{"a":true}]'
    assert message.map[b"h:raw"] == b"\xff"
    assert set(message.map) == {b"ct", b"h:count", b"h:flags", b"h:raw", b"body"}


def test_going_on_nothing_ends_it_copies_it_or_is_taken_for_it():
    told = Arrived(tag=1, redelivered=True, exchange="", key="q", body=b"x", properties={"correlation_id": "c"},
                   headers={"lang": "nl", "CC": ["elsewhere"], "x-delivery-count": 4, "x-first-death-queue": "a",
                            "x-death": [{"queue": "hf/later/3"}, {"queue": "theirs"}], "hf-note": b"old"})
    going = again(told, pack(Note(attempts=2)), exchange="", key="r", waited="hf/later/", prefix="x-dlq-",
                  extra={H_IDENTITY: "i"})
    assert set(going.headers) == {"lang", "x-death", "hf-note", "hf-anonymous", H_IDENTITY}
    assert going.headers["x-death"] == [{"queue": "theirs"}]
    assert (going.properties, going.body) == ({"correlation_id": "c"}, b"x")
    back = carried(going)
    assert unpack(note_of(back)) == Note(attempts=2)
    assert id_of(back) == ""  # the driver gave it one, which is not its own
    assert F_ID not in fields_of(back, "x-dlq-")[::2]


@pytest.mark.parametrize("large", ["x" * 70_000, [{"a": "x" * 70_000}], {str(n): n for n in range(8_000)}],
                         ids=["text", "list", "table"])
def test_with_headers_that_leave_no_room_in_a_frame_it_goes_on_packed_and_is_what_it_was(large):
    told = Arrived(tag=1, redelivered=False, exchange="", key="q", body=b"x", headers={"lang": "nl", "large": large},
                   properties={"message_id": "7", "content_type": "text/plain"})
    going = again(told, pack(Note(attempts=2)), exchange="", key="r", waited="hf/later/", prefix="x-dlq-")
    assert set(going.headers) == {"hf-note"}
    assert going.properties == {"content_type": PACKED, "message_id": "7"}
    back = carried(going)
    assert (unpack(note_of(back)), id_of(back)) == (Note(attempts=2), "7")
    assert pairs(fields_of(back, "x-dlq-")) == pairs(fields_of(told, "x-dlq-"))


def test_a_letter_is_known_by_its_id_in_whatever_form_it_travels():
    for fields in ([b"x-dlq-letter-id", b"L", b"body", b"{}"], [b"x-dlq-letter-id", b"L"]):
        parcel = letter_parcel(fields, "L", queue="dead", prefix="x-dlq-")
        assert parcel.headers["hf-letter"] == "L"
        assert pairs(fields_of(carried(parcel), "x-dlq-")) == pairs(fields)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"no note"])
def test_a_note_that_cannot_be_read_is_none(raw):
    assert unpack(raw) is None
