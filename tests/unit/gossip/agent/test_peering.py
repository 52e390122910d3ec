# SPDX-License-Identifier: Apache-2.0
"""Whom a member keeps company with: a swarm of names gets no more of it than one network may, anchors outlast restarts
and cuts, and nobody stays by luck."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.gossip.agent import DEFENDED, DEFENDED_NATIVE
from holdfast.gossip.agent.guarding import Guarding
from holdfast.gossip.agent.peering import Peering
from holdfast.gossip.agent.remembering import Remembering
from holdfast.gossip.agent.snapshot import Snapshot, written
from holdfast.gossip.agent.telling import Telling
from holdfast.gossip.core.members import Member
from holdfast.gossip.defence import OFF, Guard
from holdfast.gossip.defence.acts import AuditWith, CompareWith
from holdfast.gossip.defence.bans import Banning
from holdfast.gossip.defence.coverage import Auditing
from holdfast.gossip.defence.peers import Choosing
from holdfast.gossip.defence.subnets import Places
from holdfast.gossip.defence.views import Comparing
from holdfast.gossip.messages import SERF_VERSIONS, State
from holdfast.gossip.serf.messages import UserEvent


def member(name, *host, state=State.ALIVE):
    return Member(name, bytes(host), 7946, b"", SERF_VERSIONS, 1, state, 0.0)


ME = member("me", 10, 0, 0, 1)
#: Each in a network of its own; and a swarm in one.
HONEST = [member(f"h{number}", 10, 1, number, 1) for number in range(12)]
SWARM = [member(f"s{number}", 66, 0, 0, number) for number in range(1, 201)]


class Hands:
    """A clock that a test moves."""

    def __init__(self):
        self.time = 100.0

    def now(self):
        return self.time

    def wall_ms(self):
        return 1_000_000


class One:
    """A member's choice, by the second."""

    def __init__(self, choosing=None, *, seed=1, anchors=None, begin=True, **defences):
        self.choosing = choosing or Choosing()
        self.guard = Guard("me", None, replace(OFF, choosing=self.choosing, flood=16, **defences))
        self.peering, self.chance, self.now = Peering(self.guard, self.choosing), random.Random(seed), 0.0
        if begin:
            self.peering.begin(anchors or {})

    def second(self, *members, seconds=1.0):
        self.now += seconds
        self.peering.look([ME, *members], len(members), self.now, self.chance)
        return self.peering.company

    def answers(self, *names):
        for name in names:
            self.peering.asked(name)
            self.peering.answered(name)

    def kept(self, *members):
        return self.peering.anchors({each.node: each.address for each in members}.get, self.now)


def swarmed(names):
    return sum(name.startswith("s") for name in names)


@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(0, 12), st.integers(1, 4))
def test_a_swarm_in_one_network_has_no_more_of_anything_than_a_network_may(seed, names, honest, per_network):
    one = One(Choosing(per_network=per_network), seed=seed)
    known = [*SWARM[:names], *HONEST[:honest]]
    chosen = one.second(*known)
    others = min(honest, 8)
    # For want of others a network has more, until four are chosen.
    most = max(per_network, 4 - others)
    assert swarmed(chosen) <= most
    assert len(chosen) == min(8, others + min(names, most)) or others == 8 - swarmed(chosen)
    assert set(one.peering.partners(one.chance)) == set(chosen)
    hosts = {each.node: each.address for each in known}
    drawn = one.peering.draw(hosts)(list(hosts), 16, one.chance)
    assert len(set(drawn)) == len(drawn) == min(16, len(known))
    assert set(chosen) <= set(drawn)
    assert set(drawn) >= {each.node for each in HONEST[:honest]}  # whoever fills the rest, each network is there


def test_who_came_by_itself_has_half_of_the_places():
    one = One()
    for each in HONEST:
        one.peering.joined(each.node, by_itself=True)
    assert len(one.second(*HONEST)) == 4
    assert len(one.second(*HONEST, seconds=60.0)) == 4
    one.peering.gone("h0")
    one.peering.joined("h0", by_itself=False)  # others told of it
    assert len(one.second(*HONEST, seconds=60.0)) == 5


