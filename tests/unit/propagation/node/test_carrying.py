# SPDX-License-Identifier: Apache-2.0
"""What a node carries out is what the decisions say, and what it saw is written down."""

from __future__ import annotations

import random

import msgspec
import pytest

from holdfast.errors import BadPacket
from holdfast.propagation import journal
from holdfast.propagation.mempool import Account
from holdfast.propagation.node import money
from holdfast.propagation.node.carrying import Carrier, Hands, Making
from holdfast.propagation.relay import Announce, Flood
from holdfast.propagation.relay.words import Message, Peer
from tests.unit.propagation.node.pieces import NETWORK, key, payment

MAKER = key("maker")


class Played:
    """A carrier whose neighbours are a list of what they were told."""

    def __init__(self, policy=Flood, peers=(1, 2), making=False, money_of=1_000_000):
        self.told, self.wakes, self.notes, self.blamed = [], [], [], []
        hands = Hands(lambda peer, message, tx: self.told.append((peer, message, tx)),
                      lambda at, again: self.wakes.append((at, again)),
                      lambda kind, fields: self.notes.append(kind(t=0.0, node="me", **fields)),
                      lambda peer, why: self.blamed.append((peer, why)))
        accounts = {key(name).public.data: Account(money_of, 0) for name in ("anna", "carl")}
        made = Making(MAKER.public.data, money.sealer(MAKER, NETWORK), 5.0) if making else None
        self.carrier = Carrier(policy, accounts, random.Random(1), hands, making=made,
                               seal=money.sealed([MAKER.public.data], NETWORK), verify=money.verifier(NETWORK))
        self.carrier.begin(100.0)
        for peer in peers:
            self.carrier.joined(Peer(peer, outbound=True), 100.0)

    def body(self, peer, tx, now=100.0, hops=1):
        self.carrier.heard(peer, Message("body", (tx.id,), tx.size, hops), tx, now)

    def said(self):
        """To whom, what kind."""
        found = [(peer, message.kind) for peer, message, _ in self.told]
        self.told.clear()
        return found

    def noted(self, kind):
        return [one for one in self.notes if isinstance(one, kind)]


def test_a_good_transaction_goes_on_with_its_body_and_is_written_down():
    played, tx = Played(), payment()
    played.body(1, tx)
    assert [(peer, message.kind, message.hops, told) for peer, message, told in played.told] == [(2, "body", 2, tx)]
    (arrived,) = played.noted(journal.Arrived)
    assert (arrived.id, arrived.peer, arrived.hops, arrived.size) == (tx.id.hex(), "1", 1, tx.size)


def test_a_bad_signature_goes_nowhere_and_whoever_brought_it_is_blamed():
    played, tx = Played(), payment()
    forged = money.decode(money.encode(msgspec.structs.replace(tx, amount=tx.amount + 1)))
    played.body(1, forged)
    assert played.said() == []
    assert played.blamed == [(1, "signature")]
    assert [(one.why, one.peer) for one in played.noted(journal.Refused)] == [("signature", "1")]
    played.body(2, forged)  # it is known by now, and is not looked at again
    assert played.carrier.counted["checked"] == 1


def test_who_brings_what_cannot_be_paid_is_not_blamed():
    played = Played(money_of=10)
    played.body(1, payment())
    assert played.said() == []
    assert played.blamed == []
    assert [one.why for one in played.noted(journal.Refused)] == ["balance"]


def test_a_copy_is_counted_and_is_no_arrival():
    played, tx = Played(), payment()
    played.body(1, tx)
    played.body(2, tx)
    assert len(played.noted(journal.Arrived)) == 1
    assert [one.peer for one in played.noted(journal.Copied)] == ["2"]


def test_our_users_transaction_is_taken_or_it_is_said_why_not():
    played, tx = Played(), payment()
    assert played.carrier.submit(tx, 100.0).taken
    assert played.said() == [(1, "body"), (2, "body")]
    assert played.carrier.submit(tx, 101.0).why == "known"
    assert played.carrier.submit(payment(nonce=5), 101.0).why == "nonce"
    assert played.carrier.submit(payment("poor"), 101.0).why == "balance"
    assert played.carrier.submit(payment(amount=6), 101.0).why == "rival"
    assert len(played.noted(journal.Made)) == 4


def test_a_body_under_another_ones_id_is_no_body():
    played = Played()
    with pytest.raises(BadPacket):
        played.carrier.heard(1, Message("body", (bytes(32),), 100, 1), payment(), 100.0)


def test_what_came_too_early_is_fetched_when_its_turn_has_come():
    played = Played(Announce)
    first, second = payment(nonce=0), payment(nonce=1)
    played.body(1, second)
    assert played.said() == []
    played.body(2, first)
    assert (1, "want") in played.said()
    played.body(1, second)
    assert len(played.carrier.full.pool) == 2


def test_a_newcomer_hears_what_is_here():
    played, tx = Played(peers=()), payment()
    played.carrier.submit(tx, 100.0)
    played.carrier.joined(Peer(9, outbound=False), 101.0)
    assert played.said() == [(9, "announce")]


def test_the_time_from_the_first_word_to_the_body_is_measured():
    played, tx = Played(Announce), payment()
    played.carrier.heard(1, Message("announce", (tx.id,)), None, 100.0)
    played.body(1, tx, now=100.75)
    assert played.carrier.fetch_s == [0.75]


def test_blocks_are_made_told_fetched_checked_and_confirm_what_waited():
    maker, other, tx = Played(making=True), Played(), payment()
    for played in (maker, other):
        played.body(2, tx)
        played.said()
    maker.carrier.woke(("make",), 110.0)
    for _ in range(6):  # words between the two, until there are none
        for here, there in ((maker, other), (other, maker)):
            told, here.told[:] = list(here.told), []
            for peer, message, body in told:
                if peer == 1:
                    there.carrier.heard(1, message, body, 110.5)
    for played in (maker, other):
        assert played.carrier.height == 1
        assert len(played.carrier.full.pool) == 0
        assert [one.id for one in played.noted(journal.Confirmed)] == [tx.id.hex()]
        assert [(one.height, one.undone) for one in played.noted(journal.Headed)] == [(1, 0)]
    assert [one.what for one in maker.noted(journal.Made)] == ["block"]
    assert [(one.what, one.height) for one in other.noted(journal.Arrived)] == [("tx", -1), ("block", 1)]
    assert other.carrier.block_s == [0.5]
    assert any(again == ("make",) and at > 110.0 for at, again in maker.wakes)


def test_nobody_else_makes_blocks():
    played = Played(making=True)
    stranger = Making(key("stranger").public.data, money.sealer(key("stranger"), NETWORK), 5.0)
    before = played.carrier.height
    played.carrier.handle(played.carrier.full.make(stranger.maker, stranger.seal, 110.0), 110.0)
    other = Played()
    for peer, message, _ in played.told:
        if peer == 1:
            other.carrier.heard(1, message, None, 111.0)
    assert before == 0
    assert other.blamed == [(1, "seal")]
    assert other.said() == []
