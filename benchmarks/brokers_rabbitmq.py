# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ: publishing and draining, ours beside bare aio-pika, in the same run, on the same server.

The bare client does what its documentation shows: quorum queue, publisher confirms, a prefetch, a handler that returns,
an acknowledgement a message. Ours decodes, times, retries and buries besides; handlers do nothing in both.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aio_pika

from holdfast import Holdfast
from holdfast.brokers.rabbitmq import RabbitSettings
from holdfast.testing.rabbitmq import RabbitServer

from .drain import in_turn

PREFETCH = 200
BODY = {"n": 0, "text": "x" * 170}
#: Messages on their way at once while publishing.
AT_ONCE = 200


def measure(n: int, rounds: int, tell: Any) -> dict[str, list[dict[str, float]]]:
    """Contestant → rounds of publishes a second, drained a second, and how many messages were not handled once."""
    figures: dict[str, list[dict[str, float]]] = {"bare": [], "holdfast": []}
    runs = {"bare": _bare, "holdfast": _ours}
    with RabbitServer() as server:
        for number in range(rounds):
            for name in in_turn(list(runs), number):
                found = asyncio.run(runs[name](server.url, n, f"bench-{name}-{number}"))
                figures[name].append(found)
                tell(f"round {number + 1} of {rounds}: RabbitMQ, {name}: {found['publish_per_s']:,.0f} published, "
                     f"{found['drain_per_s']:,.0f} drained a second")
    return figures


async def _bare(url: str, n: int, stream: str) -> dict[str, float]:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        exchange = await channel.declare_exchange(stream, "fanout", durable=True)
        queue = await channel.declare_queue(f"{stream}/all", durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(exchange)
        body = str(BODY).encode()

        async def put(i: int) -> None:
            await exchange.publish(aio_pika.Message(body, message_id=str(i), delivery_mode=2), routing_key=stream)

        started = time.perf_counter()
        for at in range(0, n, AT_ONCE):
            await asyncio.gather(*(put(i) for i in range(at, min(n, at + AT_ONCE))))
        published_s = time.perf_counter() - started
        seen: list[str | None] = []
        over = asyncio.Event()

        async def handle(message: Any) -> None:
            seen.append(message.message_id)
            await message.ack()
            if len(seen) >= n:
                over.set()

        started = time.perf_counter()
        await queue.consume(handle)
        await asyncio.wait_for(over.wait(), 300)
        return _figures(n, published_s, time.perf_counter() - started, seen)


async def _ours(url: str, n: int, stream: str) -> dict[str, float]:
    hf = Holdfast(url, broker=RabbitSettings(prefetch=PREFETCH))
    seen: list[int] = []
    over = asyncio.Event()

    @hf.consumer(stream, group="all")
    async def handle(order: dict[str, Any]) -> None:
        seen.append(order["n"])
        if len(seen) >= n:
            over.set()

    async with hf:
        broker: Any = await hf._elsewhere()  # noqa: SLF001 - the queue has to be there before it is filled
        await broker.prepare(broker.names(stream, "all"))
        started = time.perf_counter()
        for at in range(0, n, AT_ONCE):
            await hf.publish_many(stream, [{**BODY, "n": i} for i in range(at, min(n, at + AT_ONCE))])
        published_s = time.perf_counter() - started
        started = time.perf_counter()
        running = asyncio.create_task(hf.run())
        await asyncio.wait_for(over.wait(), 300)
        drained_s = time.perf_counter() - started
        hf.stop()
        await running
    return _figures(n, published_s, drained_s, seen)


def _figures(n: int, published_s: float, drained_s: float, seen: list[Any]) -> dict[str, float]:
    return {"publish_per_s": n / published_s, "drain_per_s": n / drained_s, "odd": abs(n - len(set(seen)))
            + len(seen) - len(set(seen))}
