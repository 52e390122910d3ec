# SPDX-License-Identifier: Apache-2.0
"""FastStream's Redis stream subscriber, set as its documentation advises for consumer groups and acknowledgement.

In its favour: uvloop, msgspec instead of Pydantic, and no log line a message (its default writes two). For recovery,
the documented second subscriber with ``min_idle_time``, in every worker.
"""

from __future__ import annotations

from typing import Any

from fast_depends.msgspec import MsgSpecSerializer
from faststream import AckPolicy, FastStream
from faststream.redis import RedisBroker, StreamSub

from ..job import Job, Order, order
from ..tally import Tally, paced, say

_CHUNK = 500


def _broker(job: Job) -> RedisBroker:
    return RedisBroker(job.url, logger=None, serializer=MsgSpecSerializer())


async def work(job: Job) -> None:
    """Until SIGTERM, which FastStream handles itself."""
    tally, broker = Tally(job), _broker(job)

    async def handle(got: Order) -> None:
        tally.take(got)
        await tally.hang()

    async def handle_plain(got: Order) -> None:
        tally.take(got)

    async def handle_all(got: list[Order]) -> None:
        for one in got:
            tally.take(one)

    how: dict[str, Any] = {"group": job.group, "max_records": 100, "batch": job.batch}
    handler = handle_all if job.batch else handle if job.hang else handle_plain
    broker.subscriber(stream=StreamSub(job.stream, consumer=job.name, **how),
                      ack_policy=AckPolicy.NACK_ON_ERROR)(handler)
    if job.lease_ms:
        claims = StreamSub(job.stream, consumer=f"{job.name}-claims", min_idle_time=job.lease_ms, **how)
        broker.subscriber(stream=claims, ack_policy=AckPolicy.NACK_ON_ERROR)(handler)
    app = FastStream(broker, logger=None)
    app.after_startup(tally.ready)
    await app.run()
    tally.report()


async def fill(job: Job) -> None:
    """n messages by ``publish``, through the pipeline it offers."""
    broker = _broker(job)
    await broker.connect()
    for start in range(0, job.n, _CHUNK):
        pipe = broker._connection.pipeline(transaction=False)  # noqa: SLF001 - documented as the `Redis` annotation
        for number in range(start, min(start + _CHUNK, job.n)):
            await broker.publish(order(number), stream=job.stream, pipeline=pipe)
        await pipe.execute()
    await broker.stop()
    say(event="filled")


async def pace(job: Job) -> None:
    """n messages at a fixed rate, by ``publish``."""
    broker = _broker(job)
    await broker.connect()
    await paced(job.n, job.rate, lambda number, now_ns: broker.publish(order(number, now_ns), stream=job.stream))
    await broker.stop()
    say(event="paced")
