# SPDX-License-Identifier: Apache-2.0
"""Whom real members keep company with: a swarm of names in one network has one network's part of it, anchors bring a
member back while whoever it was told to join lies, and the chosen change with time.

Each /24 of loopback stands for a network. The swarm is the worst there is: its members have certificates.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

from holdfast.gossip import Cluster
from holdfast.gossip.agent import DEFENDED, DEFENDED_NATIVE
from holdfast.gossip.agent.snapshot import Snapshot, read
from holdfast.gossip.defence.peers import Choosing
from holdfast.gossip.defence.subnets import Places
from tests.integration.gossip.native.village import QUICK, Village, counts
from tests.integration.gossip.peers import FIRST, until

#: Who exchanges nothing by itself, so that all exchanges are of the member under test; gossip has to do.
STILL = replace(QUICK, push_pull_interval_s=600.0, retransmit_mult=10)
#: Loopback is many networks, and of each one member is chosen.
NETWORKS = replace(DEFENDED_NATIVE, places=Places(exempt=()), auditing=None, comparing=None, flood=4, choosing=Choosing(
    size=4, outbound_min=2, per_network=1, at_least=2, rotate_s=3600.0))


def chosen(cluster):
    return set(cluster.defences().chosen)


def served(cluster):
    return counts(cluster)["exchanges_served"]


def test_a_swarm_takes_one_networks_part_of_the_exchanges_and_own_events_and_all_are_pinged(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            for number in range(3):
                await village.enter(f"h{number}", "rotate", bind=f"127.0.{number + 2}.1:0", profile=STILL)
            for number in range(6):
                await village.enter(f"s{number}", bind=f"127.0.66.{number + 1}:0", profile=STILL)
            await village.all_met()
            # It passes nothing on by gossip, so that what it sends at an event is what it says to some at once.
            victim = await village.enter(
                "victim", bind="127.0.1.1:0", defences=NETWORKS, leave_on_exit=False,
                profile=replace(QUICK, push_pull_interval_s=0.1, gossip_interval_s=3600.0, probe_interval_s=0.3))
            await village.all_met()
            await until(lambda: len(chosen(victim)) == 4)
            few = chosen(victim)
            assert few > {"h0", "h1", "h2"}  # and one of the swarm

            others = {name: member for name, member in village.members.items() if name != "victim"}
            before = {name: served(member) for name, member in others.items()}
            began = counts(victim)["exchanges"]
            await until(lambda: counts(victim)["exchanges"] >= began + 40)
            assert {name for name, member in others.items() if served(member) > before[name]} == few

            sent, send = [], victim._transport.send

            def seen(data, to):
                sent.append(to)
                send(data, to)

            victim._transport.send = seen
            heard = {name: member.events() for name, member in others.items() if name in few}
            await victim.event("deploy")
            assert set(sent) == {others[name]._shell.own_address for name in few}
            for feed in heard.values():
                assert (await anext(feed)).name == "deploy"
            # Whoever is not chosen is pinged all the same: failures are found whoever it is.
            pinged = {member._shell.own_address for name, member in others.items() if name not in few}
            await until(lambda: pinged <= set(sent), 30.0)

    arun(story())


def test_who_enters_by_a_member_fills_half_of_its_places(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            defences = replace(NETWORKS, places=None)  # one network is as good as many: loopback counts for nothing
            door = await village.enter("door", "rotate", defences=defences, profile=QUICK)
            for number in range(5):
                await village.enter(f"m{number}", defences=defences, profile=QUICK)
            await village.all_met()
            await until(lambda: all(len(chosen(village.members[f"m{number}"])) == 4 for number in range(5)))
            assert len(chosen(door)) == 2

    arun(story())


async def honest_and_liars(stack):
    """Two clusters that nobody can tell from one another by their certificates: who is in the second knows nobody of
    the first, and shows itself as the whole."""
    honest, liars = Village(stack), Village(stack)
    liars.issuer = honest.issuer
    for number in range(3):
        await honest.enter(f"h{number}", "rotate", bind=f"127.0.{number + 2}.1:0", profile=STILL)
    for number in range(4):
        await liars.enter(f"s{number}", "rotate", bind=f"127.0.{number + 66}.1:0", profile=STILL)
    await honest.all_met()
    await liars.all_met()
    return honest, liars


def test_a_member_comes_back_by_its_anchors_while_all_it_was_told_to_join_lie(tmp_path, arun):
    async def story():
        async with AsyncExitStack() as stack:
            honest, liars = await honest_and_liars(stack)
            path, who = tmp_path / "members", honest.certified("victim")
            lasting = replace(NETWORKS, choosing=replace(NETWORKS.choosing, rotate_s=1.0, rotate_share=0.0))
            settings = {"bind": "127.0.1.1:0", "snapshot": path, "leave_on_exit": False, "defences": lasting,
                        "profile": replace(QUICK, push_pull_interval_s=0.2)}

            def anchors():
                return read(path.read_bytes()).anchors if path.exists() else {}

            async with honest.cluster("victim", native=honest.native("victim", who=who), **settings) as victim:
                await until(lambda: len(anchors()) == 2)
                assert set(anchors()) <= set(honest.members)
                assert set(anchors()) <= chosen(victim)
                bind = victim.address
            # While it was away the liars filled what it remembers: names cost nothing.
            snapshot = Snapshot(path)
            kept = snapshot.load().anchors
            for number in range(500):
                snapshot.there(f"s{number}", liars.members[f"s{number % 4}"].address)
            snapshot.anchors(kept)
            snapshot.write(snapshot.pending())

            before = {name: served(member) for name, member in honest.members.items()}
            entered = {name: counts(member)["joins_welcomed"] for name, member in liars.members.items()}
            back = honest.cluster("victim", native=honest.native("victim", who=who),
                                  join=[member.address for member in liars.members.values()],
                                  **settings | {"bind": bind})
            async with back:
                assert {name for name, member in honest.members.items() if served(member) > before[name]} == set(kept)
                assert {name: counts(member)["joins_welcomed"] for name, member in liars.members.items()} == entered
                assert {one.name for one in back.members()} == {"victim", *honest.members}
                for member in honest.members.values():
                    await until(lambda member=member: member.member("victim").status == "alive")
                await until(lambda: chosen(back) == set(honest.members))
                assert set(back.defences().chosen[:2]) == set(kept)
                assert set(anchors()) == set(kept)

    arun(story())


def test_who_has_no_anchors_is_at_the_mercy_of_those_it_was_told_to_join(tmp_path, arun):
    """The same without: so the story above shows what anchors do."""
    async def story():
        async with AsyncExitStack() as stack:
            honest, liars = await honest_and_liars(stack)
            who = honest.certified("victim")
            async with honest.cluster("victim", native=honest.native("victim", who=who), bind="127.0.1.1:0",
                                      join=[member.address for member in liars.members.values()],
                                      snapshot=tmp_path / "members", leave_on_exit=False, defences=NETWORKS) as victim:
                assert {one.name for one in victim.members()} == {"victim", *liars.members}

    arun(story())


def test_one_honest_address_among_those_it_was_told_to_join_is_enough(arun):
    async def story():
        async with AsyncExitStack() as stack:
            # With one key for all, so that who lies shares what seals: two honest members, four liars.
            shared = {"key": FIRST, "profile": STILL, "defences": replace(DEFENDED, choosing=NETWORKS.choosing,
                                                                          places=NETWORKS.places)}
            worlds = [[], []]
            for world, name, host in ((0, "h0", 2), (0, "h1", 3), (1, "s0", 66), (1, "s1", 67), (1, "s2", 68),
                                      (1, "s3", 69)):
                worlds[world].append(await stack.enter_async_context(Cluster(
                    name, bind=f"127.0.{host}.1:0", join=[one.address for one in worlds[world][:1]], **shared)))
            join = [one.address for one in (*worlds[1], worlds[0][0])]
            victim = await stack.enter_async_context(Cluster("victim", bind="127.0.1.1:0", join=join, **shared))
            assert {one.name for one in victim.members()} == {"victim", "h0", "h1", "s0", "s1", "s2", "s3"}
            await until(lambda: len(chosen(victim)) == 4)

    arun(story())


def test_dead_anchors_keep_nobody_out(tmp_path, arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            path = tmp_path / "members"
            snapshot = Snapshot(path)
            snapshot.anchors({"away": "127.0.9.9:1", "odd": "no address"})
            snapshot.write(snapshot.pending())
            two = await village.enter("two", snapshot=path)
            await village.all_met()
            await until(lambda: chosen(two) == {"one"})
            await until(lambda: chosen(one) == {"two"})

    arun(story())


def test_the_chosen_change_with_time_and_never_all_at_once(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            turning = replace(NETWORKS, places=None, choosing=Choosing(
                size=3, outbound_min=3, anchors=1, rotate_s=1.0, rotate_share=0.34, back_off_s=1.0))
            for number in range(6):
                await village.enter(f"m{number}", "rotate", profile=STILL)
            await village.all_met()
            one = await village.enter("one", defences=turning, profile=replace(QUICK, push_pull_interval_s=0.2))
            seen, before = set(), set()
            async with asyncio.timeout(60.0):
                while len(seen) < 6:
                    now = chosen(one)
                    assert not before or now & before
                    seen, before = seen | now, now
                    await asyncio.sleep(0.05)

    arun(story())
