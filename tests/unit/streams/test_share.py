# SPDX-License-Identifier: Apache-2.0
"""Whose are how many partitions: every one has an owner in the end, and few move."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.streams.share import Moves, moves, share_of

members = st.lists(st.text("abcdef", min_size=1, max_size=4), min_size=1, max_size=8, unique=True)


@pytest.mark.parametrize(("names", "partitions", "expected"), [
    (["a"], 4, [4]), (["a", "b"], 4, [2, 2]), (["a", "b", "c"], 4, [2, 1, 1]), (["a", "b", "c"], 2, [1, 1, 0]),
    (["c", "a", "b"], 5, [1, 2, 2]), (["a", "b"], 1, [1, 0])])
def test_shares(names, partitions, expected):
    assert [share_of(name, names, partitions) for name in names] == expected


@given(members, st.integers(1, 64))
def test_shares_add_up_and_differ_by_one_at_most(names, partitions):
    shares = [share_of(name, names, partitions) for name in names]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


def test_who_is_no_member_has_no_share():
    assert share_of("x", ["a", "b"], 4) == 0


def test_a_lone_member_keeps_what_it_has():
    """Even when it does not find itself among the members: nobody else is there to take it."""
    assert moves("a", ["a"], 2, [0, 1, 2], []) == Moves()


def test_what_is_above_the_share_is_given_up_from_the_top():
    assert moves("a", ["a", "b"], 4, [0, 1, 2, 3], []).give_up == (2, 3)


def test_what_is_free_is_taken_up_to_the_share():
    assert moves("a", ["a", "b"], 8, [0], [2, 3, 4, 5, 6]).take == (2, 3, 4)


@given(members, st.integers(1, 24), st.integers(0, 2**32))
def test_in_the_end_everybody_has_their_share(names, partitions, seed):
    """Members act one after the other in any order; whatever the start, it comes to rest at the shares."""
    chance = random.Random(seed)
    owners = {n: chance.choice([*names, None]) for n in range(partitions)}
    for _ in range(200):
        name = chance.choice(names)
        own = [n for n, owner in owners.items() if owner == name]
        todo = moves(name, names, partitions, own, [n for n, owner in owners.items() if owner is None])
        assert not (todo.take and todo.give_up)
        for n in todo.take:
            owners[n] = name
        for n in todo.give_up:
            owners[n] = None
    for name in names * (partitions + 1):
        own = [n for n, owner in owners.items() if owner == name]
        todo = moves(name, names, partitions, own, [n for n, owner in owners.items() if owner is None])
        owners.update(dict.fromkeys(todo.take, name))
        owners.update(dict.fromkeys(todo.give_up))
    for name in names:
        assert sum(owner == name for owner in owners.values()) == share_of(name, names, partitions)


@given(members, st.integers(1, 24))
def test_at_rest_nobody_moves_anything(names, partitions):
    numbers = iter(range(partitions))
    for name in sorted(names):
        own = [next(numbers) for _ in range(share_of(name, names, partitions))]
        assert moves(name, names, partitions, own, []) == Moves()