def test_each_chosen_one_is_asked_before_any_is_asked_again():
    one = One(Choosing(size=4))
    chosen = one.second(*HONEST)
    for _ in range(4):
        one.peering.asked(one.peering.partners(one.chance)[0])
    assert {one.peering.partners(one.chance)[0] for _ in range(60)} == set(chosen)
    one.peering.turn()
    (new,) = set(one.second(*HONEST, seconds=300.0)) - set(chosen)
    assert one.peering.partners(one.chance)[0] == new


def test_nobody_is_chosen_before_it_has_entered():
    one = One(begin=False)
    assert one.second(*SWARM) == ()
    assert one.peering.partners(one.chance) == []  # then anybody is asked
    one.peering.begin({"h7": HONEST[7].address, "h3": HONEST[3].address, "h1": HONEST[1].address})
    assert one.second(*SWARM, *HONEST)[:2] == ("h7", "h3")


def test_an_anchor_has_answered_and_lasted():
    one = One(Choosing(size=4, rotate_s=300.0))
    chosen = one.second(*HONEST)
    one.second(*HONEST, seconds=400.0)
    assert one.kept(*HONEST) == {}  # none has answered
    one.answers(chosen[2], chosen[3])
    one.second(*HONEST, seconds=60.0)
    assert one.kept(*HONEST) == {each.node: each.address for each in HONEST if each.node in chosen[2:4]}

    young = One(Choosing(size=4, rotate_s=300.0))
    young.answers(*young.second(*HONEST))
    young.second(*HONEST, seconds=299.0)
    assert young.kept(*HONEST) == {}
    young.now += 1.0
    assert len(young.kept(*HONEST)) == 2


def test_anchors_outlast_a_cut_until_others_take_their_places():
    one = One(Choosing(size=4), banning=Banning(), anchors={"h0": HONEST[0].address, "h1": HONEST[1].address})
    one.answers("h0", "h1")
    one.second(*HONEST)
    one.second(*HONEST, seconds=300.0)
    assert set(one.kept(*HONEST)) == {"h0", "h1"}
    for each in HONEST:
        one.peering.gone(each.node)
    assert one.second() == ()  # cut off from all
    assert set(one.kept(*HONEST)) == {"h0", "h1"}
    one.guard.ledger.ban("h0", "by hand", one.now, proven=True)
    assert set(one.kept(*HONEST)) == {"h1"}  # nobody goes back to who is banned
    for each in HONEST[2:]:
        one.peering.joined(each.node, by_itself=False)
    one.answers(*one.second(*HONEST[2:]))
    one.second(*HONEST[2:], seconds=300.0)
    assert len(one.kept(*HONEST)) == 2
    assert not {"h0", "h1"} & set(one.kept(*HONEST))


def test_the_chosen_change_with_time_and_never_all_at_once():
    one = One(Choosing(size=8, rotate_s=300.0, rotate_share=0.25))
    before = one.second(*HONEST)
    one.answers(*(each.node for each in HONEST))
    first, seen = before[:2], set(before)
    for _ in range(12):
        one.peering.turn()
        chosen = one.second(*HONEST, seconds=300.0)
        assert len(chosen) == 8
        assert len(set(before) - set(chosen)) == 2
        assert chosen[:2] == first  # the anchors stay
        before, seen = chosen, seen | set(chosen)
    assert len(seen) > 10


@pytest.mark.parametrize("why", ["gone", "banned"])
def test_a_chosen_one_that_may_not_stay_is_replaced_at_once(why):
    one = One(banning=Banning())
    lost = one.second(*HONEST)[3]
    if why == "gone":
        one.peering.gone(lost)
    else:
        one.guard.ledger.ban(lost, "by hand", one.now, proven=True)
    after = one.second(*(each for each in HONEST if why != "gone" or each.node != lost), seconds=0.01)
    assert lost not in after
    assert len(after) == 8


def test_a_look_at_all_is_rare_where_there_are_many():
    one = One()
    many = [member(f"m{number}", 10, 9, number >> 8, number & 255) for number in range(1000)]
    looked = []

    def members():
        looked.append(one.now)
        yield from many

    for second in range(60):
        one.now = float(second)
        one.peering.joined("somebody", by_itself=False)
        one.peering.look(members(), len(many), one.now, one.chance)
    assert len(looked) == 20


def test_neighbours_on_purpose_are_no_swarm():
    crowd = [member(f"c{number}", 127, 0, 0, number) for number in range(1, 21)]
    assert len(One().second(*crowd)) == 8
    assert len(One(places=Places(exempt=())).second(*crowd)) == 4


