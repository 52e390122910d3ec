# SPDX-License-Identifier: Apache-2.0
"""Dead letters in a topic: each once, without those that were removed; and how far a group is behind."""

from __future__ import annotations

from holdfast._kafka.driver import Record
from holdfast._kafka.member import Point
from holdfast.brokers.kafka.lag import lags
from holdfast.brokers.kafka.letters import standing
from holdfast.brokers.kafka.progress import Progress

PREFIX = "x-dlq-"


def letter(offset: int, letter_id: str) -> Record:
    return Record("dead", b"k", b"body", [("x-dlq-reason", b"rejected"), ("hf:letter", letter_id.encode())], 0, offset,
                  1_000 + offset)


def removal(offset: int, letter_id: str) -> Record:
    return Record("dead", None, None, [("hf:removed", letter_id.encode())], 1, offset, 1_000 + offset)


def test_a_letter_that_lies_there_twice_is_one():
    [kept] = standing([letter(0, "a"), letter(1, "a")], PREFIX)
    assert kept.fields == [b"key", b"k", b"x-dlq-reason", b"rejected", b"body", b"body"]
    assert kept.handles == ("a", "a")


def test_one_that_was_removed_is_not_there_and_neither_are_its_copies():
    records = [letter(0, "a"), letter(1, "b"), removal(0, "a"), letter(2, "a")]
    assert [kept.handles for kept in standing(records, PREFIX)] == [("b",)]


def test_a_letter_of_somebody_else_s_is_known_by_its_place():
    theirs = [Record("dead", None, b"x", [], 2, n, 1_000) for n in range(2)]
    assert [kept.handles for kept in standing(theirs, PREFIX)] == [("2-0",), ("2-1",)]
    assert [k.handles for k in standing([*theirs, removal(0, "2-0")], PREFIX)] == [("2-1",)]


def test_how_far_behind_counts_what_ended_ahead_and_says_each_one_s_share():
    p = Progress(10, None, 100)
    for offset in range(10, 20):
        p.arrived(offset)
    p.finish([12, 13])
    offset, metadata = p.mark()
    first, second, third = lags([(Point(("orders", 0), offset, metadata), 0, 20), (Point(("orders", 1), -1), 5, 7),
                                 (Point(("orders", 2), 30, ""), 0, 30)])
    assert (first.behind, second.behind, third.behind) == (8, 2, 0)
    assert (first.share, second.share, third.share) == (0.8, 0.2, 0.0)


def test_a_group_that_is_behind_nowhere_has_no_shares():
    assert lags([(Point(("orders", 0), 30, ""), 0, 30)])[0].share == 0.0
