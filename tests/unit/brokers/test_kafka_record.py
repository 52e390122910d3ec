# SPDX-License-Identifier: Apache-2.0
"""A message as a Kafka record, and back: nothing of it is lost, and nobody's header is taken for a field of ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.message import Message
from holdfast.brokers.kafka.record import fields_of, parts_of

OURS = [b"id", b"type", b"v", b"at", b"ct", b"traceparent", b"tracestate", b"hf:identity", b"hf:note", b"key", b"body"]
NAMES = st.one_of(st.sampled_from(OURS), st.binary(min_size=1, max_size=12),
                  st.text(min_size=1, max_size=12).map(lambda t: b"h:" + t.encode("utf-8", "replace")),
                  st.sampled_from([b"h:hf:id", b"h:id", b"h:traceparent", b"x-dlq-reason", b"h:x-dlq-reason",
                                   b"hf:field:6964", b"\xff\xfe"]))


@given(st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=8))
def test_every_field_comes_back(pairs):
    fields = [part for pair in pairs for part in pair]
    for plain in ("", "x-dlq-"):
        back = fields_of(*parts_of(fields, plain), plain=plain)
        own = sorted(zip(back[::2], back[1::2], strict=True))
        expected = sorted([*pairs, *([] if any(name == b"body" for name, _ in pairs) else [(b"body", b"")])])
        assert own == expected


def test_our_message_is_plain_to_others():
    key, value, headers = parts_of([b"id", b"7", b"key", b"k", b"type", b"order", b"h:lang", b"nl", b"body", b"{}"])
    assert (key, value) == (b"k", b"{}")
    assert headers == [("hf:id", b"7"), ("hf:type", b"order"), ("lang", b"nl")]


def test_a_record_of_somebody_else_is_a_message():
    fields = fields_of(b"k", b"{}", [("id", b"theirs"), ("traceparent", b"00-1"), ("none", None)], 1_700_000_000_000)
    message = Message("orders", b"3-7", fields)
    assert message.headers == {"id": "theirs", "none": ""}
    assert (message.key, message.body, message.traceparent) == ("k", b"{}", "00-1")
    assert message.at_ms == 1_700_000_000_000
    assert message.id.startswith("orders/3-7/")


def test_a_tombstone_is_an_empty_body():
    assert fields_of(b"k", None, None) == [b"key", b"k", b"body", b""]
