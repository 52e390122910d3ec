# SPDX-License-Identifier: Apache-2.0
r"""Members you can trust: who is there, told by gossip. It never touches a server.

::

    import asyncio
    from holdfast.gossip import Cluster

    async def main():
        async with Cluster("one", tags={"role": "web"}, profile="local") as one:    # a port of 127.0.0.1 that is free
            async with Cluster("two", join=[one.address], profile="local") as two:
                await two.event("deploy", b"v2")
                print(*(f"{member.name} {member.status} {dict(member.tags)}" for member in two.members()), sep="\n")

    asyncio.run(main())

Inside::

    profiles.py    the numbers: LAN, WAN, LOCAL. Open this first
    messages.py    what members tell each other, as records
    core/          the protocol: (event, now, chance) → effects
    wire/          those records as bytes, memberlist's and Serf's; serf/: the layer above
    keys/          the keyring
    trust/         identities, and a group's key that reaches members and nobody else; signing/: who said what
    native/        both in what members with identities say to each other
    agent/         all of it on a real network: Cluster
    defence/       against members that lie, flood, drop, hide or come in hundreds
    sim/           the same core, thousands of times, under a clock of its own
"""

from __future__ import annotations

from .agent import Cluster
from .core.core import Core
from .core.members import Member
from .messages import State
from .profiles import LAN, LOCAL, WAN, Lifeguard, Profile

__all__ = [  # noqa: RUF022 - sorted as text
    "Cluster", "Core", "LAN", "LOCAL", "Lifeguard", "Member", "Profile", "State", "WAN",
]
