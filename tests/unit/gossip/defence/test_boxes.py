# SPDX-License-Identifier: Apache-2.0
"""A box opens for whom it is addressed to, as what was sent by whom it says, and for nobody and nothing else."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.defence.boxes import KEY, WRAPPED, _about, open_box, public_key, seal


def private(name):
    return random.Random(name.encode("utf-8", "surrogateescape")).randbytes(KEY)


def box(payload=b"to you two", *, sender="alice", topic="orders", to=("bob", "carol"), by=None, seed=1):
    return seal(payload, sender=sender, sender_private=private(by or sender), topic=topic,
                recipients={name: public_key(private(name)) for name in to}, entropy=random.Random(seed).randbytes)


def opened(sealed, name="bob", *, key=None, sender="alice", sender_key=None, topic="orders"):
    return open_box(sealed, name=name, private=private(key or name), sender=sender,
                    sender_public=public_key(private(sender_key or sender)), topic=topic)


@pytest.mark.parametrize("name", ["bob", "carol"])
def test_each_recipient_opens_it_and_knows_who_else_does(name):
    found = opened(box(), name)
    assert (found.payload, found.recipients) == (b"to you two", ("bob", "carol"))


@pytest.mark.parametrize("changed", [{"name": "dave"}, {"name": "carol", "key": "bob"}, {"sender": "mallory"},
                                     {"sender_key": "mallory"}, {"topic": "other"}],
                         ids=["stranger", "another's name", "sender", "sender's key", "topic"])
def test_it_is_bound_to_recipient_sender_and_topic(changed):
    with pytest.raises(BadPacket) as caught:
        opened(box(), **changed)
    assert caught.value.why == "key"


def test_nobody_seals_in_anothers_name():
    with pytest.raises(BadPacket):
        opened(box(by="mallory"))


def test_a_recipient_cannot_put_another_body_before_the_others():
    """Bob, who knows the content key, seals his own body under it and keeps Carol's wrapped key."""
    sealed, drawn = box(seed=1), random.Random(1)
    _, content = drawn.randbytes(KEY), drawn.randbytes(KEY)
    end, about = 34 + 2 * WRAPPED, _about("alice", "orders", sealed[1:33])
    plain = AESGCM(content).decrypt(bytes(12), sealed[end:], about)
    other = plain.replace(b"to you two", b"to you too")
    assert other != plain
    assert AESGCM(content).encrypt(bytes(12), plain, about) == sealed[end:]  # so far he can
    with pytest.raises(BadPacket) as caught:
        opened(sealed[:end] + AESGCM(content).encrypt(bytes(12), other, about), "carol")
    assert caught.value.why == "key"


def test_a_box_passed_on_to_others_shows_it():
    """One wrapped key was taken out: the box says it was for two."""
    sealed = box()
    cut = sealed[:33] + b"\x01" + sealed[34:34 + WRAPPED] + sealed[34 + 2 * WRAPPED:]
    refused = []
    for name in ("bob", "carol"):
        with pytest.raises(BadPacket) as caught:
            opened(cut, name)
        refused.append(caught.value.why)
    assert sorted(refused) == ["key", "value"]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 7))
def test_no_bit_can_be_changed_without_a_recipient_seeing_it(position, bit):
    sealed = bytearray(box())
    sealed[position % len(sealed)] ^= 1 << bit
    seen = 0
    for name in ("bob", "carol"):
        try:
            opened(bytes(sealed), name)
        except BadPacket:
            seen += 1
    # A changed wrapped key is one recipient's loss; all else is everybody's.
    inside = 34 <= position % len(sealed) < 34 + 2 * WRAPPED
    assert seen == (1 if inside else 2)


@settings(max_examples=40)
@given(st.integers(0, 400))
def test_a_box_that_ends_early_does_not_open(length):
    sealed = box()
    with pytest.raises(BadPacket):
        opened(sealed[:min(length, len(sealed) - 1)])


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_bytes_are_no_box(data):
    with pytest.raises(BadPacket):
        opened(b"\x01" + data)


@pytest.mark.parametrize("size", [0, 1, 50, 63, 64, 1_000, 100_000])
def test_payloads_of_any_size_and_ending_come_out_as_they_went_in(size):
    payload = bytes(size - 1) + b"\x80" if size else b""
    assert opened(box(payload)).payload == payload
    assert opened(box(bytes(size))).payload == bytes(size)


def test_from_outside_it_shows_neither_names_nor_the_exact_length():
    sealed = box(b"p" * 500)
    assert b"bob" not in sealed
    assert b"carol" not in sealed
    assert len(box(b"p" * 500)) == len(box(b"p" * 501))
    assert len({len(box(b"p" * size)) for size in range(40)}) <= 3


def test_wrapped_keys_stand_in_no_order_of_their_recipients():
    firsts = set()
    for seed in range(20):
        sealed = box(seed=seed)
        cut = sealed[:34 + WRAPPED] + bytes(WRAPPED) + sealed[34 + 2 * WRAPPED:]
        for name in ("bob", "carol"):
            try:
                opened(cut, name)
                firsts.add(name)
            except BadPacket:
                pass
    assert firsts == {"bob", "carol"}


def test_two_boxes_of_one_payload_share_nothing():
    one, other = box(seed=1), box(seed=2)
    assert one[1:33] != other[1:33]
    assert not {one[at:at + 16] for at in range(34, len(one), 16)} & {
        other[at:at + 16] for at in range(34, len(other), 16)}


def test_a_key_of_low_order_is_refused_on_both_sides():
    with pytest.raises(ConfigurationError, match="no X25519"):
        seal(b"", sender="a", sender_private=private("a"), topic="t", recipients={"b": bytes(32)},
             entropy=random.Random(1).randbytes)
    with pytest.raises(BadPacket, match="no honest sender"):
        opened(b"\x01" + bytes(32) + b"\x01" + bytes(200))


@pytest.mark.parametrize("count", [0, 256])
def test_a_box_has_some_recipients_and_not_too_many(count):
    with pytest.raises(ConfigurationError, match="recipients"):
        seal(b"", sender="a", sender_private=private("a"), topic="t",
             recipients={str(number): bytes(32) for number in range(count)}, entropy=random.Random(1).randbytes)


def test_names_that_are_no_text_are_names():
    sealed = box(to=("bob", "\udcff"))
    assert opened(sealed, "\udcff").recipients == ("bob", "\udcff")
