# SPDX-License-Identifier: Apache-2.0
"""A member that holds the group's key and lies: what it says in others' names is taken by nobody."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from holdfast.gossip.messages import Alive, Dead, Ping, Suspect, User
from holdfast.gossip.native import frames
from holdfast.gossip.native.frames import Part
from holdfast.gossip.serf.messages import Leave, Query, UserEvent
from holdfast.gossip.signing import Kind
from holdfast.gossip.signing.claims import payload, topic
from holdfast.gossip.wire import encode
from holdfast.gossip.wire import label as labels
from holdfast.gossip.wire import serf as wire
from tests.integration.gossip.native.village import LABEL, Village, counts, resident
from tests.integration.gossip.peers import until


class Liar:
    """A member whose bytes a test chooses."""

    def __init__(self, cluster):
        self.cluster, self.voice = cluster, resident(cluster).voice
        self.signer = self.voice._notary.signer

    def sealed(self, *parts):
        epoch = resident(self.cluster).trust.epochs.current
        return labels.put(LABEL.encode(), self.voice.sealer.seal(epoch, frames.joined(parts)))

    def plain(self, message):
        return self.sealed(Part(frames.PLAIN, encode(message)))

    def signed(self, kind, name, data):
        return self.sealed(Part(frames.SIGNED, self.signer.sign(kind, name, data, time.time_ns() // 1_000_000)))

    def claims(self, claim):
        return self.signed(Kind.CLAIM, topic(claim), payload(claim))

    def send(self, data, *to):
        for cluster in to:
            self.cluster._transport.send(data, cluster._shell.own_address)


def claims_about(victim, framed):
    """In the name of ``framed``, who said nothing."""
    inc, name = victim.core.inspect().incarnation, victim.name
    return [Alive(inc + 7, name, b"\x7f\0\0\1", 9, b""), Suspect(inc, name, framed), Dead(inc, name, framed),
            Dead(inc, name, name)]


def test_what_is_said_in_anothers_name_is_taken_by_nobody(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            two = await village.enter("two")
            liar = Liar(await village.enter("liar"))
            await village.all_met()
            changes = [one.changes(), two.changes()]
            events = [one.events(), two.events()]
            lies = claims_about(two._shell, "one")
            for lie in lies:
                liar.send(liar.plain(lie), one, two)
                liar.send(liar.claims(lie), one, two)
            query = Query(9, 1, b"\x7f\0\0\1", 9, "one", "load", timeout_ns=10**9)
            liar.send(liar.signed(Kind.USER, "query", wire.encode(query)), one, two)
            liar.send(liar.signed(Kind.USER, "intent", wire.encode(Leave(99, "two"))), one, two)
            liar.send(liar.signed(Kind.USER, "intent", wire.encode(UserEvent(9, "odd"))), one, two)
            liar.send(liar.plain(User(wire.encode(UserEvent(9, "unsigned")))), one, two)
            liar.send(liar.signed(Kind.USER, "query", wire.encode(Query(
                9, 2, b"\x7f\0\0\1", 9, "liar", "_serf_list-keys", timeout_ns=10**9))), one, two)
            for each in (one, two):
                await until(lambda each=each: counts(each)["messages_refused_unsigned"] == len(lies) + 1
                            and counts(each)["messages_refused_authority"] == len(lies) + 3
                            and counts(each)["messages_refused_malformed"] == 1)
                assert counts(each)["blamed_authority"] >= len(lies)
            await asyncio.sleep(0.5)
            await one.event("after")
            for feed in events:
                assert (await anext(feed)).name == "after"
            assert {name: each.member(name).status for each in (one, two) for name in ("one", "two")} == {
                "one": "alive", "two": "alive"}
            assert two._shell.core.inspect().incarnation == lies[1].incarnation  # it had nothing to contradict
            assert not any(feed._items for feed in changes)

    arun(story())


def test_what_was_recorded_and_what_is_of_elsewhere_is_refused_by_name(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            liar = Liar(await village.enter("liar"))
            await village.all_met()
            ping = Ping(7, "one", b"\x7f\0\0\1", 9, "liar")
            recorded = liar.plain(ping)
            liar.send(recorded, one)
            liar.send(recorded, one)
            await until(lambda: counts(one)["packets_refused_replay"] == 1)
            sealed = recorded[2 + len(LABEL):]
            liar.send(labels.put(b"elsewhere", sealed), one)
            liar.send(sealed, one)
            await until(lambda: counts(one)["packets_refused_label"] == 2)
            changed = bytearray(liar.plain(ping))
            changed[-1] ^= 1
            liar.send(bytes(changed), one)
            await until(lambda: counts(one)["packets_refused_key"] == 1)
            late = liar.plain(ping)
            assert await one.rotate(within_s=20.0) == 2
            await until(lambda: one.key_status().held == 1)  # the grace is over
            liar.send(late, one)
            await until(lambda: counts(one)["packets_refused_epoch"] == 1)

    arun(story())


def test_an_event_is_heard_once_however_often_it_is_delivered(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            liar = Liar(await village.enter("liar"))
            await village.all_met()
            events = one.events()
            envelope = liar.signer.sign(Kind.USER, "event", wire.encode(UserEvent(5, "once")),
                                        time.time_ns() // 1_000_000)
            old = liar.signer.sign(Kind.USER, "event", wire.encode(UserEvent(6, "old")),
                                   time.time_ns() // 1_000_000 - 121_000)
            for data in (envelope, envelope, envelope, old):
                liar.send(liar.sealed(Part(frames.SIGNED, data)), one)
            await until(lambda: counts(one)["messages_refused_expired"] == 1)
            assert (await anext(events)).name == "once"
            assert not events._items

    arun(story())


def test_a_part_that_nobody_knows_is_refused_and_its_neighbours_count(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            liar = Liar(await village.enter("liar"))
            await village.all_met()
            events = one.events()
            good = liar.signer.sign(Kind.USER, "event", wire.encode(UserEvent(5, "beside")),
                                    time.time_ns() // 1_000_000)
            liar.send(liar.sealed(Part(9, b"odd"), Part(frames.SIGNED, good)), one)
            assert (await anext(events)).name == "beside"
            assert counts(one)["messages_refused_type"] == 1

    arun(story())


@pytest.mark.parametrize("kind", [frames.KEYS, frames.JOIN], ids=["keys", "join"])
def test_a_strangers_stream_is_refused_and_does_no_harm(arun, kind):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            host, _, port = one.address.rpartition(":")
            for body in (b"", b"\xff" * 100, b"\x92\xa0\xc4\x01x"):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(frames.stream(LABEL.encode(), kind, body))
                writer.write_eof()
                await writer.wait_closed() if writer.is_closing() else writer.close()
            await until(lambda: sum(count for name, count in counts(one).items() if name.startswith((
                "streams_refused", "joins_refused", "keys_refused"))) >= 3)
            assert one.inspect().tasks_failed == 0

    arun(story())
