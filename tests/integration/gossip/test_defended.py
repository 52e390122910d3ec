# SPDX-License-Identifier: Apache-2.0
"""Members with their defences on, on real sockets: who floods, lies and sends garbage harms nobody else, and pays."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from holdfast._base import events as ev
from holdfast.errors import ConfigurationError
from holdfast.gossip import Cluster, Core
from holdfast.gossip.agent import DEFENDED
from holdfast.gossip.agent.guarding import Guarding
from holdfast.gossip.agent.telling import Telling
from holdfast.gossip.agent.voice import random_nonce
from holdfast.gossip.defence import OFF, Defences, audit
from holdfast.gossip.defence.bans import Banning
from holdfast.gossip.defence.buckets import Limits
from holdfast.gossip.defence.subnets import Places
from holdfast.gossip.defence.validation import Judged, Verdict
from holdfast.gossip.messages import SERF_VERSIONS, Ack, Alive, Dead, Ping, User
from holdfast.gossip.wire import seal
from tests.integration.gossip.native.village import Village
from tests.integration.gossip.peers import FIRST, QUICK, until

ONE, TWO, THREE = "127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"
#: A ban that ends while a test waits.
BRIEF = replace(DEFENDED, banning=Banning(first_s=3.0, longest_s=6.0))


def where(cluster):
    host, port = cluster.address.rsplit(":", 1)
    return host, int(port)


class Still:
    """A clock that stands."""

    def now(self):
        return 5.0

    def wall_ms(self):
        return 1_000_000


async def meet(stack, name, bind, join=(), **settings):
    return await stack.enter_async_context(Cluster(
        name, bind=bind, join=[member.address for member in join],
        **{"profile": QUICK, "key": FIRST, "defences": DEFENDED, **settings}))


async def three(stack, **first):
    one = await meet(stack, "one", ONE, **first)
    two = await meet(stack, "two", TWO, [one])
    other = await meet(stack, "three", THREE, [one])
    for member in (one, two, other):
        await until(lambda member=member: len([each for each in member.members() if each.status == "alive"]) == 3)
    return one, two, other


async def stream_from(cluster, data, host):
    """Says something by stream, from that host, and waits for its end."""
    reader, writer = await asyncio.open_connection(*where(cluster), local_addr=(host, 0))
    try:
        writer.write(data)
        await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def unreadable(framing):
    """What a stream brings that is sealed with the right key, and no message within."""
    data = bytes([99]) + bytes(40)
    head = b"\x0a" + seal.sealed_size(len(data), framing.version).to_bytes(4, "big")
    return head + seal.seal(framing.keys.keys[0], data, nonce=random_nonce(), associated=head + framing.label,
                            version=framing.version)


async def flooded(cluster, seconds, rate=6_000):
    """Datagrams of a stranger, many a second; how many there were."""
    sent, ends = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        thrower.bind(("127.0.0.9", 0))
        thrower.setblocking(False)
        data = b"\x01" + bytes(400)
        while time.monotonic() < ends:
            for _ in range(rate // 50):
                try:
                    thrower.sendto(data, where(cluster))
                except BlockingIOError:
                    break
                sent += 1
            await asyncio.sleep(0.02)
    return sent


def test_a_stranger_who_floods_costs_no_decryption_and_starves_no_member(arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, two, _ = await three(stack)
            heard = one.events()
            flood = asyncio.create_task(flooded(one, 3.0))
            await asyncio.sleep(0.5)
            await two.event("deploy", b"v1")
            async with asyncio.timeout(3):
                assert (await anext(heard)).payload == b"v1"
            sent = await flood
            counts = one.inspect().counts
            assert sent > 3000
            # What got through to the keys is what the bucket of strangers holds, whatever was sent.
            assert counts["packets_refused_key"] <= 150 * (4 + 4)
            assert counts["packets_refused_rate"] > counts["packets_refused_key"]
            assert {member.status for member in one.members()} == {"alive"}
            assert not counts.get("members_suspected")
            assert one.defences().bans == ()

    arun(story())


def test_strangers_share_one_bucket_and_members_have_their_own():
    clock = Still()
    guard = Guarding("one", replace(DEFENDED, limits=Limits(peer_messages_s=10.0, burst_s=1.0)), clock,
                              Telling("one", None, clock), sealed=True, native=False)
    assert [guard.arriving("", 100 + size) for size in range(11)] == [""] * 10 + ["rate"]
    assert [guard.arriving("two", 100) for _ in range(11)] == [""] * 10 + ["rate"]
    assert guard.arriving("three", 70_000) == "size"
    assert guard.now == 1000.0


def test_of_the_banned_pings_and_acks_are_heard_and_nothing_else():
    clock = Still()
    guard = Guarding("one", DEFENDED, clock, Telling("one", None, clock), sealed=True, native=False)
    core = Core("one", (bytes(4), 1), weigh=lambda message: 100)
    said = [Ping(1, "one"), Ack(1, None), User(b"x"), Alive(1, "six", bytes(4), 6, b"", SERF_VERSIONS),
            Dead(1, "a", "b")]
    assert guard.heard(said, "two", core) == said
    for _ in range(9):
        guard.bad("two", "type")
    assert guard.banned("two")
    assert guard.heard(said, "two", core) == said[:2]
    assert guard.heard(said, "three", core) == said
    assert guard.may_talk(bytes([10, 0, 0, 2]), "two") == "banned"
    assert guard.arriving("two", 100) == ""


def test_who_sends_garbage_is_banned_for_a_while_and_an_honest_member_never(arun):
    async def story():
        heard = []
        async with AsyncExitStack() as stack:
            one, two, other = await three(stack, defences=BRIEF, events=ev.Events(heard.append))
            bad = where(other)[0]
            sealed = one._voice.framing
            for _ in range(9):
                await stream_from(one, unreadable(sealed), bad)
            told = [each for each in heard if isinstance(each, ev.GossipBanned)]
            assert [(each.peer, each.why) for each in told] == [("three", "score")]
            assert 2 < told[0].seconds <= 3
            assert [ban.name for ban in one.defences().bans] == ["three"]
            before = one.inspect().counts.get("streams_refused_banned", 0)
            assert await stream_from(one, unreadable(sealed), bad) == b""
            assert one.inspect().counts["streams_refused_banned"] > before
            # It is not listened to, and it is not taken for dead; the others talk as before.
            events = one.events()
            await two.event("honest")
            assert (await anext(events)).name == "honest"
            assert one.member("three").status == "alive"
            assert one.defences().scores["banned"] == 1
            await until(lambda: one.defences().bans == (), 8)
            assert await two.join([one.address]) == 1
            assert {each.peer for each in heard if isinstance(each, ev.GossipBanned)} == {"three"}
            assert all(each.status == "alive" for each in one.members())
            scored = [each for each in heard if isinstance(each, ev.GossipScored)]
            assert min(each.lowest for each in scored) < -80

    arun(story())


def test_garbage_that_anybody_can_send_is_held_against_nobody(arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, _, other = await three(stack)
            for _ in range(20):
                await stream_from(one, b"\x0a" + bytes(200), where(other)[0])  # no key opens it
                await stream_from(one, unreadable(one._voice.framing), "127.0.0.9")  # nobody is there
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
                thrower.bind((where(other)[0], 0))
                for _ in range(50):
                    thrower.sendto(b"\x01" + bytes(60), where(one))
            await asyncio.sleep(0.5)
            assert one.inspect().counts["packets_refused_key"] >= 50
            assert one.defences().bans == ()
            assert one.defences().scores["graylisted"] == 0

    arun(story())


def test_what_a_validator_rejects_is_neither_handed_on_nor_passed_on(arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, two, other = await three(stack)
            asked = []

            @two.validates("price")
            def positive(letter):
                asked.append(letter)
                return Verdict.ACCEPT if letter.payload > b"0" else Judged(Verdict.REJECT, "negative")

            feeds = {member.name: member.events() for member in (two, other)}
            other.validates("price")(positive)
            await one.event("price", b"-5")
            await one.event("price", b"7")
            for feed in feeds.values():
                assert (await anext(feed)).payload == b"7"
            await asyncio.sleep(2.5)  # two exchanges of all that is known
            assert all(not feed._items for feed in feeds.values())
            for member in (two, other):
                assert member.defences().validators["reject: negative"] >= 1
                assert not any(event.payload == b"-5" for past in member._shell.layer.events.all() if past
                               for event in past.events)
            assert {letter.peer for letter in asked} <= {"one", "two", "three"}
            assert two.defences().bans == ()

    arun(story())


def test_an_own_event_goes_to_all_at_once_and_comes_to_each_once(arun):
    async def story():
        async with AsyncExitStack() as stack:
            slow = replace(QUICK, gossip_interval_s=5.0, push_pull_interval_s=60.0)
            members = [await meet(stack, "one", ONE, profile=slow, leave_on_exit=False)]
            for name, bind in (("two", TWO), ("three", THREE)):
                members.append(await meet(stack, name, bind, members[:1], profile=slow, leave_on_exit=False))
            await until(lambda: len(members[0].members()) == 3)
            feeds = [member.events() for member in members]
            began = time.monotonic()
            await members[0].event("now")
            for feed in feeds:
                assert (await anext(feed)).name == "now"
            assert time.monotonic() - began < 1.0
            await asyncio.sleep(1.0)
            assert all(not feed._items for feed in feeds)

    arun(story())


def test_honest_members_keep_their_scores_through_many_events(arun):
    async def story():
        async with AsyncExitStack() as stack:
            members = await three(stack)
            feeds = [member.events() for member in members]
            for number in range(60):
                await members[number % 3].event(f"event {number}", b"x" * 50)
                await asyncio.sleep(0.03)
            await asyncio.sleep(2.5)
            assert {len(feed._items) for feed in feeds} == {60}
            for member in members:
                found = member.defences()
                assert found.bans == ()
                assert found.scores["graylisted"] == found.scores["banned"] == found.scores["negative"] == 0

    arun(story())


def test_places_are_few_where_they_are_counted(arun):
    async def story():
        capped = replace(DEFENDED, places=Places(v4=((24, 2),), exempt=()))
        async with AsyncExitStack() as stack:
            one = await meet(stack, "one", ONE, defences=capped)
            for number in range(5):
                claim = Alive(1, f"sybil {number}", bytes([10, 1, 2, number]), 7946, b"\xff\x80", SERF_VERSIONS)
                other = Alive(1, f"far {number}", bytes([10, 1, 3 + number, 1]), 7946, b"\xff\x80", SERF_VERSIONS)
                for each in (claim, other):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
                        thrower.sendto(one._voice.packets([each], one._shell.peer((b"", 0)))[0], where(one))
            await until(lambda: len([each for each in one.members() if each.name.startswith("far")]) == 5)
            assert len([each for each in one.members() if each.name.startswith("sybil")]) == 2

    arun(story())


def test_the_audit_log_is_a_chain_that_goes_on_after_a_restart(arun, tmp_path):
    path = tmp_path / "audit.jsonl"

    async def story():
        async with AsyncExitStack() as stack:
            one, *_ = await three(stack, audit=path)
            one.validates("*")(lambda letter: Verdict.REJECT)
            await one.event("mine")

    arun(story())
    first = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["what"] for line in first].count("admission") >= 2
    assert abs(json.loads(first[0])["at"] - time.time()) < 60
    arun(story())
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > len(first)
    assert audit.verify(lines) is None
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    with pytest.raises(ConfigurationError, match="line 2"):
        Cluster("one", key=FIRST, defences=DEFENDED, audit=path)


@pytest.mark.parametrize(("settings", "match"), [
    ({"key": FIRST, "defences": Defences()}, "amplification"),
    ({"key": FIRST, "defences": replace(DEFENDED, quorum=Defences().quorum)}, "signed accusation"),
    ({"defences": DEFENDED}, "without a key"),
    ({"key": FIRST, "audit": "x"}, "nothing to audit"),
], ids=["not on a network", "certificates", "no key", "audit of nothing"])
def test_defences_that_cannot_be_carried_are_refused_by_name(settings, match):
    with pytest.raises(ConfigurationError, match=match):
        Cluster("one", **settings)


def test_off_by_default_among_serf_agents_and_on_in_a_native_cluster(arun):
    with pytest.raises(ConfigurationError, match="are off"):
        Cluster("one", key=FIRST).validates("price")
    with pytest.raises(ConfigurationError, match="are off"):
        Cluster("one", key=FIRST, defences=OFF).validates("price")

    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            two = await village.enter("two")
            three_ = await village.enter("three")
            await village.all_met()
            two.validates("price")(lambda letter: Verdict.REJECT)
            feeds = [member.events() for member in (one, two, three_)]
            await one.event("price", b"-5")
            await one.event("deploy", b"v1")
            assert [(await anext(feed)).name for feed in feeds] == ["price", "deploy", "price"]
            assert two.defences().validators["reject"] >= 1
            assert two.inspect().counts.get("packets_refused_rate", 0) == 0

    arun(story())


def test_a_ban_is_lifted_by_hand_and_that_is_written_down(arun):
    async def story():
        lines = []
        async with AsyncExitStack() as stack:
            one, *_ = await three(stack, audit=lines.append)
            guard = one._guarding.guard
            guard.ledger.ban("three", "equivocation", one._guarding.now, proven=True)
            assert one.unban("three")
            assert not one.unban("three")
            assert one.defences().bans == ()
        assert [json.loads(line)["what"] for line in lines][-1] in {"unban", "admission"}
        assert "unban" in {json.loads(line)["what"] for line in lines}

    arun(story())
