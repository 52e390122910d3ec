# SPDX-License-Identifier: Apache-2.0
"""MessagePack as Go's members write it."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.wire.dialect import (
    FLOAT,
    INT,
    RAW,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    Short,
    list_of,
    map_of,
    or_nil,
    read_bool,
    read_count,
    read_float,
    read_int,
    read_raw,
    read_text,
    skip,
    write_bool,
    write_count,
    write_float,
    write_int,
    write_raw,
    write_text,
    write_uint,
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=4), inner, max_size=17),
    max_leaves=20)


@given(st.binary(max_size=70_000))
def test_bytes_are_written_in_the_family_of_old(data):
    written = write_raw(data)
    assert written == msgpack.packb(data, use_bin_type=False)
    assert read_raw(written, 0) == (data, len(written))


@given(st.binary(max_size=300))
def test_bytes_are_read_in_the_families_of_today_too(data):
    assert read_raw(msgpack.packb(data, use_bin_type=True), 0)[0] == data


@given(st.text(max_size=300).map(lambda text: text.encode("utf-8", "ignore").decode()))
def test_text_is_read_in_the_families_of_today_too(text):
    assert read_text(msgpack.packb(text, use_bin_type=True), 0)[0] == text


@given(st.binary(max_size=100))
def test_a_name_that_is_no_utf8_goes_out_as_it_came_in(data):
    name, _ = read_text(write_raw(data), 0)
    assert write_text(name) == write_raw(data)


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_integers_are_as_short_as_go_writes_them(number):
    assert write_int(number) == msgpack.packb(number)
    assert read_int(write_int(number), 0) == (number, len(write_int(number)))


@given(st.integers(0, 2**64 - 1))
def test_unsigned_integers_are_as_short_as_go_writes_them(number):
    assert write_uint(number) == msgpack.packb(number)
    assert read_int(write_uint(number), 0)[0] == number


def test_an_integer_is_read_in_any_width():
    for data in (b"\x05", b"\xcc\x05", b"\xcd\0\x05", b"\xce\0\0\0\x05", b"\xcf" + b"\0" * 7 + b"\x05", b"\xd0\x05",
                 b"\xd1\0\x05", b"\xd2\0\0\0\x05", b"\xd3" + b"\0" * 7 + b"\x05"):
        assert U8.read(data, 0) == (5, len(data))


@pytest.mark.parametrize(("kind", "most"), [(U8, 255), (U16, 65535), (U32, 2**32 - 1), (U64, 2**64 - 1)])
def test_a_number_that_a_field_cannot_hold_is_refused(kind, most):
    assert kind.read(write_uint(most), 0)[0] == most
    for number in (-1, most + 1):
        if -(2**63) <= number < 2**64:
            with pytest.raises(BadPacket):
                kind.read(msgpack.packb(number), 0)


def test_a_count_of_64_bits_is_no_go_int():
    with pytest.raises(BadPacket):
        INT.read(write_uint(2**63), 0)


@given(st.floats(allow_nan=False))
def test_floats_are_written_in_64_bits(number):
    assert write_float(number) == msgpack.packb(number)
    assert read_float(write_float(number), 0) == (number, 9)


def test_a_float_may_come_in_32_bits_or_as_an_integer():
    assert read_float(b"\xca\x3f\x00\x00\x00", 0) == (0.5, 5)
    assert read_float(b"\x07", 0) == (7.0, 1)


def test_nil_counts_as_nothing():
    assert read_raw(b"\xc0", 0) == (None, 1)
    assert [kind.read(b"\xc0", 0)[0] for kind in (RAW, TEXT, U32, FLOAT)] == [b"", "", 0, 0.0]
    assert read_bool(b"\xc0", 0) == (False, 1)
    assert read_count(b"\xc0", 0, of_map=True, most=1) == (0, 1)
    assert or_nil(list_of(U8, 3)).read(b"\xc0", 0) == (None, 1)
    assert or_nil(list_of(U8, 3)).write(None) == b"\xc0"


def test_true_and_false():
    assert read_bool(write_bool(True), 0) == (True, 1)
    assert read_bool(write_bool(False), 0) == (False, 1)


@given(anything, anything)
@settings(max_examples=60)
def test_whatever_it_is_it_is_stepped_over(value, behind):
    data = msgpack.packb(value)
    assert skip(data + msgpack.packb(behind), 0) == len(data)


def test_extensions_are_stepped_over():
    for size in (1, 2, 4, 8, 16, 3, 300, 70_000):
        data = msgpack.packb(msgpack.ExtType(7, b"x" * size))
        assert skip(data + b"\x01", 0) == len(data)


@given(anything)
@settings(max_examples=50)
def test_what_ends_too_early_is_not_stepped_over(value):
    data = msgpack.packb(value)
    for end in range(len(data)):
        with pytest.raises(IndexError):
            skip(data[:end], 0)


def test_lists_and_maps_are_read_in_their_order():
    numbers = list_of(U16, 100)
    assert numbers.read(numbers.write((1, 2, 300)), 0)[0] == (1, 2, 300)
    entries = map_of(U16, 100_000)
    many = {f"n{i}": i % 1000 for i in range(70_000)}
    assert list(entries.read(entries.write(many), 0)[0].items()) == list(many.items())


@pytest.mark.parametrize("of_map", [True, False])
@pytest.mark.parametrize("count", [0, 15, 16, 65_535, 65_536])
def test_counts_are_written_as_go_writes_them(of_map, count):
    written = write_count(count, of_map=of_map)
    packer = msgpack.Packer()
    assert written == (packer.pack_map_header(count) if of_map else packer.pack_array_header(count))
    assert read_count(written + bytes(2 * count), 0, of_map=of_map, most=count) == (count, len(written))


def test_a_count_beyond_what_is_there_is_not_believed():
    with pytest.raises(Short):
        read_count(b"\xdd\xff\xff\xff\xff" + bytes(100), 0, of_map=False, most=2**32)


def test_a_count_beyond_the_limit_is_refused():
    with pytest.raises(BadPacket) as refused:
        list_of(U8, 3).read(b"\x94\x01\x02\x03\x04", 0)
    assert refused.value.why == "large"


def test_a_length_beyond_what_is_there_is_not_believed():
    with pytest.raises(Short) as short:
        read_raw(b"\xdb\xff\xff\xff\xff" + bytes(100), 0)
    assert short.value.wanted == 5 + 2**32 - 1


@pytest.mark.parametrize("read", [read_raw, read_int, read_bool, read_float])
def test_something_else_than_what_is_wanted_is_refused(read):
    with pytest.raises(BadPacket):
        read(b"\x81\x01\x01", 0)


def test_a_map_that_no_map_is_wanted_for_is_refused():
    with pytest.raises(BadPacket):
        read_count(b"\x91\x01", 0, of_map=True, most=9)


def test_a_byte_that_begins_nothing_is_refused():
    with pytest.raises(BadPacket):
        skip(b"\xc1", 0)
