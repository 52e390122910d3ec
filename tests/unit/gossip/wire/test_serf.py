# SPDX-License-Identifier: Apache-2.0
"""Serf's messages as bytes, and what travels in memberlist's fields."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.serf.messages import (
    Described,
    Exchange,
    Join,
    KeyRequest,
    KeyResponse,
    Leave,
    PastEvent,
    PastEvents,
    Query,
    QueryResponse,
    Relay,
    UserEvent,
)
from holdfast.gossip.wire import serf

names = st.text(max_size=12).map(lambda text: text.encode("utf-8", "ignore").decode())
u64, u32, u8 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 255)
hosts = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
ports, blobs = st.integers(1, 65535), st.none() | st.binary(max_size=50)
lists = lambda inner: st.lists(inner, max_size=5).map(tuple)  # noqa: E731 - a strategy of strategies
past = st.builds(PastEvents, u64, lists(st.builds(PastEvent, names, blobs)))
messages = st.one_of(
    st.builds(Join, u64, names),
    st.builds(Leave, u64, names, st.booleans()),
    st.builds(UserEvent, u64, names, blobs, st.booleans()),
    st.builds(Exchange, u64, st.dictionaries(names, u64, max_size=20), lists(names), u64, lists(st.none() | past), u64),
    st.builds(Query, u64, u32, hosts, ports, names, names, blobs, st.none() | lists(st.binary(max_size=20)), u32, u8,
              st.integers(-(2**63), 2**63 - 1)),
    st.builds(QueryResponse, u64, u32, names, u32, blobs),
    st.builds(Described, names, hosts, ports, st.dictionaries(names, names, max_size=5), st.integers(0, 9),
              u8, u8, u8, u8, u8, u8),
    st.builds(KeyRequest, blobs),
    st.builds(KeyResponse, st.booleans(), names, st.none() | lists(names), names),
    st.builds(Relay, hosts, ports, st.just(b"\x05\x80"), names, names),
)


@given(messages)
def test_what_is_written_is_read(message):
    assert serf.decode(serf.encode(message)) == message


@given(messages)
def test_keys_stand_in_the_order_of_their_bytes(message):
    unpacker = msgpack.Unpacker(raw=True)
    unpacker.feed(serf.encode(message)[1:])
    keys = list(unpacker.unpack())
    assert keys == sorted(keys)


def test_what_does_not_come_keeps_its_zero():
    assert serf.decode(b"\x01\x80") == Join(0, "")
    assert serf.decode(b"\x02\x80") == Exchange(0, {}, (), 0, (), 0)


@pytest.mark.parametrize("data", [b"", b"\x0a\x80", b"\xff\x80", b"\x09", b"\x09\x80", b"\x09\x81\xa8DestAddr\xc0x"])
def test_what_is_no_message_of_serfs_is_refused(data):
    with pytest.raises(BadPacket):
        serf.decode(data)


@pytest.mark.parametrize("inner", [b"", serf.encode(Relay(bytes(4), 1, b"\x05\x80"))])
def test_a_relay_is_passed_on_once(inner):
    whole = serf.encode(Relay(bytes(4), 7946, b"\x05\x80"))
    with pytest.raises(BadPacket) as refused:
        serf.decode(whole.removesuffix(b"\x05\x80") + inner)
    assert refused.value.why == "deep"


@pytest.mark.parametrize(("host", "port"), [(b"", 1), (bytes(5), 1), (bytes(4), 0), (bytes(4), 65536)])
def test_a_relay_needs_somewhere_to_go(host, port):
    with pytest.raises(BadPacket):
        serf.decode(serf.encode(Relay(host, port, b"\x05\x80")))


def test_tags_are_a_map_behind_a_byte():
    assert serf.tags_to_meta({"role": "web"}) == b"\xff\x81\xa4role\xa3web"
    assert serf.meta_to_tags(b"\xff\x81\xa4role\xa3web") == {"role": "web"}


def test_meta_of_old_is_a_role():
    assert serf.meta_to_tags(b"web") == {"role": "web"}
    assert serf.meta_to_tags(b"") == {"role": ""}


def test_tags_that_do_not_fit_are_refused():
    serf.tags_to_meta({"a": "x" * 500})
    with pytest.raises(ValueError, match="512"):
        serf.tags_to_meta({"a": "x" * 512})


@pytest.mark.parametrize("meta", [b"\xff", b"\xff\x81", b"\xff\x81\xa1a", b"\xff\x05", b"\xff\x81\xa1a\x05"])
def test_tags_that_are_none_are_refused(meta):
    with pytest.raises(BadPacket):
        serf.meta_to_tags(meta)


def test_a_coordinate_is_read_as_it_was_written():
    coordinate = serf.Coordinate((0.5, -0.25), 1.5, 0.0, 1e-5)
    assert serf.payload_to_coordinate(serf.coordinate_to_payload(coordinate)) == coordinate


@pytest.mark.parametrize("payload", [b"", b"\x02\x80", b"\x01", b"\x01\x81\xa3Vec\xdd\xff\xff\xff\xff"])
def test_a_coordinate_that_is_none_is_refused(payload):
    with pytest.raises(BadPacket):
        serf.payload_to_coordinate(payload)


def test_filters_are_read_as_they_were_written():
    wanted = serf.TagFilter("role", "^web$")
    assert serf.read_filter(serf.nodes_to_filter(("a", "b"))) == ("a", "b")
    assert serf.read_filter(serf.tag_to_filter(wanted)) == wanted


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x02\x80", b"\x01\x05", b"\x00\xdd\xff\xff\xff\xff"])
def test_a_filter_that_is_none_is_refused(data):
    with pytest.raises(BadPacket):
        serf.read_filter(data)


def test_keys_are_not_shown_when_a_message_is_printed():
    key, text = b"k" * 32, "a2tr" * 8
    inside = serf.encode(KeyRequest(key))
    for message in (KeyRequest(key), KeyResponse(True, "", (text,), text), QueryResponse(1, 2, "a", 0, inside),
                    Query(1, 2, bytes(4), 1, "a", "_serf_install-key", inside)):
        assert "kkk" not in repr(message)
        assert text not in repr(message)
