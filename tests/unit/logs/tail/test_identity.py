# SPDX-License-Identifier: Apache-2.0
"""A content is known again by its head and by what lies before the place where reading stopped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.logs.tail.identity import HEAD, TAIL, Print, Trail


def trail_of(content):
    trail = Trail()
    trail.extend(content)
    return trail


def ends(content, print_):
    return content[:print_.head_bytes], content[print_.tail_from:print_.at]


def test_the_same_content_fits_and_so_does_one_that_went_on():
    content = bytes(range(256)) * 40
    print_ = trail_of(content).print()
    assert print_.fits(*ends(content, print_))
    assert print_.fits(*ends(content + b"more", print_))


def test_contents_with_the_same_head_are_told_apart_by_their_tail():
    head = b"=" * (HEAD + 100)
    print_ = trail_of(head + b"one\n").print()
    assert not print_.fits(*ends(head + b"two\n", print_))


def test_contents_with_the_same_tail_are_told_apart_by_their_head():
    tail = b"=" * (HEAD + TAIL)
    print_ = trail_of(b"a" + tail).print()
    assert not print_.fits(*ends(b"b" + tail, print_))


def test_a_shorter_content_does_not_fit():
    print_ = trail_of(b"x" * 5000).print()
    assert not print_.fits(*ends(b"x" * 4999, print_))


def test_of_nothing_everything_is_a_copy():
    assert Print().fits(b"", b"")


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_a_trail_is_the_same_however_its_content_came(parts):
    grown = Trail()
    for part in parts:
        grown.extend(part)
    assert grown.print() == trail_of(b"".join(parts)).print()
    assert grown.copy().print() == grown.print()
    assert len(grown.head) <= HEAD
    assert len(grown.tail) <= TAIL
