# SPDX-License-Identifier: Apache-2.0
"""What members tell of themselves: each thing that happens leads to its event, and nothing is told that did not."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from holdfast._base import events as ev
from holdfast.errors import ConfigurationError, JoinFailed
from holdfast.gossip import Cluster
from holdfast.gossip.agent.address import packed
from holdfast.gossip.agent.telling import TOLD_MAX, refused
from holdfast.gossip.messages import SERF_VERSIONS, Alive, Ping, Suspect
from holdfast.gossip.wire import encode
from tests.integration.gossip.native.village import Village
from tests.integration.gossip.peers import FIRST, QUICK, SECOND, until

LOOPBACK = packed("127.0.0.1")


class Heard:
    """Everything that one member told."""

    def __init__(self):
        self.all = []
        self.events = ev.Events(self.all.append)

    def of(self, kind, **fields):
        return [one for one in self.all if isinstance(one, kind)
                and all(getattr(one, name) == value for name, value in fields.items())]

    async def wait(self, kind, within_s=10.0, **fields):
        try:
            return (await until(lambda: self.of(kind, **fields), within_s))[0]
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} with {fields}; of it: {self.of(kind)[-5:]}") from None


async def two(stack, heard, **settings):
    """One that is listened to, and another member."""
    settings = {"profile": QUICK, **settings}
    one = await stack.enter_async_context(Cluster("one", events=heard.events, **settings))
    other = await stack.enter_async_context(Cluster("two", join=[one.address], **settings))
    await until(lambda: {member.name for member in one.members()} == {"one", "two"})
    return one, other


def where(cluster):
    host, port = cluster.address.rsplit(":", 1)
    return host, int(port)


def throw(cluster, *datagrams):
    """Datagrams to a member, from nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        for data in datagrams:
            thrower.sendto(data, where(cluster))


