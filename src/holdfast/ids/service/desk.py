# SPDX-License-Identifier: Apache-2.0
"""What the service does, without HTTP: ids for a tag, within its quota, while it is not too busy and can make them.

A tag is a name and what makes its ids. Tags know nothing of each other: what keeps one from making ids keeps no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ..._base.clock import Clock, SystemClock
from ..._base.events import Events, IdRequestRefused, IdServiceReady, IdsIssued
from ..._base.thinned import Thinned
from ...errors import ConfigurationError, IdError, ServerError
from ..source import AsyncIds
from .problem import Refused
from .quota import Quota, Quotas

#: In place of a tag that is none, which anybody could make up, where labels are counted.
NO_TAG = "?"
#: Sooner it is in vain to ask whoever is busy or cannot make ids.
RETRY_S = 1.0


@dataclass(frozen=True)
class Tag:
    """One kind of id that can be asked for.

    ids: what makes them. kind: for people. quota: of all callers together. client_quota: of each of them. why_not: what
    keeps it from making ids now, for a readiness probe; empty when nothing does.
    """

    ids: AsyncIds
    kind: str = ""
    quota: Quota | None = None
    client_quota: Quota | None = None
    why_not: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may have.

    batch_max: ids in one request; more of them make each other wait for longer (10,000 take some ms). in_flight_max:
    requests at work; more than that are refused at once instead of waiting in memory. answer_s: longest wait for ids.
    """

    batch_max: int = 10_000
    in_flight_max: int = 256
    answer_s: float = 5.0


class Readiness(msgspec.Struct, frozen=True):
    """Whether ids can be had, of every tag. why: what is missing, a line each."""

    ready: bool
    why: list[str]


class Desk:
    """Gives ids of ``tags``. For the tasks of one event loop."""

    def __init__(self, tags: Mapping[str, Tag], *, limits: Limits | None = None, clock: Clock | None = None,
                 events: Events | None = None) -> None:
        if not tags:
            raise ConfigurationError("an id service without a tag has nothing to give: name one")
        self.tags, self.limits = dict(tags), limits or Limits()
        self._clock, self._events = clock or SystemClock(), events or Events()
        now = self._clock.now()
        self._quotas = {name: Quotas(tag.quota, tag.client_quota, now) for name, tag in tags.items()}
        self._trouble = Thinned(self._clock)
        self._was_ready: bool | None = None
        self.in_flight = 0
        self.stopping = False

    def max_count(self, name: str) -> int:
        """As many ids of this tag can be asked for at once."""
        most = self._quotas[name].most
        return self.limits.batch_max if most is None else min(most, self.limits.batch_max)

    async def issue(self, name: str, count: int, client: str = "") -> Sequence[int]:
        """So many ids. Raises Refused."""
        began = self._clock.now()
        try:
            found = await self._issued(name, count, client)
        except Refused as refused:
            known = name if name in self.tags else NO_TAG
            self._events.emit(IdRequestRefused(tag=known, why=refused.name))
            raise
        self._events.emit(IdsIssued(tag=name, count=len(found), seconds=self._clock.now() - began))
        return found

    async def _issued(self, name: str, count: int, client: str) -> Sequence[int]:
        tag = self.tags.get(name)
        if tag is None:
            raise Refused("unknown-tag", f"there is no tag {name!r} here")
        if not 1 <= count <= self.max_count(name):
            raise Refused("count", f"{count} ids of tag {name!r} were asked for, and 1 to {self.max_count(name)} are "
                                   "given at once", max_count=self.max_count(name))
        if self.in_flight >= self.limits.in_flight_max:  # guard: back-pressure
            raise Refused("busy", f"{self.in_flight} requests are at work, and no more are taken",
                          retry_after_s=RETRY_S)
        wait_s = self._quotas[name].take(client, count, self._clock.now())
        if wait_s:
            raise Refused("quota", f"{count} ids of tag {name!r} are beyond the quota for {wait_s:.3f} s",
                          retry_after_s=wait_s)
        self.in_flight += 1
        made = False
        try:
            found = await self._made(name, tag, count)
            made = True
            return found
        finally:
            self.in_flight -= 1
            if not made:
                self._quotas[name].give_back(client, count, self._clock.now())

    async def _made(self, name: str, tag: Tag, count: int) -> Sequence[int]:
        try:
            async with asyncio.timeout(self.limits.answer_s):
                return await tag.ids.next_ids(count)
        except TimeoutError:
            raise Refused("slow", f"no id of tag {name!r} was made within {self.limits.answer_s:g} s",
                          retry_after_s=RETRY_S) from None
        except (IdError, ServerError) as error:
            self._trouble.warn(f"no id of tag {name!r} can be made", error)
            raise Refused("no-ids", str(error), retry_after_s=RETRY_S) from error

    def readiness(self) -> Readiness:
        """What a load balancer wants to know: whether to send anybody here."""
        why = ["it is stopping"] if self.stopping else []
        why += [f"{name}: {said}" for name, tag in self.tags.items() if (said := tag.why_not())]
        ready = not why  # guard: not ready while a tag has no ids
        if ready != self._was_ready:
            self._was_ready = ready
            self._events.emit(IdServiceReady(ready=ready, why="; ".join(why)))
        return Readiness(ready, why)
