# SPDX-License-Identifier: Apache-2.0
"""Who is not spoken to, and until when.

A ban for a low score ends, since scores can be wrong; each further one is twice as long, up to a bound. A ban for a
proof does not end: both statements carry the banned member's own signature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from ...errors import ConfigurationError


@dataclass(frozen=True)
class Banning:
    """first_s: how long the first ban lasts; longest_s: the longest of those that end. Price of longer: a wrongly
    banned member is missed for longer; of shorter: an attacker is back sooner. entries_max: bans remembered."""

    first_s: float = 600.0
    longest_s: float = 86_400.0
    entries_max: int = 4_096

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.longest_s or self.entries_max < 1:
            raise ConfigurationError("the first ban is longer than 0 s and no longer than the longest")


class Ban(msgspec.Struct, frozen=True):
    """until: on the caller's clock; infinity for one that a proof stands behind. times: how many there were."""

    name: str
    until: float
    why: str
    times: int


class Bans:
    """All bans."""

    __slots__ = ("_bans", "given", "settings")

    def __init__(self, settings: Banning) -> None:
        self.settings = settings
        self._bans: dict[str, Ban] = {}
        self.given = 0

    def ban(self, name: str, why: str, now: float, *, proven: bool = False) -> Ban:
        """Bans somebody; who is banned already stays so for the longer of the two."""
        old = self._bans.get(name)
        if old is not None and (math.isinf(old.until) or (old.until > now and not proven)):
            return old
        times = 1 if old is None else old.times + 1
        length = math.inf if proven else min(self.settings.longest_s, self.settings.first_s * 2.0 ** min(times - 1, 60))
        ban = Ban(name, now + length, why, times)
        self._bans[name] = ban
        self.given += 1
        if len(self._bans) > self.settings.entries_max:
            soonest = min((one for one in self._bans.values() if one.name != name), key=lambda one: one.until)
            del self._bans[soonest.name]
        return ban

    def banned(self, name: str, now: float) -> Ban | None:
        """The ban that holds now."""
        ban = self._bans.get(name)
        return ban if ban is not None and now < ban.until else None

    def lift(self, name: str) -> bool:
        """An operator's word. False: there was none."""
        return self._bans.pop(name, None) is not None

    def all(self, now: float) -> list[Ban]:
        """Those that hold now, the longest first."""
        return sorted((one for one in self._bans.values() if now < one.until), key=lambda one: (-one.until, one.name))

    def tidy(self, now: float) -> None:
        """Forgets those whose length has passed once more since they ended: then the next one is a first one again."""
        for ban in [one for one in self._bans.values() if one.until < math.inf]:
            if now - ban.until > self.settings.longest_s:
                del self._bans[ban.name]
