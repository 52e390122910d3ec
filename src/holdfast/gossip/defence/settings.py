# SPDX-License-Identifier: Apache-2.0
"""Which defences are on, and what they need from outside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from ...errors import ConfigurationError
from .amplification import Amplification
from .audit import Head, Sink
from .bans import Banning
from .buckets import Limits
from .coverage import Auditing
from .deaths import Quorum, Sign, Verify
from .equivocation import Open, Watching
from .peers import Choosing
from .scores import Scoring
from .subnets import Places
from .validation import Accounts, Stopwatch
from .views import Comparing


@dataclass(frozen=True)
class Defences:
    """Each with its settings, or None: off. What each costs is said where it is defined.

    flood: to how many peers a member's own message goes at once, whatever the fan-out. A message is easiest to stop at
    its source, where fan-out peers know it: with half of all peers dropping, 3 of them all do with probability 12 %,
    16 of them with 0.002 %. Price: so many packets for each own message. 0: fan-out, as for others' messages.
    """

    limits: Limits | None = field(default_factory=Limits)
    amplification: Amplification | None = field(default_factory=Amplification)
    places: Places | None = field(default_factory=Places)
    validation: Accounts | None = field(default_factory=Accounts)
    scoring: Scoring | None = field(default_factory=Scoring)
    banning: Banning | None = field(default_factory=Banning)
    watching: Watching | None = field(default_factory=Watching)
    quorum: Quorum | None = field(default_factory=Quorum)
    choosing: Choosing | None = field(default_factory=Choosing)
    auditing: Auditing | None = field(default_factory=Auditing)
    comparing: Comparing | None = field(default_factory=Comparing)
    flood: int = 16

    def __post_init__(self) -> None:
        if self.flood < 0:
            raise ConfigurationError("flood is a number of peers; 0 is off")


#: None of them: what the attack lab compares with.
OFF: Final = Defences(None, None, None, None, None, None, None, None, None, None, None, flood=0)


@dataclass(frozen=True)
class Seams:
    """What comes from outside. Without what it needs, a defence cannot be on.

    sign, verify: this member's signature, and anybody's (deaths, views). open: what signed bytes say (equivocation).
    sink: where audit records go; head: go on from there. stopwatch: measures validators. secret: 32 random bytes of
    this process (amplification). cluster: its label, in all that is signed. anchors: peers from before the restart.
    """

    sign: Sign | None = None
    verify: Verify | None = None
    open: Open | None = None
    sink: Sink | None = None
    head: Head | None = None
    stopwatch: Stopwatch | None = None
    secret: bytes = b""
    cluster: bytes = b""
    anchors: Iterable[str] = ()

    def check(self, defences: Defences) -> None:
        """Raises ConfigurationError, saying what is missing for what."""
        for on, given, what in (
                (defences.quorum, self.sign and self.verify, "death certificates (quorum) need sign and verify"),
                (defences.comparing, self.sign and self.verify, "comparing views needs sign and verify"),
                (defences.watching, self.open, "equivocation proofs (watching) need open"),
                (defences.amplification, self.secret, "amplification control needs a secret")):
            if on is not None and not given:
                raise ConfigurationError(f"{what}; give it in Seams, or turn the defence off with None")
