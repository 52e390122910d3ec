# SPDX-License-Identifier: Apache-2.0
"""Ids from segments: numbers of a counter, drawn by the thousand and handed out without asking anybody.

::

    with Segments(SqlSegments("postgresql://app@db/app"), "orders") as ids:
        ids.next_id()

Threads draw as they do from ``ids.generator``: each takes a block of numbers, which ``itertools.chain`` hands out, a C
function from end to end. A block is emptied when it lay unused for ``lag_s`` (its numbers are lost: late ones would
stand behind much larger ones), and in a forked child.

**Order.** Ids of one thread grow. Those of two threads, or of two processes, are apart and in no order: up to a segment
for each process. ``strict_id`` keeps the order of all calls of this process.

**Guessable.** Whoever has one id knows its neighbours, and from two knows how many there were in between. Send what
``ids.obscure`` makes of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Self

from ..._base.chance import Chance
from ..._base.clock import Clock
from ..._base.events import Events
from ..blocks import AwaitedBlocks, Blocks
from .rules import Sizes
from .store import CounterStore
from .supply import Supply

#: A block is never larger than this.
BLOCK_MOST = 4_096
#: How long whoever asks waits when both segments are used up.
WAIT_S = 5.0


class Segments:
    """Fulfils ``Ids``. Any thread may ask.

    tag: whoever shares it, and the store, shares the numbers. sizes: of segments, see there. wait_s: how long an id is
    waited for when both segments are used up and the store does not answer; then IdsRefused. Longer: callers pile up;
    shorter: a hiccup of the store at the wrong moment is an error. lag_s: what a thread took and did not use for so
    long is thrown away.
    """

    def __init__(self, store: CounterStore, tag: str, sizes: Sizes | None = None, *, wait_s: float = WAIT_S,
                 lag_s: float = 1.0, clock: Clock | None = None, chance: Chance | None = None,
                 events: Events | None = None) -> None:
        self.supply = Supply(store, tag, sizes or Sizes(), wait_s=wait_s, clock=clock, chance=chance, events=events)
        self._lag_s = lag_s
        self._local = threading.local()

    def next_id(self) -> int:
        """The next id; waits up to ``wait_s`` where there is none. ``bound()`` saves half of its time."""
        try:
            ids: Iterator[int] = self._local.ids
        except AttributeError:
            ids = self._local.ids = self._blocks().drawn()
        return next(ids)

    def bound(self) -> Callable[[], int]:
        """A function of C that gives this thread's next id. Keep it for a loop; do not share it between threads."""
        return MethodType(next, self._blocks().drawn())

    def _blocks(self) -> Blocks:
        return Blocks(self.supply.take, most=BLOCK_MOST, lag_s=self._lag_s)

    def strict_id(self) -> int:
        """The next id in the order of all calls of this process, for the price of a lock."""
        return self.supply.take(1)[0]

    def next_ids(self, count: int) -> list[int]:
        """So many at once, growing as the store's numbers do."""
        found: list[int] = []
        while len(found) < count:
            found.extend(self.supply.take(count - len(found)))
        return found

    def close(self) -> None:
        """Gives no more ids; what is left of its segments is lost. The store stays open: close it behind this."""
        self.supply.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSegments(AwaitedBlocks):
    """Fulfils ``AsyncIds``: the same for the tasks of one loop, which is never blocked. Arguments: see ``Segments``.

    Ids grow from call to call within the loop.
    """

    def __init__(self, store: CounterStore, tag: str, sizes: Sizes | None = None, *, wait_s: float = WAIT_S,
                 lag_s: float = 1.0, clock: Clock | None = None, chance: Chance | None = None,
                 events: Events | None = None) -> None:
        self.supply = Supply(store, tag, sizes or Sizes(), wait_s=wait_s, clock=clock, chance=chance, events=events)
        super().__init__(Blocks(self.supply.take, most=BLOCK_MOST, lag_s=lag_s))

    async def _take(self, wanted: int) -> range:
        some = self.supply.attempt(wanted)
        if some:
            return some
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        while (left_s := began + self.supply.wait_s - loop.time()) > 0:
            there = asyncio.Event()
            with self.supply.telling(lambda there=there: _tell(loop, there)), contextlib.suppress(TimeoutError):  # type: ignore[misc]
                await asyncio.wait_for(there.wait(), left_s)
            if some := self.supply.attempt(wanted):
                return some
        return self.supply.refuse(loop.time() - began)

    def close(self) -> None:
        """See ``Segments``. It may wait for a question that is under way, which ``async with`` does in a thread."""
        self.supply.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)


def _tell(loop: asyncio.AbstractEventLoop, there: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # that loop is closed
        loop.call_soon_threadsafe(there.set)
