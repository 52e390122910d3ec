# SPDX-License-Identifier: Apache-2.0
"""What a row of the outbox is made of, how rows are cut into calls, and for how long a stream rests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.clock import Instant

pytest.importorskip("sqlalchemy")

from holdfast._redis.netstrings import netstrings
from holdfast.errors import MessageTooLarge
from holdfast.once.outbox.marks import CHUNK_BYTES, CHUNK_ROWS, chunks
from holdfast.once.outbox.outbox import Outbox
from holdfast.once.outbox.stalls import FIRST_S, LONGEST_S, Stalls
from holdfast.once.outbox.table import Row, number_of
from holdfast.streams.entry import Outgoing, entry_of


def row(number, size=1, key=None, message_id="m"):
    return Row(number, "orders", message_id, key, b"x" * size, 0)


def parts_of(raw):
    """Reads netstrings back, as netstrings.lua does."""
    found, at = [], 0
    while at < len(raw):
        colon = raw.index(b":", at)
        length = int(raw[at:colon])
        found.append(raw[colon + 1 : colon + 1 + length])
        at = colon + 1 + length
    return found


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_netstrings_hold_any_bytes_and_lose_none(parts):
    assert parts_of(netstrings(parts)) == parts


@given(st.lists(st.integers(0, 400_000), max_size=30))
def test_calls_hold_every_row_once_in_order_and_no_more_than_they_should(sizes):
    rows = [row(number, size) for number, size in enumerate(sizes)]
    cut = list(chunks(rows))
    assert [r for chunk in cut for r in chunk] == rows
    for chunk in cut:
        assert 0 < len(chunk) <= CHUNK_ROWS
        assert len(chunk) == 1 or sum(len(r.fields) for r in chunk) <= CHUNK_BYTES


def test_a_mark_names_number_and_message_and_the_number_is_read_back():
    assert row(7, message_id="a:b").mark == "7:a:b"
    assert number_of("7:a:b") == 7


def test_a_row_is_placed_by_its_key_or_else_by_its_id():
    assert row(1, key="ä".encode(), message_id="m1").place_by == "ä"
    assert row(1, key=b"", message_id="m1").place_by == ""
    assert row(1, message_id="m1").place_by == "m1"


def test_more_fields_than_a_script_can_pass_on_are_refused_while_writing():
    def encode(value, *, headers, **_):
        return "m1", entry_of(Outgoing(value=value, headers=headers), "m1", 0)

    outbox = Outbox(encode)
    with pytest.raises(MessageTooLarge, match="3501 fields"):
        outbox.add(None, "orders", {}, headers={f"h{n}": "" for n in range(3_498)})


def test_a_stream_rests_longer_each_time_it_fails_again_and_begins_small_after_a_success():
    stalls, now, rests = Stalls(), 100.0, []
    for _ in range(9):
        stalls.failed("a", "why", Instant(now))
        rests.append(stalls.of["a"].length_s)
    assert rests[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert rests[-1] == LONGEST_S
    assert stalls.resting(Instant(now + LONGEST_S - 0.01)) == ["a"]
    assert stalls.resting(Instant(now + LONGEST_S)) == []
    stalls.went_well("a")
    stalls.failed("a", "why", Instant(now))
    assert stalls.of["a"].length_s == FIRST_S
