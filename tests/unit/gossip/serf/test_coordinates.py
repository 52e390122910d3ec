# SPDX-License-Identifier: Apache-2.0
"""Members find places whose distances are their round-trip times."""

from __future__ import annotations

import itertools
import math
import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.serf.coordinates import Coordinates, Space, distance, raw_distance, valid
from holdfast.gossip.wire.serf import Coordinate

SPACE = Space()


def clients(count, seed=1):
    return [Coordinates(random.Random(seed + number)) for number in range(count)]


def settle(members, rtt, rounds, seed=7):
    """Each pings somebody at random, so many times."""
    chance = random.Random(seed)
    for _ in range(rounds):
        for number, member in enumerate(members):
            other = chance.choice([n for n in range(len(members)) if n != number])
            member.heard(str(other), members[other].own, rtt(number, other))


def wrong(members, rtt):
    """The median of how far distances are from the truth, relatively."""
    return median(abs(distance(a.own, b.own) - rtt(i, j)) / rtt(i, j)
                  for (i, a), (j, b) in itertools.combinations(enumerate(members), 2))


def test_members_in_a_line_find_their_places():
    members, rtt = clients(12), lambda i, j: 0.010 * abs(i - j)
    settle(members, rtt, 1500)
    assert wrong(members, rtt) < 0.05


def test_members_in_a_plane_find_their_places():
    places = [(random.Random(n).uniform(0, 0.1), random.Random(n + 99).uniform(0, 0.1)) for n in range(25)]
    members, rtt = clients(25), lambda i, j: 0.001 + math.dist(places[i], places[j])
    settle(members, rtt, 1000)
    assert wrong(members, rtt) < 0.1


def test_a_slow_last_mile_is_a_height():
    mile = [0.001] * 9 + [0.080]
    members, rtt = clients(10), lambda i, j: 0.010 + mile[i] + mile[j]
    settle(members, rtt, 1500)
    assert wrong(members, rtt) < 0.1
    assert members[9].own.height > 2 * max(member.own.height for member in members[:9])


def test_two_data_centres_are_apart():
    members, rtt = clients(10), lambda i, j: 0.001 if (i < 5) == (j < 5) else 0.060
    settle(members, rtt, 800)
    near, far = distance(members[0].own, members[1].own), distance(members[0].own, members[9].own)
    assert near < 0.010
    assert 0.050 < far < 0.070


def test_single_outliers_do_not_move_anybody():
    calm, noisy = clients(6), clients(6)
    chance = random.Random(3)
    settle(calm, lambda i, j: 0.010 * abs(i - j), 1000)
    settle(noisy, lambda i, j: 0.010 * abs(i - j) * (50 if chance.random() < 0.05 else 1), 1000)
    assert wrong(noisy, lambda i, j: 0.010 * abs(i - j)) < 0.3


def test_nothing_drifts_from_the_origin():
    members, rtt = clients(8), lambda i, j: 0.020
    settle(members, rtt, 2000)
    centre = [sum(m.own.vec[axis] for m in members) / len(members) for axis in range(SPACE.dimensions)]
    assert math.hypot(*centre) < 0.1


def test_a_distance_is_vector_heights_and_adjustments():
    a = Coordinate((3.0, 0.0), 1.0, 0.1, 0.5)
    b = Coordinate((0.0, 4.0), 1.0, -0.3, 0.25)
    assert raw_distance(a, b) == 5.75
    assert distance(a, b) == pytest.approx(5.55)
    assert distance(a, Coordinate((0.0, 4.0), 1.0, -9.0, 0.25)) == 5.75  # less than no distance: the raw one


def test_one_spring_moves_a_member_as_it_was_worked_out_by_hand():
    """Two at the origin's height and error: weight 1/2, a quarter of it of force, along some direction of length 1."""
    member = Coordinates(random.Random(1), Space(adjustment_window=0, gravity_rho=1e9))
    moved = member.heard("b", SPACE.origin(), 0.1)
    assert math.hypot(*moved.vec) == pytest.approx(0.25 * 0.5 * (0.1 - 2e-5), rel=1e-6)
    assert moved.error == pytest.approx(0.25 * 0.5 * (0.1 - 2e-5) / 0.1 + 1.5 * (1 - 0.25 * 0.5), rel=1e-6)
    assert moved.height == 1e-5


parts = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(parts, max_size=10), parts, parts, parts, parts)
def test_whatever_peers_say_a_member_is_somewhere(vec, error, adjustment, height, rtt):
    member = Coordinates(random.Random(1))
    other = Coordinate(tuple(vec), error, adjustment, height)
    try:
        member.heard("b", other, rtt)
    except BadPacket:
        assert member.own == SPACE.origin()
    assert valid(member.own, SPACE)


@pytest.mark.parametrize("bad", [
    Coordinate((0.0,) * 7, 1.0, 0.0, 1e-5), Coordinate((math.nan,) + (0.0,) * 7, 1.0, 0.0, 1e-5),
    Coordinate((0.0,) * 8, math.inf, 0.0, 1e-5), Coordinate((0.0,) * 8, 1.0, math.nan, 1e-5),
    Coordinate((0.0,) * 8, 1.0, 0.0, -1.0), Coordinate((1e9,) + (0.0,) * 7, 1.0, 0.0, 1e-5)])
def test_where_nobody_can_be_nobody_is(bad):
    member = Coordinates(random.Random(1))
    with pytest.raises(BadPacket):
        member.heard("b", bad, 0.01)
    assert member.of("b") is None


@pytest.mark.parametrize("rtt_s", [-0.1, 10.1, math.nan, math.inf])
def test_a_round_trip_that_is_no_measure_is_refused(rtt_s):
    with pytest.raises(BadPacket):
        Coordinates(random.Random(1)).heard("b", SPACE.origin(), rtt_s)


def test_where_others_are_is_known_until_they_are_forgotten():
    member, there = Coordinates(random.Random(1)), Coordinate((0.1,) * 8, 0.5, 0.0, 1e-5)
    member.heard("b", there, 0.01)
    assert member.of("b") == there
    member.forget("b")
    assert member.of("b") is None
