# SPDX-License-Identifier: Apache-2.0
"""How the numbers of a profile grow with the cluster.

All of them by logarithms, because news spreads in a logarithmic number of rounds. Source:
github.com/hashicorp/memberlist, util.go and suspicion.go.
"""

from __future__ import annotations

import math

from ..profiles import Profile

#: Up to so many members exchanges take place at the profile's own interval.
PUSH_PULL_UNSCALED = 32


def suspicion_min_s(profile: Profile, members: int) -> float:
    """How long an accusation that many have confirmed stands, in seconds."""
    scale = max(1.0, math.log10(max(1, members)))
    return profile.suspicion_mult * math.floor(scale * 1000) / 1000 * profile.probe_interval_s


def confirmations_wanted(profile: Profile, members: int) -> int:
    """How many further accusers shorten it all the way; 0 where there are not that many members, or by setting."""
    wanted = profile.suspicion_mult - 2
    return wanted if profile.lifeguard.suspicion and members - 2 >= wanted else 0


def suspicion_s(confirmed: int, wanted: int, min_s: float, max_s: float) -> float:
    """How long it stands from its beginning, ``confirmed`` by so many of the ``wanted``."""
    if wanted < 1:
        return min_s
    part = math.log(confirmed + 1) / math.log(wanted + 1)
    return max(min_s, math.floor(1000 * (max_s - part * (max_s - min_s))) / 1000)


def transmissions(mult: int, members: int) -> int:
    """How often each member passes an item of news on."""
    return mult * math.ceil(math.log10(members + 1))


def push_pull_s(profile: Profile, members: int) -> float:
    """Seconds between exchanges: fewer in large clusters, where one moves much."""
    if members <= PUSH_PULL_UNSCALED:
        return profile.push_pull_interval_s
    return (math.ceil(math.log2(members) - math.log2(PUSH_PULL_UNSCALED)) + 1) * profile.push_pull_interval_s
