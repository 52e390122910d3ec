# SPDX-License-Identifier: Apache-2.0
"""What each policy does differently, one decision at a time."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest

from holdfast.propagation.relay import (
    Dandelion,
    GossipMesh,
    Mesh,
    Reconcile,
    Rumour,
    Sets,
    SqrtPush,
    Stems,
    Stop,
    Trickle,
)
from holdfast.propagation.relay.draws import exponential, some
from holdfast.propagation.relay.reconcile import sketch_length
from holdfast.propagation.relay.words import Checked, Heard, Message, Peer, Woke
from tests.unit.propagation.hands import body, got, neighbours, said, wakes

CHANCE = random.Random(1)


def kinds(effects, kind):
    return [peer for peer, found, _ in said(effects) if found == kind]


@pytest.mark.parametrize(("peers", "pushed"), [(4, 2), (10, 4), (50, 8)])
def test_bodies_go_to_the_root_and_hashes_to_the_others(peers, pushed):
    told = got(SqrtPush(neighbours(peers)))
    assert len(kinds(told, "body")) == pushed == math.ceil(math.sqrt(peers))
    assert sorted(kinds(told, "body") + kinds(told, "announce")) == list(range(1, peers + 1))


def test_large_bodies_are_announced_and_not_pushed():
    told = got(SqrtPush(neighbours(9)), size=5000)
    assert (kinds(told, "body"), len(kinds(told, "announce"))) == ([], 9)


def test_what_is_announced_waits_for_a_push_and_is_not_asked_for_when_it_comes():
    relay = SqrtPush(neighbours(3))
    assert wakes(relay.handle(Heard(1, Message("announce", (7,))), 0.0, CHANCE)) == [(0.5, ("fetch", 7))]
    got(relay, sender=2, now=0.2)
    assert relay.handle(Woke(("fetch", 7)), 0.5, CHANCE) == []


def test_inbound_neighbours_share_a_timer_and_outbound_ones_have_their_own():
    effects = got(Trickle(neighbours(8, 100)))
    assert sorted(str(key[1]) for _, key in wakes(effects)) == ["1", "2", "3", "4", "5", "6", "7", "8", "None"]
    assert said(effects) == []


def test_the_timers_have_their_means():
    shared, own = [], []
    for seed in range(2000):
        for at_s, key in wakes(got(Trickle(neighbours(1, 1)), seed=seed)):
            (shared if key[1] is None else own).append(at_s)
    assert fmean(shared) == pytest.approx(5.0, rel=0.08)
    assert fmean(own) == pytest.approx(2.0, rel=0.08)


def test_what_waits_for_one_turn_is_one_message():
    relay = Trickle(neighbours(1, 3))
    got(relay, 7)
    assert wakes(got(relay, 8)) == []
    both = relay.handle(Woke(("trickle", None)), 5.0, CHANCE)
    assert said(both) == [(peer, "announce", (7, 8)) for peer in (2, 3, 4)]


def test_who_comes_anew_hears_by_the_timers_and_no_sooner():
    relay = Trickle(neighbours(0, 1))
    got(relay)
    assert relay.joined(Peer(8, outbound=False), 1.0, CHANCE) == [], "guard: by the timer of all inbound ones"
    own = relay.joined(Peer(9, outbound=True), 1.0, CHANCE)
    assert (said(own), [key for _, key in wakes(own)]) == ([], [("trickle", 9)])
    assert said(relay.handle(Woke(("trickle", 9)), 2.0, CHANCE)) == [(9, "announce", (7,))]
    assert said(relay.handle(Woke(("trickle", None)), 5.0, CHANCE)) == [(1, "announce", (7,)), (8, "announce", (7,))]
    later = relay.joined(Peer(10, outbound=False), 6.0, CHANCE)
    assert (said(later), [key for _, key in wakes(later)]) == ([], [("trickle", None)])


def test_who_announced_it_first_is_not_told_when_the_timer_comes():
    relay = Trickle(neighbours(2))
    got(relay)
    relay.handle(Heard(1, Message("announce", (7,))), 1.0, CHANCE)
    assert said(relay.handle(Woke(("trickle", 1)), 2.0, CHANCE)) == []
    assert said(relay.handle(Woke(("trickle", 2)), 2.0, CHANCE)) == [(2, "announce", (7,))]


def test_inbound_neighbours_are_asked_two_seconds_later_and_not_if_an_outbound_one_announces():
    relay = Trickle(neighbours(1, 1))
    late = relay.handle(Heard(2, Message("announce", (7,))), 0.0, CHANCE)
    assert (said(late), wakes(late)) == ([], [(2.0, ("fetch", 7))])
    assert said(relay.handle(Heard(1, Message("announce", (7,))), 1.0, CHANCE)) == [(1, "want", (7,))]
    assert said(relay.handle(Woke(("fetch", 7)), 2.0, CHANCE)) == []


def heartbeats(relay, count, now=0.0):
    return [effect for _ in range(count) for effect in relay.handle(Woke(("heartbeat",)), now, CHANCE)]


def test_a_mesh_grows_to_its_size_and_is_cut_back_to_it():
    relay = GossipMesh(neighbours(40))
    assert len(kinds(heartbeats(relay, 1), "graft")) == 4
    assert len(kinds(heartbeats(relay, 1), "graft")) == 4
    assert len(relay.mesh) == 8
    for peer in range(1, 41):
        relay.mesh[peer] = None
    assert len(kinds(heartbeats(relay, 1), "prune")) == 32
    assert len(relay.mesh) == 8


def test_a_full_mesh_refuses():
    relay = GossipMesh(neighbours(40))
    for peer in range(1, 13):
        assert relay.handle(Heard(peer, Message("graft")), 0.0, CHANCE) == []
    assert said(relay.handle(Heard(20, Message("graft")), 0.0, CHANCE)) == [(20, "prune", ())]
    relay.handle(Heard(3, Message("prune")), 0.0, CHANCE)
    assert 3 not in relay.mesh


def test_bodies_go_through_the_mesh_and_our_own_to_all():
    relay = GossipMesh(neighbours(40))
    relay.mesh.update(dict.fromkeys(range(1, 9)))
    assert kinds(got(relay, sender=3), "body") == [1, 2, 4, 5, 6, 7, 8]
    assert len(kinds(got(relay, 8), "body")) == 40


def test_those_outside_of_the_mesh_get_hints_for_three_heartbeats():
    relay = GossipMesh(neighbours(40))
    relay.mesh.update(dict.fromkeys(range(1, 9)))
    got(relay, sender=3)
    hints = [kinds(heartbeats(relay, 1), "announce") for _ in range(4)]
    assert [len(one) for one in hints] == [8, 8, 8, 0]
    assert not {peer for one in hints for peer in one} & set(range(1, 9))


@pytest.mark.parametrize(("size", "told"), [(1024, [1, 2, 4, 5]), (1023, [])])
def test_who_has_a_large_body_says_so_at_once_before_it_is_checked(size, told):
    relay = GossipMesh(neighbours(40), Mesh(dontwant=True))
    relay.mesh.update(dict.fromkeys(range(1, 6)))
    assert kinds(relay.handle(Heard(3, body(size=size)), 0.0, CHANCE), "dontwant") == told


def test_who_does_not_want_it_is_not_sent_it():
    relay = GossipMesh(neighbours(40), Mesh(dontwant=True))
    relay.mesh.update(dict.fromkeys(range(1, 6)))
    relay.handle(Heard(3, body(size=2000)), 0.0, CHANCE)
    relay.handle(Heard(4, Message("dontwant", (7,))), 0.0, CHANCE)
    assert kinds(relay.handle(Checked(7, good=True), 0.0, CHANCE), "body") == [1, 2, 5]


def reconciled(ours, theirs, margin=0.1):
    """Two neighbours with these sets for each other compare them: all that goes over the wire, and both relays."""
    one, other = Reconcile(neighbours(1), Sets(flood=0, margin=margin)), Reconcile(neighbours(0, 1), Sets(flood=0))
    for relay, held in ((one, ours), (other, theirs)):
        for tx in held:
            got(relay, tx)
    log, post = [], [(other, one, effect.message) for effect in one.handle(Woke(("reconcile",)), 1.0, CHANCE)
                     if hasattr(effect, "message")]
    while post:
        target, source, message = post.pop(0)
        log.append(message)
        effects = target.handle(Heard(1, message), 1.0, CHANCE)
        post += [(source, target, effect.message) for effect in effects if hasattr(effect, "message")]
        for effect in effects:
            if type(effect).__name__ == "Check":
                effects = target.handle(Checked(effect.tx, good=True), 1.0, CHANCE)
    return log, one, other


def test_both_have_all_after_comparing_and_what_both_had_is_not_named():
    log, one, other = reconciled([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    assert set(one.held) == set(range(1, 13))
    assert [message.kind for message in log][:2] == ["reconcile", "sketch"]
    assert [tx for message in log if message.kind in {"announce", "want"} for tx in message.txs].count(5) == 0
    offered = [effect for effect in other.handle(Woke(("fetch", 1)), 3.0, CHANCE) if hasattr(effect, "message")]
    assert said(offered) == [(1, "want", (1,))]


def test_what_was_dropped_is_in_no_set_any_more():
    relay = Reconcile(neighbours(1, 1))
    got(relay)
    relay.drop(7)
    asked = relay.handle(Heard(2, Message("reconcile", count=0)), 1.0, CHANCE)
    assert said(asked) == [(2, "sketch", ())], "guard: nor does it stay there for who never compares"


def test_a_sketch_that_is_too_short_is_given_up_and_all_is_announced():
    log, one, other = reconciled([1, 2, 3, 4], [5, 6, 7, 8], margin=0.1)
    assert sketch_length(4, 4) == 2
    assert [message.kind for message in log][:4] == ["reconcile", "sketch", "announce", "reconcile"]
    assert set(one.held) == set(range(1, 9))
    assert all(other.knows(1, tx) for tx in (1, 2, 3, 4))


@pytest.mark.parametrize(("ours", "theirs", "length"), [(0, 0, 1), (10, 10, 2), (10, 0, 11), (30, 20, 13)])
def test_a_sketch_is_as_long_as_the_difference_is_expected_to_be(ours, theirs, length):
    assert sketch_length(ours, theirs) == length


def test_our_own_walks_to_one_outbound_neighbour_and_nobody_is_told():
    relay = Dandelion(neighbours(8, 20))
    effects = got(relay)
    ((peer, kind, txs),) = said(effects)
    assert (kind, txs, relay.peers[peer].outbound) == ("stem", (7,), True)
    assert [key for _, key in wakes(effects)] == [("embargo", 7)]


def test_while_it_is_quiet_nobody_who_asks_is_given_it():
    relay = Dandelion(neighbours(8, 20))
    got(relay)
    assert relay.handle(Heard(20, Message("want", (7,))), 0.0, CHANCE) == []


def stem(relay, tx, sender, seed):
    chance = random.Random(seed)
    relay.handle(Heard(sender, Message("stem", (tx,), 300, 2)), 0.0, chance)
    return relay.handle(Checked(tx, good=True), 0.0, chance)


def test_a_tenth_of_the_hops_end_the_walk():
    ended = sum(not kinds(stem(Dandelion(neighbours(8, 20)), 7, 20, seed), "stem") for seed in range(2000))
    assert ended / 2000 == pytest.approx(0.1, abs=0.02)


def test_what_one_neighbour_brings_goes_one_way_all_epoch():
    relay = Dandelion(neighbours(8, 20), Stems(end=0.0))
    ways = {kinds(stem(relay, tx, 20, tx), "stem")[0] for tx in range(50)}
    others = {kinds(stem(relay, 100 + tx, 9 + tx % 19, tx), "stem")[0] for tx in range(100)}
    assert len(ways) == 1
    assert len(others) == 2


def test_a_walk_that_is_not_heard_of_again_is_told_after_the_embargo():
    relay = Dandelion(neighbours(8, 20))
    ((at_s, key),) = wakes(got(relay))
    assert at_s >= 10.0
    assert wakes(relay.handle(Woke(key), at_s, CHANCE))
    assert relay.quiet == {}


def test_a_walk_that_comes_back_in_public_is_told_at_once():
    relay = Dandelion(neighbours(8, 20))
    got(relay)
    ((at_s, key),) = wakes(relay.handle(Heard(20, Message("announce", (7,))), 3.0, CHANCE))
    assert (at_s, key) == (3.0, ("embargo", 7))
    relay.handle(Woke(key), 3.0, CHANCE)
    assert kinds(relay.handle(Heard(20, Message("want", (7,))), 3.0, CHANCE), "body") == [20]


def test_a_rumour_stops_after_so_many_links():
    relay = Rumour(neighbours(4), Stop("hops", limit=3))
    relay.handle(Heard(1, body(hops=3)), 0.0, CHANCE)
    assert relay.handle(Checked(7, good=True), 0.0, CHANCE) == []
    assert wakes(got(Rumour(neighbours(4), Stop("hops", limit=3)), sender=1))


def test_a_rumour_stops_when_it_was_heard_so_many_times():
    relay = Rumour(neighbours(4), Stop("seen", limit=3))
    got(relay, sender=1)
    for times in (2, 3):
        assert 7 in relay.hot, times
        relay.handle(Heard(2, body()), 0.0, CHANCE)
    assert relay.handle(Woke(("round", 7)), 1.0, CHANCE) == []


def test_interest_is_lost_at_who_had_it_with_a_chance_of_one_in_k():
    lost = 0
    for seed in range(1000):
        relay = Rumour(neighbours(4), Stop("interest", limit=4))
        got(relay)
        relay.handle(Heard(2, Message("heard", (7,))), 0.0, random.Random(seed))
        lost += 7 not in relay.hot
    assert lost / 1000 == pytest.approx(0.25, abs=0.05)


def test_who_is_asked_for_news_announces_what_it_has():
    relay = Rumour(neighbours(4), Stop("interest", pull_s=1.0))
    assert relay.handle(Heard(2, Message("reconcile")), 0.0, CHANCE) == []
    got(relay)
    assert said(relay.handle(Heard(2, Message("reconcile")), 0.0, CHANCE)) == [(2, "announce", (7,))]


def test_some_are_drawn_evenly_and_waits_have_no_memory():
    chance = random.Random(5)
    counts = [0] * 6
    for _ in range(6000):
        for one in some(2, range(6), chance):
            counts[one] += 1
    assert all(count == pytest.approx(2000, rel=0.1) for count in counts)
    assert some(9, [1, 2], chance) in ([1, 2], [2, 1])
    waits = sorted(exponential(2.0, chance) for _ in range(5000))
    assert waits[2500] == pytest.approx(2.0 * math.log(2), rel=0.08)
