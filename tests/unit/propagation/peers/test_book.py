# SPDX-License-Identifier: Apache-2.0
"""What is known of other nodes has bounds, and nobody's word fills it."""

from __future__ import annotations

import random

import pytest

from holdfast.errors import ConfigurationError
from holdfast.propagation.peers import AddressBook, Bounds, Known, group_of

NOW = 1_000_000.0


def full(source, parts, bounds=None):
    """Told by one source: a host in each of so many parts of the network."""
    book = AddressBook(bounds)
    for part in range(parts):
        book.heard((f"10.{part % 256}.0.{part // 256 + 1}", 7070), NOW, source=source)
    return book


def test_what_was_heard_is_new_and_what_answered_is_tried():
    book = AddressBook()
    assert book.heard(("10.0.0.1", 1), NOW, source="s")
    assert not book.heard(("10.0.0.1", 1), NOW, source="s")
    book.answered(("10.0.0.1", 1), NOW + 5, label="eu", id="abc", rtt_s=0.2)
    (one,) = book.all()
    assert (one.tried, one.label, one.id, one.rtt_s, one.seen_s) == (True, "eu", "abc", 0.2, NOW + 5)


def test_one_source_tells_so_much_and_no_more():
    book = full("one", 500)
    assert len(book) == Bounds().of_source
    assert book.heard(("11.0.0.1", 1), NOW, source="another")


def test_one_part_of_the_network_has_so_many_places_whoever_tells():
    book = AddressBook(Bounds(of_group=3))
    for number in range(10):
        book.heard((f"10.0.0.{number}", 1), NOW, source=f"source {number}")
    assert len(book) == 3


def test_what_was_tried_is_not_thrown_out_for_what_is_told():
    book = AddressBook(Bounds(new=20))
    book.answered(("10.200.0.1", 1), NOW - 1000)
    for number in range(200):
        book.heard((f"10.{number}.0.1", 1), NOW, source=f"source {number}")
    assert book.get(("10.200.0.1", 1)) is not None
    assert len(book) == 21


def test_when_there_is_no_room_what_failed_goes_first():
    book = AddressBook(Bounds(new=2))
    book.heard(("10.0.0.1", 1), NOW, source="a")
    book.heard(("10.1.0.1", 1), NOW, age_s=50, source="b")
    book.failed(("10.0.0.1", 1), NOW)
    assert book.heard(("10.2.0.1", 1), NOW, age_s=10, source="c")
    assert {one.host for one in book.all()} == {"10.1.0.1", "10.2.0.1"}


def test_of_too_many_tried_ones_the_longest_unseen_is_new_again():
    book = AddressBook(Bounds(tried=2))
    for number in range(3):
        book.answered((f"10.{number}.0.1", 1), NOW + number)
    assert [one.tried for one in book.all()] == [False, True, True]


def test_who_does_not_answer_is_called_less_and_less_and_then_forgotten():
    book = AddressBook(Bounds(fails=3))
    book.heard(("10.0.0.1", 1), NOW, source="s")
    book.failed(("10.0.0.1", 1), NOW)
    assert not book.callable(NOW + 9)
    assert book.callable(NOW + 10)
    book.failed(("10.0.0.1", 1), NOW + 10)
    assert not book.callable(NOW + 29)
    assert book.callable(NOW + 30)
    book.failed(("10.0.0.1", 1), NOW + 30)
    assert len(book) == 0


def test_ourselves_are_not_in_it():
    book = AddressBook(own=[("10.0.0.1", 1)])
    assert not book.heard(("10.0.0.1", 1), NOW)
    book.heard(("10.0.0.2", 1), NOW)
    book.is_ours(("10.0.0.2", 1))
    assert len(book) == 0
    assert book.owns(("10.0.0.2", 1))


def test_hearsay_makes_nothing_fresh_and_nothing_from_the_future():
    book = AddressBook()
    book.heard(("10.0.0.1", 1), NOW, age_s=7200, source="s")
    book.heard(("10.0.0.1", 1), NOW, age_s=0, source="s")
    assert book.all()[0].seen_s == NOW - 3600
    book.heard(("10.1.0.1", 1), NOW, age_s=-500, source="s")
    assert book.all()[1].seen_s == NOW
    assert not book.heard(("10.2.0.1", 1), NOW, age_s=31 * 86_400, source="s")


def test_a_sample_is_a_quarter_at_most_and_has_nobody_who_fails():
    book = full("s", 40)
    book.failed(("10.0.0.1", 7070), NOW)
    book.failed(("10.0.0.1", 7070), NOW)
    told = book.sample(100, NOW, random.Random(1))
    assert len(told) == 9
    assert all(one.fails < 2 for one in told)
    assert len({one.address for one in told}) == 9


def test_it_is_kept_and_had_back():
    book = full("s", 5)
    book.answered(("10.0.0.1", 7070), NOW, id="abc")
    again = AddressBook(own=[("10.1.0.1", 7070)])
    again.load(book.dump(), NOW + 60)
    assert again.all() == [one for one in book.all() if one.host != "10.1.0.1"]
    with pytest.raises(ConfigurationError, match="no address book"):
        again.load(b"rubbish", NOW)


def test_parts_of_the_network():
    assert group_of("10.1.2.3") == group_of("10.1.200.3") != group_of("10.2.2.3")
    assert group_of("::ffff:10.1.2.3") == group_of("10.1.9.9")
    assert group_of("2001:db8::1") == group_of("2001:db8:ffff::1")
    assert group_of("a.name") == "a.name"
    # A label is its node's own word: who calls himself many things is in one part all the same.
    assert Known("10.1.2.3", 1, 0.0, label="eu").group == Known("10.1.9.9", 1, 0.0, label="us").group


def test_bounds_are_bounds():
    with pytest.raises(ConfigurationError):
        Bounds(new=0)