def test_a_quiet_member_tells_how_it_stands_and_nothing_that_did_not_happen(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, _ = await two(stack, heard, key=FIRST)
            assert await heard.wait(ev.GossipChanged, what="joined", member="two")
            stood = await heard.wait(ev.GossipStood, alive=2)
            assert (stood.node, stood.suspect, stood.dead, stood.left, stood.health) == ("one", 0, 0, 0, 0)
            probed = await heard.wait(ev.GossipProbed, failed=0)
            assert probed.asked >= 1
            assert probed.rtt_s
            assert all(0 < rtt_s < 1 for rtt_s in probed.rtt_s)
            keys = await heard.wait(ev.GossipKeysStood, keys=1)
            assert (keys.epoch, keys.behind, keys.revoked) == (0, 0, 0)
            assert keys.sealed > 0
            traffic = await heard.wait(ev.GossipTraffic)
            assert traffic.bytes_in > traffic.packets_in > 0 < traffic.packets_out < traffic.bytes_out
            answered = await heard.wait(ev.GossipExchanged, role="answered", outcome="done")
            asked = await heard.wait(ev.GossipExchanged, role="asked", outcome="done")
            assert 0 < answered.seconds < 5 > asked.seconds > 0
            counts = one.inspect().counts
            told = heard.of(ev.GossipTraffic)
            assert sum(each.packets_in for each in told) <= counts["packets_in"]
        assert not heard.of(ev.GossipRefused) + heard.of(ev.GossipDropped) + heard.of(ev.GossipRefuted)
        assert not heard.of(ev.GossipConflict) + heard.of(ev.GossipKeyStep) + heard.of(ev.GossipUserEvent)

    arun(story())


def test_the_counts_that_are_told_add_up_to_what_came(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(Cluster("one", events=heard.events, profile=QUICK))
            for _ in range(3):
                throw(one, *[encode(Ping(7, "nobody"))] * 5)
                await asyncio.sleep(0.7)
            await until(lambda: sum(each.packets_in for each in heard.of(ev.GossipTraffic)) == 15)
            await asyncio.sleep(1.2)
            assert sum(each.packets_in for each in heard.of(ev.GossipTraffic)) == 15

    arun(story())


def test_packets_under_another_key_are_told_as_that(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, _ = await two(stack, heard, key=FIRST)
            with pytest.raises(JoinFailed):
                async with Cluster("stranger", profile=QUICK, key=SECOND, join=[one.address], join_within_s=0):
                    pass
            throw(one, *[b"\x01" + bytes(60)] * 9)
            await until(lambda: sum(each.count for each in heard.of(ev.GossipRefused, why="key")) == 10)
            assert heard.of(ev.GossipStood)[-1].alive == 2

    arun(story())


def test_a_false_accusation_is_told_as_refuted_and_by_whom(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, _ = await two(stack, heard)
            throw(one, encode(Suspect(1, "one", "two")))
            told = await heard.wait(ev.GossipRefuted)
            assert (told.node, told.by) == ("one", "two")
            assert told.incarnation > 1

    arun(story())


def test_who_fails_is_told_with_the_pings_that_failed(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, other = await two(stack, heard)
            other._settings = replace(other._settings, leave_on_exit=False)
            await other.__aexit__(None, None, None)
            assert await heard.wait(ev.GossipChanged, what="suspected", member="two", by="one")
            assert await heard.wait(ev.GossipChanged, what="failed", member="two")
            assert await heard.wait(ev.GossipStood, dead=1)
            assert await heard.wait(ev.GossipProbed, failed=1)
            with pytest.raises(JoinFailed):
                await one.join(["127.0.0.1:1"])
            assert await heard.wait(ev.GossipExchanged, role="asked", outcome="failed")

    arun(story())


def test_a_name_that_is_claimed_twice_is_told_once_a_second_however_often_it_is_said(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, _ = await two(stack, heard)
            claims = [encode(Alive(9, "two", LOOPBACK, 1 + port, b"\xff\x80", SERF_VERSIONS)) for port in range(40)]
            throw(one, *claims)
            told = await heard.wait(ev.GossipConflict)
            assert (told.member, told.level) == ("two", 40)
            await until(lambda: one.inspect().counts["conflicts"] == 40)
            assert len(heard.of(ev.GossipConflict)) <= 2

    arun(story())


def test_user_events_queries_and_what_slow_readers_miss(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, other = await two(stack, heard, room=2)
            slow, changes = one.events(), one.changes()
            await one.event("own")
            await other.event("theirs")
            await heard.wait(ev.GossipUserEvent, name="own", own=1, lost=0)
            await heard.wait(ev.GossipUserEvent, name="theirs", own=0, lost=0)
            await other.event("more")
            assert (await heard.wait(ev.GossipUserEvent, name="more")).lost == 1
            assert len(heard.of(ev.GossipUserEvent)) == 3
            other.on_query("load", lambda call: b"1")
            answers = [answer async for answer in one.query("load", nodes=["two"], timeout_s=1.0)]
            told = await heard.wait(ev.GossipQueried)
            assert (told.name, told.answers, told.asked) == ("load", len(answers), 1) == ("load", 1, 1)
            assert 0.9 < told.seconds < 5
            assert not heard.of(ev.GossipDropped)
            for number in range(4):
                await other.set_tags({"number": str(number)})
                await until(lambda number=number: one.member("two").tags.get("number") == str(number))
            assert (await heard.wait(ev.GossipDropped)).queue == "changes"
            assert slow.dropped == 1
            assert changes.dropped == 2

    arun(story())


def test_what_falls_out_of_a_full_queue_is_told(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, _ = await two(stack, heard, profile=replace(QUICK, queue_max=4, gossip_interval_s=0.5))
            for number in range(20):
                await one.event(f"event {number}")
            told = await heard.wait(ev.GossipDropped, queue="letters")
            assert told.count > 5
            assert not heard.of(ev.GossipDropped, queue="news")

    arun(story())


def test_a_member_whose_loop_was_blocked_says_how_late_it_woke(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            await two(stack, heard)
            await asyncio.sleep(0.3)
            time.sleep(2.0)  # noqa: ASYNC251 - that is what is told of
            assert 0.5 < (await heard.wait(ev.GossipLagged)).late_s < 5

    arun(story())


def test_steps_of_a_key_change_and_who_is_behind(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            one, other = await two(stack, heard, key=FIRST)
            await one.keys.install(SECOND)
            told = await heard.wait(ev.GossipKeyStep, step="install", outcome="done")
            assert (told.missing, told.node) == (0, "one")
            assert await heard.wait(ev.GossipKeysStood, keys=2, behind=0)
            await one.keys.list()
            assert await heard.wait(ev.GossipKeyStep, step="list", outcome="done", missing=0)
            with pytest.raises(ConfigurationError):
                await one.keys.use("no key")
            await one.key_answers("use-key", None, timeout_s=0.5)  # a use of nothing, which everybody refuses
            assert await heard.wait(ev.GossipKeyStep, step="use", outcome="waiting", missing=2)
            assert await heard.wait(ev.GossipKeysStood, behind=2)
            assert {key.id for key in other.inspect().keys} == {key.id for key in one.inspect().keys}
        assert not any(FIRST in repr(each) or SECOND in repr(each) for each in heard.all)

    arun(story())


def test_a_native_cluster_tells_its_epochs_its_signatures_and_whom_it_expelled(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate", "revoke", events=heard.events)
            await village.enter("two")
            await village.enter("three")
            await village.all_met()
            verified = await heard.wait(ev.GossipVerified)
            await until(lambda: sum(each.verified for each in heard.of(ev.GossipVerified)) > 3)
            assert verified.unsigned == 0
            assert all(each.seconds > 0 for each in heard.of(ev.GossipVerified) if each.verified)
            first = (await heard.wait(ev.GossipKeysStood)).epoch
            assert (await heard.wait(ev.GossipStrangerKey)).waiting >= 0
            second = await one.rotate()
            assert await heard.wait(ev.GossipKeysStood, epoch=second)
            for step, outcome in (("install", "done"), ("activate", "done"), ("retire", "done")):
                assert await heard.wait(ev.GossipKeyStep, step=step, outcome=outcome)
            await one.revoke("three")
            assert (await heard.wait(ev.GossipRevoked)).node == "one"
            assert (await heard.wait(ev.GossipKeysStood, revoked=1)).epoch > first
            assert await heard.wait(ev.GossipChanged, member="three", what="failed")

    arun(story())


def test_what_gossip_missed_and_an_exchange_brought_is_told(arun):
    async def story():
        heard = Heard()
        async with AsyncExitStack() as stack:
            slow = replace(QUICK, gossip_interval_s=20.0, probe_interval_s=30.0)
            _, other = await two(stack, heard, profile=slow, leave_on_exit=False)
            assert not heard.of(ev.GossipCovered)  # to enter is not to miss
            for number in range(4):
                await other.event(f"event {number}")
            # An exchange may begin while they are said, and bring some of them.
            await until(lambda: sum(told.pulled for told in heard.of(ev.GossipCovered)) == 4)
            assert heard.of(ev.GossipCovered)[0].share == 0.0
            whole = await heard.wait(ev.GossipCovered, share=1.0)
            assert whole.pulled == 0

    arun(story())


def test_without_a_listener_nothing_is_looked_at_each_second(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            assert one.inspect().tasks == 0
        async with Cluster("one", profile=QUICK, events=ev.Events()) as one:
            assert one.inspect().tasks == 1

    arun(story())


def test_what_was_refused_is_told_by_why_wherever_it_came():
    since = {"packets_refused_key": 2, "streams_refused_key": 1, "messages_refused_type": 0, "streams_turned_away": 4,
             "packets_in": 9, "user_messages_refused_short": 5}
    assert refused(since) == {"key": 3, "busy": 4, "short": 5}
    assert TOLD_MAX >= 16
