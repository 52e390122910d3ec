# SPDX-License-Identifier: Apache-2.0
"""How many ids somebody may have: a token bucket for a tag, and one for each of its clients.

A bucket holds at most ``burst`` and fills by ``rate`` a second. It is counted in ids, not in requests: a batch of a
thousand costs a thousand. What is not there is not owed; whoever asks is told how long to wait.

Clients' buckets are kept for the ``CLIENTS_MAX`` that asked last. One that is forgotten begins anew, full: so names
that callers make up do not bound them, and the tag's own bucket does.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from ...errors import ConfigurationError

CLIENTS_MAX = 10_000


@dataclass(frozen=True)
class Quota:
    """rate: ids a second. burst: as many can be had at once after a rest; no request may ask for more."""

    rate: float
    burst: int

    def __post_init__(self) -> None:
        if not self.rate > 0 or self.burst < 1:
            raise ConfigurationError(f"a quota of {self.rate:g} ids a second in bursts of {self.burst}: both have "
                                     "to be above 0")


class Bucket:
    """What is left of a quota. Begins full."""

    __slots__ = ("_at", "_left", "quota")

    def __init__(self, quota: Quota, now: float) -> None:
        self.quota, self._left, self._at = quota, float(quota.burst), now

    def take(self, count: int, now: float) -> float:
        """Takes so many and answers 0; or takes none, and answers in how many seconds they will be there."""
        self._left = min(self._left + max(now - self._at, 0.0) * self.quota.rate, self.quota.burst)
        self._at = now
        if count > self._left:  # guard: no more than the quota
            return (count - self._left) / self.quota.rate
        self._left -= count
        return 0.0

    def give_back(self, count: int) -> None:
        """They were not made."""
        self._left = min(self._left + count, self.quota.burst)


class Quotas:
    """The buckets of one tag. each: the quota of every client; None: clients share the tag's alone."""

    def __init__(self, of_tag: Quota | None, each: Quota | None, now: float) -> None:
        self._tag = None if of_tag is None else Bucket(of_tag, now)
        self._each = each
        self._clients: OrderedDict[str, Bucket] = OrderedDict()

    @property
    def most(self) -> int | None:
        """What one request can have at all."""
        quotas = (None if self._tag is None else self._tag.quota, self._each)
        return min((quota.burst for quota in quotas if quota is not None), default=None)

    def take(self, client: str, count: int, now: float) -> float:
        """As ``Bucket.take``, from both or from none."""
        taken: list[Bucket] = []
        for bucket in self._of(client, now):
            wait_s = bucket.take(count, now)
            if wait_s:
                for other in taken:
                    other.give_back(count)  # guard: from both or from none
                return wait_s
            taken.append(bucket)
        return 0.0

    def give_back(self, client: str, count: int, now: float) -> None:
        """They were not made: nobody has to do without others for it."""
        for bucket in self._of(client, now):
            bucket.give_back(count)

    def _of(self, client: str, now: float) -> list[Bucket]:
        found = []
        if self._each is not None:
            bucket = self._clients.pop(client, None) or Bucket(self._each, now)
            self._clients[client] = bucket
            if len(self._clients) > CLIENTS_MAX:
                self._clients.popitem(last=False)
            found.append(bucket)
        return found if self._tag is None else [*found, self._tag]
