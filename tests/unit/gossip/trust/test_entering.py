# SPDX-License-Identifier: Apache-2.0
"""What a member who enters can read, by policy; and that it needs nothing but who it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.errors import NotTrusted
from holdfast.gossip.trust.handshake import Caller, Door
from holdfast.gossip.trust.identity import Identity
from holdfast.gossip.trust.invites import Invitations, Token
from holdfast.gossip.trust.machine import Trust
from holdfast.gossip.trust.policy import Heard, Live, Met, Rotate, Turned
from tests.unit.gossip.trust.colony import QUICK, Colony, Member
from tests.unit.gossip.trust.people import DAY, NOW


class Entering:
    """A colony, and somebody who comes with an invitation. The first member admits."""

    def __init__(self, joiners, *, grace_s=3.0):
        self.colony = Colony(6, rotators=2, policy=replace(QUICK, joiners=joiners, grace_s=grace_s))
        self.colony.found()
        self.host, self.above = self.colony.town.citizen("door", "admit", "rotate", since=NOW - 1000)
        self.door = Trust(self.colony.town.anchor, self.host, self.above, self.colony.town.entropy,
                          policy=self.colony.policy)

    def enter(self):
        """He joins at a member who admits and holds what the first of them holds."""
        colony, town = self.colony, self.colony.town
        door, wall = self.door, colony.wall
        door.handle(Met(self.above), colony.now, wall, colony.chance)
        door.restore(colony.members[colony.ids[0]].trust.state(), wall)
        invitations = Invitations(town.anchor, self.host, self.above, entropy=town.entropy, keep=lambda _: None)
        token = Token(invitations.make(wall + DAY))
        identity = Identity.generate(town.entropy)
        caller = Caller(token.anchor, identity, token, town.entropy, name="new")
        host = Door(town.anchor, self.host, self.above, town.entropy, invitations=invitations,
                    from_epoch=door.from_epoch())
        member = host.replied(caller.challenged(host.called(caller.hello), wall), wall)
        welcome = caller.welcomed(host.welcome(door.greeting(member)), wall)
        new = Member(identity, welcome.credential)
        colony.members[identity.id] = new
        colony.ids.append(identity.id)
        new.trust = Trust(town.anchor, identity, welcome.credential, town.entropy, policy=colony.policy)
        new.trust.entered(welcome, caller.member, colony.now, wall, colony.chance)
        return new

    def arrive(self, new):
        """Membership says that he is there."""
        colony = self.colony
        new.disk = new.trust.state()
        colony.start(new.identity.id)
        for member in colony.members.values():
            if member.running:
                colony.tell(member.identity.id, Met(new.credential))
                colony.tell(new.identity.id, Met(member.credential))
        everybody = frozenset(colony.ids)
        for node in colony.ids:
            colony.tell(node, Live(everybody))


def test_a_new_member_reads_from_the_epoch_in_force_on():
    scene = Entering("current", grace_s=60.0)
    scene.colony.tell(scene.colony.rotators[0], Rotate())
    scene.colony.until(lambda: all(scene.colony.current(node).number == 2 for node in scene.colony.ids))
    first, second = sorted(scene.colony.members[scene.colony.ids[0]].trust.epochs, key=lambda one: one.number)
    new = scene.enter()
    assert [one.hash for one in new.trust.epochs] == [second.hash]
    scene.arrive(new)
    scene.colony.run(20)  # asking does not help
    assert new.trust.epochs.get(first.hash) is None
    assert scene.colony.members[scene.colony.ids[0]].trust.epochs.get(first.hash) is not None


def test_a_new_member_reads_nothing_of_before_where_the_policy_says_so():
    scene = Entering("fresh")
    colony = scene.colony
    first = colony.current(colony.ids[0])
    new = scene.enter()
    assert len(new.trust.epochs) == 0
    scene.arrive(new)
    colony.until(lambda: colony.settled(colony.ids, 2))
    assert colony.current(new.identity.id).record.reason == "admission"
    assert first.hash not in {turned.epoch.hash for _, _, turned in colony.seen(Turned, new.identity.id)}
    colony.run(60)
    assert colony.settled(colony.ids, 2)  # one change for one who came


def test_a_new_member_reads_what_is_held_where_the_policy_says_so():
    scene = Entering("history", grace_s=60.0)
    scene.colony.tell(scene.colony.rotators[0], Rotate())
    scene.colony.until(lambda: all(scene.colony.current(node).number == 2 for node in scene.colony.ids))
    new = scene.enter()
    assert sorted(one.number for one in new.trust.epochs) == [1, 2]


def test_a_certificate_that_waits_for_an_epoch_far_away_starts_no_flood():
    colony = Colony(5)
    colony.found()
    identity, credential = colony.town.citizen("later", since=NOW - 1000, from_epoch=1000)
    for node in colony.ids:
        colony.tell(node, Met(credential))
    colony.run(60)
    assert colony.settled(colony.ids, 1)
    assert not colony.members[colony.ids[0]].trust.book.may_have(
        colony.members[colony.ids[0]].trust.book.member(identity.id), colony.current(colony.ids[0]))


def test_a_member_takes_the_rotation_that_follows_what_he_was_given():
    scene = Entering("current")
    colony = scene.colony
    new = scene.enter()
    scene.arrive(new)
    colony.run(5)
    colony.tell(colony.rotators[0], Rotate())
    colony.until(lambda: colony.settled(colony.ids, 2))
    colony.say(new.identity.id, b"here I am")
    colony.run(1)
    assert all(b"here I am" in colony.members[node].read for node in colony.ids if node != new.identity.id)


def test_a_machine_takes_no_certificate_but_its_own():
    colony = Colony(4)
    one, other = (colony.members[node] for node in colony.ids[:2])
    trust = Trust(colony.town.anchor, one.identity, other.credential, colony.town.entropy)
    with pytest.raises(NotTrusted, match="another node"):
        trust.handle(Heard("x", b""), 0.0, NOW, colony.chance)


def test_a_renewed_certificate_takes_the_place_of_the_old_one():
    colony = Colony(4)
    colony.found()
    node = colony.ids[0]
    member = colony.members[node]
    renewed = colony.town.certify(member.identity, "n0", "rotate", days=700)
    member.trust.renew(renewed)
    colony.tell(node, Rotate())
    colony.until(lambda: colony.settled(colony.ids, 2))
    assert colony.current(node).said.by == renewed
