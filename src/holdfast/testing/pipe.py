# SPDX-License-Identifier: Apache-2.0
"""One direction of one proxied connection: bytes in, bytes out, and what may happen to them on the way.

Bytes wait in a short queue with the time at which they may go on. A closed gate (a stall) or a late time (a delay)
holds the queue; a full queue stops the reading, the kernel's buffers fill, and the sender feels it, as on a real link.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable

_CHUNK = 65536
_QUEUED_CHUNKS = 16


class Way(enum.Enum):
    """A direction: ``UP`` is from client to server, ``DOWN`` from server to client."""

    UP = "up"
    DOWN = "down"


class Lane:
    """The state of one direction, shared by all connections of a proxy."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.delay_s = 0.0
        self.bytes = 0


class Pipe:
    """Carries bytes from ``reader`` to ``writer`` through ``lane``.

    ``inspect`` sees each chunk and answers what is to be passed on.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lane: Lane, inspect: Callable[[bytes], bytes]
    ) -> None:
        self._reader, self._writer, self._lane, self._inspect = reader, writer, lane, inspect
        self._queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_CHUNKS)

    async def run(self) -> None:
        """Until the sender closes; then the receiver is told so, behind everything that was sent before."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take_in())
            tasks.create_task(self._pass_on())

    async def _take_in(self) -> None:
        loop = asyncio.get_running_loop()
        while chunk := await self._reader.read(_CHUNK):
            await self._queue.put((loop.time() + self._lane.delay_s, chunk))
        await self._queue.put((loop.time() + self._lane.delay_s, b""))

    async def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await self._queue.get()
            await asyncio.sleep(due - loop.time())
            await self._lane.gate.wait()
            if not chunk:
                break
            if passed := self._inspect(chunk):
                self._lane.bytes += len(passed)
                self._writer.write(passed)
                await self._writer.drain()
        if self._writer.can_write_eof():
            self._writer.write_eof()
