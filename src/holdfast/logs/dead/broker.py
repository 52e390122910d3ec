# SPDX-License-Identifier: Apache-2.0
"""Dead lines at RabbitMQ or Kafka, as the dead letters of a group: whoever reads those reads them, ``holdfast dlq`` and
the dead-letter service among them.

A put publishes, and returns when the broker has it for good. Of one line there may be several letters then, after a
crash or a failed replay; they are read as one, and removed together. To look for one line is to read all of them: at
RabbitMQ they are in the reader's hands for that moment, and whoever else looks waits; at Kafka the topic is read from
end to end, with what was removed. A large line is several letters.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from ..._base.chance import new_id, system_chance
from ..._base.secret import Resolver, Secret, SecretRef
from ...errors import ServerError, ServerRefused
from ..dead_lines import DeadLine
from ..sink import SinkDown
from ..sinks.queue import broker_at
from .entries import line_of, parts_of, whole
from .merge import folded
from .stock import Counted

if TYPE_CHECKING:
    from ...brokers.letters import Box, Kept

__all__ = ["BrokerDeadLines"]

#: Bytes of a line in one letter: Kafka takes messages of a million bytes, if nobody has told it otherwise.
_PART_MAX: Final = 500_000
#: Letters on their way at a time.
_CHUNK: Final = 100
#: Seconds to wait for somebody else who reads, and between two looks whether he is through.
_TURN_S: Final = 30.0
_LOOK_S: Final = 0.1


class BrokerDeadLines(Counted):
    """Keeps dead lines as the letters of ``group`` on ``stream`` at ``url``: ``amqp://``, ``amqps://`` or ``kafka://``.

    The queue, or the topic, is made when it is not there. secrets: resolves a ``url`` that is a reference. stock_s: how
    old an answer of ``stock`` may be; what went in since is added.
    """

    def __init__(self, stream: str, *, url: str | Secret[str] | SecretRef, group: str = "logs",
                 secrets: Resolver | None = None, stock_s: float = 300.0) -> None:
        super().__init__(stock_s)
        self.name = "queue"
        self._chance = system_chance()
        broker = broker_at(url, secrets)  # what it would tell, the pipeline tells of lines
        self._where = f"the dead lines of {stream}/{group}"
        self._broker = broker
        self._box: Box = broker.letters(stream, group)

    async def open(self) -> None:
        with self._told():
            await self._broker.open()
            await self._box.make()

    async def put(self, lines: Sequence[DeadLine]) -> None:
        kept = list(folded(lines).values())
        with self._told():
            for begin in range(0, len(kept), _CHUNK):
                await asyncio.gather(*(self._bury(line) for line in kept[begin:begin + _CHUNK]))
        for line in kept:
            self._added(line)

    async def _bury(self, line: DeadLine) -> None:
        # Another id each time: a broker takes letters of one id for copies, and keeps the first.
        put = f"{line.id[:32]}-{new_id(self._chance)}"
        for n, entry in enumerate(parts_of(line, put, _PART_MAX)):
            await self._box.bury(entry, f"{put}-{n}")

    async def remove(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        asked = set(ids)
        async with self._held() as letters:
            there = {line.id for line in whole(kept.fields for kept in letters)}
            # With what puts that were cut short have left of them.
            going = [kept for kept in letters if (line := line_of(kept.fields)) is not None and line.id in asked]
            if going:
                await self._box.remove_all(going)
        self._removed()
        return len(there & asked)

    async def close(self) -> None:
        await self._broker.close()

    async def _all(self) -> dict[str, DeadLine]:
        async with self._held() as letters:
            return folded(whole(kept.fields for kept in letters))

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[Sequence[Kept]]:
        """All letters, in our hands for the block."""
        with self._told():
            async with AsyncExitStack() as stack:
                yield await self._turn(stack)

    async def _turn(self, stack: AsyncExitStack) -> Sequence[Kept]:
        until = time.monotonic() + _TURN_S
        while True:
            try:
                return await stack.enter_async_context(self._box.held())
            except ServerRefused as error:
                if error.code != "RESOURCE_LOCKED" or time.monotonic() > until:
                    raise
            await asyncio.sleep(_LOOK_S)  # guard: somebody else reads, and is waited for

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (ServerError, TimeoutError) as error:
            raise SinkDown(f"{self._where}: {error}") from error
