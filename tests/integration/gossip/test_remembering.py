# SPDX-License-Identifier: Apache-2.0
"""What a member remembers over a restart, on a real disk and a real network."""

from __future__ import annotations

import signal

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip import Cluster
from holdfast.gossip.agent.snapshot import read
from tests.integration.gossip.peers import QUICK, ours, serf, until


def statuses(cluster):
    return {member.name: member.status for member in cluster.members()}


def remembered(path):
    return read(path.read_bytes()) if path.exists() else read(b"")


async def written(path, names):
    await until(lambda: set(remembered(path).members) == set(names))


def test_a_member_that_was_killed_comes_back_by_whoever_was_there_and_hears_what_it_missed(tmp_path, arun):
    async def story():
        path = tmp_path / "members"
        async with serf("a", tmp_path) as a:
            before = {"join": [a.address], "snapshot": str(path)}
            async with ours("back", tmp_path, **before) as process:
                await a.say("event", "early")
                await a.sees({"a": "alive", "back": "alive"})
                address = process.said().split()[1]
                await written(path, ["a"])
                await until(lambda: remembered(path).clocks[1] >= 2)
                process.send(signal.SIGKILL)
            await a.say("event", "missed")
            cluster = Cluster("back", bind=address, profile=QUICK, snapshot=path)
            events = cluster.events()
            async with cluster:
                assert statuses(cluster) == {"a": "alive", "back": "alive"}
                await a.sees({"a": "alive", "back": "alive"})
                await a.say("event", "now")
                heard = [(await anext(events)).name for _ in range(2)]
                assert heard == ["missed", "now"]  # and "early" not again

    arun(story())


@pytest.mark.parametrize(("rejoin", "back"), [(False, {"two": "alive"}), (True, {"one": "alive", "two": "alive"})],
                         ids=["forgets", "told to come back all the same"])
def test_who_left_forgets_whom_it_knew(tmp_path, arun, rejoin, back):
    async def story():
        path = tmp_path / "members"
        settings = {"profile": QUICK, "snapshot": path, "rejoin_after_leave": rejoin}
        async with Cluster("one", profile=QUICK) as one:
            async with Cluster("two", join=[one.address], **settings) as two:
                await written(path, ["one"])
                address = two.address
            assert remembered(path).left
            async with Cluster("two", bind=address, **settings) as two:
                assert statuses(two) == back

    arun(story())


def test_a_damaged_snapshot_stops_nobody(tmp_path, arun):
    async def story():
        path = tmp_path / "members"
        async with Cluster("one", profile=QUICK) as one:
            async with Cluster("two", join=[one.address], profile=QUICK, snapshot=path, leave_on_exit=False) as two:
                await written(path, ["one"])
                address = two.address
            path.write_bytes(b"\xff\x00 torn\n" + path.read_bytes() + b'0123abcd ["there"')
            async with Cluster("two", bind=address, profile=QUICK, snapshot=path) as two:
                assert statuses(two) == {"one": "alive", "two": "alive"}
                assert two.inspect().counts["snapshot_lines_damaged"] == 2

    arun(story())


def test_a_snapshot_where_none_can_be_is_said_at_once(tmp_path, arun):
    async def story():
        with pytest.raises(ConfigurationError, match="is not there: make it"):
            async with Cluster("one", profile=QUICK, snapshot=tmp_path / "no" / "members"):
                pass
        with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
            async with Cluster("one", profile=QUICK, snapshot=tmp_path):
                pass

    arun(story())
