# SPDX-License-Identifier: Apache-2.0
"""How often, how many, how long: the numbers a member runs by, in memberlist's three sets.

All members of a cluster want the same profile: it sets how long an accusation stands before it becomes a death, and a
member with a shorter one declares deaths that others still doubt. Source of the numbers:
github.com/hashicorp/memberlist, config.go; of those about reconnecting: github.com/hashicorp/serf, serf/config.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from ..errors import ConfigurationError


@dataclass(frozen=True)
class Lifeguard:
    """What a member does so that its own slowness is not taken for others' death (Dadgar, Phillips and Currey,
    *Lifeguard: local health awareness for more accurate failure detection*, 2018). The first three are what memberlist
    does; ``AS_MEMBERLIST`` is those alone.

    probe: a member whose probes fail waits longer before it accuses; helpers say when they heard nothing either.
    suspicion: the first accusation stands long, each confirmation shortens it. Off: always the shortest.
    buddy: whoever is accused is told first, by the ping itself.
    lag: a member that wakes late (a stopped process, a blocked event loop) knows it was the one who slept: it counts as
    failed probes, and nobody is accused or declared dead by what ran out meanwhile.
    last_word: before a member declares a death, it pings once more; whoever answers is given more time. Gossip misses
    one member in a hundred thousand, and that one would otherwise bury whom it did not hear refute. Costs a ping a
    death and ``probe_timeout_s``. Whoever is accused of an older incarnation answers with its present one, too.
    """

    probe: bool = True
    suspicion: bool = True
    buddy: bool = True
    lag: bool = True
    last_word: bool = True


@dataclass(frozen=True)
class Profile:
    """The numbers. Intervals and time-outs are seconds; the defaults are those of ``LAN``.

    probe_interval_s: between probes, one member each: shorter finds deaths sooner, at one ping more per interval.
    probe_timeout_s: until helpers are asked; above the round trip of 99 % of pings.
    indirect_checks: helpers asked when a ping stays unanswered.
    suspicion_mult, suspicion_max_mult: how long an accusation stands, see ``core.formulas``: higher, and fewer live
    members are declared dead, and dead ones later.
    gossip_interval_s, gossip_nodes: how often news goes out, and to how many: the speed of its spread, and bursts.
    retransmit_mult: how often each member passes an item on; lower leaves more to exchanges.
    push_pull_interval_s: between exchanges of all that is known, one peer each. 0: none, and what gossip missed
    is never learnt.
    gossip_to_the_dead_s: dead members get news for so long, may so refute, and are kept in the table at least so long.
    dead_reclaim_s: a dead member's name may be taken by another address after so long. 0: never (who left: at once).
    reconnect_interval_s: between attempts to reach members that failed, so that two halves find each other again;
    reconnect_for_s: how long each is tried. 0: never, as bare memberlist.
    stream_timeout_s: until a stream is given up.
    health_max_mult: the worst health stretches a probe's deadline by so much.
    packet_bytes: of a datagram, before what its envelope adds (label, encryption).
    queue_max: items of news kept for passing on, of each kind; beyond that the most told is dropped and counted.
    relays_max: pings under way for others; further requests are dropped and counted.
    lag_s: from which lateness on a member takes itself for slow.
    """

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 0.5
    indirect_checks: int = 3
    suspicion_mult: int = 4
    suspicion_max_mult: int = 6
    gossip_interval_s: float = 0.2
    gossip_nodes: int = 3
    retransmit_mult: int = 4
    push_pull_interval_s: float = 30.0
    gossip_to_the_dead_s: float = 30.0
    dead_reclaim_s: float = 0.0
    reconnect_interval_s: float = 30.0
    reconnect_for_s: float = 86_400.0
    stream_timeout_s: float = 10.0
    health_max_mult: int = 8
    packet_bytes: int = 1400
    queue_max: int = 4096
    relays_max: int = 1024
    lag_s: float = 0.25
    lifeguard: Lifeguard = field(default_factory=Lifeguard)

    def __post_init__(self) -> None:
        optional = {"push_pull_interval_s", "dead_reclaim_s", "reconnect_interval_s", "indirect_checks"}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "lifeguard" and not (value >= 0 if each.name in optional else value > 0):
                raise ConfigurationError(f"profile: {each.name} is {value}: it has to be positive")
        if self.probe_timeout_s > self.probe_interval_s:
            raise ConfigurationError(f"profile: probe_timeout_s ({self.probe_timeout_s}) has to be at most "
                                     f"probe_interval_s ({self.probe_interval_s}), or no helper is ever asked")


#: Machines of one site.
LAN: Final = Profile()
#: Sites far apart.
WAN: Final = Profile(
    probe_interval_s=5.0, probe_timeout_s=3.0, suspicion_mult=6, gossip_interval_s=0.5, gossip_nodes=4,
    push_pull_interval_s=60.0, gossip_to_the_dead_s=60.0, stream_timeout_s=30.0, lag_s=1.5,
)
#: Processes of one machine.
LOCAL: Final = Profile(
    probe_timeout_s=0.2, indirect_checks=1, suspicion_mult=3, retransmit_mult=2, gossip_interval_s=0.1,
    push_pull_interval_s=15.0, gossip_to_the_dead_s=15.0, stream_timeout_s=1.0, lag_s=0.1,
)
#: SWIM without Lifeguard, to compare with.
NO_LIFEGUARD: Final = Lifeguard(probe=False, suspicion=False, buddy=False, lag=False, last_word=False)
#: What memberlist does, and nothing that it lacks.
AS_MEMBERLIST: Final = Lifeguard(lag=False, last_word=False)
