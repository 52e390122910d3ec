# SPDX-License-Identifier: Apache-2.0
"""Dead lines in a queue of any kind, by the consumption contract: each is published, and looking at them is to be given
all of them and to hand them back.

A queue cannot be looked into. So ``list``, ``get``, ``remove`` and ``stock`` take what is there until nothing more
comes for ``quiet_s``, and hand back what they do not remove; somebody else who consumes the queue meanwhile takes part
of it away, for as long as it is in his hands. It is meant for a queue that is drained by a service of its own, and for
a few thousand lines; who wants to work with dead lines has an easier time with the table or the files.

Tried with the broker in memory, and with consumers of a real server's streams. At RabbitMQ and Kafka dead lines are the
dead letters of a group: see ``broker.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from ...consume.contract import Delivery, Origin, Settled, Source
from ...errors import ServerError
from ..dead_lines import DeadLine
from ..sink import SinkDown
from .entries import entry_of, line_of
from .merge import folded
from .stock import Counted

__all__ = ["QueueDeadLines"]

#: Deliveries that are taken at a time.
_ROOM: Final = 1_000


class QueueDeadLines(Counted):
    """Keeps dead lines in a queue.

    publish: writes one entry, durable when it returns. source: makes a consumer of the queue. quiet_s: after so long
    without a delivery all were seen. Shorter: quicker looks; longer: a slow broker is not taken for an empty one.
    stock_s: how old an answer of ``stock`` may be, for pipelines ask every few seconds; what went in since is added.
    """

    def __init__(self, publish: Callable[[list[bytes]], Awaitable[object]], source: Callable[[], Source], *,
                 quiet_s: float = 0.2, stock_s: float = 300.0) -> None:
        super().__init__(stock_s)
        self.name = "queue"
        self._publish, self._source, self._quiet_s = publish, source, quiet_s
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Asks nothing."""

    async def put(self, lines: Sequence[DeadLine]) -> None:
        for line in folded(lines).values():
            try:
                await self._publish(entry_of(line))
            except (ServerError, TimeoutError, ConnectionError) as error:
                raise SinkDown(f"the queue of dead lines: {error}") from error
            self._added(line)

    async def remove(self, ids: Sequence[str]) -> int:
        asked, there = set(ids), set()
        async with self._taken() as deliveries:
            settling: dict[Origin, list[Delivery]] = {}
            for delivery, line in _lines(deliveries):
                if line.id in asked:
                    there.add(line.id)
                    settling.setdefault(delivery.origin, []).append(delivery)
            for origin, acks in settling.items():
                left = [answer for _, answer in await origin.settle(acks, []) if answer is not Settled.GONE]
                if left:
                    raise SinkDown(f"the queue of dead lines: {len(left)} were taken away meanwhile; remove them again")
        self._removed()
        return len(there)

    async def close(self) -> None:
        """Holds nothing."""

    async def _all(self) -> dict[str, DeadLine]:
        async with self._taken() as deliveries:
            return folded(line for _, line in _lines(deliveries))

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[Sequence[Delivery]]:
        """All that is in the queue, in our hands for the block; what was not acknowledged is handed back."""
        async with self._turn:
            inbox, source = _Taking(), self._source()
            running = asyncio.create_task(source.run(inbox))
            try:
                await inbox.quiet(self._quiet_s, running)
                await source.stop_reading()
                yield inbox.found
            finally:
                inbox.let_go()
                await source.close(inbox)  # guard: handed back
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running


def _lines(deliveries: Iterable[Delivery]) -> list[tuple[Delivery, DeadLine]]:
    """Those that are dead lines. What somebody else has put there is handed back."""
    found = []
    for delivery in deliveries:
        line = line_of(delivery.message.raw or delivery.message.fields)
        if line is not None:
            found.append((delivery, line))
    return found


class _Taking:
    """An inbox that takes all and does nothing with it."""

    ordered = False

    def __init__(self) -> None:
        self.found: list[Delivery] = []
        self._held: set[tuple[Origin, bytes]] = set()
        self._came = asyncio.Event()

    def let_go(self) -> None:
        """Nothing is in our hands any more."""
        self._held.clear()

    async def quiet(self, quiet_s: float, running: asyncio.Task[None]) -> None:
        """Returns when nothing has come for so long. Raises what ended the source."""
        while True:
            self._came.clear()
            coming = asyncio.create_task(self._came.wait())
            await asyncio.wait({coming, running}, timeout=quiet_s, return_when=asyncio.FIRST_COMPLETED)
            came = coming.done()
            coming.cancel()
            if running.done():
                running.result()
            if not came:
                return

    def enter(self) -> None:
        """Nothing is shared."""

    def leave(self) -> None:
        """Nothing was shared."""

    def room(self) -> int:
        """Always some."""
        return _ROOM

    async def wait_room(self) -> None:
        """There is room."""

    def deliver(self, deliveries: Sequence[Delivery]) -> None:
        """Keeps them."""
        self.found.extend(deliveries)
        self._held.update((one.origin, one.entry_id) for one in deliveries)
        if deliveries:  # a source may have nothing to deliver, and say so again and again
            self._came.set()

    def holds(self, origin: Origin, entry_id: bytes) -> bool:
        """For as long as the block lasts: a source delivers again what nobody holds."""
        return (origin, entry_id) in self._held

    def held(self, origin: Origin) -> int:
        """So many of this origin."""
        return sum(1 for one, _ in self._held if one is origin)

    def restore(self, origin: Origin, pending: Iterable[tuple[bytes, str | None]], dead_keys: Iterable[str]) -> None:
        """Order does not matter."""

    def hand_back(self, origin: Origin) -> None:
        """``close`` does."""

    def revoke(self, origin: Origin, cause: str) -> int:
        """They are somebody else's now."""
        mine = [one for one in self.found if one.origin is origin]
        self.found = [one for one in self.found if one.origin is not origin]
        self._held = {one for one in self._held if one[0] is not origin}
        return len(mine)
