# SPDX-License-Identifier: Apache-2.0
"""The floor: what one writes by hand in twenty lines. No recovery, no retry, no fence, no time-out.

What a library costs is what it takes on top of this.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ..job import Job, Order, order
from ..tally import Tally, paced, say

COUNT = 100
_CHUNK = 500


async def work(job: Job) -> None:
    """XREADGROUP, decode, await the handler, one XACK; until SIGTERM."""
    tally, stopping = Tally(job), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)

    async def handle(got: Order) -> None:
        tally.take(got)

    redis = Redis.from_url(job.url)
    await _group(redis, job)
    tally.ready()
    reading = asyncio.create_task(_read(redis, job, handle))
    await asyncio.wait([reading, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
    if reading.done():
        reading.result()
    reading.cancel()
    tally.report()


async def _read(redis: Any, job: Job, handle: Any) -> None:
    decode = msgspec.json.Decoder(Order).decode
    while True:
        reply = await redis.xreadgroup(job.group, job.name, {job.stream: ">"}, count=COUNT, block=2000)
        for _, entries in reply:
            for _, fields in entries:
                await handle(decode(fields[b"body"]))
            await redis.xack(job.stream, job.group, *[entry_id for entry_id, _ in entries])


async def _group(redis: Any, job: Job) -> None:
    try:
        await redis.xgroup_create(job.stream, job.group, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


async def fill(job: Job) -> None:
    """n messages, pipelined."""
    redis, encode = Redis.from_url(job.url), msgspec.json.encode
    for start in range(0, job.n, _CHUNK):
        pipe = redis.pipeline(transaction=False)
        for number in range(start, min(start + _CHUNK, job.n)):
            pipe.xadd(job.stream, {"body": encode(order(number))})
        await pipe.execute()
    await redis.aclose()
    say(event="filled")


async def pace(job: Job) -> None:
    """n messages at a fixed rate."""
    redis, encode = Redis.from_url(job.url), msgspec.json.encode

    async def publish(number: int, now_ns: int) -> None:
        await redis.xadd(job.stream, {"body": encode(order(number, now_ns))})

    await paced(job.n, job.rate, publish)
    await redis.aclose()
    say(event="paced")
