# SPDX-License-Identifier: Apache-2.0
"""Datagrams and streams of a native cluster as bytes, and what is no such thing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.native import exchange, frames
from holdfast.gossip.native.frames import Incoming, Part

PARTS = st.lists(st.builds(Part, st.integers(0, 255), st.binary(max_size=50)), max_size=5)


@given(PARTS)
def test_parts_come_out_as_they_went_in(parts):
    assert list(frames.split(frames.joined(parts))) == parts


@given(PARTS, st.data())
def test_cut_anywhere_it_is_short_or_holds_less(parts, data):
    whole = frames.joined(parts)
    cut = whole[:data.draw(st.integers(0, len(whole)))]
    found = []
    with contextlib.suppress(BadPacket):
        for part in frames.split(cut):
            found.append(part)  # noqa: PERF402 - those before the cut count here
    assert found == parts[:len(found)]
    assert len(found) < len(parts) or not parts or cut == whole


def test_a_datagram_has_so_many_parts_and_no_more():
    assert len(list(frames.split(frames.joined([Part(0, b"")] * frames.PARTS_MAX)))) == frames.PARTS_MAX
    with pytest.raises(BadPacket):
        list(frames.split(frames.joined([Part(0, b"")] * (frames.PARTS_MAX + 1))))
    with pytest.raises(ValueError, match="does not fit"):
        frames.joined([Part(0, bytes(frames.PART_MAX + 1))])


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_a_stream_may_come_in_pieces(step):
    data = frames.stream(b"here", frames.KEYS, b"word")
    reader = Incoming(b"here")
    found = [reader.feed(data[at:at + step]) for at in range(0, len(data), step)]
    assert found[-1] == (frames.KEYS, b"word")
    assert not any(found[:-1])
    assert reader.wanted == 0


@pytest.mark.parametrize(("data", "why"), [
    (frames.stream(b"there", frames.KEYS, b"x"), "label"), (b"\x00", "label"), (b"\xf4\x05", "label"),
    (b"\xf4\x04hers", "label"), (b"\xf4\x04here\x09\0\0\0\x01", "type"), (b"\xf4\x04here\x01\xff\xff\xff\xff", "large"),
    (b"\xf4\x04here\x03\x00\x20\x00\x01", "large"),
], ids=["another's", "no label", "a longer label", "another of the same length", "an unknown kind", "sealed", "open"])
def test_a_stream_that_can_be_nothing_is_refused_before_the_rest_of_it_comes(data, why):
    with pytest.raises(BadPacket) as caught:
        Incoming(b"here").feed(data)
    assert caught.value.why == why


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x93\xc3\x91\x01\x90", b"\x92\xc3\x90",
                                  b"\x93\xc3\x93\xff\x00\x00\x90"],
                         ids=["nothing", "no list", "one time", "too few", "a time before time"])
def test_what_is_no_exchange_is_refused(data):
    with pytest.raises(BadPacket):
        exchange.decode(data)
