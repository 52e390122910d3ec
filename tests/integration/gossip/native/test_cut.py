# SPDX-License-Identifier: Apache-2.0
"""A native cluster that is cut in two, changes its key on both sides and becomes one again; and a disk that is full."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import GossipError
from holdfast.gossip.keys import Passphrase
from holdfast.gossip.trust import kept
from holdfast.gossip.trust.policy import Keep
from tests.integration.gossip.native.village import QUICK, Village, counts, resident
from tests.integration.gossip.peers import until

#: Who failed is tried again soon.
RECONNECTING = replace(QUICK, reconnect_interval_s=0.5)


class Wall:
    """While it stands, nothing passes between the two groups."""

    def __init__(self, *groups):
        self.stands = True
        self.side = {cluster._shell.own_address: number for number, group in enumerate(groups) for cluster in group}
        for cluster in (cluster for group in groups for cluster in group):
            self.build(cluster._transport, self.side[cluster._shell.own_address])

    def build(self, transport, side):
        send, dial = transport.send, transport.dial

        def parted(to):
            return self.stands and self.side.get((to[0], to[1]), side) != side

        @asynccontextmanager
        async def reaching(to, within_s):
            if parted(to):
                raise OSError("a wall")
            async with dial(to, within_s) as talk:
                yield talk

        transport.send = lambda data, to: None if parted(to) else send(data, to)
        transport.dial = reaching


def test_a_cluster_that_was_cut_changes_keys_on_both_sides_and_has_one_again(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            here = [await village.enter("one", "rotate", profile=RECONNECTING),
                    await village.enter("two", profile=RECONNECTING)]
            there = [await village.enter("three", "rotate", profile=RECONNECTING),
                     await village.enter("four", profile=RECONNECTING)]
            await village.all_met()
            wall = Wall(here, there)
            await until(lambda: all(here[0].member(name).status == "failed" for name in ("three", "four"))
                        and all(there[0].member(name).status == "failed" for name in ("one", "two")), 20.0)
            assert await here[0].rotate(within_s=20.0) == 2
            assert await there[0].rotate(within_s=20.0) == 2
            assert here[0].key_status().epoch_id != there[0].key_status().epoch_id
            wall.stands = False
            await until(lambda: {member.epoch for member in village.members.values()} == {3}, 20.0)
            assert len({member.key_status().epoch_id for member in village.members.values()}) == 1
            await village.all_met(20.0)
            await until(lambda: all(member.key_status().heads == 1 for member in village.members.values()))
            events = there[1].events()
            await here[1].event("one again")
            assert (await anext(events)).name == "one again"

    arun(story())


def test_a_key_that_could_not_be_kept_is_not_said_to_be_held(arun, tmp_path, monkeypatch):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one = await village.enter("one", "rotate")
            state = {"state": tmp_path / "two.state", "unlock": Passphrase(Secret("between us"))}
            two = await village.enter("two", native=village.native("two", **state))
            await village.all_met()
            write = kept.write_state

            def full(*_):
                raise OSError(28, "no space left on device")

            monkeypatch.setattr(kept, "write_state", full)
            with pytest.raises(GossipError, match="two did not answer"):
                await one.rotate(within_s=2.0)
            assert counts(two)["key_state_unkept"] >= 1
            assert (one.epoch, two.epoch) == (1, 1)
            monkeypatch.setattr(kept, "write_state", write)
            await village.all_in(2)
            assert b"holdfast trust state" in state["state"].read_bytes()

    arun(story())


def test_what_changes_while_it_is_written_is_not_taken_for_written(arun, tmp_path, monkeypatch):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            state = {"state": tmp_path / "one.state", "unlock": Passphrase(Secret("between us"))}
            one = resident(await village.enter("one", "rotate", native=village.native("one", "rotate", **state)))
            await until(lambda: one.status().leads is False and one._queue.empty())
            writing, go_on, writes = threading.Event(), threading.Event(), []

            def slow(*_):
                writes.append(1)
                if len(writes) > 1:
                    raise OSError(28, "no space left on device")
                writing.set()
                go_on.wait(10)

            monkeypatch.setattr(kept, "write_state", slow)
            for _ in range(2):
                one.trust.book.dirty = True
                one._did([Keep()])
                await until(writing.is_set)
            go_on.set()
            await until(lambda: len(writes) == 2 and one.counts["key_state_unkept"] == 1)
            assert one.trust.book.dirty

    arun(story())


def test_who_missed_an_event_is_told_it_by_an_exchange(arun):
    async def story():
        async with AsyncExitStack() as stack:
            village = Village(stack)
            one, two = await village.enter("one", "rotate"), await village.enter("two")
            await village.all_met()
            events = two.events()
            send, one._transport.send = one._transport.send, lambda data, to: None  # no datagram of its comes through
            await one.event("missed", b"by gossip")
            async with asyncio.timeout(10):
                event = await anext(events)
            one._transport.send = send
            assert (event.name, event.payload) == ("missed", b"by gossip")

    arun(story())
