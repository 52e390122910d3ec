# SPDX-License-Identifier: Apache-2.0
"""Publishing from plain code: scripts, Django views, threads. One thread with an event loop of its own does the work.

::

    with hf.blocking() as plain:
        plain.publish("orders", {"id": 7}, key="customer-3")

Safe to share among threads. A forked child must open its own: threads do not survive a fork.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .errors import ConfigurationError

if TYPE_CHECKING:
    from .app import Holdfast
    from .streams.producer import Receipt

T = TypeVar("T")


class Blocking:
    """A ``Holdfast`` for plain code: the same calls, each of which waits for its answer."""

    def __init__(self, hf: Holdfast) -> None:
        self._hf = hf
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="holdfast-blocking", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if os.getpid() != self._pid:
            work.close()
            raise ConfigurationError("this was opened before a fork: call hf.blocking() again in the child")
        if self._loop.is_closed():
            work.close()
            raise ConfigurationError("this was closed: call hf.blocking() again")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def publish(self, stream: str, value: Any, **how: Any) -> Receipt:
        """See ``Holdfast.publish``."""
        return self._wait(self._hf.publish(stream, value, **how))

    def publish_many(self, stream: str, outs: Sequence[Any]) -> list[Receipt]:
        """See ``Holdfast.publish_many``."""
        return self._wait(self._hf.publish_many(stream, outs))

    def cancel(self, stream: str, message_id: str, *, key: str | None = None) -> bool:
        """See ``Holdfast.cancel``."""
        return self._wait(self._hf.cancel(stream, message_id, key=key))

    def close(self) -> None:
        """Closes the connections and ends the thread. In a forked child they are the parent's, and left alone."""
        if os.getpid() == self._pid and self._loop.is_running():
            self._wait(self._hf.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
