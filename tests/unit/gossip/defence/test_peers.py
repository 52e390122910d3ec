# SPDX-License-Identifier: Apache-2.0
"""Nobody stands all around a member: not by coming first, not by many names, not after a restart."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.drawing import across, sample, shuffled
from holdfast.gossip.defence.peers import Candidate, Choosing, Peers, seeds


def honest(count, first=0):
    return [Candidate(f"h{number}", f"net-{number}") for number in range(first, first + count)]


def swarm(count, network="swarm", *, outbound=False):
    return [Candidate(f"s{number}", network, outbound) for number in range(count)]


def test_free_places_are_filled():
    assert len(Peers(Choosing(size=8)).choose(honest(50), 0.0, random.Random(1)).peers) == 8
    assert len(Peers(Choosing(size=8)).choose(honest(3), 0.0, random.Random(1)).peers) == 3


def test_those_who_came_by_themselves_never_fill_all_places():
    inbound = [Candidate(f"s{number}", f"bot-{number}", outbound=False) for number in range(1_000)]
    for seed in range(20):
        chosen = Peers(Choosing(size=8, outbound_min=4)).choose(inbound + honest(4), 0.0, random.Random(seed)).peers
        assert sum(name.startswith("s") for name in chosen) <= 4
        assert sum(name.startswith("h") for name in chosen) == 4


def test_places_stay_empty_rather_than_go_to_those_who_came():
    chosen = Peers(Choosing(size=8, outbound_min=4)).choose(
        [Candidate(f"s{number}", f"bot-{number}", outbound=False) for number in range(20)], 0.0, random.Random(1))
    assert len(chosen.peers) == 4


def test_a_swarm_in_one_network_has_as_many_places_as_a_network_may_have():
    for seed in range(20):
        chosen = Peers(Choosing(size=8, per_network=2)).choose(
            swarm(1_000, outbound=True) + honest(2), 0.0, random.Random(seed)).peers
        assert sum(name.startswith("s") for name in chosen) == 2


candidates = st.lists(st.builds(Candidate, st.integers(0, 40).map(str), st.integers(0, 6).map(str), st.booleans(),
                                st.floats(-50, 50)), max_size=40, unique_by=lambda one: one.name)


@given(st.lists(candidates, min_size=1, max_size=6), st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 3))
def test_caps_hold_over_any_course(rounds, seed, size, per_network):
    peers = Peers(Choosing(size=size, outbound_min=size // 2, per_network=per_network, anchors=1, rotate_s=10.0,
                           at_least=0))
    chance, before = random.Random(seed), ()
    for number, known in enumerate(rounds):
        # A candidate's network and side are facts about it that do not change while it is chosen.
        facts = {one.name: Candidate(one.name, str(int(one.name) % 7), int(one.name) % 2 == 0, one.score)
                 for one in known}
        chosen = peers.choose(list(facts.values()), number * 7.0, chance)
        here = [facts[name] for name in chosen.peers]
        assert len(here) <= size
        assert max(Counter(one.network for one in here).values(), default=0) <= per_network
        assert sum(not one.outbound for one in here) <= size - size // 2
        assert set(chosen.peers) == (set(before) - set(chosen.removed)) | set(chosen.added)
        before = chosen.peers


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8), st.integers(0, 10))
def test_in_one_network_as_many_are_chosen_as_are_wanted_at_least(seed, count, size, at_least):
    peers = Peers(Choosing(size=size, outbound_min=size // 2, anchors=0, per_network=2, at_least=at_least))
    chosen = peers.choose(swarm(count, outbound=True), 0.0, random.Random(seed)).peers
    assert len(chosen) == min(count, size, max(2, at_least))


def test_those_taken_for_want_of_others_make_room_for_others():
    peers, chance = Peers(Choosing(size=8, per_network=2, at_least=4)), random.Random(1)
    alone = peers.choose(swarm(100, outbound=True), 0.0, chance).peers
    assert len(alone) == 4
    assert peers.choose(swarm(100, outbound=True), 1.0, chance).peers == alone  # and stay while there are none
    one_more = peers.choose(swarm(100, outbound=True) + honest(1), 2.0, chance)
    assert (len(one_more.peers), len(one_more.removed)) == (4, 1)
    more = peers.choose(swarm(100, outbound=True) + honest(5), 3.0, chance).peers
    assert set(more) == {*alone[:2], *(one.name for one in honest(5))}


def test_one_network_is_rotated_as_well():
    peers, chance = Peers(Choosing(size=8, rotate_s=300.0)), random.Random(1)
    before = peers.choose(swarm(100, outbound=True), 0.0, chance).peers
    after = peers.choose(swarm(100, outbound=True), 300.0, chance)
    assert (len(after.removed), len(after.added)) == (1, 1)
    assert set(before[:2]) <= set(after.peers)


def test_only_who_answered_is_an_anchor_and_only_once_it_lasted():
    peers, chance = Peers(Choosing(size=4, rotate_s=300.0)), random.Random(1)
    quiet = [Candidate(one.name, one.network, proven=False) for one in honest(50)]
    chosen = peers.choose(quiet, 0.0, chance).peers
    assert peers.anchors() == ()
    known = [Candidate(one.name, one.network, proven=one.name in chosen[1:]) for one in honest(50)]
    peers.choose(known, 10.0, chance)
    assert peers.anchors() == chosen[1:3]
    assert peers.anchors(0.0) == chosen[1:3]
    assert peers.anchors(-1.0) == ()
    for turn in range(1, 9):
        assert set(chosen[1:3]) <= set(peers.choose(known, 10.0 + 300.0 * turn, chance).peers)


def test_those_that_are_gone_make_room_and_the_others_stay():
    peers, chance = Peers(Choosing(size=4)), random.Random(1)
    first = peers.choose(honest(20), 0.0, chance).peers
    second = peers.choose([one for one in honest(20) if one.name != first[0]], 1.0, chance)
    assert second.removed == (first[0],)
    assert len(second.added) == 1
    assert set(first[1:]) <= set(second.peers)


def test_a_share_is_exchanged_when_it_is_time_and_not_before():
    peers, chance = Peers(Choosing(size=8, rotate_s=300.0, rotate_share=0.25)), random.Random(1)
    first = peers.choose(honest(50), 0.0, chance).peers
    assert peers.choose(honest(50), 299.0, chance).added == ()
    after = peers.choose(honest(50), 300.0, chance)
    assert (len(after.removed), len(after.added)) == (2, 2)
    assert first[0] in after.peers
    assert first[1] in after.peers


def test_who_was_exchanged_does_not_come_back_at_once():
    peers = Peers(Choosing(size=4, rotate_s=10.0, rotate_share=0.5, back_off_s=1_000.0))
    chance, out = random.Random(1), set()
    peers.choose(honest(100), 0.0, chance)
    for turn in range(1, 20):
        chosen = peers.choose(honest(100), turn * 10.0, chance)
        assert not out & set(chosen.added)
        out |= set(chosen.removed)
    assert len(out) == 38


def test_a_cluster_that_is_chosen_whole_is_not_rotated():
    peers, chance = Peers(Choosing(size=8, rotate_s=1.0, rotate_share=1.0)), random.Random(1)
    peers.choose(honest(5), 0.0, chance)
    assert peers.choose(honest(5), 5.0, chance).removed == ()


def test_rotation_frees_a_member_that_was_surrounded():
    """First only the attacker is there; then all are known. Without rotation nothing would change for ever."""
    bots = [Candidate(f"s{number}", f"bot-{number}") for number in range(20)]
    peers, chance = Peers(Choosing(size=8)), random.Random(1)
    peers.choose(bots, 0.0, chance)
    known = bots + honest(40)
    for turn in range(1, 13):  # an hour
        chosen = peers.choose(known, turn * 300.0, chance).peers
    assert sum(name.startswith("h") for name in chosen) >= 3


def test_anchors_come_back_after_a_restart_before_anybody_else():
    peers = Peers(Choosing(size=8, anchors=2))
    peers.choose(honest(50), 0.0, random.Random(1))
    saved = peers.anchors()
    assert len(saved) == 2
    again = Peers(Choosing(size=8, anchors=2), saved)
    bots = [Candidate(f"s{number}", f"bot-{number}") for number in range(2_000)]
    assert set(saved) <= set(again.choose(bots + honest(50), 0.0, random.Random(2)).peers)


def test_an_anchor_that_comes_late_is_taken_before_others_and_once():
    then = set()
    for seed in range(20):
        peers, chance = Peers(Choosing(size=4, anchors=2), ["h8", "h9"]), random.Random(seed)
        assert len(peers.choose(honest(3), 0.0, chance).peers) == 3
        assert peers.choose([*honest(8), *honest(1, first=9)], 1.0, chance).added == ("h9",)
        assert "h8" not in peers.choose(honest(10), 2.0, chance).peers  # there was no place
        then.update(peers.choose(honest(9), 3.0, chance).added)
    assert len(then) > 3


def test_a_saved_list_that_was_forged_fills_no_more_than_the_anchors():
    forged = [one.name for one in swarm(100)]
    chosen = Peers(Choosing(size=8, anchors=2), forged).choose(
        [Candidate(name, name) for name in forged[:8]] + honest(400), 0.0, random.Random(1)).peers
    assert forged[0] in chosen
    assert forged[1] in chosen
    assert sum(name in forged for name in chosen) <= 3


def test_peers_with_a_bad_score_are_taken_last():
    bad = [Candidate(f"bad{number}", f"b-{number}", score=-5.0) for number in range(50)]
    chosen = Peers(Choosing(size=8)).choose(bad + honest(6), 0.0, random.Random(1)).peers
    assert sum(name.startswith("h") for name in chosen) == 6


def test_seeds_are_drawn_by_networks_first():
    known = swarm(1_000) + honest(3)
    drawn = Counter(name[0] for seed in range(400) for name in seeds(known, 1, random.Random(seed)))
    assert 60 <= drawn["s"] <= 140  # a quarter, as one network of four
    assert len(set(seeds(known, 4, random.Random(1)))) == 4


@given(st.lists(st.integers(0, 5)), st.integers(0, 2**32), st.integers(-1, 10))
def test_drawing_keeps_all_and_invents_none(items, seed, count):
    chance = random.Random(seed)
    assert sorted(shuffled(items, chance)) == sorted(items)
    assert sorted(across(items, str, chance)) == sorted(items)
    assert len(sample(items, count, chance)) == min(max(0, count), len(items))


def test_every_order_is_as_likely():
    orders = Counter(tuple(shuffled([1, 2, 3], random.Random(seed))) for seed in range(6_000))
    assert len(orders) == 6
    assert min(orders.values()) > 850


@pytest.mark.parametrize("changed", [{"outbound_min": 9}, {"size": 0, "outbound_min": 0}, {"rotate_share": 2.0},
                                     {"anchors": 9}, {"at_least": -1}],
                         ids=["outbound", "size", "share", "anchors", "least"])
def test_settings_without_sense_are_refused(changed):
    with pytest.raises(ConfigurationError, match="peers"):
        Choosing(**changed)
