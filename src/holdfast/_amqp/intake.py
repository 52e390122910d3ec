# SPDX-License-Identifier: Apache-2.0
"""Consuming one queue over one channel, and settling what came by it.

A channel is an incarnation. Delivery tags are its own; when it is gone, all that it held is back in the queue, and
a tag of it would settle nothing, or on another channel something else. So tags never leave their ``Intake``.

**Acknowledgements go in transactions.** Each one by itself is a command to its quorum queue, and RabbitMQ holds back
what goes beyond 32 of them (``quorum_commands_soft_limit``): it answers whoever asks, and forgets what it holds back
when the channel is closed. Of 2,000 letters that were removed, then answered for, and the channel closed, 0 to 210 lay
there again (3.10). A transaction is one command however many it settles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from .link import ANSWER_S, Link, closed, told
from .parcel import Arrived

#: Properties of AMQP that a message may have.
_PROPERTIES = ("content_type", "content_encoding", "priority", "correlation_id", "reply_to", "message_id", "timestamp",
               "message_type", "app_id")


class Intake:
    """One consumer of one queue. ``on_arrived`` is called for each message, in order, and must not wait."""

    def __init__(self, queue: str, prefetch: int, on_arrived: Callable[[Intake, Arrived], None]) -> None:
        self.queue = queue
        self._prefetch = prefetch
        self._on_arrived = on_arrived
        self._channel: Any = None
        self._tag = ""
        #: Set when it is over: the channel was closed, or RabbitMQ ended the consumer. ``why`` then says why.
        self.over = asyncio.Event()
        self.why = ""

    async def open(self, link: Link, tag: str, *, exclusive: bool = False) -> None:
        """Begins to consume. ``tag``: the consumer's name. exclusive: nobody else may consume the queue meanwhile."""
        channel = self._channel = await link.channel(confirms=False)
        channel.closing.add_done_callback(self._ended)
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        self._tag = tag
        with told(f"consuming {self.queue!r}"):
            async with asyncio.timeout(ANSWER_S):
                await channel.basic_qos(prefetch_count=self._prefetch)
                await channel.tx_select()  # guard: what is acknowledged stays so when the channel is closed
                await channel.basic_consume(self.queue, self._delivered, consumer_tag=tag, exclusive=exclusive)

    async def _delivered(self, message: Any) -> None:
        properties = message.header.properties
        self._on_arrived(self, Arrived(
            tag=message.delivery.delivery_tag, redelivered=bool(message.delivery.redelivered),
            exchange=message.delivery.exchange or "", key=message.delivery.routing_key or "",
            headers=properties.headers or {}, body=bytes(message.body),
            properties={name: value for name in _PROPERTIES if (value := getattr(properties, name)) is not None}))

    def _ended(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self._over("" if error is None else " ".join(str(part) for part in error.args if part is not None))

    def _cancelled(self, frame: Any) -> None:
        self._over(f"RabbitMQ ended the consumer of {self.queue!r}: the queue was deleted, or moved")

    def _over(self, why: str) -> None:
        self.why = self.why or why or "the channel was closed"
        self.over.set()

    async def pause(self) -> None:
        """Takes no more messages; what is held stays held and can be settled."""
        if not self.over.is_set():
            with told(f"cancelling the consumer of {self.queue!r}"):
                async with asyncio.timeout(ANSWER_S):
                    await self._channel.basic_cancel(self._tag)

    async def ack(self, tags: Sequence[tuple[int, bool]]) -> None:
        """Acknowledges tags, or with True all that are open up to one; done by ``flushed``."""
        with told(f"acknowledging to {self.queue!r}"):
            for tag, multiple in tags:
                await self._channel.basic_ack(tag, multiple=multiple, wait=False)

    async def give_back(self, tags: Sequence[int]) -> None:
        """Puts messages back into the queue, to be delivered at once; done by ``flushed``."""
        with told(f"handing back to {self.queue!r}"):
            for tag in tags:
                await self._channel.basic_nack(tag, requeue=True, wait=False)

    async def flushed(self) -> None:
        """Carries out what was acknowledged and put back, and returns when RabbitMQ has handed it to the queue."""
        with told(f"settling at {self.queue!r}"):
            async with asyncio.timeout(ANSWER_S):
                await self._channel.tx_commit()

    async def close(self) -> None:
        """Closes the channel: what it still holds goes back to the queue."""
        if self._channel is not None:
            await closed(self._channel)


__all__ = ["Intake"]
