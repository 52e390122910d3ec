# SPDX-License-Identifier: Apache-2.0
"""The key of a real cluster is changed by itself, while members talk."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip import Cluster
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.keys.rotation_record import Settings
from holdfast.gossip.keys.rotation_run import RotationRun
from tests.integration.gossip.peers import FIRST, QUICK, serf, until

NEW = Key(b"n" * 32)
QUICKLY = Settings(age_s=None, grace_s=1.0, retry_s=0.2, retry_max_s=1.0)


class Town:
    """Members on loopback, each with a keyring and, if wanted, a rotation."""

    def __init__(self, stack, folder, settings=QUICKLY):
        self.stack, self.folder, self.settings = stack, folder, settings
        self.members, self.rings, self.runs, self.said = [], [], [], []

    async def enter(self, name, *, rotates=True):
        ring = Keyring([Key.from_text(FIRST) if isinstance(FIRST, str) else Key(FIRST)])
        join = [self.members[0].address] if self.members else []
        cluster = await self.stack.enter_async_context(Cluster(name, join=join, keyring=ring, profile=QUICK))
        self.members.append(cluster)
        self.rings.append(ring)
        if rotates:
            self.runs.append(await self.stack.enter_async_context(RotationRun(
                cluster, ring, self.folder / f"{name}.rotation", settings=self.settings,
                tell=lambda said: self.said.append((name, said.what)))))

    async def all_met(self):
        for member in self.members:
            await until(lambda member=member: sum(one.status == "alive" for one in member.members())
                        == len(self.members))


def test_the_key_is_changed_while_members_talk_and_every_event_arrives(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            town = Town(stack, tmp_path)
            for index in range(5):
                await town.enter(f"m{index}")
            await town.all_met()
            feeds = [member.events() for member in town.members]
            began = await town.runs[0].begin(NEW)
            assert began.what == "began"
            told = 0
            while ("m0", "done") not in town.said:
                await town.members[told % 5].event("count", str(told).encode(), coalesce=False)
                told += 1
                await asyncio.sleep(0.05)
            assert all(ring.keys == (NEW,) for ring in town.rings)
            assert told > 20
            for feed in feeds:
                heard = {(await asyncio.wait_for(anext(feed), 10)).payload for _ in range(told)}
                assert heard == {str(number).encode() for number in range(told)}
            assert {who for who, _ in town.said} == {"m0"}
            assert all(member.inspect().members == {"alive": 5} for member in town.members)

    arun(story())


def test_the_key_of_a_cluster_with_real_serf_agents_is_changed(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            town = Town(stack, tmp_path)
            await town.enter("m0")
            agents = []
            for name in ("s1", "s2"):
                (tmp_path / f"{name}.keyring").write_text(json.dumps([FIRST]))
                agents.append(await stack.enter_async_context(serf(
                    name, tmp_path, f"-keyring-file={tmp_path / name}.keyring", f"-join={town.members[0].address}")))
            await until(lambda: sum(one.status == "alive" for one in town.members[0].members()) == 3)
            assert (await town.runs[0].begin(NEW)).what == "began"
            await until(lambda: ("m0", "done") in town.said, 60)
            for agent in agents:
                code, said = await agent.say("keys", "-list")
                assert (code, said.count("[3/3]")) == (0, 1), said
                assert NEW.text in said
                assert json.loads((tmp_path / f"{agent.name}.keyring").read_text()) == [NEW.text]
                await agent.sees({"m0": "alive", "s1": "alive", "s2": "alive"})

    arun(story())


def test_after_a_restart_of_the_leader_it_goes_on_with_what_was_kept(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            town = Town(stack, tmp_path, Settings(age_s=None, grace_s=2.0, retry_s=0.2, retry_max_s=1.0))
            for index in range(3):
                await town.enter(f"m{index}", rotates=False)
            await town.all_met()
            record = tmp_path / "record"
            async with RotationRun(town.members[0], town.rings[0], record, settings=town.settings) as first:
                await first.begin(NEW)
                await until(lambda: first.inspect().phase == "grace")
            assert NEW.id in record.read_text()
            async with RotationRun(town.members[0], town.rings[0], record, settings=town.settings) as second:
                await until(lambda: not second.inspect().phase)
            assert all(ring.keys == (NEW,) for ring in town.rings)

    arun(story())


def test_it_is_stopped_and_goes_on_as_it_is_told(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            town = Town(stack, tmp_path, Settings(age_s=None, grace_s=60.0, retry_s=0.2, retry_max_s=1.0))
            for index in range(2):
                await town.enter(f"m{index}")
            await town.all_met()
            assert (await town.runs[1].begin()).what == "refused"
            await town.runs[0].begin(NEW)
            await until(lambda: town.runs[0].inspect().phase == "grace")
            assert (await town.runs[0].begin()).what == "refused"
            assert town.runs[0].abort().phase == "held"
            assert all(len(ring.keys) == 2 for ring in town.rings)
            assert town.runs[0].go_on().phase == "use"
            assert "advanced" in town.runs[0].inspect().last

    arun(story())


def test_a_record_that_cannot_be_written_holds_it_up_and_is_shown(arun, tmp_path):
    async def story():
        async with AsyncExitStack() as stack:
            town = Town(stack, tmp_path / "nowhere")
            await town.enter("m0")
            await town.enter("m1")
            await town.all_met()
            await until(lambda: town.runs[0].inspect().unkept)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(town.runs[0].begin(NEW), 1.0)
            assert all(len(ring.keys) == 1 for ring in town.rings)
            (tmp_path / "nowhere").mkdir()
            await until(lambda: ("m0", "done") in town.said)

    arun(story())


def test_a_record_that_is_none_is_said(arun, tmp_path):
    async def story():
        (tmp_path / "record").write_text("{}}")
        ring = Keyring([NEW])
        async with Cluster("m0", keyring=ring, profile=QUICK) as cluster:
            with pytest.raises(ConfigurationError, match="record of key rotations"):
                RotationRun(cluster, ring, tmp_path / "record")

    arun(story())
