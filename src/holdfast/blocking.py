# SPDX-License-Identifier: Apache-2.0
"""For plain code: scripts, Django views, threads. One thread with an event loop of its own does the work.

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
    from .ids import Generator
    from .locks import LockSettings
    from .locks.plain import PlainLocks
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

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises, done in the loop behind this. Interrupted here, it is cancelled there."""
        if os.getpid() != self._pid:
            work.close()
            raise ConfigurationError("this was opened before a fork: call hf.blocking() again in the child")
        if self._loop.is_closed():
            work.close()
            raise ConfigurationError("this was closed: call hf.blocking() again")
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result()
        except BaseException:
            doing.cancel()
            raise

    def publish(self, stream: str, value: Any, **how: Any) -> Receipt:
        """See ``Holdfast.publish``."""
        return self.wait_for(self._hf.publish(stream, value, **how))

    def publish_many(self, stream: str, outs: Sequence[Any]) -> list[Receipt]:
        """See ``Holdfast.publish_many``."""
        return self.wait_for(self._hf.publish_many(stream, outs))

    def cancel(self, stream: str, message_id: str, *, key: str | None = None) -> bool:
        """See ``Holdfast.cancel``."""
        return self.wait_for(self._hf.cancel(stream, message_id, key=key))

    def locks(self, settings: LockSettings | None = None, *, who: str = "") -> PlainLocks:
        """Gives locks by name to threads. Make one and keep it. See ``Holdfast.locks`` and ``locks.plain``."""
        from .locks.plain import PlainLocks

        return PlainLocks(self, self.wait_for(self._hf.locks(settings, who=who)))

    def ids(self, layout: str = "snowflake", **how: Any) -> Generator:
        """Makes ids that cannot collide, for any thread: ``ids.next_id()``. See ``Holdfast.ids``."""
        return self.wait_for(self._hf.ids(layout, **how)).generator

    def close(self) -> None:
        """Closes the connections and ends the thread. In a forked child they are the parent's, and left alone."""
        if os.getpid() == self._pid and self._loop.is_running():
            self.wait_for(self._hf.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
