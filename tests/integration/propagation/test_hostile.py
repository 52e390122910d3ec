# SPDX-License-Identifier: Apache-2.0
"""Who means no good is cut off, remembered, and holds nobody else up."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import msgspec

from holdfast.gossip.trust.identity import Identity
from holdfast.propagation.node import Links, frames, money
from holdfast.propagation.node.frames import Addresses, Ping, Said, Seen
from holdfast.propagation.node.greeting import About, Caller, Door
from holdfast.propagation.node.link import Patience
from tests.integration.propagation.streets import QUICK, Mallory, Street, payment, until


def test_a_frame_that_is_longer_than_any_word_is_not_read_and_its_sender_is_banned():
    async def run():
        async with Street() as street:
            node = await street.node()
            async with await Mallory().call(node) as mallory:
                mallory.raw((64 << 20).to_bytes(4, "big") + bytes(16))
                assert await mallory.hung_up_on()
                assert node.neighbours.refuses(mallory.identity.id, asyncio.get_running_loop().time())
            again = Mallory(mallory.identity)
            async with await again.call(node):
                assert await again.hung_up_on()
            assert node.counted["refused link banned"] == 1

    asyncio.run(run())


def test_a_transaction_with_a_wrong_signature_is_passed_on_to_nobody_and_is_a_ban():
    async def run():
        async with Street() as street:
            node = await street.node()
            other = await street.node(calls=(node,))
            await until(lambda: other.links, "the two are linked")
            forged = msgspec.structs.replace(payment(), amount=10**6)
            async with await Mallory().call(node) as mallory:
                mallory.say(Said("body", hops=1, body=money.encode(forged)))
                assert await mallory.hung_up_on()
            assert node.counted["unlinked banned"] == 1
            node.submit(payment(1))
            await until(lambda: len(other.carrier.full.pool) == 1, "what is good goes on")
            assert other.carrier.counted["refused signature"] == 0

    asyncio.run(run())


def test_a_frame_with_another_ones_tag_ends_the_link():
    async def run():
        async with Street() as street:
            node = await street.node()
            async with await Mallory().call(node) as mallory:
                good = mallory.met.channel.seal(frames.encode(Ping(1)))
                mallory.raw(good + good)  # once, and once more
                assert await mallory.hung_up_on()
            assert node.counted["unlinked bad tag"] == 1

    asyncio.run(run())


def test_a_hello_that_was_recorded_gets_an_answer_and_no_link():
    async def run():
        async with Street() as street:
            node = await street.node()
            async with await Mallory().call(node, greeted=False) as mallory:
                # What an honest node once said to Mallory's own door.
                calls = Caller(Identity.generate(os.urandom), node._greeting, About(), os.urandom)
                opens = Door(mallory.identity, node._greeting, About(), os.urandom)
                proof, _ = calls.answered(opens.called(calls.hello))
                for said in (calls.hello, proof):
                    mallory.raw(len(said).to_bytes(4, "big") + said)
                assert await mallory.hung_up_on()
            assert node.counted["greeting challenge"] == 1
            assert not node.links

    asyncio.run(run())


def test_who_says_half_a_hello_or_half_a_frame_loses_its_place():
    async def run():
        patience = Patience(greeting_s=0.3, frame_s=0.3)
        async with Street() as street:
            node = await street.node(replace(QUICK, patience=patience))
            async with await Mallory().call(node, greeted=False) as silent:
                silent.raw(b"\0\0")
                assert await silent.hung_up_on()
            async with await Mallory().call(node) as slow:
                frame = slow.met.channel.seal(frames.encode(Ping(1)))
                slow.raw(frame[:10])
                assert await slow.hung_up_on()
            assert node.counted["greeting time"] == 1
            assert node.counted["unlinked time"] == 1

    asyncio.run(run())


def test_half_hellos_out_of_one_part_of_the_network_take_a_few_places_only():
    async def run():
        async with Street() as street:
            node = await street.node(replace(QUICK, links=Links(outbound=0, exempt=()),
                                             patience=Patience(greeting_s=600)))
            silent = [await Mallory().call(node, greeted=False) for _ in range(30)]
            await until(lambda: node.counted["turned away"] == 22, "eight are listened to")
            for one in silent:
                one.writer.transport.abort()
            await until(lambda: not node._greeting_of.total(), "and forgotten")
            other = await street.node(calls=(node,))
            await until(lambda: other.links and node.links, "an honest node comes in")

    asyncio.run(run())


def test_who_floods_is_not_listened_to_and_then_banned_while_others_are_served():
    async def run():
        async with Street() as street:
            node = await street.node()
            other = await street.node(calls=(node,))
            await until(lambda: other.links, "the two are linked")
            async with await Mallory().call(node) as mallory:
                for turn in range(200):
                    mallory.say(Said("reconcile", count=turn))
                assert await mallory.hung_up_on()
            assert node.counted["too much"] >= 100
            other.submit(payment())
            await until(lambda: len(node.carrier.full.pool) == 1, "an honest node is heard")

    asyncio.run(run())


def test_who_does_not_read_is_cut_off_and_holds_nobody_up():
    async def run():
        patience = Patience(queue_bytes=200_000, queue_words=500, send_s=0.5)
        async with Street() as street:
            node = await street.node(replace(QUICK, patience=patience))
            other = await street.node(calls=(node,))
            await until(lambda: other.links, "the two are linked")
            async with await Mallory().call(node) as mallory:
                mallory.reader._transport.pause_reading()
                number = 0
                while node.counted["unlinked slow"] + node.counted["unlinked time"] == 0:
                    for _ in range(100):  # what a busy node tells each of its neighbours
                        for link in node.links.values():
                            if link.id == mallory.identity.id:
                                link.say(Said("announce", tuple(number.to_bytes(32, "big") for _ in range(100))))
                    number += 1
                    assert number < 10_000
                    await asyncio.sleep(0)
            node.submit(payment())
            await until(lambda: len(other.carrier.full.pool) == 1, "the other one is told")
            assert node.neighbours.standing.score(mallory.identity.id, asyncio.get_running_loop().time()) < 0

    asyncio.run(run())


def test_addresses_that_nobody_asked_for_are_not_looked_at():
    async def run():
        async with Street() as street:
            node = await street.node()
            async with await Mallory().call(node) as mallory:
                mallory.say(Addresses(tuple(Seen(f"10.{part}.0.1", 7070) for part in range(100))))
                mallory.say(Ping(7))
                await until(lambda: node.counted["received"] >= 2, "it was heard")
                assert len(node.neighbours.book) == 0
                assert node.neighbours.standing.score(mallory.identity.id, asyncio.get_running_loop().time()) < 0

    asyncio.run(run())


def test_one_who_does_not_answer_pings_is_taken_for_dead():
    async def run():
        async with Street() as street:
            node = await street.node(replace(QUICK, dead_s=0.5))
            async with await Mallory().call(node) as mallory:
                assert await mallory.hung_up_on()
            assert node.counted["unlinked dead"] == 1

    asyncio.run(run())


def test_another_network_is_not_spoken_to():
    async def run():
        async with Street() as street:
            node = await street.node()
            stranger = await street.node(replace(QUICK, network="other"), calls=(node,))
            await until(lambda: node.counted["greeting network"], "it called")
            assert not stranger.links
            assert not node.links

    asyncio.run(run())
