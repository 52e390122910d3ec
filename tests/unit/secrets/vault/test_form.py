# SPDX-License-Identifier: Apache-2.0
"""The bytes of a vault's file, and what each key is bound to."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.unlock import Hkdf, Scrypt, hkdf, scrypt
from holdfast.secrets.vault import entries
from holdfast.secrets.vault.form import (
    VALUE_LEAST,
    Head,
    Header,
    Slot,
    Unfit,
    bucket,
    fill,
    lengths,
    next_link,
    read_header,
    read_record,
    unfill,
    write_header,
    write_record,
)
from holdfast.secrets.vault.keys import Keys, open_slot, seal_slot

ROOT, KEY = bytes(range(32)), bytes(range(32, 64))
NONCE = bytes(12)


def header(**changed):
    made = Header(b"s" * 16, 1, Head(0, bytes(32)), 0, 1, b"e" * 32, b"f" * 32, ())
    return msgspec.structs.replace(made, **changed)


@given(st.integers(0, 1 << 21), st.sampled_from([64, 256]))
def test_buckets_hold_what_goes_in_and_cost_an_eighth_at_most(size, least):
    made = bucket(size, least)
    assert made >= max(size, least)
    assert made <= max(least, size * 1.125)
    assert bucket(made, least) == made


def test_lengths_fall_into_few_buckets():
    assert len({bucket(size, 64) for size in range(1, 1 << 20)}) < 120


@given(st.binary(max_size=3000))
def test_what_was_filled_comes_out(content):
    assert unfill(fill(content, VALUE_LEAST)) == content


@pytest.mark.parametrize("filled", [b"", b"\0\0\0", b"\0\0\0\x05abcd", b"\xff" * 20],
                         ids=["empty", "short", "long", "huge"])
def test_what_cannot_have_been_filled_is_no_content(filled):
    with pytest.raises(Unfit):
        unfill(filled)


def test_a_record_that_was_not_finished_is_told_from_one_whose_length_was_changed():
    raw = write_record(NONCE, b"entry" * 10, b"blob" * 10)
    assert read_record(memoryview(raw), 0, 7).end == len(raw) + 7
    for end in range(len(raw)):
        assert read_record(memoryview(raw[:end]), 0, 0) is None
    assert read_record(memoryview(bytes(len(raw))), 0, 0) is None  # room that was never written to
    for bit in range(8 * len(lengths(1, 1))):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unfit):
            read_record(memoryview(bytes(changed)), 0, 0)


def test_a_header_that_is_no_header_says_so():
    raw = write_header(header(), KEY)
    assert read_header(raw) == (header(), raw)
    for data in (b"", raw[:-1], b"x" + raw[1:], raw[:8] + b"\xff\xff\xff\xff" + raw[12:]):
        with pytest.raises(Unfit):
            read_header(data)


@pytest.mark.parametrize(("name", "version"), [("b", 1), ("a", 2), ("a/1", 1)], ids=["name", "version", "below"])
def test_a_wrapped_key_and_a_value_belong_to_one_version_of_one_name(name, version):
    keys = Keys(ROOT, header())
    wrapped, blob = keys.wrap(KEY, "a", 1, NONCE), keys.seal_value(KEY, b"value", "a", 1, NONCE)
    assert keys.unwrap(wrapped, "a", 1) == KEY
    assert keys.open_value(KEY, blob, "a", 1, 1) == b"value"
    with pytest.raises(Unfit):
        keys.unwrap(wrapped, name, version)
    with pytest.raises(Unfit):
        keys.open_value(KEY, blob, name, version, 1)


@pytest.mark.parametrize("other", [{"store": b"t" * 16}, {"epoch": 2}], ids=["store", "epoch"])
def test_a_value_belongs_to_one_vault_and_one_epoch(other):
    blob = Keys(ROOT, header()).seal_value(KEY, b"value", "a", 1, NONCE)
    strange = Keys(ROOT, header(**other))
    with pytest.raises(Unfit):
        strange.open_value(KEY, blob, "a", 1, other.get("epoch", 1))


@pytest.mark.parametrize("place", [(2, b"l" * 32, b"c"), (1, b"m" * 32, b"c"), (1, b"l" * 32, b"d")],
                         ids=["number", "link", "covered"])
def test_an_entry_opens_in_its_place_only(place):
    keys = Keys(ROOT, header())
    sealed = keys.seal_entry(NONCE, b"entry", 1, b"l" * 32, b"c")
    assert keys.open_entry(NONCE, sealed, 1, b"l" * 32, b"c") == b"entry"
    with pytest.raises(Unfit):
        keys.open_entry(NONCE, sealed, *place)


def test_each_file_and_each_epoch_has_keys_of_its_own():
    sealed = Keys(ROOT, header()).seal_entry(NONCE, b"entry", 1, b"l" * 32, b"")
    with pytest.raises(Unfit):
        Keys(ROOT, header(file_salt=b"g" * 32)).open_entry(NONCE, sealed, 1, b"l" * 32, b"")
    wrapped = Keys(ROOT, header()).wrap(KEY, "a", 1, NONCE)
    with pytest.raises(Unfit):
        Keys(ROOT, header(epoch_salt=b"g" * 32)).unwrap(wrapped, "a", 1)


def test_a_slot_says_first_whether_it_is_the_right_key():
    """A slot whose sealed part opens under two keys is easily made with AES-GCM; the commitment is what tells them."""
    slot = seal_slot(Slot("1", "key-file", 0, Hkdf(b"salt"), b"", NONCE, b""), KEY + ROOT, ROOT, b"s" * 16)
    assert open_slot(slot, KEY + ROOT, b"s" * 16) == ROOT
    assert open_slot(slot, KEY + KEY, b"s" * 16) is None
    assert open_slot(slot, ROOT + KEY, b"s" * 16) is None


@pytest.mark.parametrize("changed", [{"id": "2"}, {"kind": "shares"}, {"how": Hkdf(b"other")},
                                     {"how": Scrypt(b"salt", 2, 8, 1)}], ids=["id", "kind", "salt", "costs"])
def test_what_a_slot_says_of_itself_is_bound_to_the_root_key(changed):
    slot = seal_slot(Slot("1", "key-file", 0, Hkdf(b"salt"), b"", NONCE, b""), KEY + ROOT, ROOT, b"s" * 16)
    with pytest.raises(Unfit):
        open_slot(msgspec.structs.replace(slot, **changed), KEY + ROOT, b"s" * 16)
    with pytest.raises(Unfit):
        open_slot(slot, KEY + ROOT, b"t" * 16)


@given(st.binary(max_size=400))
def test_any_bytes_are_no_entry_or_one(raw):
    with contextlib.suppress(Unfit):
        entries.decode(raw)


def test_the_derivations_are_those_of_their_standards():
    """RFC 5869, test case 1; RFC 7914, section 12, the third vector."""
    made = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert made.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b88718"
                          "5865")
    made = scrypt(b"pleaseletmein", Scrypt(b"SodiumChloride", 16384, 8, 1), 64)
    assert made.hex().startswith("7023bdcb3afd7348461c06cd81fd38eb")


@pytest.mark.parametrize(("n", "r", "p"), [(3, 8, 1), (1, 8, 1), (1 << 24, 8, 1), (2, 0, 1), (2, 8, 0), (2, 8, 17),
                                           (2, 1 << 22, 1), (1 << 16, 1, 1)])
def test_costs_that_nobody_writes_are_not_paid(n, r, p):
    assert not Scrypt(b"", n, r, p).payable


@pytest.mark.parametrize(("n", "r", "p"), [(2, 8, 1), (2, 256, 16), (1 << 15, 1, 16), (1 << 12, 8, 16)])
def test_costs_that_are_paid_can_be(n, r, p):
    assert Scrypt(b"", n, r, p).payable
    assert len(scrypt(b"x", Scrypt(b"", n, r, p), 64)) == 64


@pytest.mark.parametrize("raw", [hashlib.sha256(bytes([n])).digest() * 40 for n in range(4)], ids=range(4))
def test_noise_is_no_header(raw):
    with pytest.raises(Unfit):
        read_header(raw)
    with pytest.raises(Unfit):
        read_header(b"hfvault1" + raw)


def test_a_link_is_of_all_that_came_before():
    record = read_record(memoryview(write_record(NONCE, b"entry", b"blob")), 0, 0)
    made = next_link(b"l" * 32, record)
    assert made != next_link(b"m" * 32, record)
    for other in (write_record(b"n" * 12, b"entry", b"blob"), write_record(NONCE, b"other", b"blob"),
                  write_record(NONCE, b"entry", b"boob"), write_record(NONCE, b"entryb", b"lob")):
        assert next_link(b"l" * 32, read_record(memoryview(other), 0, 0)) != made
