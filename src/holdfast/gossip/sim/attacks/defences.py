# SPDX-License-Identifier: Apache-2.0
"""What a simulated cluster defends itself with, each by itself on or off."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from ... import defence
from ...defence.bans import Banning
from ...defence.coverage import Auditing
from ...defence.deaths import Quorum
from ...defence.equivocation import Watching
from ...defence.peers import Choosing
from ...defence.scores import Scoring
from ...defence.subnets import Places
from ...defence.views import Comparing

#: To how many members an own letter goes at once.
FLOOD: Final = 16
#: In a run of some ten seconds: members compare more often than in one of days.
AUDITING: Final = Auditing(every_s=5.0, settle_s=2.0)
#: Likewise in one of minutes; how long a difference has to stand is what ships.
COMPARING: Final = Comparing(every_s=3.0)
#: What it would be to tell of every difference at once.
EAGER: Final = Comparing(every_s=3.0, rounds=1, persist_s=0.0, fresh_s=0.0)


@dataclass(frozen=True)
class Defences:
    """All off: the protocol of memberlist and Serf, in plain.

    encryption: AES-GCM under one key that all members have, as memberlist does it (``gossip.wire``, ``gossip.keys``).
    windows: native packets instead: a key and a counter for each process, so that a packet passes once
    (``gossip.trust``). signatures: of claims and of what users say, verified before they are kept or passed on
    (``gossip.signing``). The rest is ``gossip.defence``. certificates: a death takes several accusers. scores: who
    brings what is forged loses, and in the end is not listened to. networks: of each network so many members and no
    more. flood: own letters go to many members directly, beside gossip. audit: members compare what they heard with a
    peer at random, and fetch what they missed. seeds: who enters asks several, of different networks. peers: whom a
    member talks to is chosen across networks, and most by itself. anchors: two good peers are remembered over a
    restart. sealed: messages for named members are encrypted to them. watching: who signs two letters under one number
    is convicted by them, and banned. comparing: members compare signed views of who is there, and tell which difference
    stays. eager: they tell of each at once, which is no defence, and shows what the waiting is for.
    """

    encryption: bool = False
    windows: bool = False
    signatures: bool = False
    certificates: bool = False
    scores: bool = False
    networks: bool = False
    flood: bool = False
    audit: bool = False
    seeds: bool = False
    peers: bool = False
    anchors: bool = False
    sealed: bool = False
    watching: bool = False
    comparing: bool = False
    eager: bool = False

    @property
    def words(self) -> str:
        """Those that are on."""
        return " + ".join(each.name for each in fields(self) if getattr(self, each.name)) or "none"

    @property
    def guarded(self) -> defence.Defences | None:
        """What a guard is told; None: there is none."""
        found = replace(
            defence.OFF, quorum=Quorum() if self.certificates else None, scoring=Scoring() if self.scores else None,
            banning=Banning() if self.scores or self.watching else None, watching=Watching() if self.watching else None,
            comparing=EAGER if self.eager else COMPARING if self.comparing else None,
            places=Places() if self.networks else None,
            choosing=Choosing() if self.peers or self.anchors else None, auditing=AUDITING if self.audit else None,
            flood=FLOOD if self.flood else 0)
        return None if found == defence.OFF else found


NONE: Final = Defences()
