# SPDX-License-Identifier: Apache-2.0
"""Members with identities, on loopback: an issuer, who it certifies, and clusters of them."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from holdfast.gossip import LOCAL, Cluster
from holdfast.gossip.native import Native
from holdfast.gossip.trust import Credential, Identity, Policy, issue
from tests.integration.gossip.peers import until

LABEL = "village"
DAY_MS = 86_400_000
#: Deaths are found, and what gossip missed is told, in seconds.
QUICK = replace(LOCAL, push_pull_interval_s=1.0, gossip_interval_s=0.05, suspicion_mult=2)
#: What takes a minute by default takes a second.
QUICKLY = Policy(age_s=None, sealed_max=None, grace_s=0.5, hold_s=20.0, urgent_hold_s=10.0, retry_s=0.3, stall_s=2.0,
                 patience_s=20.0, backoff_s=1.0, takeover_s=5.0, stagger_s=0.5, sync_s=1.0, ask_s=0.3)


class Village:
    """policy: how keys are changed; everybody has the same."""

    def __init__(self, stack, policy=QUICKLY, label=LABEL):
        self.stack, self.policy, self.label = stack, policy, label
        self.issuer = Identity.generate(os.urandom)
        self.members = {}

    def certified(self, name, *roles, days=30, from_epoch=0, identity=None):
        identity = identity or Identity.generate(os.urandom)
        now_ms = time.time_ns() // 1_000_000
        signed = issue(self.issuer, self.label.encode(), name, identity.signing, identity.sealing,
                       serial=os.urandom(16), not_before_ms=now_ms - 1000, not_after_ms=now_ms + days * DAY_MS,
                       roles=roles, from_epoch=from_epoch)
        return identity, Credential(signed, None)

    def native(self, name, *roles, who=None, **more):
        identity, credential = who or self.certified(name, *roles)
        return Native(**{"label": self.label, "identity": identity, "certificate": credential,
                         "issuers": [self.issuer.signing], "policy": self.policy, **more})

    def cluster(self, name, *roles, native=None, join=None, **more):
        where = [next(iter(self.members.values())).address] if self.members else []
        return Cluster(name, join=where if join is None else join, native=native or self.native(name, *roles),
                       profile=more.pop("profile", QUICK), **more)

    async def enter(self, name, *roles, **more):
        cluster = await self.stack.enter_async_context(self.cluster(name, *roles, **more))
        self.members[name] = cluster
        return cluster

    async def all_met(self, within_s=15.0):
        for member in self.members.values():
            await until(lambda member=member: {one.name for one in member.members() if one.status == "alive"}
                        == set(self.members), within_s)

    async def all_in(self, epoch, within_s=15.0):
        for member in self.members.values():
            await until(lambda member=member: member.epoch == epoch, within_s)


def resident(cluster):
    """The half of a member that a test may look into."""
    return cluster._resident


def counts(cluster):
    """What a member counted; 0 for what never happened."""
    return cluster._shell.counts
