# SPDX-License-Identifier: Apache-2.0
"""Which transactions enter, which give way, which leave; by a model of the ledger that counts by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.propagation.mempool import Accepted, Account, Mempool, Refused, Rules, Transaction

ANNA, BERT = b"anna", b"bert"


def tx(name="1", sender=ANNA, nonce=0, *, amount=10, fee=300, size=300, good=True):
    return Transaction(name.encode(), sender, BERT, nonce, amount, fee, size, b"good" if good else b"bad")


def pool(accounts=None, **rules):
    accounts = accounts if accounts is not None else {ANNA: Account(10_000, 0)}
    return Mempool(lambda one: one.signature == b"good", lambda sender: accounts.get(sender, Account(0, 0)),
                   Rules(**rules))


@pytest.mark.parametrize(("offered", "reason", "for_good"), [
    (tx(good=False), "signature", True),
    (tx(amount=-1), "malformed", True),
    (tx(size=0), "malformed", True),
    (tx(fee=299), "fee", False),
    (tx(nonce=1), "nonce", False),
    (tx(amount=9701), "balance", False),
    (tx(sender=BERT), "balance", False),
], ids=["signature", "negative", "no size", "fee", "gap", "too dear", "nobody"])
def test_what_is_wrong_does_not_enter(offered, reason, for_good):
    waiting = pool()
    assert waiting.offer(offered, 0.0) == Refused(reason, for_good)
    assert (len(waiting), waiting.bytes) == (0, 0)


def test_what_is_good_enters_once():
    waiting = pool()
    assert waiting.offer(tx(), 0.0) == Accepted()
    assert waiting.offer(tx(), 1.0) == Refused("known", for_good=False)
    assert b"1" in waiting
    assert waiting.bytes == 300


def test_a_used_nonce_does_not_enter():
    assert pool({ANNA: Account(10_000, 5)}).offer(tx(nonce=4), 0.0) == Refused("nonce", for_good=False)


def test_the_signature_is_asked_for_last():
    asked = []
    waiting = Mempool(lambda one: not asked.append(one), lambda _: Account(10_000, 0))
    waiting.offer(tx(fee=1), 0.0)
    assert asked == []
    waiting.offer(tx(), 0.0)
    assert asked == [tx()]


def test_what_waits_before_it_counts_against_the_balance():
    waiting = pool({ANNA: Account(1000, 0)})
    assert waiting.offer(tx("1", amount=300), 0.0) == Accepted()
    assert waiting.offer(tx("2", nonce=1, amount=101), 0.0) == Refused("balance", for_good=False)
    assert waiting.offer(tx("2", nonce=1, amount=100), 0.0) == Accepted()


@pytest.mark.parametrize(("fee", "enters"), [(300, False), (329, False), (330, True)])
def test_of_a_double_spend_the_first_stays_unless_the_other_pays_a_tenth_more(fee, enters):
    waiting = pool()
    waiting.offer(tx("1"), 0.0)
    answer = waiting.offer(tx("2", fee=fee, amount=50), 1.0)
    assert answer == (Accepted((tx("1"),)) if enters else Refused("rival", for_good=False))
    assert [one.id for one in waiting.transactions()] == ([b"2"] if enters else [b"1"])


def test_what_its_replacement_makes_too_dear_leaves_with_what_comes_after():
    waiting = pool({ANNA: Account(2000, 0)})
    for nonce in range(3):
        waiting.offer(tx(str(nonce), nonce=nonce, amount=100), 0.0)
    answer = waiting.offer(tx("9", nonce=0, amount=1000, fee=400), 1.0)
    assert [one.id for one in answer.evicted] == [b"0", b"2"]
    assert [one.id for one in waiting.transactions()] == [b"1", b"9"]


def test_a_sender_has_so_many_and_no_more():
    waiting = pool(per_sender=2)
    answers = [type(waiting.offer(tx(str(nonce), nonce=nonce), 0.0)) for nonce in range(3)]
    assert answers == [Accepted, Accepted, Refused]


def test_the_cheapest_leave_when_it_is_full_with_what_stands_on_them():
    accounts = {bytes([name]): Account(10_000, 0) for name in b"abc"}
    waiting = pool(accounts, bytes_max=900)
    waiting.offer(tx("a0", b"a", 0, fee=300), 0.0)
    waiting.offer(tx("a1", b"a", 1, fee=900), 0.0)
    waiting.offer(tx("b0", b"b", 0, fee=500), 0.0)
    answer = waiting.offer(tx("c0", b"c", 0, fee=400), 0.0)
    assert [one.id for one in answer.evicted] == [b"a0", b"a1"]
    assert waiting.bytes == 600
    waiting.offer(tx("c1", b"c", 1, fee=800), 0.0)
    assert waiting.offer(tx("a0", b"a", 0, fee=300), 0.0) == Refused("full", for_good=False)
    assert waiting.bytes == 900


def test_they_leave_when_they_are_too_old():
    waiting = pool(expire_s=100.0)
    waiting.offer(tx("0"), 0.0)
    waiting.offer(tx("1", nonce=1), 50.0)
    assert waiting.expire(99.9) == []
    assert [one.id for one in waiting.expire(100.0)] == [b"0", b"1"]
    assert (len(waiting), waiting.bytes) == (0, 0)


def test_our_own_are_told_again_and_others_are_not():
    waiting = pool(rebroadcast_s=60.0)
    waiting.offer(tx("0"), 0.0, ours=True)
    waiting.offer(tx("1", nonce=1), 0.0)
    assert waiting.due(59.9) == []
    assert [one.id for one in waiting.due(60.0)] == [b"0"]
    assert waiting.due(61.0) == []
    assert [one.id for one in waiting.due(120.0)] == [b"0"]


def test_what_a_block_holds_leaves_and_so_does_its_double_spend():
    accounts = {ANNA: Account(10_000, 0)}
    waiting = pool(accounts)
    waiting.offer(tx("1"), 0.0)
    waiting.offer(tx("2", nonce=1), 0.0)
    accounts[ANNA] = Account(9_000, 1)
    assert [one.id for one in waiting.confirmed([tx("elsewhere")])] == [b"1"]
    assert [one.id for one in waiting.transactions()] == [b"2"]
    accounts[ANNA] = Account(8_000, 2)
    assert waiting.confirmed([tx("2", nonce=1)]) == []
    assert len(waiting) == 0


def test_a_block_takes_the_dearest_and_each_sender_in_order():
    waiting = pool({b"a": Account(10_000, 0), b"b": Account(10_000, 0)})
    for one in (tx("a0", b"a", 0, fee=300), tx("a1", b"a", 1, fee=900), tx("b0", b"b", 0, fee=600)):
        waiting.offer(one, 0.0)
    assert [one.id for one in waiting.best(900)] == [b"b0", b"a0", b"a1"]
    assert [one.id for one in waiting.best(600)] == [b"b0", b"a0"]
    assert waiting.best(299) == []


OFFERS = st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(0, 4), st.integers(0, 900),
                            st.integers(250, 900), st.booleans()), max_size=40)


@given(OFFERS)
def test_whatever_comes_nobody_spends_twice_or_more_than_there_is_and_no_nonce_is_left_out(offers):
    accounts = {b"a": Account(2500, 0), b"b": Account(1500, 1)}
    waiting = pool(accounts, bytes_max=1500)
    for number, (sender, nonce, amount, fee, good) in enumerate(offers):
        waiting.offer(tx(str(number), sender, nonce, amount=amount, fee=fee, good=good), 0.0)
        held = waiting.transactions()
        assert waiting.bytes == sum(one.size for one in held) <= 1500
        assert all(one.signature == b"good" for one in held)
        for who, account in accounts.items():
            mine = sorted((one for one in held if one.sender == who), key=lambda one: one.nonce)
            assert sum(one.amount + one.fee for one in mine) <= account.balance
            assert [one.nonce for one in mine] == list(range(account.nonce, account.nonce + len(mine)))
