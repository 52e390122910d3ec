# SPDX-License-Identifier: Apache-2.0
"""Workers on a stream at RabbitMQ, and the state of its queues from outside, by a plain client of its own."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import aio_pika

from holdfast import Holdfast
from holdfast.brokers.rabbitmq.delay import LEVELS
from tests.faults.crew import GROUP, Crew
from tests.faults.workers.consumer import Work

#: Seconds for which a look at the queues holds: each is a connection of its own.
LOOK_S = 0.3


@dataclass
class RabbitCrew(Crew):
    """``backend`` is a ``RabbitServer``: it has a ``url`` as well."""

    _looked: tuple[float, Mapping[str, int]] = field(default=(0.0, {}))

    def __enter__(self) -> Self:
        super().__enter__()
        asyncio.run(self._prepare())
        return self

    async def _prepare(self) -> None:
        """The group's queues are there before anything is published: what comes earlier, nobody would have."""
        async with Holdfast(self.backend.url) as hf:
            broker: Any = hf._other_broker()
            await broker.prepare(broker.names(self.stream, GROUP))

    async def _publish(self, works: Sequence[Work], how: Mapping[str, Any]) -> list[str]:
        """At once, whatever was asked: there are no messages for later."""
        async with Holdfast(self.backend.url) as hf:
            return [receipt.id for receipt in await hf.publish_many(self.stream, works)]

    # -- state, from outside

    @property
    def queues(self) -> list[str]:
        """Where a message of the group may lie, dead letters apart."""
        own = f"{self.stream}/{GROUP}"
        return [own, f"{own}/alone", f"{own}/replay", *(f"hf/later/{level}" for level in range(LEVELS))]

    def ready(self) -> Mapping[str, int]:
        """Messages that lie ready, by queue."""
        at, found = self._looked
        if time.monotonic() - at > LOOK_S:
            found = asyncio.run(self._counts())
            self._looked = time.monotonic(), found
        return found

    async def _counts(self) -> dict[str, int]:
        async with await aio_pika.connect(self.backend.url) as connection:
            channel = await connection.channel()
            found = {}
            for name in self.queues:
                found[name] = (await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0
            return found

    def unread(self) -> int:
        return sum(self.ready().values())

    def backlog(self) -> int:
        """Ready ones, and those that workers hold: the server alone knows, and takes its time to say so."""
        rows = self.backend.control("list_queues", "--no-table-headers", "name", "messages").splitlines()
        found = {name: int(count) for name, _, count in (row.partition("\t") for row in rows if "\t" in row)}
        return sum(found.get(name, 0) for name in self.queues)

    def drained(self) -> bool:
        self._looked = 0.0, {}
        return self.unread() == 0 and self.backlog() == 0

    def pending(self) -> list[tuple[str, str, str]]:
        return [(self.stream, message_id, "") for message_id in self.left()]

    def left(self) -> list[str]:
        """Ids of the messages that lie in any queue of the group."""
        return [str(message.message_id) for name in self.queues for message in self._lying(name)]

    def letters(self) -> list[dict[bytes, bytes]]:
        """The dead letters, each once; ``copies`` says how often each lies there."""
        return [{name.encode(): str(value).encode() for name, value in message.headers.items()}
                for message in {str(m.headers["hf-letter"]): m for m in self.lying_dead()}.values()]

    def copies(self) -> Counter[str]:
        """How often each letter lies there, by its message's id."""
        return Counter(str(message.message_id) for message in self.lying_dead())

    def lying_dead(self) -> list[Any]:
        return self._lying(f"{self.stream}/{GROUP}/dead")

    def _lying(self, queue: str) -> list[Any]:
        return asyncio.run(self._peeked(queue))

    async def _peeked(self, queue: str) -> list[Any]:
        """All that lies ready in a queue; it goes back when the connection is closed."""
        found: list[Any] = []
        async with await aio_pika.connect(self.backend.url) as connection:
            lies = await (await connection.channel()).declare_queue(queue, passive=True)
            while (message := await lies.get(fail=False)) is not None:
                found.append(message)
        return found
