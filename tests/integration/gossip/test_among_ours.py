# SPDX-License-Identifier: Apache-2.0
"""Members of ours among themselves, on loopback: what the API promises."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from holdfast.errors import BadPacket, ConfigurationError, GossipError, JoinFailed, NameLost
from holdfast.gossip import LOCAL, Cluster
from holdfast.gossip.agent import Missed, SharedVoice
from holdfast.gossip.messages import Ack
from holdfast.gossip.wire import Framing
from tests.integration.gossip.peers import FIRST, QUICK, SECOND, ours, until


def statuses(cluster):
    return {member.name: member.status for member in cluster.members()}


async def sees(cluster, wanted, within_s=15.0):
    await until(lambda: statuses(cluster) == wanted, within_s)


async def cluster_of(stack, names, **settings):
    """Members that all know each other."""
    members = []
    for name in names:
        join = [members[0].address] if members else []
        members.append(await stack.enter_async_context(Cluster(name, join=join, **{"profile": QUICK, **settings})))
    for member in members:
        await sees(member, dict.fromkeys(names, "alive"))
    return members


@pytest.mark.parametrize("settings", [
    {}, {"key": FIRST}, {"label": "blue"}, {"key": FIRST, "label": "blue", "compress": True},
    {"bind": "[::1]:0", "key": FIRST},
], ids=["plain", "encrypted", "labelled", "all of it", "IPv6"])
def test_they_find_each_other_and_part(arun, settings):
    async def story():
        async with AsyncExitStack() as stack:
            one, two, three = await cluster_of(stack, ["one", "two", "three"], **settings)
            changes = one.changes()
            await two.leave()
            change = await anext(changes)
            assert (change.what, change.member.name, change.member.status) == ("left", "two", "left")
            await sees(three, {"one": "alive", "two": "left", "three": "alive"})
            assert one.inspect().tasks_failed == 0

    arun(story())


@pytest.mark.parametrize(("here", "there"), [
    ({"key": FIRST}, {"key": SECOND}), ({"key": FIRST}, {}), ({}, {"key": FIRST}),
    ({"label": "blue"}, {"label": "red"}), ({"label": "blue"}, {}), ({}, {"label": "red"}),
    ({}, {"delegate": "none"}),
], ids=["another key", "no key", "a key too many", "another label", "no label", "a label too many", "another layer"])
def test_clusters_that_differ_stay_apart(arun, here, there):
    async def story():
        async with Cluster("one", profile=QUICK, **here) as one:
            with pytest.raises(JoinFailed):
                async with Cluster("two", profile=QUICK, join=[one.address], join_within_s=0, **there):
                    pass
            assert statuses(one) == {"one": "alive"}

    arun(story())


def test_who_joins_hears_why_it_could_not(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            with pytest.raises(JoinFailed, match="that is this member itself"):
                await one.join([one.address])
            with pytest.raises(JoinFailed, match=r"127\.0\.0\.1:1: Connection refused; no\.such\..*: its name was not"):
                await one.join(["127.0.0.1:1", "no.such.name.invalid:7"])
            with pytest.raises(ConfigurationError, match=r"join=\['a:1'\]"):
                await one.join("a:1")

    arun(story())


def test_a_member_that_need_not_join_at_once_joins_when_somebody_is_there(arun):
    async def story():
        async with Cluster("first", profile=QUICK) as first:
            later = first.address
        async with Cluster("two", profile=QUICK, join=[later], must_join=False) as two:
            assert statuses(two) == {"two": "alive"}
            async with Cluster("one", bind=later, profile=QUICK):
                await sees(two, {"one": "alive", "two": "alive"})

    arun(story())


def test_events_reach_everybody_once_and_not_those_who_come_later(arun):
    async def story():
        async with AsyncExitStack() as stack:
            members = await cluster_of(stack, ["one", "two", "three"])
            feeds = [member.events() for member in members]
            await members[1].event("deploy", b"v1")
            await members[2].event("deploy", b"v2")
            for feed in feeds:
                heard = {(await anext(feed)).payload for _ in range(2)}
                assert heard == {b"v1", b"v2"}
            later = Cluster("later", bind="localhost:0", join=[members[0].address.replace("127.0.0.1", "localhost")],
                            profile=QUICK)
            curious = Cluster("curious", join=[members[0].address], profile=QUICK, replay_events=True)
            heard, replayed = later.events(), curious.events()
            async with later, curious:
                await members[0].event("now")
                assert (await anext(heard)).name == "now"
                assert {(await anext(replayed)).payload for _ in range(2)} == {b"v1", b"v2"}
                assert (await anext(replayed)).name == "now"

    arun(story())


def test_a_query_is_answered_by_those_it_is_for(arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, two, three = await cluster_of(stack, ["one", "two", "three"])
            await two.set_tags({"role": "web"})
            await until(lambda: dict(one.member("two").tags) == {"role": "web"})

            async def slowly(call):
                await asyncio.sleep(0)
                return b"slowly"

            @two.on_query("who")
            def quickly(call):
                return f"two to {call.source}: {call.payload.decode()}".encode()

            three.on_query("who", slowly)
            three.on_query("broken", lambda call: 1 / 0)

            async def ask(name, **whom):
                question = one.query(name, b"?", timeout_s=0.6, ack=True, **whom)
                return {answer.node: answer.payload async for answer in question}, question.acks

            assert await ask("who") == ({"two": b"two to one: ?", "three": b"slowly"}, {"one", "two", "three"})
            assert await ask("who", nodes=["three"]) == ({"three": b"slowly"}, {"three"})
            assert await ask("who", tags={"role": "w.b"}) == ({"two": b"two to one: ?"}, {"two"})
            assert await ask("broken") == ({}, {"one", "two", "three"})
            assert three.inspect().counts["handlers_failed"] == 1
            for wrong in ({"name": "_serf_ping"}, {"name": ""}, {"name": "a", "payload": "text"},
                          {"name": "a", "nodes": "one"}, {"name": "a", "payload": b"x" * 2000}):
                with pytest.raises(ConfigurationError):
                    one.query(**wrong)

    arun(story())


def test_a_failed_member_can_be_made_to_have_left_and_to_be_forgotten(tmp_path, arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, two = await cluster_of(stack, ["one", "two"])
            async with ours("three", tmp_path, join=[one.address]) as process:
                await sees(two, dict.fromkeys(["one", "two", "three"], "alive"))
                process.send(signal.SIGKILL)
                await sees(two, {"one": "alive", "two": "alive", "three": "failed"})
            await until(lambda: one.inspect().clocks[0] == two.inspect().clocks[0])  # an intent may be lost
            await sees(one, {"one": "alive", "two": "alive", "three": "failed"})
            await one.force_leave("three")
            await sees(two, {"one": "alive", "two": "alive", "three": "left"})
            await one.force_leave("three", prune=True)
            await sees(two, {"one": "alive", "two": "alive"})
            with pytest.raises(GossipError, match="no member 'three'"):
                await one.force_leave("three")

    arun(story())


def test_a_change_of_keys_names_who_did_not_do_it(tmp_path, arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, two = await cluster_of(stack, ["one", "two"], key=FIRST)
            stubborn = await stack.enter_async_context(
                Cluster("stubborn", join=[one.address], key=FIRST, profile=QUICK, refuse_keys="not by queries"))
            async with ours("sleeper", tmp_path, join=[one.address], key=FIRST) as process:
                await sees(one, dict.fromkeys(["one", "two", "stubborn", "sleeper"], "alive"))
                process.send(signal.SIGSTOP)
                change = await one.keys.install(SECOND, timeout_s=0.5)
            assert not change.complete
            assert {name: answer.ok for name, answer in change.members.items()} == {
                "one": True, "two": True, "stubborn": False}
            assert change.members["stubborn"].message == "not by queries"
            assert change.missing == ("sleeper",)
            assert SECOND not in repr(await two.keys.list(timeout_s=0.5))
            with pytest.raises(ConfigurationError, match="not by queries"):
                await stubborn.keys.list()
            with pytest.raises(ConfigurationError) as refused:
                await one.keys.install("c2VjcmV0")
            assert "c2VjcmV0" not in str(refused.value)

    arun(story())


async def doubled(address):
    async with Cluster("two", join=[address], profile=QUICK) as double:
        changes = double.changes()
        with pytest.raises(NameLost):
            await anext(changes)
        with pytest.raises(NameLost):
            double.members()
        with pytest.raises(NameLost):
            await double.stopped()


def test_the_member_whose_name_others_know_as_anothers_stops_and_says_so(arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, two, three = await cluster_of(stack, ["one", "two", "three"])
            with pytest.raises(NameLost, match="start this one under another name"):
                await doubled(one.address)
            await asyncio.sleep(2 * LOCAL.probe_interval_s)
            for member in (one, two, three):  # it did not say goodbye in the other's name
                assert statuses(member) == dict.fromkeys(["one", "two", "three"], "alive")

    arun(story())


def test_a_slow_reader_is_told_how_much_it_missed(arun):
    async def story():
        async with Cluster("one", profile=QUICK, room=2) as one:
            events = one.events()
            for number in range(5):
                await one.event("e", str(number).encode())
            assert await anext(events) == Missed(3)
            assert [(await anext(events)).payload for _ in range(2)] == [b"3", b"4"]
            assert one.inspect().dropped == 3

    arun(story())


def test_a_member_outside_its_block_says_so(arun):
    async def story():
        cluster = Cluster("one", profile=QUICK)
        with pytest.raises(GossipError, match="async with"):
            cluster.members()
        async with cluster:
            changes = cluster.changes()
            await cluster.leave()
            with pytest.raises(GossipError, match="has left"):
                await cluster.event("e")
        assert [change.what async for change in changes] == ["left"]
        with pytest.raises(GossipError, match="async with"):
            cluster.members()
        with pytest.raises(ConfigurationError, match="entered once"):
            await cluster.__aenter__()

    arun(story())


def test_a_port_that_is_taken_is_named(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            with pytest.raises(ConfigurationError, match=f"cannot listen on {one.address}"):
                async with Cluster("two", bind=one.address, profile=QUICK):
                    pass

    arun(story())


def test_bad_packets_are_counted_by_what_is_wrong_with_them(arun):
    async def story():
        async with Cluster("one", profile=QUICK, key=FIRST) as one, Cluster("two", profile=QUICK) as two:
            loop = asyncio.get_running_loop()
            host, _, port = one.address.rpartition(":")
            sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, int(port)))
            try:
                sender.sendto(b"\x01" + bytes(40))
                sender.sendto(b"")
                await until(lambda: one.inspect().counts.get("packets_refused_key") == 1)
            finally:
                sender.close()
            assert two.inspect().counts.get("packets_in", 0) == 0
            assert BadPacket.__name__ not in repr(one.inspect())

    arun(story())


def test_a_member_that_comes_back_is_found_again_by_those_who_missed_it(arun):
    async def story():
        profile = replace(QUICK, reconnect_interval_s=0.3)
        async with Cluster("one", profile=profile) as one:
            async with Cluster("two", profile=profile, join=[one.address], leave_on_exit=False) as two:
                address = two.address
            await sees(one, {"one": "alive", "two": "failed"})
            async with Cluster("two", profile=profile, bind=address) as two:  # nobody told it whom to join
                await sees(one, {"one": "alive", "two": "alive"})
                await sees(two, {"one": "alive", "two": "alive"})

    arun(story())


class Mute(SharedVoice):
    """Nobody hears its acks by datagram."""

    def packets(self, messages, to):
        return super().packets([each for each in messages if not isinstance(each, Ack)], to)


def test_who_is_heard_by_streams_alone_is_alive_and_that_is_said(arun, caplog):
    async def story():
        async with (Cluster("one", profile=QUICK) as one,
                    Cluster("two", profile=QUICK, join=[one.address], voice=Mute(Framing()))):
            await until(lambda: one.inspect().counts.get("stream_only", 0) >= 2)
            assert one.inspect().counts.get("members_suspected", 0) == 0
        said = [record.message for record in caplog.records if "firewall" in record.message]
        assert len(said) == 1
        assert "two" in said[0]

    arun(story())


class Named(SharedVoice):
    """Another way to speak: each datagram and stream begins with a byte of its own. known: whom it was asked about."""

    def __init__(self):
        super().__init__(Framing())
        object.__setattr__(self, "known", {})

    def packets(self, messages, to):
        self.known[to.address] = to.node
        return [b"\xee" + data for data in super().packets(messages, to)]

    def heard(self, data, source):
        assert data[:1] == b"\xee"
        self.known[source.address] = source.node
        return super().heard(data[1:], source)

    def stream(self, message, to):
        return b"\xee" + super().stream(message, to)

    def reader(self, source):
        inner, head = super().reader(source), bytearray()

        class Behind:
            wanted = 1

            def feed(self, data):
                skipped = 0 if head else 1
                head.extend(data[:skipped])
                return inner.feed(data[skipped:])

        return Behind()


def test_another_voice_is_told_whom_it_speaks_with(arun):
    async def story():
        voices = Named(), Named()
        async with (Cluster("one", profile=QUICK, voice=voices[0]) as one,
                    Cluster("two", profile=QUICK, voice=voices[1], join=[one.address]) as two):
            await until(lambda: set(voices[0].known.values()) == {"two"} and set(voices[1].known.values()) == {"one"})
            assert statuses(one) == statuses(two) == {"one": "alive", "two": "alive"}

    arun(story())


def test_a_member_whose_loop_was_blocked_knows_that_it_slept(arun):
    async def story():
        async with AsyncExitStack() as stack:
            one, two = await cluster_of(stack, ["one", "two"])
            await until(lambda: one.inspect().core.health == 0)
            time.sleep(2.0)  # noqa: ASYNC251 - that is what it is about; both live on this loop
            await until(lambda: one.inspect().counts.get("lags", 0) >= 1)
            found = one.inspect()
            assert found.lag_s > 0.5
            assert found.counts.get("members_suspected", 0) == 0
            assert statuses(two) == {"one": "alive", "two": "alive"}

    arun(story())


class Lossy(SharedVoice):
    """A quarter of what it says by datagram is lost on its way."""

    def __init__(self, seed):
        super().__init__(Framing())
        object.__setattr__(self, "chance", random.Random(seed))

    def packets(self, messages, to):
        return [] if self.chance.random() < 0.25 else super().packets(messages, to)


def test_nobody_is_declared_dead_where_a_quarter_of_all_datagrams_is_lost(arun, seed):
    async def story():
        async with AsyncExitStack() as stack:
            names = [f"m{number}" for number in range(8)]
            members = []
            for name in names:
                members.append(await stack.enter_async_context(Cluster(
                    name, join=[members[0].address] if members else [], profile=QUICK, leave_on_exit=False,
                    voice=Lossy(f"{seed}:{name}"))))
            for member in members:
                await sees(member, dict.fromkeys(names, "alive"))
            await members[0].event("news")
            await asyncio.sleep(8 * LOCAL.probe_interval_s)
            for member in members:
                assert statuses(member) == dict.fromkeys(names, "alive")
                assert member.inspect().counts.get("members_failed", 0) == 0

    arun(story())
