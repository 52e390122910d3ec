# SPDX-License-Identifier: Apache-2.0
"""One message as bytes, and back."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.messages import (
    BARE_VERSIONS,
    SERF_VERSIONS,
    Ack,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Nack,
    NodeState,
    Ping,
    PushPull,
    Suspect,
    User,
    Versions,
)
from holdfast.gossip.wire import decode, encode
from holdfast.gossip.wire.codec import NODE_STATE

HOST = bytes([10, 0, 0, 7])
#: Worked out by hand from the format's description.
KNOWN = {
    "0085a44e6f6465a96e6f64652d30303037a55365714e6fce00011170aa536f7572636541646472a40a000007aa536f757263654e6f6465a96e6f"
    "64652d30303031aa536f75726365506f7274cd1f0a": Ping(70_000, "node-0007", HOST, 7946, "node-0001"),
    "0486a441646472a40a000007ab496e6361726e6174696f6e05a44d657461a0a44e6f6465a96e6f64652d30303037a4506f7274cd1f0aa356736e"
    "a6010502020504": Alive(5, "node-0007", HOST, 7946, b"", SERF_VERSIONS),
    "0383a446726f6da96e6f64652d30303031ab496e6361726e6174696f6e05a44e6f6465a96e6f64652d30303037":
        Suspect(5, "node-0007", "node-0001"),
    "0282a75061796c6f6164c0a55365714e6fce00011170": Ack(70_000),
}

names = st.text(max_size=20).map(lambda text: text.encode("utf-8", "ignore").decode())
hosts = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
u32, u16, u8 = st.integers(0, 2**32 - 1), st.integers(0, 65535), st.integers(0, 255)
versions = st.none() | st.builds(Versions, u8, u8, u8, u8, u8, u8)
messages = st.one_of(
    st.builds(Ping, u32, names, st.just(b"") | hosts, u16, names),
    st.builds(IndirectPing, u32, hosts, u16, names, st.booleans(), st.just(b"") | hosts, u16, names),
    st.builds(Ack, u32, st.none() | st.binary(max_size=100)),
    st.builds(Nack, u32),
    st.builds(Suspect, u32, names, names),
    st.builds(Dead, u32, names, names),
    st.builds(Alive, u32, names, hosts, u16, st.binary(max_size=512), versions),
    st.builds(User, st.binary(max_size=600)),
    st.builds(Err, names),
)


@pytest.mark.parametrize("known", KNOWN, ids=[type(message).__name__ for message in KNOWN.values()])
def test_known_messages_are_written_and_read_to_the_byte(known):
    assert encode(KNOWN[known]).hex() == known
    assert decode(bytes.fromhex(known)) == KNOWN[known]


@given(messages)
def test_what_is_written_is_read(message):
    assert decode(encode(message)) == message


@given(messages.filter(lambda message: not isinstance(message, User)))
def test_keys_stand_in_the_order_of_their_bytes(message):
    keys = list(msgpack.unpackb(encode(message)[1:], raw=True))
    assert keys == sorted(keys)


def test_a_source_that_is_not_named_is_not_written():
    assert encode(Ping(1, "a")) == b"\x00\x82\xa4Node\xa1a\xa5SeqNo\x01"


def test_keys_that_nobody_knows_are_stepped_over():
    data = b"\x0b" + msgpack.packb({"Later": [{"a": [1, 2, {"b": None}]}, 3.5], "SeqNo": 9, "Z": b"x" * 99})
    assert decode(data) == Nack(9)


def test_what_follows_the_map_is_nobodys():
    assert decode(encode(Nack(9)) + b"a later version's") == Nack(9)


def test_what_does_not_come_keeps_its_zero():
    assert decode(b"\x05\x81\xa4Node\xa1a") == Dead(0, "a", "")
    assert decode(b"\x04\x80") == Alive(0, "", b"", 0, b"", None)


def test_a_key_that_comes_twice_counts_as_it_came_last():
    assert decode(b"\x0b\x82\xa5SeqNo\x01\xa5SeqNo\x02") == Nack(2)


def test_a_member_may_name_no_versions():
    message = Alive(1, "a", HOST, 1, b"", None)
    assert decode(encode(message)) == message


def test_versions_that_are_not_six_are_refused():
    with pytest.raises(BadPacket) as refused:
        decode(b"\x04" + msgpack.packb({"Node": b"a", "Vsn": b"\1\5\2\0\0"}, use_bin_type=False))
    assert refused.value.why == "version"


@pytest.mark.parametrize("kind", [6, 7, 9, 10, 12, 14, 100, 244, 255])
def test_a_type_that_wraps_others_or_that_nobody_knows_is_no_message(kind):
    with pytest.raises(BadPacket) as refused:
        decode(bytes([kind]) + encode(Nack(1))[1:])
    assert refused.value.why == "type"


def test_an_empty_message_is_refused():
    with pytest.raises(BadPacket):
        decode(b"")


def test_an_exchange_is_not_sent_in_a_packet():
    with pytest.raises(TypeError):
        encode(PushPull(()))


@given(st.builds(NodeState, names, hosts, u16, st.binary(max_size=512), u32, st.integers(0, 3), versions))
def test_a_member_in_an_exchange_is_read_as_it_was_written(state):
    assert NODE_STATE.all_of(NODE_STATE.write(state)) == state


def test_a_form_reads_into_every_attribute_of_its_record():
    ours = {cls: set(cls.__struct_fields__) for cls in (Ping, IndirectPing, Ack, Nack, Suspect, Alive, Dead, Err)}
    for cls, attributes in ours.items():
        filled = cls(**{name: _other(cls, name) for name in attributes})
        assert decode(encode(filled)) == filled


def _other(cls, name):
    """Something that is not the attribute's default."""
    kinds = {"versions": BARE_VERSIONS, "nack": False, "meta": b"m", "payload": b"p"}
    if name in kinds:
        return kinds[name]
    return {str: "x", bytes: HOST, int: 7}[
        {field.name: field for field in msgspec.structs.fields(cls)}[name].type]
