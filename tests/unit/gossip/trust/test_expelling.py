# SPDX-License-Identifier: Apache-2.0
"""Who was expelled reads nothing after the key was changed, with all the keys he has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.errors import BadPacket, NotTrusted
from holdfast.gossip.trust.admission import Vouched
from holdfast.gossip.trust.book import Book
from holdfast.gossip.trust.boxes import unseal
from holdfast.gossip.trust.identity import short_id
from holdfast.gossip.trust.messages import Answer, Ask, Entries, Have, Install, KeyMessage, Question, Told
from holdfast.gossip.trust.packets import Opener, Sealer, peek
from holdfast.gossip.trust.policy import Expel, Heard, Out, Rotate, Turned
from holdfast.gossip.trust.records import decode, encode
from holdfast.gossip.trust.revocations import Digest, revoke
from tests.unit.gossip.trust.colony import QUICK, Colony, nothing
from tests.unit.gossip.trust.people import CLUSTER, NOW


def boxes(message):
    """Every box in a message."""
    if isinstance(message, Install):
        return [message.box]
    if isinstance(message, Told):
        return list(decode(message.said.said.body, Answer).bundle.boxes)
    return []


def expelled(colony, out):
    """Expels him, waits for the new key, and gives those who stay."""
    before = colony.current(out).number
    colony.expel(out)
    staying = [node for node in colony.ids if node != out]
    colony.until(lambda: colony.settled(staying) and colony.current(staying[0]).number > before)
    return staying


def test_the_expelled_reads_nothing_with_all_keys_he_has():
    colony = Colony()
    colony.found()
    out = colony.ids[25]
    traitor = colony.members[out]
    old = list(traitor.trust.epochs)
    staying = expelled(colony, out)
    after = len(colony.wire)
    for node in staying:
        colony.say(node, b"now we are alone")
    colony.run(5)
    new = colony.current(staying[0])
    assert new.record.reason == "revocation"
    # He held on to everything, and heard everything that ever went over the wire.
    tried = opened = 0
    for _, _, data in colony.wire:
        if data[:1] == b"\x01":
            continue
        for box in boxes(decode(data, KeyMessage)):
            tried += box.epoch == new.hash
            try:
                key = unseal(box, CLUSTER, traitor.identity)
            except NotTrusted:
                continue
            opened += 1
            assert new.record.check != type(new.key)(key).check
    assert tried >= len(staying) - 1
    assert opened  # his own boxes of earlier epochs, so the trying is no sham
    packets = [data for _, _, data in colony.wire[after:] if data[:1] == b"\x01" and peek(data).epoch == new.number]
    assert len(packets) == len(staying)
    for data in packets:
        for own in [*old, *traitor.trust.epochs]:
            # Under whatever name: the keys he has, the header as it is and as his epochs would have it.
            for renamed in (data, data[:1] + own.number.to_bytes(4, "big") + own.hash[:4] + data[9:]):
                with pytest.raises((BadPacket, NotTrusted)):
                    Opener(CLUSTER).open([own, replace(own, said=new.said, record=new.record)], renamed)
    assert not traitor.read[-len(staying):].count(b"now we are alone")


def test_the_expelled_is_not_answered_and_not_heard():
    colony = Colony(12)
    colony.found()
    out = colony.ids[6]
    traitor = colony.members[out]
    staying = expelled(colony, out)
    before = len(colony.wire)
    for node in staying:
        question = Question(node, bytes(16), (), (), (), Digest(0, bytes(32)), 0, colony.wall)
        said = Vouched(traitor.identity.sign(CLUSTER, question), traitor.credential)
        colony.tell(node, Heard(out, encode(Ask(said))))
    assert [to for _, to, _ in colony.wire[before:] if to == out] == []
    assert "revoked" in colony.refusals()
    packet = Sealer(CLUSTER, out, colony.town.entropy).seal(colony.current(staying[0]), b"let me in")
    for node in staying:
        with pytest.raises(NotTrusted, match="revoked"):
            colony.members[node].opener.open(colony.members[node].trust.epochs, packet)


def test_packets_of_the_revoked_are_refused_by_id_and_by_certificate():
    colony = Colony(5)
    colony.found()
    trust = colony.members[colony.ids[0]].trust
    by_id, by_serial, stranger = colony.ids[2], colony.ids[3], colony.town.citizen()[0].id
    serial = trust.book.member(by_serial).certificate.serial
    for entry in ({"node": by_id}, {"serial": serial}, {"node": stranger}):
        colony.tell(colony.ids[0], Expel(revoke(colony.town.issuer, None, CLUSTER, **entry, reason="",
                                                at_ms=colony.wall)))
    refused = [node for node in [*colony.ids, stranger] if trust.refuses(short_id(node))]
    assert set(refused) == {by_id, by_serial, stranger}


def test_a_revocation_gets_about_and_the_key_changes_soon():
    """The leak drill: from the word until everybody has a key that the expelled lacks."""
    colony = Colony(loss=0.1)
    colony.found()
    begun, out = colony.now, colony.ids[30]
    staying = expelled(colony, out)
    heard = {node: when - begun for when, node, effect in colony.seen(Out)}
    assert set(staying) <= set(heard)
    assert max(heard[node] for node in staying) < 15
    assert colony.now - begun < 30


def test_somebody_expelled_while_a_key_is_installed_does_not_get_the_next_one():
    colony = Colony(12, rotators=1, delay_s=1.0)
    colony.found()
    out = colony.ids[6]
    colony.tell(colony.rotators[0], Rotate())
    colony.until(lambda: len(colony.members[out].trust.epochs) == 2)  # he has it already
    worthless = colony.members[out].trust.epochs.pending[0]
    colony.expel(out, told=colony.rotators[0])
    staying = [node for node in colony.ids if node != out]
    colony.until(lambda: colony.settled(staying, 2))
    new = colony.current(colony.ids[0])
    assert new.record.reason == "revocation"
    assert colony.members[out].trust.epochs.get(new.hash) is None
    assert not [turned for _, _, turned in colony.seen(Turned)
                if turned.what == "active" and turned.epoch.hash == worthless.hash]


def test_an_urgent_change_does_not_wait_for_who_is_deaf():
    colony = Colony(10, rotators=1)
    colony.found()
    deaf, out = colony.ids[5], colony.ids[6]
    colony.members[deaf].running = False
    colony.expel(out)
    staying = [node for node in colony.ids if node not in (deaf, out)]
    colony.until(lambda: colony.settled(staying, 2))
    colony.restart(deaf)
    colony.until(lambda: colony.current(deaf).number == 2)


def test_the_old_key_goes_at_once_when_somebody_was_expelled():
    slow = Colony(10, policy=replace(QUICK, grace_s=30.0))
    slow.found()
    begun = slow.now
    expelled(slow, slow.ids[5])
    assert slow.now - begun < 10


def test_an_expelled_leader_leads_no_more():
    colony = Colony(10)
    colony.found()
    leader = colony.rotators[0]
    staying = expelled(colony, leader)
    number = colony.current(staying[0]).number
    colony.tell(staying[0], Heard(leader, encode(Install(*_announced(colony, leader, staying[0])))))
    assert colony.refusals() & {"revoked"}
    assert colony.current(staying[0]).number == number


def _announced(colony, by, to):
    member = colony.members[by]
    book: Book = colony.members[to].trust.book
    epoch = colony.town.announce((member.identity, member.credential), book.epochs.current.number + 1,
                                 [book.epochs.current.hash])
    return epoch.said, book.box(book.member(to), epoch)


def test_two_expelled_on_two_sides_of_a_cut_are_both_out_after_it():
    colony = Colony(20)
    colony.found()
    left = [*colony.rotators[:1], *[node for node in colony.ids[3:] if node != colony.ids[-1]][:8]]
    right = [node for node in colony.ids if node not in left]
    colony.cut(*left)
    colony.run(5)
    outs = (left[3], right[5])
    for out, told in zip(outs, (left[0], right[0]), strict=True):
        colony.expel(out, told)
    staying = [node for node in colony.ids if node not in outs]
    colony.until(lambda: all(colony.settled([node for node in side if node not in outs], 2) for side in (left, right)))
    colony.cut()
    colony.until(lambda: colony.settled(staying))
    colony.run(20)
    assert colony.settled(staying)
    assert all(colony.members[node].trust.revocations.nodes == set(outs) for node in staying)
    assert colony.current(staying[0]).record.covers == colony.members[staying[0]].trust.revocations.digest.root
    for out in outs:
        assert colony.members[out].trust.epochs.get(colony.current(staying[0]).hash) is None


def test_whoever_was_let_in_by_the_expelled_goes_with_him():
    colony = Colony(8, rotators=1)
    colony.found()
    town = colony.town
    door, above = town.citizen("door", "admit", since=NOW - 1000)
    guest, credential = town.citizen("guest", by=door, above=above.certificate, since=NOW - 1000)
    trust = colony.members[colony.ids[0]].trust
    assert trust.book.learn(credential).id == guest.id
    colony.expel(door.id)
    colony.run(10)
    assert trust.book.member(guest.id) is None


def ask(colony, who, of):
    """He asks, and what went to him because of it."""
    before = len(colony.wire)
    asker = colony.members[who]
    question = Question(of, bytes(16), (), (), (), Digest(0, bytes(32)), 0, colony.wall)
    said = Vouched(asker.identity.sign(CLUSTER, question), asker.credential)
    colony.tell(of, Heard(who, encode(Ask(said))))
    return [decode(data, KeyMessage) for _, to, data in colony.wire[before:] if to == who]


def deaf_for_lists(who):
    """A network that brings him everything but lists of the revoked."""
    return lambda frm, to, data: to == who and isinstance(decode(data, KeyMessage), Have | Entries)


def test_who_has_the_new_key_and_not_the_list_gives_it_to_nobody():
    """He slept, was told the key, and has not heard yet who was expelled. The expelled asks him first."""
    colony = Colony(12)
    colony.found()
    sleeper, out, other = colony.ids[5], colony.ids[6], colony.ids[7]
    colony.stop(sleeper)
    colony.run(5)
    colony.expel(out)
    colony.until(lambda: colony.settled([node for node in colony.ids if node not in (out, sleeper)], 2))
    colony.swallow = deaf_for_lists(sleeper)
    colony.restart(sleeper)
    colony.until(lambda: colony.current(sleeper).number == 2)
    assert not colony.members[sleeper].trust.revocations.nodes
    assert not [box for each in ask(colony, out, sleeper) for box in boxes(each)]
    colony.swallow = nothing
    colony.until(lambda: colony.members[sleeper].trust.revocations.nodes)
    colony.run(5)
    assert [box for each in ask(colony, other, sleeper) for box in boxes(each)]


def test_no_key_comes_into_force_whose_leader_has_not_heard_who_was_expelled():
    colony = Colony(12, rotators=1)
    colony.found()
    leader, out = colony.rotators[0], colony.ids[6]
    colony.swallow = deaf_for_lists(leader)
    colony.expel(out)
    colony.run(5)
    assert not colony.members[leader].trust.revocations.nodes
    colony.tell(leader, Rotate())
    colony.run(8)
    staying = [node for node in colony.ids if node != out]
    sealed = [box for _, to, data in colony.wire if to == out for box in boxes(decode(data, KeyMessage))]
    worthless = {box.epoch for box in sealed} - {colony.current(leader).hash}
    assert len(worthless) == 1  # it was sealed to him
    assert all(colony.current(node).number == 1 for node in staying)
    colony.swallow = nothing
    colony.until(lambda: colony.settled(staying, 2))
    assert colony.current(leader).hash not in {box.epoch for _, to, data in colony.wire if to == out
                                               for box in boxes(decode(data, KeyMessage))}


def test_a_revocation_does_not_wait_for_older_keys_to_drain():
    colony = Colony(8, rotators=1, policy=replace(QUICK, grace_s=1000.0, hold_s=5000.0))
    colony.found()
    colony.tell(colony.rotators[0], Rotate())
    colony.until(lambda: all(colony.current(node).number == 2 for node in colony.ids))
    colony.run(3)
    assert colony.members[colony.rotators[0]].trust.inspect().step == "drain"
    out = colony.ids[5]
    colony.expel(out)
    staying = [node for node in colony.ids if node != out]
    assert colony.until(lambda: all(colony.current(node).number == 3 for node in staying)) < 30


def test_a_first_key_has_none_before_it_to_wait_for():
    colony = Colony(4, policy=replace(QUICK, grace_s=1000.0, hold_s=5000.0))
    colony.found()
    assert colony.now < 30
