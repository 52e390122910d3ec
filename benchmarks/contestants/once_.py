# SPDX-License-Identifier: Apache-2.0
"""Holdfast with each mode of ``once``, and without: the same message, the same typed handler, one effect a message."""

from __future__ import annotations

from typing import Any

from holdfast import Holdfast
from holdfast.once import Held, IdempotencyKey, Writes, locked

from ..job import Job, Order
from ..tally import Tally
from .holdfast_ import fill, pace

__all__ = ["EFFECTS", "fill", "pace", "work"]

#: Where effects are counted: a hash beside the stream, or a table.
EFFECTS = "{orders}:effects"
#: Fields of the hash. A counter a customer, as one would write it.
BUCKETS = 997


async def work(job: Job) -> None:
    """Until SIGTERM."""
    tally = Tally(job)
    hf = Holdfast(job.url, sql=job.sql or None)
    close = await _DECLARE[job.once](hf, job, tally)
    hf.events.subscribe(lambda event: tally.ready() if event.name == "consumer_started" else None)
    async with hf:
        await hf.run(signals=True)
    if close is not None:
        await close()
    tally.report()


async def _none(hf: Holdfast, job: Job, tally: Tally) -> Any:
    @hf.consumer(job.stream, group=job.group)
    async def handle(got: Order) -> None:
        tally.take(got)


async def _by_hand(hf: Holdfast, job: Job, tally: Tally) -> Any:
    from redis.asyncio import Redis

    client = Redis.from_url(job.url)

    @hf.consumer(job.stream, group=job.group)
    async def handle(got: Order) -> None:
        tally.take(got)
        await client.hincrby(EFFECTS, got.customer, 1)

    return client.aclose


async def _locked(hf: Holdfast, job: Job, tally: Tally) -> Any:
    from redis.asyncio import Redis

    client = Redis.from_url(job.url)

    @hf.consumer(job.stream, group=job.group, once=locked())
    async def handle(got: Order, held: Held) -> None:
        tally.take(got)
        await client.hincrby(EFFECTS, got.customer, 1)
        held.check()

    return client.aclose


async def _redis(hf: Holdfast, job: Job, tally: Tally) -> Any:
    @hf.consumer(job.stream, group=job.group, once="redis")
    async def handle(got: Order, writes: Writes) -> None:
        tally.take(got)
        writes.hincrby(EFFECTS, got.customer)


async def _outside(hf: Holdfast, job: Job, tally: Tally) -> Any:
    @hf.consumer(job.stream, group=job.group, once="outside")
    async def handle(got: Order, key: IdempotencyKey) -> None:
        assert key
        tally.take(got)


async def _sql(hf: Holdfast, job: Job, tally: Tally) -> Any:
    from .once_sql_ import declare

    await declare(hf, job, tally)


_DECLARE = {"": _none, "by-hand": _by_hand, "redis": _redis, "outside": _outside, "locked": _locked,
            "sql": _sql}
