# SPDX-License-Identifier: Apache-2.0
"""Lines and their offsets are the same however the bytes come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.traces.reading.lines import HEAD, lines


@given(st.lists(st.sampled_from([b"", b"a", b"\n", b"\r\n", b"bc\n\nd", b"\xff\x00", b"\n\n"]), max_size=12))
def test_lines_tile_the_bytes_whatever_the_chunks(chunks):
    whole = b"".join(chunks)
    found = list(lines(chunks))
    assert found == list(lines([whole]))
    at = 0
    for offset, line, length in found:
        assert offset == at
        assert whole[offset:offset + length] in (line, line + b"\n")
        assert b"\n" not in line
        at += length
    assert at == len(whole)


def test_a_line_beyond_the_longest_is_measured_and_not_kept():
    found = list(lines([b"ab\n", *[b"x" * 1000] * 50, b"\ncd\n"], longest=10_000))
    assert [(offset, length) for offset, _, length in found] == [(0, 3), (3, 50_001), (50_004, 3)]
    assert found[1][1] == b"x" * HEAD
    assert [line for _, line, _ in found[::2]] == [b"ab", b"cd"]


def test_a_long_line_at_the_end_without_its_end_is_measured_too():
    assert [(line[:2], length) for _, line, length in lines([b"x" * 600, b"y" * 600], longest=1000)] == [(b"xx", 1200)]