# -- where it is asked

def test_audits_comparisons_and_own_events_go_to_the_chosen():
    clock, acts = Hands(), []
    defences = replace(DEFENDED_NATIVE, auditing=Auditing(every_s=1.0), comparing=Comparing(every_s=1.0))
    guarding = Guarding("me", defences, clock, Telling("me", None, clock), sealed=True, native=True)
    guarding.carry = acts.append
    guarding.peering.begin({})
    core = SimpleNamespace(name="me", members=[ME, *SWARM, *HONEST[:6]])
    chance = random.Random(1)
    for _ in range(200):
        clock.time += 1.0
        guarding.second(core, chance)
    asked = {kind: Counter(act.peer for act in acts if isinstance(act, kind)) for kind in (AuditWith, CompareWith)}
    assert set(asked[AuditWith]) == set(asked[CompareWith]) == set(guarding.inspect().chosen)
    assert swarmed(asked[AuditWith]) == 2
    members = {each.node: each.address for each in [*SWARM, *HONEST[:6]]}
    told = guarding.said(UserEvent(1, "deploy", b""), members, chance)
    assert len(told) == 16
    assert set(told) >= set(guarding.inspect().chosen)
    for _ in range(400):  # and by itself they are exchanged when it is time
        clock.time += 1.0
        guarding.second(core, chance)
    assert {act.peer for act in acts if isinstance(act, AuditWith)} > set(asked[AuditWith])


def test_it_is_on_where_members_have_identities_and_can_be_on_elsewhere():
    clock = Hands()
    telling = Telling("me", None, clock)
    assert (DEFENDED.choosing, DEFENDED_NATIVE.choosing) == (None, Choosing())
    assert Guarding("me", replace(DEFENDED, choosing=Choosing()), clock, telling, sealed=True, native=False).peering
    assert Guarding("me", DEFENDED, clock, telling, sealed=True, native=False).peering is None


# -- on disk

class Shell(SimpleNamespace):
    """What ``Remembering`` asks of one."""

    def __init__(self, peering=None):
        super().__init__(name="me", counts=Counter(), layer=None,
                         guarding=SimpleNamespace(peering=peering, now=1e9))


def remembering(path, peering=None, seed=1):
    return Remembering(path, Shell(peering), random.Random(seed))


def test_anchors_of_a_snapshot_come_first_and_the_others_by_networks(tmp_path):
    path = tmp_path / "members"
    swarm = {f"s{number}": f"66.0.0.{number}:7946" for number in range(1, 101)}
    honest = {f"h{number}": f"10.1.{number}.1:7946" for number in range(3)}
    path.write_bytes(written(swarm | honest | {"me": "10.0.0.1:7946"}, (0, 0, 0), anchors={
        "odd": "no address", "h1": "10.1.1.1:7946", "away": "10.2.0.1:7946", "too many": "10.3.0.1:7946"}))
    for seed in range(20):
        before = remembering(path, One(begin=False).peering, seed).begin(rejoin_after_leave=False)
        assert before.anchors == {"h1": (bytes([10, 1, 1, 1]), 7946), "away": (bytes([10, 2, 0, 1]), 7946)}
        assert {"10.1.0.1:7946", "10.1.2.1:7946"} <= set(before.others[:3])  # a network each
        assert len(before.others) == 102
        assert not {"10.1.1.1:7946", "10.0.0.1:7946"} & set(before.others)
    off = remembering(path).begin(rejoin_after_leave=False)
    assert off.anchors == {}
    assert "10.1.1.1:7946" in off.others


def test_a_start_that_came_to_nothing_loses_no_anchor(tmp_path, arun):
    path = tmp_path / "members"
    path.write_bytes(written({}, (0, 0, 0), anchors={"h1": "10.1.1.1:7946"}))
    one = One(Choosing(rotate_s=1.0), begin=False)
    keeper = remembering(path, one.peering)
    before = keeper.begin(rejoin_after_leave=False)
    arun(keeper.close(left=False))
    assert Snapshot(path).load().anchors == {"h1": "10.1.1.1:7946"}
    one.peering.begin(before.anchors)
    arun(keeper.close(left=False))
    assert Snapshot(path).load().anchors == {"h1": "10.1.1.1:7946"}
