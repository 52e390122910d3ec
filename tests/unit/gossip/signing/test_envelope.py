# SPDX-License-Identifier: Apache-2.0
"""A signed message has one form: what was written before is written again, and nothing else is read."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.signing import Algorithm, Envelope, Kind, carried, decode, encode, taken
from holdfast.gossip.signing.envelope import (
    ENVELOPE_MAX,
    HOPS_MAX,
    NUMBER_MAX,
    PAYLOAD_MAX,
    domain,
    signed_part,
    signed_part_of,
)
from tests.unit.gossip.signing.town import NOW, ONE, P256, signer, user

#: Key and epoch of ``town``, at 1,790,000,000,000 ms: the first message that member one signs.
PLAIN = (
    "0102010473686f70067072696365736d9b0577ac99f0dfbf76d7f335fff8a1b24f573c60fc60070c4f8848b63b56f700afc9b31d"
    "9f3f36450000000000000001000001a0c4506c00000000000004392e393900405be4c7957061f322bda5dea2212c492bbb8b102a"
    "cd07a3bcddf001990694f063d4d394a30368b99944ba99c7275847bd7109d25a7df56f3964e5d6896fce830a")
SHOWN = (
    "0103010473686f70006d9b0577ac99f0dfbf76d7f335fff8a1b24f573c60fc60070c4f8848b63b56f700afc9b31d9f3f36450000"
    "000000000001000001a0c4506c000020d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a0000000d"
    "612063657274696669636174650040085331c6b1d8a7d725beb8c05dcf923423b90cda39eee550aa4dc074b5b489c4df725e2523"
    "65df2e7434d983e1e34519d2a38a708e542f904489d69b1780260c")

#: Where the fields of PLAIN begin.
VERSION, KIND, ALGORITHM, CLUSTER, TOPIC = 0, 1, 2, 3, 8

numbers = st.integers(0, NUMBER_MAX)
texts = st.text(st.characters(codec="utf-8"), max_size=60)


@st.composite
def envelopes(draw):
    algorithm = draw(st.sampled_from(Algorithm))
    size = draw(st.integers(256, 512)) if algorithm is Algorithm.RSA_PSS else 64
    origin = draw(st.binary(min_size=32, max_size=32))
    return Envelope(draw(st.sampled_from(Kind)), algorithm, draw(texts.filter(bool)), draw(texts), origin,
                    draw(st.just(origin) | st.binary(min_size=32, max_size=32)), draw(numbers),
                    draw(st.integers(1, NUMBER_MAX)), draw(numbers), draw(st.binary(max_size=600)),
                    draw(st.binary(max_size=2000)), draw(st.binary(min_size=size, max_size=size)))


def plain(**changes):
    """The envelope of PLAIN, with other fields."""
    return msgspec.structs.replace(decode(bytes.fromhex(PLAIN)), **changes)


def test_the_known_answers():
    assert user().hex() == PLAIN
    assert signer().announce(b"a certificate", NOW).hex() == SHOWN


def test_the_known_answer_is_what_the_form_says():
    epoch = hashlib.sha256(b"epoch").digest()[:8]
    body = b"".join((b"\1", b"\2", b"\1", b"\4shop", b"\6prices", ONE.public.id, b"\0", epoch, bytes(7) + b"\1",
                     NOW.to_bytes(8, "big"), b"\0\0", b"\0\0\0\4" + b"9.99"))
    signature = ONE.sign(b"holdfast/gossip/v1/user\0" + body)
    assert (body + b"\0\x40" + signature).hex() == PLAIN


def test_the_known_answer_reads_as_what_was_signed():
    envelope = decode(bytes.fromhex(PLAIN))
    assert (envelope.kind, envelope.algorithm, envelope.cluster, envelope.topic, envelope.payload) == (
        Kind.USER, Algorithm.ED25519, "shop", "prices", b"9.99")
    assert (envelope.origin, envelope.key_id, envelope.sequence, envelope.time_ms, envelope.key) == (
        ONE.public.id, ONE.public.id, 1, NOW, b"")
    assert decode(bytes.fromhex(SHOWN)).key == ONE.public.data


def test_what_is_signed_begins_with_the_version_and_the_kind():
    assert {domain(kind) for kind in Kind} == {
        b"holdfast/gossip/v1/claim\0", b"holdfast/gossip/v1/user\0", b"holdfast/gossip/v1/key\0"}
    data = bytes.fromhex(PLAIN)
    assert signed_part(decode(data)) == signed_part_of(data, decode(data)) == domain(Kind.USER) + data[:-66]


@settings(deadline=None)
@given(envelopes())
def test_every_envelope_comes_back(envelope):
    assert decode(encode(envelope)) == envelope


@settings(deadline=None)
@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda tail: bytes.fromhex(PLAIN)[:40] + tail))
def test_whatever_is_read_is_in_its_only_form(data):
    try:
        envelope = decode(data)
    except BadPacket:
        return
    assert encode(envelope) == data


@settings(deadline=None)
@given(st.data())
def test_a_changed_known_answer_is_refused_or_another_value(data):
    good = bytes.fromhex(SHOWN)
    at, bit = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 7))
    changed = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1:]
    with contextlib.suppress(BadPacket):
        assert decode(changed) != decode(good)


@pytest.mark.parametrize("vector", [PLAIN, SHOWN], ids=["plain", "shown"])
def test_a_message_that_ends_anywhere_is_refused(vector):
    data = bytes.fromhex(vector)
    for size in range(len(data)):
        with pytest.raises(BadPacket):
            decode(data[:size])


def test_bytes_behind_the_end_are_refused():
    with pytest.raises(BadPacket):
        decode(bytes.fromhex(PLAIN) + b"\0")


def test_the_origins_own_key_is_not_named():
    envelope = plain()
    at = len(encode(envelope)) - 66 - 4 - 4 - 2 - 24 - 1
    data = encode(envelope)
    assert data[at] == 0
    with pytest.raises(BadPacket):
        decode(data[:at] + b"\x20" + envelope.origin + data[at + 1:])


@pytest.mark.parametrize(("at", "byte"), [
    (VERSION, 0), (VERSION, 2), (KIND, 0), (KIND, 4), (ALGORITHM, 0), (ALGORITHM, 4), (ALGORITHM, Algorithm.RSA_PSS),
    (CLUSTER, 0), (CLUSTER + 1, 0xFF), (TOPIC, 255)],
    ids=["version0", "version2", "kind0", "kind4", "algorithm0", "algorithm4", "size", "nameless", "utf8", "short"])
def test_what_nobody_writes_is_refused(at, byte):
    data = bytearray.fromhex(PLAIN)
    data[at] = byte
    with pytest.raises(BadPacket):
        decode(bytes(data))


def test_sequence_0_is_refused():
    data = encode(plain(sequence=1))
    at = data.index((1).to_bytes(8, "big") + NOW.to_bytes(8, "big"))
    with pytest.raises(BadPacket):
        decode(data[:at] + bytes(8) + data[at + 8:])


def test_lengths_are_bounded_before_anything_is_read():
    data = bytes.fromhex(PLAIN)
    at = data.index(b"\0\0\0\4" + b"9.99")
    for size in (PAYLOAD_MAX + 1, 0xFFFFFFFF):
        with pytest.raises(BadPacket) as refused:
            decode(data[:at] + size.to_bytes(4, "big") + data[at + 4:])
        assert refused.value.why == "large"
    with pytest.raises(BadPacket) as refused:
        decode(bytes(ENVELOPE_MAX + 1))
    assert refused.value.why == "large"


def test_the_largest_envelope_is_read():
    largest = plain(algorithm=Algorithm.RSA_PSS, cluster="c" * 255, topic="t" * 255, key_id=bytes(32), key=bytes(600),
                    payload=bytes(PAYLOAD_MAX), signature=bytes(512))
    assert len(encode(largest)) == ENVELOPE_MAX
    assert decode(encode(largest)) == largest


@pytest.mark.parametrize("changes", [
    {"cluster": ""}, {"cluster": "c" * 256}, {"topic": "t" * 256}, {"topic": "\ud800"}, {"origin": bytes(31)},
    {"key_id": bytes(33)}, {"epoch": -1}, {"epoch": 1 << 64}, {"sequence": 0}, {"time_ms": -1}, {"key": bytes(601)},
    {"payload": bytes(PAYLOAD_MAX + 1)}], ids=lambda changes: next(iter(changes)) + str(len(repr(changes))))
def test_what_has_no_room_is_not_written(changes):
    with pytest.raises(ConfigurationError):
        encode(plain(**changes))


def test_hops_stand_before_the_envelope_and_change_nothing_in_it():
    data = bytes.fromhex(PLAIN)
    for hops in (0, 1, HOPS_MAX):
        assert taken(carried(hops, data)) == (hops, data)
    for hops in (-1, HOPS_MAX + 1):
        with pytest.raises(ConfigurationError):
            carried(hops, data)
    for bad in (b"", b"\1", bytes([HOPS_MAX + 1]) + data):
        with pytest.raises(BadPacket):
            taken(bad)


def test_a_further_key_names_itself():
    further = signer(node_id=P256.public.id)
    envelope = decode(further.sign(Kind.USER, "", b"", NOW))
    assert (envelope.origin, envelope.key_id) == (P256.public.id, ONE.public.id)
