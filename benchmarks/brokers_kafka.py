# SPDX-License-Identifier: Apache-2.0
"""Kafka: publishing and draining, ours beside bare confluent-kafka, in the same run, on librdkafka's mock cluster.

The mock cluster is no Kafka broker: it keeps nothing on disk and replicates nothing. It runs in a process of its own.
The bare client does what its documentation shows: an idempotent producer, and a loop that consumes a batch, handles
each message and commits. Ours decodes, times, retries and buries besides; handlers do nothing in both. Both commit
offsets only; transactions come with what fails, and the mock cluster does not keep their promise.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import confluent_kafka as ck

from holdfast import Holdfast
from holdfast.testing.kafka import KafkaProcess

from .drain import in_turn

BODY = {"n": 0, "text": "x" * 170}
BATCH = 500
WITHIN_S = 300.0


def measure(n: int, rounds: int, tell: Any) -> dict[str, list[dict[str, float]]]:
    """Contestant → rounds of publishes a second, drained a second, and how many messages were not handled once."""
    figures: dict[str, list[dict[str, float]]] = {"bare": [], "holdfast": []}
    runs = {"bare": _bare, "holdfast": lambda cluster, n, topic: asyncio.run(_ours(cluster, n, topic))}
    for number in range(rounds):
        for name in in_turn(list(runs), number):
            with KafkaProcess() as cluster:
                found = runs[name](cluster, n, f"bench-{name}-{number}")
            figures[name].append(found)
            tell(f"round {number + 1} of {rounds}: Kafka, {name}: {found['publish_per_s']:,.0f} published, "
                 f"{found['drain_per_s']:,.0f} drained a second")
    return figures


def _bare(cluster: KafkaProcess, n: int, topic: str) -> dict[str, float]:
    producer = ck.Producer({"bootstrap.servers": cluster.address, "enable.idempotence": True, "linger.ms": 2,
                            "log_level": 0})
    started = time.perf_counter()
    for at in range(0, n, BATCH):
        for i in range(at, min(n, at + BATCH)):
            producer.produce(topic, value=json.dumps({**BODY, "n": i}).encode(), key=str(i).encode())
        producer.flush()
    published_s = time.perf_counter() - started
    consumer = ck.Consumer({"bootstrap.servers": cluster.address, "group.id": "all", "enable.auto.commit": False,
                            "auto.offset.reset": "earliest", "log_level": 0})
    consumer.subscribe([topic])
    seen: list[int] = []
    began = 0.0
    until = time.monotonic() + WITHIN_S
    while len(seen) < n and time.monotonic() < until:
        found = [m for m in consumer.consume(BATCH, 0.05) if m.error() is None]
        if found and not began:
            began = time.perf_counter()  # joining the group is not what is compared
        seen += [json.loads(m.value())["n"] for m in found]
        if found:
            consumer.commit(asynchronous=False)
    drained_s = time.perf_counter() - began
    consumer.close()
    return _figures(n, published_s, drained_s, seen)


async def _ours(cluster: KafkaProcess, n: int, topic: str) -> dict[str, float]:
    hf = Holdfast(cluster.url)
    seen: list[int] = []
    over = asyncio.Event()
    began: list[float] = []

    @hf.consumer(topic, group="all", concurrency=100)
    async def handle(order: dict[str, Any]) -> None:
        if not began:
            began.append(time.perf_counter())
        seen.append(order["n"])
        if len(seen) >= n:
            over.set()

    async with hf:
        started = time.perf_counter()
        for at in range(0, n, BATCH):
            await hf.publish_many(topic, [{**BODY, "n": i} for i in range(at, min(n, at + BATCH))])
        published_s = time.perf_counter() - started
        running = asyncio.create_task(hf.run())
        await asyncio.wait_for(over.wait(), WITHIN_S)
        drained_s = time.perf_counter() - began[0]
        hf.stop()
        await running
    return _figures(n, published_s, drained_s, seen)


def _figures(n: int, published_s: float, drained_s: float, seen: list[int]) -> dict[str, float]:
    once = len(set(seen))
    return {"publish_per_s": n / published_s, "drain_per_s": n / drained_s, "odd": abs(n - once) + len(seen) - once}
