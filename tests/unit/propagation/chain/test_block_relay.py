# SPDX-License-Identifier: Apache-2.0
"""How blocks are passed on: headers first, checked before they go further, one asked at a time; catching up."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.propagation.chain import Block, BlockRelay, ChainRules, Fetching, OrphanLimits, Settings, rebuilt, words
from holdfast.propagation.relay.words import Blame, Check, Checked, Heard, Peer, Wake, Woke
from tests.unit.propagation.chain.chains import ACCOUNTS, ANNA, BERT, MAKER, Table, block, branch, pay, tree
from tests.unit.propagation.hands import said, wakes

CHANCE = random.Random(1)
NOW = 10_000.0
RING = [(0, 1), (1, 2), (2, 3), (3, 0)]


def relay(peers=3, pool=(), rules=None, **more):
    return BlockRelay([Peer(number + 1, outbound=True) for number in range(peers)], tree(rules), lambda: pool, **more)


def hears(one, peer, message, now=NOW):
    return one.handle(Heard(peer, message), now, CHANCE)


def told(one, peer, *blocks, now=NOW):
    return hears(one, peer, words.headers([found.header for found in blocks]), now)


def given_whole(one, peer, found, now=NOW):
    return hears(one, peer, words.whole(found, 1), now)


def blames(effects):
    return [(effect.peer, effect.why) for effect in effects if isinstance(effect, Blame)]


def checks(effects):
    return [effect.tx for effect in effects if isinstance(effect, Check)]


def passed(one, found, now=NOW):
    """The check, carried out."""
    return one.handle(Checked(found.id, one.verdict(found.id) is None), now, CHANCE)


def taken(one, *blocks, peer=1):
    """They come, one after the other, and are good."""
    for found in blocks:
        told(one, peer, found)
        assert checks(given_whole(one, peer, found)) == [found.id]
        effects = passed(one, found)
    return effects


# -- one block ------------------------------------------------------------------------------------------------------

def test_a_header_is_asked_about_the_block_is_checked_and_then_its_header_goes_to_those_who_lack_it():
    one, first = relay(), block(tree().head)
    assert said(told(one, 1, first)) == [(1, "getblock", (first.id,))]
    assert said(told(one, 2, first)) == []
    arrived = given_whole(one, 1, first)
    assert (checks(arrived), said(arrived)) == ([first.id], [])
    after = passed(one, first)
    assert [(peer, kind) for peer, kind, _ in said(after)] == [(3, "headers")]
    assert one.tree.head_id == first.id


def test_a_block_that_is_no_good_goes_no_further_and_neither_does_what_stands_on_it():
    one, bad = relay(), block(tree().head, pay(nonce=5))
    child = block(bad)
    told(one, 1, bad, child)
    given_whole(one, 1, bad)
    after = passed(one, bad)
    assert (said(after), blames(after)) == ([], [(1, "block")])
    assert bad.id not in one.tree
    assert said(hears(one, 3, words.ask("getblock", bad.id))) == [(3, "absent", (bad.id,))]
    for known in (bad, child, block(child)):
        assert blames(told(one, 2, known)) == ([(2, "refused")] if known is not child.header else [])
        assert len(one.wanted) == 0


def test_what_is_being_checked_is_given_to_nobody():
    one, first = relay(), block(tree().head)
    told(one, 1, first)
    given_whole(one, 1, first)
    assert said(hears(one, 2, words.ask("getblock", first.id))) == [(2, "absent", (first.id,))]
    assert said(hears(one, 2, words.getheaders(one.tree.locator())))[0][1] == "headers"
    assert one.tree.height == 0


def test_the_verdict_on_what_nobody_brought_is_no():
    one, first = relay(), block(tree().head)
    assert one.verdict(first.id) == "parent"
    assert one.handle(Checked(first.id, good=True), NOW, CHANCE) == []
    assert first.id not in one.tree


@pytest.mark.parametrize(("header", "why"), [
    (msgspec.structs.replace(block(tree().head).header, seal=b"forged"), "seal"),
    (block(tree().head, maker=b"stranger").header, "seal"),
    (msgspec.structs.replace(block(tree().head).header, height=7), "height"),
    (msgspec.structs.replace(block(tree().head).header, root=b""), "form"),
], ids=["forged", "stranger", "height", "form"])
def test_a_header_that_is_no_good_is_not_asked_about_and_blamed(header, why):
    one = relay()
    effects = hears(one, 1, words.headers([header]))
    assert (said(effects), blames(effects), len(one.wanted)) == ([], [(1, why)], 0)


def test_a_header_from_the_future_is_nobodys_fault_and_may_come_again():
    one, soon = relay(), block(tree().head, time_ms=int(NOW + 200) * 1000)
    assert told(one, 1, soon) == []
    assert said(told(one, 1, soon, now=NOW + 100)) == [(1, "getblock", (soon.id,))]


def test_who_does_not_answer_is_passed_over_and_at_last_blamed():
    one, first = relay(fetching=Fetching(retry_s=10.0, rounds=2, stalls=2)), block(tree().head)
    asked = told(one, 1, first)
    assert wakes(asked) == [(NOW + 10, ("chain", "block", first.id))]
    told(one, 2, first)
    assert said(one.handle(Woke(("chain", "block", first.id)), NOW + 9.9, CHANCE)) == []
    order, blamed = [], []
    for turn in range(1, 5):
        effects = one.handle(Woke(("chain", "block", first.id)), NOW + 10 * turn, CHANCE)
        order += [peer for peer, _, _ in said(effects)]
        blamed += blames(effects)
    # Both are asked twice; then it is given up, until somebody speaks of it again.
    assert order == [2, 1, 2]
    assert blamed == [(1, "stall"), (2, "stall")]
    assert len(one.wanted) == 0
    assert [kind for _, kind, _ in said(told(one, 3, first, now=NOW + 100))] == ["getblock"]


def test_one_is_asked_at_a_time():
    one, first = relay(), block(tree().head)
    asked = [peer for peer in (1, 2, 3) for _ in said(told(one, peer, first))]
    assert asked == [1]


def test_who_does_not_have_it_after_all_or_leaves_costs_no_wait():
    one, first = relay(), block(tree().head)
    for peer in (1, 2, 3):
        told(one, peer, first)
    assert said(hears(one, 1, words.ask("absent", first.id))) == [(2, "getblock", (first.id,))]
    assert said(one.left(2, NOW)) == [(3, "getblock", (first.id,))]


def test_another_block_under_its_id_is_not_taken_and_the_next_one_is_asked():
    one, first = relay(), block(tree().head, pay())
    for peer in (1, 2):
        told(one, peer, first)
    for wrong in (Block(first.header, (pay(amount=99),)), Block(first.header)):
        effects = given_whole(one, 1, wrong)
        assert checks(effects) == []
    assert first.id not in one.refused
    assert checks(given_whole(one, 2, first)) == [first.id]


def test_blocks_that_nobody_wants_are_not_taken():
    one = relay()
    first, second = branch(tree().head, 2)
    assert given_whole(one, 1, first) == []
    told(one, 1, first)
    assert given_whole(one, 2, first) == []
    assert (len(one.wanted), len(one.orphans), len(one.tree)) == (1, 0, 1)
    assert given_whole(one, 99, second) == []


def test_what_is_late_is_taken_though_another_one_was_asked_meanwhile():
    one, first = relay(), block(tree().head)
    for peer in (1, 2):
        told(one, peer, first)
    assert said(one.handle(Woke(("chain", "block", first.id)), NOW + 10, CHANCE)) == [(2, "getblock", (first.id,))]
    assert checks(given_whole(one, 1, first, NOW + 11)) == [first.id]
    assert given_whole(one, 2, first, NOW + 12) == []


def test_messages_beyond_bounds_are_not_looked_at():
    one = relay()
    effects = hears(one, 1, words.headers([block(tree().head).header] * 501))
    assert (effects, len(one.wanted)) == ([Blame(1, "bounds")], 0)
    assert hears(one, 1, words.getheaders([bytes(32)] * 65)) == [Blame(1, "bounds")]
    assert hears(one, 99, words.getheaders([bytes(32)])) == []


def test_headers_that_wait_for_their_blocks_are_so_many_of_one_neighbour():
    one = relay(fetching=Fetching(headers=50, headers_per_peer=20, window=4))
    told(one, 1, *branch(tree().head, 40))
    assert len(one.wanted) == 20
    told(one, 2, *branch(tree().head, 20, b"two"))
    told(one, 3, *branch(tree().head, 20, b"three"))
    assert len(one.wanted) == 50


# -- in short form --------------------------------------------------------------------------------------------------

def short(one, found, peer=1):
    """The compact message that a neighbour would send, and what follows it."""
    giver = relay()
    taken(giver, *[found])
    (effect,) = hears(giver, 1, words.ask("getcompact", found.id))
    return hears(one, peer, effect.message), giver


def test_a_block_is_asked_for_in_short_form_and_only_what_is_missing_besides():
    txs = [pay(nonce=nonce) for nonce in range(6)]
    found = block(tree().head, *txs)
    one = relay(pool=txs[:4])
    assert said(told(one, 1, found)) == [(1, "getcompact", (found.id,))]
    effects, giver = short(one, found)
    (ask,) = [effect for effect in effects if not isinstance(effect, Wake)]
    assert (ask.message.kind, ask.message.places) == ("getparts", (4, 5))
    (answer,) = hears(giver, 2, ask.message)
    assert answer.message.bodies == tuple(txs[4:])
    assert checks(hears(one, 1, answer.message)) == [found.id]
    assert passed(one, found)


def test_nothing_is_asked_for_when_all_are_here():
    txs = [pay(nonce=nonce) for nonce in range(6)]
    found, one = block(tree().head, *txs), relay(pool=[pay(BERT), *txs[::-1]])
    told(one, 1, found)
    effects, _ = short(one, found)
    assert (said(effects), checks(effects)) == ([], [found.id])


@pytest.mark.parametrize("why", ["the block's own collide", "one of ours is taken for another"])
def test_where_short_ids_fail_the_whole_block_is_asked_for_of_the_same_neighbour(why, monkeypatch):
    found, one = block(tree().head, pay(), pay(BERT)), relay(pool=[pay(), pay(BERT, amount=99)])
    told(one, 1, found)
    if why == "the block's own collide":
        message = words.compact(found, b"12345678", [b"same", b"same"], 1)
    else:
        message = words.compact(found, b"12345678", [b"a", b"b"], 1)
        monkeypatch.setattr("holdfast.propagation.chain.compact.short_ids",
                            lambda name, salt, txs: [b"a" if tx == pay().id else b"b" for tx in txs])
        assert rebuilt(found.header, b"12345678", [b"a", b"b"], one._pool()).missing == []
    effects = hears(one, 1, message)
    assert (said(effects), blames(effects), checks(effects)) == ([(1, "getblock", (found.id,))], [], [])
    assert checks(given_whole(one, 1, found)) == [found.id]


@pytest.mark.parametrize("message", [
    lambda found: words.compact(found, b"1", [b"one"], 1), lambda found: words.parts(found.id, [pay()] * 3),
], ids=["compact", "parts"])
def test_an_answer_of_the_wrong_length_is_blamed_and_the_next_one_is_asked(message):
    found, one = block(tree().head, pay(), pay(BERT)), relay()
    for peer in (1, 2):
        told(one, peer, found)
    if message(found).kind == "parts":
        short(one, found)
    effects = hears(one, 1, message(found))
    assert len(blames(effects)) == 1
    assert said(effects) == [(2, "getcompact", (found.id,))]


def test_parts_are_given_of_places_that_are_there_and_once_each():
    one, found = relay(), block(tree().head, pay(), pay(BERT))
    taken(one, found)
    assert hears(one, 2, words.getparts(found.id, [1]))[0].message.bodies == (pay(BERT),)
    for wrong in ([2], [-1], [0, 0]):
        assert hears(one, 2, words.getparts(found.id, wrong)) == [Blame(2, "places")]


# -- catching up ----------------------------------------------------------------------------------------------------

def test_the_parent_of_an_orphan_is_asked_for_by_a_locator_and_of_one_neighbour_at_a_time():
    one = relay(fetching=Fetching(retry_s=10.0))
    chain = branch(tree().head, 5)
    assert said(told(one, 1, chain[-1])) == [(1, "getheaders", one.tree.locator())]
    assert said(told(one, 2, chain[-1])) == []
    # The first one does not answer, so the second one is asked.
    assert said(one.handle(Woke(("chain", "sync")), NOW + 10, CHANCE)) == [(2, "getheaders", one.tree.locator())]
    answer = said(told(one, 2, *chain, now=NOW + 11))
    assert [(peer, kind) for peer, kind, _ in answer] == [(2, "getblock")] * 5
    assert [block for _, _, (block,) in answer] == [found.id for found in chain]


def test_blocks_come_of_several_neighbours_and_in_any_order():
    one = relay()
    chain = branch(tree().head, 12)
    asked = Counter(peer for peer in (1, 2, 3) for _, kind, _ in said(told(one, peer, *chain)) if kind == "getblock")
    # The first who has them is asked for as many as one may be; the next ones for the rest.
    assert asked == {1: 8, 2: 4}
    for found in reversed(chain):
        for peer in (1, 2, 3):
            effects = given_whole(one, peer, found)
            if checks(effects):
                break
    assert len(one.orphans) == 11
    order = []
    while checks(effects):
        (name,) = checks(effects)
        order.append(name)
        effects = one.handle(Checked(name, one.verdict(name) is None), NOW, CHANCE)
    assert order == [found.id for found in chain]
    assert (one.tree.head_id, len(one.orphans), len(one.wanted)) == (chain[-1].id, 0, 0)


def test_while_much_more_is_on_its_way_nothing_is_announced():
    one = relay()
    chain = branch(tree().head, 12)
    told(one, 1, *chain)
    announced = []
    for found in chain:
        given_whole(one, 1, found)
        announced.append([peer for peer, kind, _ in said(passed(one, found)) if kind == "headers"])
    assert announced == [[]] * 3 + [[2, 3]] * 9


def test_who_announces_a_block_and_keeps_it_silences_nobody():
    one = relay()
    first, kept = branch(tree().head, 2)
    told(one, 1, first, kept)
    given_whole(one, 1, first)
    assert [peer for peer, kind, _ in said(passed(one, first)) if kind == "headers"] == [2, 3]


@pytest.mark.parametrize("fetching", [
    Fetching(headers=60, headers_per_peer=20, window=8), Fetching(window=1, per_peer=1),
], ids=["few headers", "small window"])
def test_bounds_make_catching_up_slower_and_do_not_stop_it(fetching):
    table = Table(2, [], Settings(fetching=fetching))
    for _ in range(130):
        table.makes(0)
        table.run()
    table.link(1, 0)
    table.run(5.0)
    assert table.nodes[1].tree.height == 130
    assert table.blames == []


def test_orphans_that_gave_way_are_asked_for_again():
    one = relay(orphans=OrphanLimits(count=2), fetching=Fetching(window=32))
    chain = branch(tree().head, 5)
    told(one, 1, *chain)
    again = [found for late in chain[1:] for _, kind, found in said(given_whole(one, 1, late)) if kind == "getblock"]
    assert len(one.orphans) == 2
    assert (chain[-1].id,) in again


def test_a_late_node_has_the_whole_chain_of_several_neighbours_and_a_later_one_of_it():
    table = Table(5, [(0, 1), (1, 2), (2, 0)])
    for number in range(1100):
        table.makes(number % 3)
        table.run()
    table.said.clear()
    for peer in range(3):
        table.link(3, peer)
    table.link(4, 3)
    table.run(60.0)
    assert len(set(table.heads())) == 1
    assert [one.tree.height for one in table.nodes] == [1100] * 5
    by = Counter((sender, to) for sender, to, message in table.said if message.kind == "block")
    assert min(by[peer, 3] for peer in range(3)) > 200
    assert sum(by[peer, 3] for peer in range(3)) == by[3, 4] == 1100
    assert table.blames == []


def test_a_late_node_gets_there_though_a_neighbour_stalls_and_another_one_lies():
    def lost(sender, tell):
        return sender == 0 and tell.message.kind in {"block", "compact"}
    table = Table(4, [(0, 1), (1, 2), (2, 0)])
    for number in range(40):
        table.makes(number % 3)
        table.run()
    table.lost = lost
    for peer in range(3):
        table.link(3, peer)
    table.tell(3, Heard(1, words.whole(block(table.nodes[0].tree.head), 1)))
    table.run(300.0)
    assert len(set(table.heads())) == 1
    assert {(here, peer, why) for here, peer, why in table.blames} == {(3, 0, "stall")}


def test_a_peer_that_answers_headers_for_ever_is_not_asked_for_ever():
    one, chain = relay(), branch(tree().head, 500)
    answers = 0
    effects = told(one, 1, *chain)
    while any(kind == "getheaders" for _, kind, _ in said(effects)):
        answers += 1
        assert answers < 5
        effects = told(one, 1, *chain)
    assert answers == 1


# -- whole nodes ----------------------------------------------------------------------------------------------------

def test_what_a_block_holds_leaves_every_mempool():
    table = Table(4, RING)
    for nonce in range(5):
        table.pays(0, pay(nonce=nonce))
        table.run()
    assert [len(one.pool) for one in table.nodes] == [5] * 4
    table.makes(2)
    table.run()
    assert [len(one.pool) for one in table.nodes] == [0] * 4
    assert len(set(table.heads())) == 1
    assert not any(one.relay.held for one in table.nodes)
    # All had all, so nothing but short forms went over the links.
    assert {message.kind for _, _, message in table.said if message.kind in {"block", "parts"}} == set()


def test_two_halves_come_together_and_what_the_shorter_chain_held_waits_again():
    table = Table(4, RING)
    table.cut(1, 2)
    table.cut(3, 0)
    spent, double = pay(amount=1), pay(amount=2)
    lost = pay(BERT)
    for here, tx in ((0, spent), (0, lost), (2, double)):
        table.pays(here, tx)
    table.run()
    for here in (0, 2, 3):
        table.makes(here)
        table.run()
    assert [one.tree.depth(spent.id) for one in table.nodes] == [1, 1, 0, 0]
    table.link(1, 2)
    table.link(3, 0)
    table.run(60.0)
    assert len(set(table.heads())) == 1
    assert [one.tree.depth(spent.id) for one in table.nodes] == [0] * 4
    assert [one.tree.depth(double.id) for one in table.nodes] == [2] * 4
    # The double spend is gone for good; the other one waits everywhere, where nobody had heard of it too.
    assert [[tx.id for tx in one.pool.transactions()] for one in table.nodes] == [[lost.id]] * 4
    table.makes(3)
    table.run()
    assert [one.tree.depth(lost.id) for one in table.nodes] == [1] * 4


def test_what_waits_on_what_was_undone_stays_behind_it():
    table = Table(2, [(0, 1)])
    table.cut(0, 1)
    table.pays(0, pay(nonce=0))
    table.makes(0)
    table.pays(0, pay(nonce=1))
    table.run()
    for _ in range(2):
        table.makes(1)
        table.run()
    table.link(0, 1)
    table.run(60.0)
    assert [[tx.nonce for tx in one.pool.transactions()] for one in table.nodes] == [[0, 1]] * 2


def test_what_comes_too_early_is_asked_for_again_when_its_turn_has_come():
    table = Table(2, [(0, 1)], lost=lambda sender, tell: held[0] and tell.message.kind == "announce"
                  and tell.message.txs == (first.id,))
    held, first = [True], pay()
    for nonce in range(4):
        table.pays(0, pay(nonce=nonce))
        table.run()
    assert len(table.nodes[1].pool) == 0
    assert table.nodes[1].refusals == {"nonce": 3}
    held[0] = False
    table.tell(1, Heard(0, words.Message("announce", (first.id,))))
    table.run()
    assert [tx.nonce for tx in table.nodes[1].pool.transactions()] == [0, 1, 2, 3]


def test_a_new_neighbour_is_told_what_waits():
    table = Table(3, [(0, 1)])
    for nonce in range(3):
        table.pays(0, pay(nonce=nonce))
    table.run()
    table.link(1, 2)
    table.run()
    assert len(table.nodes[2].pool) == 3


def test_our_own_is_told_again_while_no_block_holds_it():
    away = [True]
    table = Table(2, [(0, 1)], lost=lambda sender, tell: away[0])
    table.pays(0, pay())
    table.run(1700.0)
    away[0] = False
    table.run(60.0)
    assert len(table.nodes[1].pool) == 0
    table.run(100.0)
    assert len(table.nodes[1].pool) == 1


steps = st.lists(st.one_of(
    st.tuples(st.just("make"), st.integers(0, 4)),
    st.tuples(st.just("pay"), st.integers(0, 4), st.sampled_from([ANNA, BERT]), st.integers(1, 3)),
    st.tuples(st.just("cut"), st.integers(0, 5)), st.tuples(st.just("link"), st.integers(0, 5)),
    st.tuples(st.just("run"), st.integers(0, 20))), max_size=40)
LINKS = [*RING, (4, 0), (4, 2)]


@settings(max_examples=60)
@given(steps)
def test_whatever_happens_in_the_end_all_have_one_chain_and_one_mempool(story):
    table = Table(5, LINKS, Settings(chain=ChainRules(undo=50)))
    there = set(LINKS)
    for step in story:
        if step[0] == "make":
            table.makes(step[1])
        elif step[0] == "pay":
            here = table.nodes[step[1]]
            tx = pay(step[2], here.pool.next_nonce(step[2]), step[3])
            if tx.id not in table.bodies:
                table.pays(step[1], tx)
        elif step[0] == "run":
            table.run(step[1])
        elif step[0] == "cut" and LINKS[step[1]] in there:
            there.discard(LINKS[step[1]])
            table.cut(*LINKS[step[1]])
        elif step[0] == "link" and LINKS[step[1]] not in there:
            there.add(LINKS[step[1]])
            table.link(*LINKS[step[1]])
    for missing in [link for link in LINKS if link not in there]:
        table.link(*missing)
    table.run(200.0)
    for _ in range(3):  # whoever has the longest chain makes it longer, and takes in what waits
        table.makes(max(range(5), key=lambda here: table.nodes[here].tree.height))
        table.run(200.0)
    assert len(set(table.heads())) == 1
    accounts = table.nodes[0].tree.accounts()
    assert all(one.tree.accounts() == accounts for one in table.nodes)
    assert sum(one.balance for one in accounts.values()) == sum(one.balance for one in ACCOUNTS.values())
    spent = Counter((tx.sender, tx.nonce) for height in range(table.nodes[0].tree.height + 1)
                    for tx in table.nodes[0].tree.block(table.nodes[0].tree.at(height)).transactions)
    assert not spent or max(spent.values()) == 1
    pools = [sorted(tx.id for tx in one.pool.transactions()) for one in table.nodes]
    assert pools == [pools[0]] * 5
    assert not any(why != "stall" for _, _, why in table.blames)
    assert MAKER in accounts or not spent
