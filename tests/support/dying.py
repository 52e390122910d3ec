# SPDX-License-Identifier: Apache-2.0
"""Messages that die, for tests of what comes after: a consumer that refuses everything, run until all are buried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from holdfast import Delivery, Holdfast, Reject, StreamSettings

QUICK = StreamSettings(lease_ms=2_000, sweep_ms=200, block_ms=200)


async def until(met: Callable[[], bool], what: str, deadline_s: float = 20.0) -> None:
    """Waits for a condition, or fails by its name."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + deadline_s
    while not met():
        if loop.time() > ends:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        await asyncio.sleep(0.01)


async def bury(url: str, stream: str, group: str, values: Sequence[Any], *, partitions: int = 0,
               keys: Sequence[str] | None = None) -> None:
    """Publishes ``values`` and has group ``group`` refuse all of them."""
    async with Holdfast(url, settings=QUICK) as hf:
        if partitions:
            hf.stream(stream, partitions=partitions)
        for n, value in enumerate(values):
            await hf.publish(stream, value, key=keys[n] if keys else None)
    await refuse(url, stream, group, len(values), partitions=partitions)


async def refuse(url: str, stream: str, group: str, count: int, *, partitions: int = 0) -> list[Delivery]:
    """Runs a consumer that refuses everything until it has buried ``count``; answers what it was handed."""
    buried: list[Any] = []
    seen: list[Delivery] = []

    async with Holdfast(url, settings=QUICK) as hf:
        if partitions:
            hf.stream(stream, partitions=partitions)
        hf.events.subscribe(lambda event: buried.append(event) if event.name == "buried" else None)

        @hf.consumer(stream, group=group)
        async def handler(body: Any, delivery: Delivery) -> None:
            seen.append(delivery)
            raise Reject(reason=f"no use for it on {stream}")

        running = asyncio.create_task(hf.run(drain_s=1.0))
        await until(lambda: len(buried) >= count or running.done(), f"{count} letters")
        hf.stop()
        await running
    return seen


async def take(url: str, stream: str, group: str, count: int) -> list[tuple[Any, Delivery]]:
    """Runs a consumer that takes everything until it was handed ``count``; answers bodies and deliveries."""
    seen: list[tuple[Any, Delivery]] = []
    async with Holdfast(url, settings=QUICK) as hf:

        @hf.consumer(stream, group=group)
        async def handler(body: Any, delivery: Delivery) -> None:
            seen.append((body, delivery))

        running = asyncio.create_task(hf.run(drain_s=1.0))
        await until(lambda: len(seen) >= count or running.done(), f"{count} messages")
        hf.stop()
        await running
    return seen
