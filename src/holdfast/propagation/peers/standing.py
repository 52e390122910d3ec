# SPDX-License-Identifier: Apache-2.0
"""How a node behaved: points for what nobody honest does, credit for what was useful, and a ban when it is too much.

Both fade with time, so that an honest node on a bad day is forgiven. What only a liar can say (a signature that is not
the sender's, a body that is none) ends it at once; what may be bad luck or bad tuning (too many words, a wrong turn)
adds up. An id costs nothing to make, so the address is banned with it, unless it is one that many share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ...gossip.defence.bans import Ban, Banning, Bans

#: Points by what was done. 100 are a ban.
POINTS: Final[Mapping[str, float]] = MappingProxyType({
    "signature": 100.0, "malformed": 100.0, "frame": 100.0, "block": 100.0, "seal": 100.0, "bounds": 100.0,
    "rate": 1.0, "unasked": 5.0, "addresses": 10.0, "slow": 5.0, "stall": 5.0, "fee": 5.0,
})
#: Of what has no entry of its own: what relays find wrong with a header or a block.
_OTHER: Final = 50.0


@dataclass(frozen=True)
class Acts:
    """ban_at: points. half_s: in which half of points and credit fade. entries: nodes remembered."""

    ban_at: float = 100.0
    half_s: float = 600.0
    entries: int = 10_000
    banning: Banning = field(default_factory=Banning)


@dataclass
class _Record:
    at_s: float
    points: float = 0.0
    credit: float = 0.0


class Standing:
    """Of each node, by its id."""

    def __init__(self, acts: Acts | None = None) -> None:
        self.acts = acts or Acts()
        self.bans = Bans(self.acts.banning)
        self._records: dict[str, _Record] = {}

    def blame(self, id: str, what: str, now: float, *, host: str = "") -> Ban | None:
        """It did that: a key of ``POINTS``, or another reason of a relay. Gives the ban, if this was too much. host:
        banned with it."""
        record = self._at(id, now)
        record.points += POINTS.get(what, _OTHER)
        if record.points < self.acts.ban_at:  # guard: ban
            return None
        record.points = 0.0
        if host:
            self.bans.ban(host, what, now)
        return self.bans.ban(id, what, now)

    def praise(self, id: str, now: float, much: float = 1.0) -> None:
        """It brought something that was good and new."""
        self._at(id, now).credit += much

    def banned(self, who: str, now: float) -> Ban | None:
        """Is this id, or this address, not spoken to?"""
        return self.bans.banned(who, now)

    def score(self, id: str, now: float) -> float:
        """What it is worth: from -1 for the worst to some 10 for the most useful; 0: nothing is known."""
        if id not in self._records:
            return 0.0
        record = self._at(id, now)
        return math.log1p(record.credit) - record.points / self.acts.ban_at

    def useful(self, id: str, now: float) -> float:
        """Its credit alone."""
        return self._at(id, now).credit if id in self._records else 0.0

    def _at(self, id: str, now: float) -> _Record:
        record = self._records.get(id)
        if record is None:
            if len(self._records) >= self.acts.entries:
                del self._records[next(iter(self._records))]
            record = self._records[id] = _Record(now)
        faded = 0.5 ** (max(now - record.at_s, 0.0) / self.acts.half_s)
        record.points *= faded
        record.credit *= faded
        record.at_s = max(now, record.at_s)
        return record
