# SPDX-License-Identifier: Apache-2.0
"""Which chain counts, what accounts are after it, what is refused, what is forgotten."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.propagation.chain import Block, ChainRules, genesis, root_of, sealed, unsealed, worked
from holdfast.propagation.chain.block import zeros
from holdfast.propagation.chain.orphans import OrphanLimits, Orphans
from holdfast.propagation.mempool import Account
from tests.unit.propagation.chain.chains import ACCOUNTS, ANNA, BERT, CLEO, MAKER, block, branch, pay, tree

NOW = 10_000.0


def changed(one, **fields):
    """The block with these fields of its header, sealed anew."""
    header = msgspec.structs.replace(one.header, **fields)
    return Block(sealed(header, lambda _: b"sealed " + header.maker), one.transactions)


# -- what a block is ------------------------------------------------------------------------------------------------

def test_an_id_is_of_the_whole_header_with_its_seal():
    one = block(tree().head, pay())
    ids = {msgspec.structs.replace(one.header, **field).id for field in (
        {}, {"parent": bytes(32)}, {"height": 2}, {"root": bytes(32)}, {"count": 2}, {"size": 1}, {"maker": b"x"},
        {"time_ms": 1}, {"nonce": 1}, {"seal": b"x"})}
    assert len(ids) == 10


def test_a_root_is_of_each_transaction_in_its_place():
    txs = [pay(nonce=nonce) for nonce in range(5)]
    assert len({root_of(txs[:count]) for count in range(6)}) == 6
    assert root_of(txs) != root_of([*txs[1:], txs[0]])
    # Bitcoin's trees give one root to a list and to the same list with its last one twice.
    assert root_of(txs[:3]) != root_of([*txs[:3], txs[2]])


def test_other_contents_under_the_same_id_have_another_root():
    honest = pay()
    assert root_of([honest]) != root_of([msgspec.structs.replace(honest, amount=99_000)])


def test_networks_that_begin_differently_have_no_block_in_common():
    assert genesis(ACCOUNTS).id == genesis(dict(reversed(ACCOUNTS.items()))).id
    assert genesis(ACCOUNTS).id != genesis({**ACCOUNTS, ANNA: Account(1, 0)}).id


# -- what is refused ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("fields", "reason"), [
    ({"height": 3}, "height"), ({"height": -1}, "form"), ({"root": b"short"}, "form"), ({"size": 2_000_000}, "form"),
    ({"count": 30_000}, "form"), ({"nonce": 1 << 64}, "form"), ({"maker": b"x" * 300}, "form"),
    ({"time_ms": 500}, "time"), ({"time_ms": 11_000_000}, "early"), ({"maker": b"stranger"}, "seal"),
], ids=lambda value: value if isinstance(value, str) else next(iter(value)))
def test_a_header_that_is_no_good_says_why(fields, reason):
    here = tree()
    here.add(block(here.head, time_ms=1000))
    parent = here.head
    good = block(parent, pay())
    assert here.wrong_header(good.header, parent, NOW) is None
    assert here.wrong_header(changed(good, **fields).header, parent, NOW) == reason


def test_a_seal_that_is_anothers_is_none():
    here = tree()
    header = msgspec.structs.replace(block(here.head).header, seal=b"sealed by me")
    assert here.wrong_header(header, here.head, NOW) == "seal"


@pytest.mark.parametrize(("txs", "reason"), [
    ([pay(nonce=1)], "ledger"), ([pay(amount=99_701)], "ledger"), ([pay(), pay(amount=11)], "ledger"),
    ([pay(amount=-5)], "ledger"), ([pay(fee=-300)], "ledger"), ([pay(good=False)], "signature"),
    ([msgspec.structs.replace(pay(), id=b"another")], "signature"),
    ([pay(b"nobody", amount=0, fee=1)], "ledger"),
], ids=["gap", "too dear", "double spend", "negative", "negative fee", "unsigned", "other id", "nobody"])
def test_a_block_with_one_that_cannot_be_is_refused_and_changes_nothing(txs, reason):
    here = tree()
    one = block(here.head, *txs)
    assert here.wrong(one) == reason
    assert here.add(one) is None
    assert (one.id in here, here.height, here.accounts()) == (False, 0, ACCOUNTS)


def test_a_block_with_other_transactions_than_its_header_says_is_refused():
    here = tree()
    one = block(here.head, pay(), pay(BERT))
    assert here.wrong(Block(one.header, one.transactions[:1])) == "size"
    assert here.wrong(Block(one.header, one.transactions[::-1])) == "root"
    assert here.wrong(one) is None
    # And what was found good is what goes in, whatever else comes under its id.
    assert here.add(Block(one.header, one.transactions[::-1])).done[0] == one


def test_work_is_asked_for_where_the_rules_say_so():
    here = tree(ChainRules(bits=8))
    lazy = unsealed(here.head, (), MAKER, 1000)
    while zeros(lazy) >= 8:
        lazy = msgspec.structs.replace(lazy, nonce=lazy.nonce + 1)
    done = worked(lazy, 8)
    assert zeros(done) >= 8
    for header, reason in ((lazy, "work"), (done, None)):
        assert here.wrong_header(sealed(header, lambda _: b"sealed maker"), here.head, NOW) == reason
    assert worked(lazy, 200, tries=3) is None


def test_a_block_without_its_parent_is_not_taken():
    here = tree()
    first, second = branch(here.head, 2)
    assert here.wrong(second) == "parent"
    assert here.add(second) is None
    here.add(first)
    assert here.add(second).head == second.id


# -- which chain counts ---------------------------------------------------------------------------------------------

def test_of_two_as_long_the_first_seen_stays_and_a_longer_one_takes_over():
    here = tree()
    first = block(here.head, pay(amount=1), maker=b"one")
    rival = block(here.head, pay(amount=2), pay(BERT), maker=b"two")
    assert here.add(first).head == first.id
    assert here.add(rival) is None
    assert here.head_id == first.id
    longer = block(rival)
    moved = here.add(longer)
    assert moved == (longer.id, (first,), (rival, longer))
    assert here.depth(rival.transactions[0].id) == 2
    assert here.depth(first.transactions[0].id) == 0
    assert here.account(CLEO) == Account(100_012, 0)
    assert here.account(b"one") == Account(0, 0)
    assert not here.in_chain(first.id)
    assert here.block(first.id) == first


def test_of_a_double_spend_on_two_branches_one_chain_holds_one():
    here = tree()
    one, two = pay(amount=1), pay(amount=2)
    here.add(block(here.head, one))
    here.add(block(here.header(here.genesis), two))
    # Neither branch takes the other's payment after its own.
    for parent, late in ((here.head, two), (here.header(here.genesis), one)):
        both = block(parent, *([late] if parent is here.head else [two, late]))
        assert here.wrong(both) == "ledger"
    assert (here.depth(one.id), here.depth(two.id)) == (1, 0)


def test_confirmations_are_the_blocks_that_hold_it_or_stand_on_it():
    here = tree()
    here.add(block(here.head, pay()))
    depths = []
    for more in branch(here.head, 3):
        depths.append(here.depth(pay().id))
        here.add(more)
    assert [*depths, here.depth(pay().id)] == [1, 2, 3, 4]
    assert here.holds(pay().id) == here.at(1)
    assert here.depth(b"unknown") == 0


@st.composite
def grown(draw):
    """A tree of blocks with payments on its branches, its longest branch the only one so long."""
    here = tree(ChainRules(reward=5))
    blocks = []
    parents = [here.head]
    for number in range(draw(st.integers(1, 14))):
        parent = parents[draw(st.integers(0, len(parents) - 1))]
        payer = draw(st.sampled_from([ANNA, BERT, CLEO]))
        nonce = here._account_after(parent.id, payer).nonce
        one = block(parent, pay(payer, nonce, number, to=draw(st.sampled_from([ANNA, BERT, b"new"]))),
                    maker=bytes([number]))
        here.add(one)
        blocks.append(one)
        parents.append(one.header)
    longest = max(parents, key=lambda header: header.height)
    last = block(longest)
    return [*blocks, last], last.id, draw(st.permutations([*blocks, last]))


@given(grown())
def test_in_whatever_order_blocks_come_the_chain_and_the_accounts_are_the_same(case):
    blocks, head, order = case
    straight, mixed, waiting = tree(ChainRules(reward=5)), tree(ChainRules(reward=5)), Orphans()
    for one in blocks:
        straight.add(one)
    for one in order:
        if one.header.parent not in mixed:
            waiting.add(one, 1, 0.0)
            continue
        ready = [one]
        while ready:
            taken = ready.pop()
            mixed.add(taken)
            ready += [child for child, _ in waiting.children(taken.id)]
    assert len(waiting) == 0
    assert straight.head_id == mixed.head_id == head
    assert straight.accounts() == mixed.accounts()
    # Money is neither lost nor made, but for what makers are given.
    assert sum(one.balance for one in mixed.accounts().values()) == 300_000 + 5 * mixed.height
    # And what the chain says is what it says when only the chain is gone through.
    chain = tree(ChainRules(reward=5))
    for height in range(1, mixed.height + 1):
        assert chain.add(mixed.block(mixed.at(height))) is not None
    assert chain.accounts() == mixed.accounts()
    held = [tx.id for height in range(mixed.height + 1) for tx in mixed.block(mixed.at(height)).transactions]
    assert len(set(held)) == len(held)
    assert {tx for one in blocks for tx in (t.id for t in one.transactions) if mixed.depth(tx)} == set(held)


@given(grown(), st.integers(1, 4))
def test_how_it_moved_is_what_left_the_chain_and_what_came_into_it(case, undo):
    blocks, _, _ = case
    here, chain = tree(ChainRules(reward=5, undo=undo)), []
    for one in blocks:
        moved = here.add(one)
        if moved is not None:
            for gone in moved.undone:
                assert chain.pop() == gone
            chain += moved.done
        assert [here.at(height + 1) for height in range(here.height)] == [one.id for one in chain]


# -- bounds ---------------------------------------------------------------------------------------------------------

def test_what_is_settled_is_not_undone_and_branches_that_leave_there_are_forgotten():
    here = tree(ChainRules(undo=3))
    start = here.head
    side = branch(start, 2, b"other")
    for one in side:
        here.add(one)
    chain = [block(start, pay())]
    chain += branch(chain[0], 3)
    for one in chain:
        here.add(one)
    assert here.settled == 1
    assert all(one.id not in here for one in side)
    assert here.wrong_header(side[0].header, start, NOW) == "deep"
    assert here.wrong(side[0]) == "parent"
    assert here.account(ANNA) == Account(99_690, 1)
    assert here.height == 4


def test_a_longer_branch_from_what_is_not_settled_still_wins():
    here = tree(ChainRules(undo=3))
    chain = branch(here.head, 6)
    for one in chain:
        here.add(one)
    for one in branch(chain[2], 4, b"other"):
        moved = here.add(one)
    assert [one.header.height for one in moved.undone] == [6, 5, 4]


def test_blocks_beside_the_chain_are_so_many_and_the_shortest_branches_go_first():
    here = tree(ChainRules(undo=4, side_max=4))
    chain = branch(here.head, 4)
    for one in chain:
        here.add(one)
    long = branch(chain[0], 3, b"long")
    for one in long[:2]:
        here.add(one)
    short = [block(here.header(here.genesis), maker=bytes([number])) for number in range(20)]
    for one in short:
        here.add(one)
    assert len(here) == 5 + 4
    assert all(one.id in here for one in long[:2])
    # Nobody who floods with short branches keeps a long one from winning.
    for one in (long[2], block(long[2])):
        moved = here.add(one)
    assert moved is not None
    assert here.height == 5


def test_old_blocks_are_headers_only():
    here = tree(ChainRules(undo=2, bodies=3))
    paid = pay()
    here.add(block(here.head, paid))
    for one in branch(here.head, 3):
        here.add(one)
    assert here.block(here.at(1)) is None
    assert here.header(here.at(1)) is not None
    assert (here.depth(paid.id), here.account(ANNA).nonce) == (0, 1)


@pytest.mark.parametrize("wrong", [{"undo": 0}, {"undo": 10, "side_max": 5}, {"undo": 10, "bodies": 5}], ids=str)
def test_rules_that_cut_what_may_still_win_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="undo is 1 or more"):
        ChainRules(**wrong)


# -- locators -------------------------------------------------------------------------------------------------------

@given(st.integers(0, 300), st.integers(0, 60), st.integers(0, 60))
def test_a_locator_finds_where_two_chains_part_or_somewhat_before(common, ours, theirs):
    here, there = tree(ChainRules(undo=1000)), tree(ChainRules(undo=1000))
    both = branch(here.head, common)
    for one in both:
        here.add(one)
        there.add(one)
    for one in branch(here.head, ours, b"ours"):
        here.add(one)
    for one in branch(there.head, theirs, b"theirs"):
        there.add(one)
    locator = here.locator()
    assert len(locator) <= 20
    found = there.after(locator, 500)
    assert [header.height for header in found] == list(range(there.height - len(found) + 1, there.height + 1))
    if found:
        assert found[0].parent in here
        # The further back they part, the less exactly: never more than twice as far.
        assert here.height - here.header(found[0].parent).height <= max(10, 2 * (ours + 1) + 10)
    else:
        assert there.head_id in here


def test_a_locator_of_another_network_finds_nothing():
    here, other = tree(), tree(accounts={ANNA: Account(1, 0)})
    here.add(block(here.head))
    assert here.after(other.locator(), 10) == ()


# -- orphans --------------------------------------------------------------------------------------------------------

def far(height, peer=1, size=0):
    """A block whose parent nobody has."""
    one = block(tree().head, maker=bytes([peer]))
    header = msgspec.structs.replace(one.header, height=height, parent=height.to_bytes(32, "big"), size=size)
    return Block(sealed(header, lambda _: b"sealed " + header.maker))


def test_a_parent_sets_free_who_waited_for_it():
    waiting = Orphans()
    first, second, third = branch(tree().head, 3)
    waiting.add(third, 1, 0.0)
    waiting.add(second, 2, 0.0)
    assert waiting.children(first.id) == [(second, 2)]
    assert third.id in waiting
    assert second.id not in waiting


def test_one_neighbour_does_not_fill_the_pool():
    waiting = Orphans(OrphanLimits(count=10, per_peer=3))
    honest = far(5, peer=2)
    waiting.add(honest, 2, 0.0)
    for height in range(50):
        waiting.add(far(100 + height), 1, 0.0)
    assert len(waiting) == 4
    assert honest.id in waiting
    assert far(100).id in waiting


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(0, 400)), max_size=60))
def test_orphans_are_never_more_than_they_may_be(arrivals):
    waiting = Orphans(OrphanLimits(count=8, bytes=1000, per_peer=4))
    here = {}
    for peer, height, size in arrivals:
        one = far(height, peer, size)
        gone = waiting.add(one, peer, 0.0)
        here[one.id] = one
        for name in gone:
            del here[name]
        assert len(waiting) == len(here) <= 8
        assert waiting.bytes == sum(one.header.size for one in here.values()) <= 1000
        assert all(sum(one.header.maker == bytes([peer]) for one in here.values()) <= 4 for peer in range(6))
        assert all(name in waiting for name in here)


def test_they_do_not_wait_for_ever():
    waiting = Orphans(OrphanLimits(expire_s=60.0))
    one, two = far(1), far(2)
    waiting.add(one, 1, 0.0)
    waiting.add(two, 1, 30.0)
    assert waiting.expire(59.0) == []
    assert waiting.expire(60.0) == [one.id]
    assert (two.id in waiting, waiting.bytes) == (True, 0)
