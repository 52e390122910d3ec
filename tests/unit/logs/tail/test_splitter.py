# SPDX-License-Identifier: Apache-2.0
"""Bytes become lines whose ranges tile them, however they arrive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.logs.tail.splitter import Splitter
from tests.unit.logs.lines import SOURCE


def test_the_last_line_is_held_back_until_it_ends():
    splitter = Splitter(SOURCE)
    assert [line.raw for line in splitter.feed(b"a\nhal")] == [b"a\n"]
    assert splitter.held == 3
    assert [(line.raw, line.offset, line.number) for line in splitter.feed(b"f\nb\n")] == [
        (b"half\n", 2, 2), (b"b\n", 7, 3)]
    assert splitter.held == 0


def test_at_the_end_what_is_held_back_is_a_line_without_terminator():
    splitter = Splitter(SOURCE)
    splitter.feed(b"a\nrest")
    (last,) = splitter.end()
    assert (last.raw, last.ended, last.content) == (b"rest", False, b"rest")
    assert splitter.end() == []


def test_a_line_that_is_too_long_comes_in_pieces_and_the_next_one_is_whole():
    splitter = Splitter(SOURCE, line_bytes_max=4)
    read = splitter.feed(b"0123456") + splitter.feed(b"789\nab\n")
    assert [(line.raw, line.piece, line.ended) for line in read] == [
        (b"0123", 1, False), (b"4567", 2, False), (b"89\n", 3, True), (b"ab\n", 0, True)]
    assert [line.number for line in read] == [1, 1, 1, 2]


def test_pieces_go_on_where_another_process_stopped():
    splitter = Splitter(SOURCE, offset=8, number=1, piece=2, line_bytes_max=4)
    assert [(line.raw, line.piece) for line in splitter.feed(b"89\nab\n")] == [(b"89\n", 3), (b"ab\n", 0)]


@given(st.lists(st.binary(max_size=12).map(lambda part: part.replace(b"\x01", b"\n"))), st.integers(1, 6))
def test_ranges_tile_whatever_comes_in_whatever_parts(parts, longest):
    splitter = Splitter(SOURCE, line_bytes_max=longest)
    read = [line for part in parts for line in splitter.feed(part)] + splitter.end()
    assert b"".join(line.raw for line in read) == b"".join(parts)
    at = 0
    for line in read:
        assert line.offset == at
        assert 0 < line.length <= longest
        assert b"\n" not in line.raw[:-1]
        at = line.end
