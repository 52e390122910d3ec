# SPDX-License-Identifier: Apache-2.0
"""Nodes find each other, stay linked, pass things on, and write down what they saw."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from holdfast.gossip.trust.identity import Identity
from holdfast.propagation import journal
from holdfast.propagation.chain import Settings as Rules
from holdfast.propagation.mempool import Rules as MempoolRules
from holdfast.propagation.node import Journal, Links
from holdfast.propagation.rehearsal import entries
from holdfast.propagation.relay.named import NAMES, named
from tests.integration.propagation.streets import QUICK, Mallory, Street, payment, until

FINDS = replace(QUICK, links=Links(outbound=3), ask_s=0.2)


def test_who_knows_one_finds_the_others_by_asking():
    async def run():
        async with Street() as street:
            first = await street.node(FINDS)
            nodes = [first, *[await street.node(FINDS, calls=(first,)) for _ in range(4)]]
            await until(lambda: all(len(one.links) >= 3 for one in nodes), "all have three links")
            for one in nodes:  # one link to each, whoever opened it, and none to itself
                ids = [link.id for link in one.links.values()]
                assert len(ids) == len(set(ids))
                assert one.identity.id not in ids

    asyncio.run(run())


def test_two_who_call_each_other_at_once_have_one_link():
    async def run():
        async with Street() as street:
            one, other = await street.node(), await street.node()
            one.call(other.listens)
            other.call(one.listens)
            await until(lambda: one.links and other.links, "they are linked")
            one.submit(payment())
            await until(lambda: len(other.carrier.full.pool) == 1, "and talk")
            assert len(one.links) == len(other.links) == 1
            (ours,), (theirs,) = one.links.values(), other.links.values()
            assert ours.outbound != theirs.outbound

    asyncio.run(run())


def test_a_node_that_calls_itself_stops_to():
    async def run():
        async with Street() as street:
            node = await street.node()
            node.neighbours.book._own.clear()  # it listens elsewhere than it thinks, behind a forwarded port
            node.call(node.listens)
            await until(lambda: node.counted["greeting self"], "it noticed")
            assert not node.links
            assert node.neighbours.book.owns(node.listens)

    asyncio.run(run())


def test_a_node_that_comes_back_is_called_again_and_hears_what_it_missed():
    async def run():
        async with Street() as street:
            identity = Identity.generate(os.urandom)
            gone = await street.node(identity=identity)
            stays = await street.node(calls=(gone,))
            await until(lambda: stays.links, "they are linked")
            await gone.stop()
            await until(lambda: not stays.links, "one is gone")
            stays.submit(payment())
            back = await street.node(replace(QUICK, listen=gone.listens), identity=identity)
            await until(lambda: len(back.carrier.full.pool) == 1, "it has what it missed")

    asyncio.run(run())


def test_each_policy_carries_a_transaction_through_real_nodes():
    async def run(policy: str):
        async with Street() as street:
            first = await street.node(policy=named(policy, 0.05))
            middle = await street.node(policy=named(policy, 0.05), calls=(first,))
            last = await street.node(policy=named(policy, 0.05), calls=(middle, first))
            await until(lambda: len(last.links) == 2 and len(first.links) == 2, "they are linked")
            tx = payment()
            assert first.submit(tx).taken
            await until(lambda: tx.id in last.carrier.full.pool and tx.id in middle.carrier.full.pool, policy)

    for policy in NAMES:
        asyncio.run(run(policy))


def test_when_all_places_are_taken_somebody_gives_way_and_one_part_of_the_network_does_not_get_them_all():
    async def run():
        async with Street() as street:
            node = await street.node(replace(QUICK, links=Links(outbound=0, inbound=2, exempt=())))
            callers = [await Mallory().call(node) for _ in range(2)]
            await until(lambda: len(node.links) == 2, "both places are taken")
            third = await Mallory().call(node)
            await until(lambda: node.counted["unlinked place"] == 1, "one gave way")
            assert third.identity.id in {link.id for link in node.links.values()}
            for one in (*callers, third):
                one.writer.transport.abort()
            crowded = await street.node(replace(QUICK, links=Links(outbound=0, inbound_of_group=1, exempt=())))
            async with await Mallory().call(crowded), await Mallory().call(crowded) as second:
                assert await second.hung_up_on()
            assert crowded.counted["refused link full"] == 1

    asyncio.run(run())


def test_the_journal_says_what_was_seen(tmp_path: Path):
    async def run():
        async with Street() as street:
            identity = Identity.generate(os.urandom)
            first = await street.node()
            second = await street.node(calls=(first,), identity=identity,
                                       journal=Journal(tmp_path / "second.jsonl", identity.id))
            await until(lambda: second.links and first.links, "they are linked")
            tx = payment()
            first.submit(tx)
            second.submit(payment(1))
            await until(lambda: len(first.carrier.full.pool) == len(second.carrier.full.pool) == 2, "both have both")
            return tx, first.identity.id

    tx, first = asyncio.run(run())
    found = entries(tmp_path / "second.jsonl")
    assert {type(one) for one in found} == {
        journal.Started, journal.Linked, journal.Arrived, journal.Made, journal.Unlinked, journal.Counted,
        journal.Stopped}
    (arrived,) = [one for one in found if isinstance(one, journal.Arrived)]
    assert (arrived.id, arrived.peer, arrived.hops) == (tx.id.hex(), first, 1)
    (counted,) = [one for one in found if isinstance(one, journal.Counted)]
    assert counted.sent_bytes[first]["body"] > 141
    assert [one.t for one in found] == sorted(one.t for one in found)


def test_who_comes_late_has_a_long_chain_soon_and_nobody_is_banned_for_it():
    async def run():
        maker = Identity.generate(os.urandom)
        async with Street() as street:
            makes = replace(QUICK, makers=(maker.signing,), make_every_s=1e9)
            old = await street.node(makes, identity=maker)
            making = old._making()
            for _ in range(3000):
                made = old.carrier.full.make(making.maker, making.seal, old._now())
                old.carrier.handle(made, old._now())
            late = await street.node(replace(QUICK, makers=(maker.signing,)), calls=(old,))
            await until(lambda: late.carrier.height == 3000, "it has the chain", 120)
            assert late.inspect().head == old.inspect().head
            assert (late.counted["too much"], old.counted["too much"]) == (0, 0)

    asyncio.run(run())


def test_who_comes_late_is_told_of_all_that_waits_and_nobody_is_banned_for_it():
    async def run():
        async with Street() as street:
            wide = replace(QUICK, rules=Rules(mempool=MempoolRules(per_sender=10_000)))
            full = await street.node(wide)
            for nonce in range(2500):
                full.submit(payment(nonce=nonce))
            late = await street.node(wide, calls=(full,))
            await until(lambda: len(late.carrier.full.pool) == 2500, "it has all of them", 120)
            assert (late.counted["too much"], full.counted["too much"]) == (0, 0)

    asyncio.run(run())


def test_a_book_is_there_again_after_a_restart(tmp_path: Path):
    async def run():
        async with Street() as street:
            first = await street.node(FINDS)
            book = tmp_path / "book"
            second = await street.node(replace(FINDS, book=book), calls=(first,))
            await until(lambda: second.links, "they are linked")
            await second.stop()
            # Without anybody named: it calls whom it remembers.
            again = await street.node(replace(FINDS, book=book))
            await until(lambda: again.links, "it found the other by its book")

    asyncio.run(run())


def test_words_are_held_back_as_long_as_the_link_is():
    async def run():
        async with Street() as street:
            far = Identity.generate(os.urandom)
            first = await street.node(identity=far)
            second = await street.node(replace(QUICK, latencies_s={far.id: 0.4}), calls=(first,))
            await until(lambda: second.links, "they are linked")
            loop = asyncio.get_running_loop()
            began = loop.time()
            first.submit(payment())
            await until(lambda: len(second.carrier.full.pool) == 1, "it came")
            assert loop.time() - began >= 0.39

    asyncio.run(run())
