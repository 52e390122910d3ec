# SPDX-License-Identifier: Apache-2.0
"""Who is dead among those that keep a lease: whoever was silent at every look for longer than a lease.

A lease that is kept alive has another end at each look, because it is beaten every third of its length. So no clock of
the server is asked, which may step: an end that stayed the same for a lease and a third, by the looker's own clock, is
nobody's any more. A look that failed begins it all anew, since while the server is away nobody can say that he lives.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Of a lease: how long its end has to stay the same. A beat may be late by a period, and is not for that.
SILENT = 4 / 3


class Silence:
    """What was seen at the looks of one process at one set of leases. lease_s: how long a lease is."""

    def __init__(self, lease_s: float) -> None:
        self._for_s = lease_s * SILENT
        self._seen: dict[bytes, tuple[bytes, float]] = {}

    def looked(self, ends: Mapping[bytes, bytes], now: float) -> list[tuple[bytes, bytes]]:
        """Ends of leases by member, as they are at ``now`` (s, a clock that only goes forward). Answers the dead, each
        with its end."""
        self._seen = {who: seen if (seen := self._seen.get(who)) is not None and seen[0] == end  # guard: one that moves
                      else (end, now) for who, end in ends.items()}
        return [(who, end) for who, (end, since) in self._seen.items() if now - since >= self._for_s]

    def failed(self) -> None:
        """A look came to nothing: the server was away, for everybody."""
        self._seen.clear()  # guard: absence


__all__ = ["SILENT", "Silence"]
