# SPDX-License-Identifier: Apache-2.0
"""Holdfast as its own documentation shows it: defaults, one decorated handler."""

from __future__ import annotations

from holdfast import Holdfast
from holdfast.streams.settings import StreamSettings

from ..job import Job, Order, order
from ..tally import Tally, paced, say

_CHUNK = 500


def _settings(job: Job) -> StreamSettings:
    return StreamSettings(keep=job.keep, **({"lease_ms": job.lease_ms} if job.lease_ms else {}))


async def work(job: Job) -> None:
    """Until SIGTERM."""
    tally = Tally(job)
    hf = Holdfast(job.url, settings=_settings(job))

    if job.batch:
        @hf.consumer(job.stream, group=job.group, batch=True)
        async def handle_all(got: list[Order]) -> None:
            for one in got:
                tally.take(one)
    elif job.hang:
        @hf.consumer(job.stream, group=job.group)
        async def handle_and_hang(got: Order) -> None:
            tally.take(got)
            await tally.hang()
    else:
        @hf.consumer(job.stream, group=job.group)
        async def handle(got: Order) -> None:
            tally.take(got)

    hf.events.subscribe(lambda event: tally.ready() if event.name == "consumer_started" else None)
    async with hf:
        await hf.run(signals=True)
    tally.report()


async def fill(job: Job) -> None:
    """n messages by ``publish_many``."""
    async with Holdfast(job.url) as hf:
        for start in range(0, job.n, _CHUNK):
            await hf.publish_many(job.stream, [order(i) for i in range(start, min(start + _CHUNK, job.n))])
    say(event="filled")


async def pace(job: Job) -> None:
    """n messages at a fixed rate, by ``publish``."""
    async with Holdfast(job.url) as hf:
        await paced(job.n, job.rate, lambda number, now_ns: hf.publish(job.stream, order(number, now_ns)))
    say(event="paced")
