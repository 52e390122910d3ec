# SPDX-License-Identifier: Apache-2.0
"""Keys change under fifty members, some of whom sleep, die, are cut off or are expelled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.errors import ConfigurationError, NotTrusted
from holdfast.gossip.trust.messages import Install
from holdfast.gossip.trust.policy import Finished, Found, Heard, Keep, Rotate, Sealed, Send, Straggling, Turned
from holdfast.gossip.trust.records import encode
from tests.unit.gossip.trust.colony import DETECT_S, QUICK, Colony


def rotate(colony, by=None):
    colony.tell(by or colony.rotators[0], Rotate())


def test_a_cluster_begins_and_changes_its_key():
    colony = Colony()
    colony.found()
    first = colony.current(colony.ids[0])
    rotate(colony)
    colony.until(lambda: colony.settled(colony.ids, 2))
    assert colony.current(colony.ids[0]).record.parents == (first.hash,)
    (_, _, finished), = [each for each in colony.seen(Finished) if each[2].number == 2]
    assert finished.done
    assert not finished.missing


@pytest.mark.parametrize("seed", range(3))
def test_a_key_changes_where_every_fifth_message_is_lost(seed):
    colony = Colony(seed=seed, loss=0.2, delay_s=0.3)
    colony.found()
    rotate(colony)
    colony.until(lambda: colony.settled(colony.ids, 2))
    assert not colony.refusals()


def test_no_packet_is_lost_while_the_key_changes():
    """Everybody speaks all the time; each packet is read by everybody."""
    colony = Colony(loss=0.1)
    colony.found()
    rotate(colony)
    said = 0
    while not colony.settled(colony.ids, 2):
        for node in colony.chance.sample(colony.ids, 5):
            colony.say(node, b"%d" % said)
            said += 1
        colony.run(0.2)
        assert colony.now < 100
    colony.run(1)
    assert said > 50
    assert sum(len(member.read) for member in colony.members.values()) == said * (len(colony.ids) - 1)


def test_only_who_may_rotate_does():
    colony = Colony(5, rotators=1)
    with pytest.raises(NotTrusted, match="rotate"):
        colony.tell(colony.ids[1], Rotate())
    with pytest.raises(NotTrusted, match="rotate"):
        colony.tell(colony.ids[1], Found())
    colony.found()
    with pytest.raises(ConfigurationError):
        colony.tell(colony.ids[0], Found())


def test_each_step_is_finished_everywhere_before_the_next():
    """Nobody seals with a key that a live member lacks; nobody forgets one that a live member seals with."""
    colony = Colony(20, loss=0.3, delay_s=0.5)
    colony.found()
    rotate(colony)
    old = colony.current(colony.ids[0])
    while not colony.settled(colony.ids, 2):
        books = [member.trust.epochs for member in colony.members.values()]
        if any(book.current.number == 2 for book in books):
            assert all(any(one.number == 2 for one in book) for book in books)
        if any(book.get(old.hash) is None for book in books):
            assert all(book.current.number == 2 for book in books)
        colony.run(0.05)
        assert colony.now < 100


def test_who_sleeps_is_named_and_the_change_waits_and_is_cancelled():
    """Alive for membership, and deaf: nobody seals with a key that he lacks."""
    colony = Colony(10, rotators=1)
    colony.found()
    colony.run(DETECT_S)  # what membership has to say is said
    deaf = colony.ids[5]
    colony.members[deaf].running = False  # and membership does not notice
    asked = colony.now
    rotate(colony)
    colony.until(lambda: colony.seen(Finished)[-1][2].number == 2)
    when, _, straggler = colony.seen(Straggling)[0]
    assert (straggler.node, straggler.step, straggler.known) == (deaf, "install", True)
    assert asked <= straggler.since < when
    finished = colony.seen(Finished)[-1][2]
    assert (finished.done, finished.missing) == (False, (deaf,))
    colony.run(1)
    others = [node for node in colony.ids if node != deaf]
    assert colony.settled(others, 1)
    assert colony.members[colony.rotators[0]].trust.inspect().waiting == {}


def test_a_sleeper_is_told_when_he_comes_back():
    colony = Colony()
    colony.found()
    sleeper = colony.ids[20]
    colony.stop(sleeper)
    colony.run(5)
    awake = [node for node in colony.ids if node != sleeper]
    for number in (2, 3, 4):
        rotate(colony)
        colony.until(lambda number=number: colony.settled(awake, number))
    colony.restart(sleeper)
    assert colony.current(sleeper).number == 1
    took = colony.until(lambda: colony.current(sleeper).number == 4)
    assert took < 10
    colony.run(70)
    assert colony.settled(colony.ids, 4)  # and nobody began another one because of him


def test_a_sleeper_who_may_rotate_begins_nothing_when_he_comes_back():
    colony = Colony(12)
    colony.found()
    sleeper = colony.rotators[1]
    colony.stop(sleeper)
    colony.run(5)
    awake = [node for node in colony.ids if node != sleeper]
    for number in (2, 3, 4):
        rotate(colony)
        colony.until(lambda number=number: colony.settled(awake, number))
    colony.restart(sleeper)
    colony.until(lambda: colony.current(sleeper).number == 4)
    colony.run(100)
    assert colony.settled(colony.ids, 4)


def test_who_cannot_read_a_packet_asks_its_sender():
    colony = Colony(10, policy=replace(QUICK, sync_s=10_000.0))
    colony.found()
    sleeper = colony.ids[5]
    colony.stop(sleeper)
    colony.run(5)
    rotate(colony)
    colony.until(lambda: colony.settled([node for node in colony.ids if node != sleeper], 2))
    colony.restart(sleeper)
    colony.run(10)
    assert colony.current(sleeper).number == 1
    colony.say(colony.ids[6], b"hello")
    colony.run(2)
    assert colony.current(sleeper).number == 2


@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.6, 1.0, 2.0, 5.0])
def test_another_goes_on_when_the_leader_dies(after_s):
    colony = Colony(20, loss=0.2, delay_s=0.2)
    colony.found()
    rotate(colony)
    colony.run(after_s)
    leader = colony.rotators[0]
    colony.stop(leader)
    others = [node for node in colony.ids if node != leader]
    colony.until(lambda: colony.settled(others))
    began = any(effect.number == 2 for _, _, effect in colony.seen(Finished)) or colony.settled(others, 2)
    assert began or colony.settled(others, 1)
    colony.restart(leader)
    colony.until(lambda: colony.settled(colony.ids))


def test_two_who_begin_at_once_make_one_epoch():
    colony = Colony(20, policy=replace(QUICK, stagger_s=0.0), delay_s=0.3)
    colony.found()
    for node in colony.rotators:
        rotate(colony, node)
    colony.until(lambda: colony.settled(colony.ids) and colony.current(colony.ids[0]).number >= 2)
    active = {(turned.epoch.number, turned.epoch.hash) for _, _, turned in colony.seen(Turned)
              if turned.what == "active"}
    assert len({number for number, _ in active}) == len(active)


def test_a_cut_cluster_changes_keys_on_both_sides_and_heals():
    colony = Colony(policy=replace(QUICK, grace_s=6.0))
    colony.found()
    left = [*colony.rotators[:1], *[node for node in colony.ids if node not in colony.rotators][:20]]
    right = [node for node in colony.ids if node not in left]
    colony.cut(*left)
    colony.run(5)
    rotate(colony, left[0])
    rotate(colony, colony.rotators[1])
    colony.until(lambda: colony.settled(left, 2) and colony.settled(right, 2))
    assert colony.current(left[0]).hash != colony.current(right[0]).hash
    heads = {colony.current(left[0]).hash, colony.current(right[0]).hash}
    colony.cut()
    # While they find each other, packets of both sides come to be read by both.
    colony.until(lambda: all(len(colony.members[node].trust.epochs) >= 2 for node in colony.ids))
    for member in colony.members.values():
        member.read.clear()
    for side in (left, right):
        colony.say(side[3], side[3].encode())
    colony.run(0.5)
    assert all(len(colony.members[node].read) == 2 - (node in (left[3], right[3])) for node in colony.ids)
    colony.until(lambda: colony.settled(colony.ids, 3))
    assert set(colony.current(left[0]).record.parents) == heads
    assert colony.current(left[0]).record.reason == "heal"


def test_a_cut_with_more_changes_on_one_side_heals():
    colony = Colony(20)
    colony.found()
    left = [*colony.rotators[:1], *[node for node in colony.ids if node not in colony.rotators][:8]]
    right = [node for node in colony.ids if node not in left]
    colony.cut(*left)
    colony.run(5)
    rotate(colony, left[0])
    for number in (2, 3, 4):
        rotate(colony, colony.rotators[1])
        colony.until(lambda number=number: colony.settled(right, number))
    colony.until(lambda: colony.settled(left, 2))
    colony.cut()
    colony.until(lambda: colony.settled(colony.ids, 5), within_s=200)
    colony.run(100)
    assert colony.settled(colony.ids, 5)


def test_a_key_that_is_old_or_worn_is_changed():
    colony = Colony(6, policy=replace(QUICK, age_s=60.0))
    colony.found()
    begun = colony.now
    colony.until(lambda: colony.settled(colony.ids, 2))
    assert 50 < colony.now - begun < 75
    assert colony.current(colony.ids[0]).record.reason == "age"


def test_a_key_that_sealed_many_packets_in_all_is_changed():
    colony = Colony(10, policy=replace(QUICK, sealed_max=1000, spread=0.0))
    colony.found()
    for node in colony.ids[:9]:
        colony.tell(node, Sealed(100))
    colony.run(30)
    assert colony.settled(colony.ids, 1)
    colony.tell(colony.ids[9], Sealed(100))
    colony.until(lambda: colony.settled(colony.ids, 2))
    assert colony.current(colony.ids[0]).record.reason == "count"
    colony.run(30)
    assert colony.settled(colony.ids, 2)


def test_a_member_restarts_with_what_is_on_disk():
    colony = Colony(6)
    colony.found()
    colony.expel(colony.ids[4])
    staying = [node for node in colony.ids if node != colony.ids[4]]
    colony.until(lambda: colony.settled(staying, 2))
    node = colony.ids[2]
    colony.stop(node)
    colony.restart(node)
    assert colony.current(node).number == 2
    assert colony.members[node].trust.revocations.nodes == {colony.ids[4]}


def test_the_same_seed_gives_the_same_story():
    stories = []
    for _ in range(2):
        colony = Colony(8, seed=5, loss=0.2)
        colony.found()
        rotate(colony)
        colony.run(20)
        stories.append([(when, who, type(effect).__name__) for when, who, effect in colony.effects])
    assert stories[0] == stories[1]


def test_an_acknowledgement_waits_for_the_disk():
    """A full disk: what was not kept is asked to be kept again before anybody is told that it is there."""
    colony = Colony(3, rotators=1)
    colony.found()
    colony.run(10)
    node = colony.ids[2]
    trust = colony.members[node].trust
    epoch = colony.town.announce((colony.members[colony.rotators[0]].identity,
                                  colony.members[colony.rotators[0]].credential), 2, [colony.current(node).hash],
                                 covers=colony.current(node).record.covers)
    box = trust.book.box(trust.book.member(node), epoch)
    for _ in range(2):
        effects = trust.handle(Heard(colony.rotators[0], encode(Install(epoch.said, box))), colony.now, colony.wall,
                               colony.chance)
        kinds = [type(effect) for effect in effects]
        assert kinds.index(Keep) < kinds.index(Send)
    trust.kept()
    effects = trust.handle(Heard(colony.rotators[0], encode(Install(epoch.said, box))), colony.now, colony.wall,
                           colony.chance)
    assert [type(effect) for effect in effects] == [Send]
