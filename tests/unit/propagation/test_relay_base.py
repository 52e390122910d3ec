# SPDX-License-Identifier: Apache-2.0
"""What all relays do: check first, say nothing twice, ask one at a time."""

from __future__ import annotations

import random

import pytest

from holdfast.propagation.relay import Announce, Dandelion, Flood, GossipMesh, Reconcile, SqrtPush, Trickle, base
from holdfast.propagation.relay.base import RETRY_S
from holdfast.propagation.relay.words import Check, Checked, Heard, Made, Message, Peer, Tell, Woke
from tests.unit.propagation.hands import body, got, neighbours, said, wakes

CHANCE = random.Random(1)
POLICIES = [Announce, Dandelion, Flood, GossipMesh, Reconcile, SqrtPush, Trickle]


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_is_passed_on_before_it_was_checked(policy):
    relay = policy(neighbours(3, 3))
    effects = relay.handle(Heard(1, body()), 0.0, CHANCE)
    assert Check(7) in effects
    assert not [one for one in said(effects) if one[1] != "dontwant"]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_not_good_goes_no_further_and_is_not_looked_at_again(policy):
    relay = policy(neighbours(3, 3))
    assert got(relay, sender=1, good=False) == []
    assert relay.handle(Heard(2, body()), 1.0, CHANCE) == []
    assert relay.handle(Heard(3, Message("announce", (7,))), 1.0, CHANCE) == []
    assert relay.handle(Heard(3, Message("want", (7,))), 1.0, CHANCE) == []


def test_who_brought_it_or_announced_it_is_not_told():
    relay = Flood(neighbours(4))
    relay.handle(Heard(1, body()), 0.0, CHANCE)
    relay.handle(Heard(2, Message("announce", (7,))), 0.0, CHANCE)
    assert said(relay.handle(Checked(7, good=True), 0.0, CHANCE)) == [(3, "body", (7,)), (4, "body", (7,))]


def test_a_check_that_nobody_asked_for_says_nothing():
    assert Flood(neighbours(2)).handle(Checked(7, good=True), 0.0, CHANCE) == []


def test_one_is_asked_and_the_next_one_only_when_it_did_not_answer():
    relay = Announce(neighbours(3))
    first = relay.handle(Heard(1, Message("announce", (7,))), 10.0, CHANCE)
    assert said(first) == [(1, "want", (7,))]
    assert wakes(first) == [(10.0 + RETRY_S, ("fetch", 7))]
    assert said(relay.handle(Heard(2, Message("announce", (7,))), 11.0, CHANCE)) == []
    assert said(relay.handle(Woke(("fetch", 7)), 10.0 + RETRY_S, CHANCE)) == [(2, "want", (7,))]


def test_what_nobody_gave_is_forgotten_and_is_news_when_somebody_speaks_of_it_again():
    relay = Announce(neighbours(2))
    for peer in (1, 2):
        relay.handle(Heard(peer, Message("announce", (7,))), 0.0, CHANCE)
    assert said(relay.handle(Woke(("fetch", 7)), RETRY_S, CHANCE)) == [(2, "want", (7,))]
    assert relay.knows(1, 7)
    assert relay.handle(Woke(("fetch", 7)), 2 * RETRY_S, CHANCE) == []
    assert not relay.knows(1, 7), "guard: or who announces what there never was fills our memory"
    assert said(relay.handle(Heard(1, Message("announce", (7,))), 2 * RETRY_S, CHANCE)) == [(1, "want", (7,))]


def test_of_how_many_ids_it_is_known_who_has_them_has_a_bound(monkeypatch):
    monkeypatch.setattr(base, "KNOWN_MAX", 3)
    relay = GossipMesh(neighbours(1))
    for tx in range(5):
        relay.handle(Heard(1, Message("dontwant", (tx,))), 0.0, CHANCE)
    assert [relay.knows(1, tx) for tx in range(5)] == [False, False, True, True, True]


def test_who_leaves_while_it_is_asked_costs_no_wait():
    relay = Announce(neighbours(3))
    for peer in (1, 2):
        relay.handle(Heard(peer, Message("announce", (7,))), 0.0, CHANCE)
    again = [key for _, key in wakes(relay.left(1, 1.0))]
    assert again == [("fetch", 7)]
    assert said(relay.handle(Woke(("fetch", 7)), 1.0, CHANCE)) == [(2, "want", (7,))]


def test_who_asks_is_given_what_is_held_and_nothing_else():
    relay = Announce(neighbours(2))
    got(relay)
    assert said(relay.handle(Heard(1, Message("want", (7, 8))), 0.0, CHANCE)) == [(1, "body", (7,))]


def test_strangers_are_not_listened_to():
    assert Flood(neighbours(2)).handle(Heard(99, body()), 0.0, CHANCE) == []


def test_a_body_that_waits_is_not_sent_to_who_said_meanwhile_that_it_has_it():
    relay = Flood(neighbours(2))
    waiting = [one for one in got(relay) if isinstance(one, Tell)]
    assert all(relay.still(one.peer, one.message) for one in waiting)
    relay.handle(Heard(1, body()), 0.1, CHANCE)
    assert [relay.still(one.peer, one.message) for one in waiting] == [False, True]


def test_hops_are_counted_from_who_made_it():
    relay = Flood(neighbours(2))
    relay.handle(Heard(1, body(hops=4)), 0.0, CHANCE)
    (told,) = relay.handle(Checked(7, good=True), 0.0, CHANCE)
    assert (told.peer, told.message.hops) == (2, 5)


def test_what_was_dropped_is_new_again():
    relay = Flood(neighbours(2))
    got(relay)
    relay.drop(7)
    assert relay.handle(Made(7, 300), 1.0, CHANCE) == [Check(7)]


def test_a_neighbour_that_comes_later_is_told_what_comes_later():
    relay = Flood(neighbours(1))
    relay.joined(Peer(5, outbound=False), 0.0, CHANCE)
    assert said(got(relay)) == [(1, "body", (7,)), (5, "body", (7,))]
