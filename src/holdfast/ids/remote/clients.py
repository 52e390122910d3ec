# SPDX-License-Identifier: Apache-2.0
"""Ids from the id service, for threads and for tasks."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Self

from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, SystemClock
from ..._base.events import Events
from ..._base.secret import Resolver, Secret, SecretRef, resolve
from ...errors import ConfigurationError, IdsRefused, NotAuthorized, ServerUnreachable
from .asking import Asking, library
from .prefetch import Plan, Prefetch
from .turns import Turns


class _Remote:
    def __init__(self, urls: str | Sequence[str], tag: str, *, token: str | Secret[str] | SecretRef | None = None,
                 client: str = "", ahead_s: float = 10.0, lag_s: float | None = 60.0, least: int = 100,
                 most: int = 1_000_000, wait_s: float = 5.0, timeout_s: float = 2.0, batch_max: int = 10_000,
                 verify: ssl.SSLContext | None = None, secrets: Resolver | None = None, clock: Clock | None = None,
                 chance: Chance | None = None, events: Events | None = None) -> None:
        addresses = [url.rstrip("/") for url in ([urls] if isinstance(urls, str) else urls)]
        if not addresses or not all(url.startswith(("http://", "https://")) for url in addresses):
            raise ConfigurationError("the id service needs at least one address: http://host:8080 or https://host")
        if min(ahead_s, wait_s, timeout_s) <= 0 or least < 1 or batch_max < 1 or (lag_s is not None and lag_s <= 0):
            raise ConfigurationError("ahead_s, lag_s, wait_s, timeout_s, least and batch_max have to be above 0")
        library()
        chance, proof = chance or system_chance(), resolve(token, secrets)
        secure = verify or any(url.startswith("https") for url in addresses)  # else no certificates need be read
        self.tag, self.wait_s, self._clock = tag, wait_s, clock or SystemClock()
        self._prefetch = Prefetch(
            Plan(tag, ahead_s, lag_s, least, max(least, most), batch_max),
            lambda: Asking(tag, token=proof, client=client, timeout_s=timeout_s, verify=secure),
            lambda: Turns(addresses, chance), clock=self._clock, chance=chance, events=events or Events())

    @property
    def in_hand(self) -> int:
        """How many ids are here already, those that are too old included."""
        return self._prefetch.left

    def _until(self, end: float) -> float:
        """What is left of the wait. Raises when it is over, or would be for nothing."""
        cause, left_s = self._prefetch.cause, end - self._clock.now()
        if isinstance(cause, ConfigurationError | NotAuthorized):
            raise cause
        if left_s > 0:
            return left_s
        said = f"there was no id of tag {self.tag!r} within {self.wait_s:g} s: {cause or 'the service is slow'}"
        if cause is None or isinstance(cause, ServerUnreachable):
            raise ServerUnreachable(said) from cause
        raise IdsRefused(said, why="empty") from cause


class RemoteIds(_Remote):
    """Fulfils ``Ids`` with those of an id service, prefetched. Any thread may ask; a forked child begins anew.

    urls: of one instance or several, of which one after the other is tried; each has quotas of its own. token: where
    the service wants one. client: what we call ourselves where it wants none.

    ahead_s: as many ids are in hand as were used in so many seconds, at least ``least`` and about ``most`` at most
    (40 bytes each); the service can be away for so long. Price: an id that says when it was made can say so by that
    much and a half too early. lag_s: what is older is thrown away, which also ends how long an absence can be bridged;
    None for counters, which have no age.

    wait_s: how long a call waits when there is nothing in hand. timeout_s: for one answer. batch_max: for one request;
    the service may allow less. verify: for https, the context that knows the certificates; None trusts what the system
    trusts.

    Ids of one batch grow; those of two batches are in no order, since another instance may have made them. What is in
    hand at the end is nobody's: counters have a gap there.

    Raises ServerUnreachable or IdsRefused when nothing is in hand and none come within ``wait_s``; NotAuthorized and
    ConfigurationError (an unknown tag) at once then; MissingExtra without httpx2.
    """

    def next_id(self) -> int:
        """The next id. Some µs while there are any in hand."""
        found = self._prefetch.draw(1)
        return found[0] if found else self.next_ids(1)[0]

    def next_ids(self, count: int) -> list[int]:
        """So many at once."""
        found, end = self._prefetch.draw(count), self._clock.now() + self.wait_s
        while len(found) < count:
            with self._prefetch.waiting(count - len(found)) as more:
                found += self._prefetch.draw(count - len(found))
                if len(found) < count:
                    _await(more, self._until(end))
            found += self._prefetch.draw(count - len(found))
        return found

    def close(self) -> None:
        """Ends the thread that fetches. What is in hand is thrown away."""
        self._prefetch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncRemoteIds(_Remote):
    """Fulfils ``AsyncIds``: ``RemoteIds`` for the tasks of an event loop, which is never blocked."""

    async def next_id(self) -> int:
        """The next id."""
        found = self._prefetch.draw(1)
        return found[0] if found else (await self.next_ids(1))[0]

    async def next_ids(self, count: int) -> list[int]:
        """So many at once."""
        found, end = self._prefetch.draw(count), self._clock.now() + self.wait_s
        while len(found) < count:
            with self._prefetch.waiting(count - len(found)) as more:
                found += self._prefetch.draw(count - len(found))
                if len(found) < count:
                    await asyncio.wait([asyncio.wrap_future(more)], timeout=self._until(end))
            found += self._prefetch.draw(count - len(found))
        return found

    async def close(self) -> None:
        """See ``RemoteIds``."""
        await asyncio.to_thread(self._prefetch.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _await(more: Future[None], left_s: float) -> None:
    try:
        more.result(left_s)
    except TimeoutError:
        return
