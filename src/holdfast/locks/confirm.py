# SPDX-License-Identifier: Apache-2.0
"""How many replicas have to confirm: a number, or all that a failover could promote.

With a number below that of the replicas, the one that is promoted may be one that did not confirm, unless whoever
promotes takes the one that is furthest ahead (Sentinel and Cluster try to). ``all`` is every replica that this master
has shown us so far: one whose link breaks is still waited for, in vain, because it may be promoted with what it had. At
least one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .._base.clock import Clock, Instant

if TYPE_CHECKING:
    from .._redis.link import Link

Replicas = int | Literal["all"]
#: A master is asked for its replicas so often at most.
LOOK_S = 5.0


@dataclass
class _Seen:
    run_id: str
    count: int
    looked_at: Instant


class Confirmations:
    """How many to wait for on each node. asked: as a person said it."""

    def __init__(self, asked: Replicas, clock: Clock) -> None:
        self.asked = asked
        self._clock = clock
        self._seen: dict[int, _Seen] = {}

    async def wanted(self, link: Link, slot: int) -> int:
        """How many replicas have to confirm what is said on this link."""
        if self.asked != "all":
            return self.asked
        seen = self._seen.get(slot)
        if seen is None or seen.run_id != link.run_id or self._clock.now() - seen.looked_at > LOOK_S:
            count = _connected(await link.call("INFO", "replication"))
            if seen is not None and seen.run_id == link.run_id:
                count = max(count, seen.count)  # guard: one that is cut off may still be promoted
            self._seen[slot] = _Seen(link.run_id, max(count, 1), self._clock.now())
        return self._seen[slot].count

    def last(self, slot: int) -> int:
        """The same as it was said last: for the renewer, which renews what was granted on such a link."""
        if self.asked != "all":
            return self.asked
        seen = self._seen.get(slot)
        return seen.count if seen is not None else 1


def _connected(info: bytes) -> int:
    for line in info.splitlines():
        if line.startswith(b"connected_slaves:"):
            return int(line.partition(b":")[2])
    return 0
