# SPDX-License-Identifier: Apache-2.0
"""What is remembered beside a pending entry comes back as it was; what cannot be read counts as nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.consume.contract import Note
from holdfast.streams.notes import pack, unpack

counts = st.integers(0, 2**53)
death = st.tuples(st.text(max_size=20), st.sampled_from(["decode", "handle"]), counts, counts, counts).map(list)
deaths = st.lists(death, max_size=8)
notes = st.builds(Note, counts, counts, st.booleans(), counts, counts, st.text(max_size=40), deaths,
                  st.lists(st.text(max_size=60), max_size=8))


@given(notes)
def test_a_note_comes_back_as_it_was(note):
    assert unpack(pack(note)) == note


def test_an_empty_note_is_one_byte():
    assert len(pack(Note())) == 1


@pytest.mark.parametrize("raw", [b"garbage", b"\xc1", b"\x07", b"\x90", b"\x81\xa1a\xa1x"])
def test_what_cannot_be_read_counts_as_none(raw):
    assert unpack(raw) is None


def test_nothing_is_no_note():
    assert unpack(b"") is None


def test_lua_packs_empty_lists_as_empty_maps_and_numbers_as_floats():
    raw = msgspec.msgpack.encode({"a": 2.0, "c": 1, "s": True, "d": {}, "k": {}})
    assert unpack(raw) == Note(attempts=2, crashes=1, suspect=True)


def test_a_note_of_a_later_version_is_read_for_what_is_known():
    assert unpack(msgspec.msgpack.encode({"a": 2, "later": [1]})) == Note(attempts=2)


def test_only_the_last_deaths_and_links_are_kept():
    note = Note(deaths=[["E", "handle", n, n, n] for n in range(20)], links=[str(n) for n in range(20)])
    back = unpack(pack(note))
    assert [d[2] for d in back.deaths] == list(range(12, 20))
    assert back.links == [str(n) for n in range(12, 20)]
