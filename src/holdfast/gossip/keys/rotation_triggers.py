# SPDX-License-Identifier: Apache-2.0
"""When a key has served long enough: by its age, and by how much was sealed under it.

Both are counted from what this member knows. A key that came by a query says nothing about its age, so it is as old as
its first sight here; what is sealed is counted since this member began to, over restarts, without what a crash lost
since the last time it was kept (1/256 of the limit at most).
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..._base.chance import Chance
from .key import Key
from .rotation_record import Ledger, Settings

#: The part of a limit after which a count is kept again.
KEPT_EACH: Final = 256


class Wear:
    """How worn the primary key is. ledger: what an earlier process kept."""

    __slots__ = ("_base", "_drawn", "_primary", "_settings", "_since_ms")

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._primary, self._since_ms, self._base = ledger.primary, ledger.since_ms, ledger.sealed
        self._drawn = 0.0

    def look(self, primary: Key, wall_ms: int, chance: Chance) -> bool:
        """Which key seals now? True when it is another one than before."""
        if not self._drawn:
            self._drawn = 1 - self._settings.jitter * chance.random()
        if primary.id == self._primary:
            return False
        self._primary, self._base = primary.id, 0
        self._since_ms = primary.since_ms or wall_ms
        self._drawn = 1 - self._settings.jitter * chance.random()
        return True

    def due(self, primary: Key, wall_ms: int, members: int) -> str | None:
        """Why the key is to be changed; None: it is not yet."""
        age_s = (wall_ms - self._since_ms) / 1000
        if self._settings.age_s is not None and age_s >= self._settings.age_s * self._drawn:  # guard: age
            return f"the key is {age_s / 86_400:.1f} days old"
        sealed, most = self.sealed(primary) * max(1, members), self._settings.encryptions
        if most is not None and sealed >= most * self._drawn:  # guard: seals. Counted for all members
            return f"some {sealed:,} packets were sealed under the key"
        return None

    def sealed(self, primary: Key) -> int:
        """How many packets this member sealed under it."""
        return self._base + primary.encryptions

    def unkept(self, primary: Key, ledger: Ledger, members: int) -> bool:
        """Is what was sealed since it was kept worth a write?"""
        limit, unkept = self._settings.encryptions, self.sealed(primary) - ledger.sealed
        return limit is not None and unkept * max(1, members) >= max(1, limit // KEPT_EACH)

    def into(self, ledger: Ledger, primary: Key) -> Ledger:
        """The ledger with what is known now."""
        return msgspec.structs.replace(ledger, primary=self._primary, since_ms=self._since_ms,
                                       sealed=self.sealed(primary))
