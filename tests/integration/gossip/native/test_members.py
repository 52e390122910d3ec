# SPDX-License-Identifier: Apache-2.0
"""Members with identities among themselves, on loopback: what the API promises of a native cluster."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.integration.gossip.native.village import Village
from tests.integration.gossip.peers import until


def test_they_find_each_other_talk_and_part(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            two = await village.enter("two")
            three = await village.enter("three")
            await village.all_met()
            assert [each.epoch for each in village.members.values()] == [1, 1, 1]
            heard = [each.events() for each in (one, three)]
            await two.event("deploy", b"v2")
            for feed in heard:
                event = await anext(feed)
                assert (event.name, event.payload) == ("deploy", b"v2")
            three.on_query("load", lambda call: b"7 for " + call.source.encode())
            answers = [(each.node, each.payload) async for each in two.query("load", timeout_s=1.5)]
            assert answers == [("three", b"7 for two")]
            await two.leave()
            await until(lambda: one.member("two").status == "left")
            for each in (one, three):
                assert each.inspect().tasks_failed == 0

    arun(story())


def test_without_serfs_layer_they_find_each_other_as_well(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            await village.enter("one", "rotate", delegate="none", meta=b"first")
            two = await village.enter("two", delegate="none", meta=b"second")
            await village.all_met()
            assert two.member("one").meta == b"first"
            await village.members["one"].rotate(within_s=20.0)
            await village.all_in(2)

    arun(story())


def test_who_was_there_is_found_again_by_the_snapshot_alone(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            who, snapshot = village.certified("two", "rotate"), tmp_path / "two.snapshot"
            native = village.native("two", who=who)
            async with village.cluster("two", native=native, snapshot=snapshot, leave_on_exit=False):
                await until(lambda: one.member("two") is not None)
            assert await one.rotate(within_s=20.0) == 2
            async with village.cluster("two", native=native, snapshot=snapshot, join=[]) as two:
                assert two.epoch == 2  # and no cluster of its own
                await until(lambda: one.member("two").status == "alive")

    arun(story())
