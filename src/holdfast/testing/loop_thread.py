# SPDX-License-Identifier: Apache-2.0
"""An event loop in a thread of its own, driven from outside by plain calls that have taken effect when they return."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_CALL_S = 10.0
_END_S = 2.0


class LoopThread:
    """Base of the proxies: ``start`` and ``close``, or a ``with`` block."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def start(self) -> Self:
        """Starts the thread and whatever the subclass opens in it."""
        self._thread.start()
        try:
            self.wait_for(self._opened())
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Ends everything and joins the thread. A second call does nothing."""
        if self._thread.is_alive():
            try:
                self.wait_for(self._finish())
            finally:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(_CALL_S)
        if not self._loop.is_closed() and not self._loop.is_running():
            self._loop.close()

    async def _finish(self) -> None:
        """Nothing may be left half done in a loop that will not turn again: sockets would stay open.

        Tasks are waited for, and cancelled only when late: one cancelled before its first step cannot close anything.
        """
        await self._closing()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            _, late = await asyncio.wait(others, timeout=_END_S)
            for task in late:
                task.cancel()
        await asyncio.sleep(0)  # transports close one turn after they were told to

    async def _opened(self) -> None:
        raise NotImplementedError

    async def _closing(self) -> None:
        raise NotImplementedError

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the thread and waits for its answer."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_S)

    def call(self, function: Callable[[], T]) -> T:
        """Runs a function in the thread and waits for its answer."""

        async def run() -> T:
            return function()

        return self.wait_for(run())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
