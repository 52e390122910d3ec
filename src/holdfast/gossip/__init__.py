# SPDX-License-Identifier: Apache-2.0
"""Members you can trust: who is there, told by gossip. It never touches a server.

::

    import random
    from holdfast.gossip import LAN, Core
    from holdfast.gossip.core.events import Join, Start, Tick
    from holdfast.gossip.sim.sizes import weigh          # or the length of what the wire makes of it

    core, chance = Core("one", (bytes([127, 0, 0, 1]), 7946), weigh=weigh, profile=LAN), random.Random(1)
    core.handle(Start(), 0.0, chance)
    core.handle(Join(((bytes([127, 0, 0, 1]), 7947),)), 0.0, chance)   # an Exchange: open that stream
    core.handle(Tick(), core.next_due, chance)                         # Packets: send them

Inside::

    profiles.py    the numbers: LAN, WAN, LOCAL. Open this first
    messages.py    what members tell each other, as records
    core/          the protocol: (event, now, chance) → effects
    wire/          those records as bytes, memberlist's and Serf's; serf/: the layer above
    keys/          the keyring
    sim/           the same core, thousands of times, under a clock of its own
"""

from __future__ import annotations

from .core.core import Core
from .core.members import Member
from .messages import State
from .profiles import LAN, LOCAL, WAN, Lifeguard, Profile

__all__ = ["Core", "LAN", "LOCAL", "Lifeguard", "Member", "Profile", "State", "WAN"]  # noqa: RUF022 - sorted as text
