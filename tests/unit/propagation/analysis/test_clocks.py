# SPDX-License-Identifier: Apache-2.0
"""Clocks that differ are found by what came too early, and those that do not are left alone."""

from __future__ import annotations

import random

import pytest

from holdfast.propagation.analysis.clocks import skew


def passed(offsets, *, both=True, things=200, seed=1):
    """Things that go along a ring with shortcuts; each takes 0.05 s and some more, and is noted by clocks that are
    so far ahead."""
    chance = random.Random(seed)
    count = len(offsets)
    found = []
    for thing in range(things):
        for step in (1, 2):
            a = thing % count
            b = (a + step) % count
            if both and chance.random() < 0.5:
                a, b = b, a
            found.append((a, b, 0.05 + chance.expovariate(20) + offsets[b] - offsets[a]))
    return found


def test_clocks_that_differ_are_set_right():
    offsets = [0.0, 3.0, -2.0, 0.5, 10.0, 0.0]
    found = skew(passed(offsets))
    assert found.early > 50
    base = found.ahead_s[0]
    for node, offset in enumerate(offsets):
        assert found.ahead_s[node] - base == pytest.approx(offset, abs=0.03)
    assert not found.bounded
    assert found.left == 0


def test_good_clocks_are_left_alone():
    """The guard: without it they would be moved by what delays differ."""
    found = skew(passed([0.0] * 6))
    assert found.early == 0
    assert found.ahead_s == {}


def test_where_things_went_one_way_a_clock_is_moved_as_far_as_must_be():
    found = skew(passed([0.0, -3.0], both=False, things=101))
    assert found.early
    assert found.left == 0


def test_one_way_alone_bounds_and_says_so():
    found = skew([(0, 1, -3.0), (0, 1, -2.5)])
    assert found.ahead_s == {0: 0.0, 1: -3.0}
    assert found.bounded == {1}
    assert (found.early, found.left) == (2, 0)
    assert skew([(1, 0, -3.0), (1, 2, 0.1)]).ahead_s == {1: 0.0, 0: -3.0, 2: 0.0}


def test_what_no_constant_explains_is_still_said():
    found = skew([(0, 1, -1.0), (1, 0, -1.0)])
    assert (found.early, found.left) == (2, 2)
