# SPDX-License-Identifier: Apache-2.0
"""A service at RabbitMQ in a test's own loop, and what a stranger does to its queues, by a plain client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.exceptions import DeliveryError

from holdfast import Holdfast
from holdfast._base.events import Event
from holdfast.brokers.rabbitmq import RabbitSettings
from holdfast.testing import wait_until_async
from holdfast.testing.rabbitmq import RabbitServer

#: A busy machine needs more than an idle one.
SOON_S = 20.0
GROUP = "billing"


class Service:
    """A façade whose consumers run, and what it said."""

    def __init__(self, hf: Holdfast) -> None:
        self.hf = hf
        self.said: list[Event] = []
        hf.events.subscribe(self.said.append)

    def heard(self, name: str) -> list[Any]:
        return [event for event in self.said if event.name == name]

    async def until(self, met: Callable[[], bool], what: str) -> None:
        await wait_until_async(met, SOON_S, what)

    async def joined(self, times: int = 1) -> None:
        await self.until(lambda: len(self.heard("consumer_started")) >= times, f"{times} joined")

    def state(self) -> Any:
        assert self.hf.worker is not None
        return self.hf.worker.sources[0].inspect()


def service(url: str, **how: Any) -> Service:
    """Not running yet: declare consumers on its ``hf``."""
    return Service(Holdfast(url, broker=RabbitSettings(look_s=0.2, **how)))


@asynccontextmanager
async def running(it: Service) -> AsyncIterator[Service]:
    """Runs what was declared, once it has joined; ends it in good order."""
    async with it.hf:
        task = asyncio.create_task(it.hf.run(drain_s=5.0))
        try:
            await it.until(lambda: task.done() or bool(it.heard("consumer_started")), "the consumer has joined")
            if task.done():
                task.result()
            yield it
        finally:
            it.hf.stop()
            await task


@asynccontextmanager
async def stranger(url: str) -> AsyncIterator[Any]:
    """A channel of a client that knows nothing of us."""
    async with await aio_pika.connect(url) as connection:
        yield await connection.channel()


@asynccontextmanager
async def full(server: RabbitServer, queue: str) -> AsyncIterator[None]:
    """A queue that refuses what is published, until the block ends; what filled it is then taken away."""
    limit = json.dumps({"max-length": 1, "overflow": "reject-publish"})
    await asyncio.to_thread(server.control, "set_policy", "full", f"^{queue}$", limit)
    async with stranger(server.url) as channel:
        filling = aio_pika.Message(b"filling")
        until = time.monotonic() + SOON_S
        try:
            while time.monotonic() < until:
                # Straight into the queue: what waits in a chain would leave it again.
                await channel.default_exchange.publish(filling, routing_key=queue)
        except DeliveryError:
            yield
        else:
            raise AssertionError(f"{queue} was never full")
        finally:
            await asyncio.to_thread(server.control, "clear_policy", "full")
            await (await channel.declare_queue(queue, passive=True)).purge()


async def lying(url: str, queue: str) -> list[Any]:
    """All that lies ready in a queue; it stays there."""
    found = []
    async with stranger(url) as channel:
        it = await channel.declare_queue(queue, passive=True)
        while (message := await it.get(fail=False)) is not None:
            found.append(message)
    return found
