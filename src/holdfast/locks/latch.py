# SPDX-License-Identifier: Apache-2.0
"""A count-down latch: who waits goes on when so many others have said that they are done.

Everybody names the count, so nobody has to come first: whoever comes first makes it. At zero it stays open for those
who come late, until it has not been looked at for ``keep_s``; the next round wants a name of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .._redis.keys import LockKeys
from .._redis.scripts import load_script
from ..errors import ConfigurationError, ServerUnreachable
from .client import RELEASED_KEPT_MS

if TYPE_CHECKING:
    from .client import Client

_LATCH = load_script("holdfast.locks", "latch")
#: Counting down is tried so often.
TRIES = 3


class Latch:
    """One latch. Made by ``Locks.latch``."""

    def __init__(self, client: Client, name: str, count: int, keep_s: float) -> None:
        if not name or count < 1 or keep_s <= 0:
            raise ConfigurationError(f"latch {name!r} needs a name, a count of 1 or more, and seconds to be kept for")
        self.name, self.count, self.keep_s = name, count, keep_s
        self._client = client
        self._keys = LockKeys(client.server.prefix, name, client.server.clustered)

    async def count_down(self, by: int = 1) -> int:
        """Counts down; what is left. Safe to be sent twice: a lost answer counts nothing again."""
        if by < 1:
            raise ConfigurationError(f"a latch is counted down by 1 or more, not by {by}")
        request = self._client.an_id()
        for _ in range(TRIES - 1):
            with contextlib.suppress(ServerUnreachable):
                return await self._ask(by, request)
            await asyncio.sleep(self._client.again_s())
        return await self._ask(by, request)

    async def left(self) -> int:
        """What is left to count; 0: open."""
        return await self._ask(0, "")

    async def wait(self, wait_s: float | None = None) -> None:
        """Returns when it is open; TimeoutError when it is not within ``wait_s`` seconds (None: waits for ever)."""
        try:
            async with asyncio.timeout(wait_s):
                await self._opened()
        except TimeoutError:
            raise TimeoutError(f"latch {self.name!r} was not open within {wait_s:g} s") from None

    async def _opened(self) -> None:
        while True:
            with contextlib.suppress(ServerUnreachable):
                if await self._heard():
                    return
            await asyncio.sleep(self._client.again_s())

    async def _heard(self) -> bool:
        listener = await self._client.listener(self._keys.latch)
        async with listener.listening(self._keys.channel) as heard:
            while await self.left():  # guard: it may have opened before we listened
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._client.poll_s()):
                        await heard.wait()
                heard.clear()
        return True

    async def _ask(self, by: int, request: str) -> int:
        args = (self.count, by, int(self.keep_s * 1000), RELEASED_KEPT_MS, self._keys.channel,
                await self._client.publish_word())
        return int(await self._client.say(_LATCH, (self._keys.latch, self._keys.lock_released(request)), args))
