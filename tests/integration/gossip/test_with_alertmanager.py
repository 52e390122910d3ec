# SPDX-License-Identifier: Apache-2.0
"""Debian's Alertmanager is memberlist with no Serf above it: its delegate's versions are 0, 0, 0."""

from __future__ import annotations

import pytest

from holdfast.errors import JoinFailed
from holdfast.gossip import Cluster
from tests.integration.gossip.peers import alertmanager, until


def test_alertmanager_takes_us_as_a_peer_and_we_it(tmp_path, arun):
    async def story():
        async with alertmanager(tmp_path) as manager:
            own = set(await manager.peers())
            async with Cluster("ours", join=[manager.address], delegate="none") as cluster:
                async def listed():
                    return (await manager.peers()).get("ours") == cluster.address

                await until(listed, every_s=0.1)
                seen = {member.name: (member.status, f"{member.addr}:{member.port}") for member in cluster.members()}
                assert seen == {"ours": ("alive", cluster.address), own.pop(): ("alive", manager.address)}
                # Its exchanges and probes, which Go drives, are answered: it keeps us for longer than an accusation.
                await until(lambda: cluster.inspect().counts.get("exchanges_served", 0) >= 2)
                assert await listed()
                assert cluster.inspect().counts.get("members_suspected", 0) == 0

            async def gone():
                return "ours" not in await manager.peers()

            await until(gone, every_s=0.1)

    arun(story())


def test_a_member_with_serf_above_it_does_not_fit_and_both_say_so(tmp_path, arun):
    async def story():
        async with alertmanager(tmp_path) as manager:
            with pytest.raises(JoinFailed, match="of the layer above"):
                async with Cluster("ours", join=[manager.address], join_within_s=0):
                    pass
            assert "ours" not in await manager.peers()

    arun(story())
