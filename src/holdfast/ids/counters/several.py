# SPDX-License-Identifier: Apache-2.0
"""Several stores side by side, so that ids are to be had while one of them is away.

::

    Several([SqlSegments(url, part=n, parts=4) for n, url in enumerate(urls)])      # two databases, room for two more

Each has a part of the ids of its own (``store``), so none has to know of the others. Source: "Ticket Servers:
Distributed Unique Primary Keys on the Cheap" (Flickr, 2010). Ids of one store grow; those of two stores are apart and
in no order: one that was away for long goes on far behind the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..._base.clock import Clock, Instant, SystemClock
from ..._base.thinned import Thinned
from ...errors import ConfigurationError, ServerError, ServerUnreachable
from .store import ALONE, CounterStore, Segment


class Several:
    """Fulfils ``CounterStore``. Asks its stores in turn; one that does not answer is left alone for ``away_s``, unless
    no other one answers either. Longer: a store that is back is used later; shorter: its time-out is waited for more
    often. Give connections a time-out of some seconds (``connect_timeout``): one that hangs holds up its turn."""

    name = "several"

    def __init__(self, stores: Sequence[CounterStore], *, away_s: float = 5.0, clock: Clock | None = None) -> None:
        shares = [store.share for store in stores]
        if len({share.part for share in shares}) < len(shares) or len({share.parts for share in shares}) != 1:
            raise ConfigurationError("each of several stores has a part of its own, and all the same parts: part=0, "
                                     f"parts={len(stores)} for the first one, and so on")  # guard: parts of their own
        self.share = ALONE
        self._stores, self._away_s, self._clock = list(stores), away_s, clock or SystemClock()
        self._thinned = Thinned(self._clock)
        self._turns = itertools.count()
        self._away: dict[int, Instant] = {}

    def take(self, tag: str, count: int) -> Segment:
        """See ``CounterStore``. Raises ServerUnreachable when none of them gives ids."""
        trouble: ServerError | None = None
        for n in self._order():
            try:
                segment = self._stores[n].take(tag, count)
            except ServerError as error:
                self._away[n] = Instant(self._clock.now() + self._away_s)
                self._thinned.warn(f"store {n} of several ({self._stores[n].name}) gives no ids", error)
                trouble = error
            else:
                self._away.pop(n, None)
                return segment
        raise ServerUnreachable(f"none of {len(self._stores)} stores gives ids of {tag!r}: {trouble}") from trouble

    def tend(self, tag: str) -> None:
        """See ``CounterStore``: of those that are there."""
        now = self._clock.now()
        for n, store in enumerate(self._stores):
            if n not in self._away or now >= self._away[n]:
                store.tend(tag)

    def close(self) -> None:
        """Closes all of them."""
        for store in self._stores:
            store.close()

    def _order(self) -> list[int]:
        """In turn, those that are away last."""
        count, first, now = len(self._stores), next(self._turns), self._clock.now()
        turn = [(first + n) % count for n in range(count)]
        return sorted(turn, key=lambda n: n in self._away and now < self._away[n])
