# SPDX-License-Identifier: Apache-2.0
"""Asking until it is granted: what every kind of lock on Redis does while it waits.

Ask, listen, ask once more, and then wait for a message, for what the server said is worth waiting for, or for
``poll_s``, whichever comes first. A server that does not answer is asked again for as long as whoever waits has time.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .._base.events import log
from ..errors import LockUnconfirmed, ServerError, ServerUnreachable

if TYPE_CHECKING:
    from .client import Client, Question
    from .held import Acquisition


class Asking:
    """One acquisition that is asked for."""

    def __init__(self, client: Client, question: Question, held: Acquisition) -> None:
        self._client, self._question, self._held = client, question, held
        self._trouble: ServerError | LockUnconfirmed | None = None
        self._again_ms = 0

    async def obtain(self, wait_s: float | None, turn: contextlib.AbstractAsyncContextManager[object]) -> None:
        """``wait_s``: 0 looks once; else it waits, within ``turn``."""
        if wait_s == 0:
            await self.look()
        else:
            await self.wait(wait_s, turn)

    async def look(self) -> None:
        """Asks once; TimeoutError when somebody else holds it."""
        if not await self._asked():
            raise TimeoutError(f"lock {self._held.name!r} is held by somebody else")

    async def wait(self, wait_s: float | None, turn: contextlib.AbstractAsyncContextManager[object]) -> None:
        """Asks until it is granted, within ``turn``. What kept the server from answering is raised in the end."""
        try:
            async with asyncio.timeout(wait_s), turn:
                await self._until_granted()
        except TimeoutError:
            if self._trouble is not None:
                raise self._trouble from None
            raise TimeoutError(f"lock {self._held.name!r} was not free within {wait_s:g} s") from None

    async def _until_granted(self) -> None:
        while True:
            try:
                if await self._asked() or await self._heard():
                    return
            except (ServerUnreachable, LockUnconfirmed) as error:
                self._trouble = error
                log.warning("waiting for lock %s: %s", self._held.name, error)
                await asyncio.sleep(self._client.again_s())

    async def _asked(self) -> bool:
        again_ms = await self._client.ask(self._question, self._held)
        self._again_ms, self._trouble = again_ms or 0, None
        return again_ms is None

    async def _heard(self) -> bool:
        listener = await self._client.listener(self._question.keys[0])
        async with listener.listening(*self._question.channels) as heard:
            while True:
                heard.clear()
                if await self._asked():  # guard: freed before we listened
                    return True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(self._client.poll_s(), max(self._again_ms, 0) / 1000 + 0.001)):
                        await heard.wait()
