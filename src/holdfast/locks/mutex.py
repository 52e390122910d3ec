# SPDX-License-Identifier: Apache-2.0
"""The mutex on Redis: one holder at a time; when it is free, whoever asks first has it.

Of all the tasks of one process that want one lock, only the first in line asks the server: so a release wakes one task
a process. Whoever wants the order of arrival across processes takes a lock with a queue (``queued``), which costs
more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .._redis.keys import LockKeys
from .._redis.scripts import load_script
from .asking import RELEASED_KEPT_MS, Asking, Question
from .held import Acquisition, Renewal

if TYPE_CHECKING:
    from .redis import Locks

_ACQUIRE = load_script("holdfast.locks", "acquire", "token")
_RELEASE = load_script("holdfast.locks", "release")
_RENEW = load_script("holdfast.locks", "renew")


class Mutex:
    """Fulfils ``Keeper``."""

    kind = "mutex"
    again: tuple[str, ...] = ("mutex",)
    never_under: tuple[str, ...] = ()

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._lines: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    def new(self, name: str, lease_s: float | None) -> Acquisition:
        """An acquisition that nobody was asked for yet."""
        held = self._locks.new(name, lease_s, self.kind)
        held.renewal = Renewal(_RENEW, (self._keys(name).lock,))
        return held

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Asks the server, and waits in this process's line and then for the server."""
        asking = Asking(self._locks, self._question(held.name), held)
        if wait_s == 0:
            await asking.look()
        else:
            await asking.wait(wait_s, self._in_line(held.name))

    def keep(self, held: Acquisition) -> None:
        """Renews it from now on."""
        if held.renewed:
            self._locks.renewer.add(held)

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether the server had it as ours."""
        keys = self._keys(held.name)
        args = (held.acquisition, RELEASED_KEPT_MS, await self._locks.publish_word(), keys.channel)
        return await self._locks.tell(held.name, _RELEASE, (keys.lock_released(held.acquisition), keys.lock), args)

    def _keys(self, name: str) -> LockKeys:
        return LockKeys(self._locks.server.prefix, name, self._locks.server.clustered)

    def _question(self, name: str) -> Question:
        keys = self._keys(name)
        return Question(_ACQUIRE, (keys.lock_clock, keys.lock, keys.lock_token), keys.channel, self.give_back,
                        near=keys.lock)

    @contextlib.asynccontextmanager
    async def _in_line(self, name: str) -> AsyncIterator[None]:
        """First come, first served among the tasks of this process; one of them at a time asks the server."""
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with self._lines.setdefault(name, asyncio.Lock()):
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._lines[name]
