# SPDX-License-Identifier: Apache-2.0
"""A ban for a score ends, and comes back longer; one for a proof does not end."""

from __future__ import annotations

import math

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.bans import Banning, Bans


def bans(**changed):
    return Bans(Banning(**{"first_s": 10.0, "longest_s": 60.0, **changed}))


def test_a_ban_ends():
    book = bans()
    book.ban("a", "score", 0.0)
    assert book.banned("a", 9.9)
    assert book.banned("a", 10.0) is None
    assert book.banned("b", 0.0) is None


def test_each_further_one_is_twice_as_long_up_to_a_bound():
    book, now, lengths = bans(), 0.0, []
    for _ in range(6):
        until = book.ban("a", "score", now).until
        lengths.append(until - now)
        now = until
    assert lengths == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_a_ban_that_holds_is_not_made_longer_by_another_reason():
    book = bans()
    book.ban("a", "score", 0.0)
    assert book.ban("a", "score", 9.0).until == 10.0
    assert book.given == 1


def test_a_proof_bans_for_good_and_a_score_makes_it_no_shorter():
    book = bans()
    book.ban("a", "score", 0.0)
    assert book.ban("a", "proof", 1.0, proven=True).until == math.inf
    assert book.ban("a", "score", 2.0).until == math.inf


def test_after_a_long_good_time_the_next_one_is_a_first_one():
    book = bans()
    book.ban("a", "score", 0.0)
    book.tidy(70.0)
    assert book.ban("a", "score", 70.0).times == 2
    book.tidy(151.0)
    assert book.ban("a", "score", 151.0).times == 1


def test_an_operator_lifts_one():
    book = bans()
    book.ban("a", "proof", 0.0, proven=True)
    assert book.lift("a")
    assert book.banned("a", 0.0) is None
    assert not book.lift("a")


def test_the_book_has_a_bound_and_the_proven_stay():
    book = bans(entries_max=3)
    book.ban("liar", "proof", 0.0, proven=True)
    for number in range(20):
        book.ban(f"p{number}", "score", float(number) / 10)
    assert [one.name for one in book.all(2.0)] == ["liar", "p19", "p18"]


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="first ban"):
        Banning(first_s=10, longest_s=5)
