# SPDX-License-Identifier: Apache-2.0
"""taskiq with taskiq-redis' stream broker, run by its own ``taskiq worker`` command, which imports ``broker`` here."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

from ..job import Job, given, order
from ..tally import Tally, say

_AT_ONCE = 50
_job = given()
_tally = Tally(_job)
_recovery: dict[str, Any] = {}
if _job.lease_ms:
    _recovery = {"idle_timeout": _job.lease_ms, "unacknowledged_lock_timeout": _job.lease_ms / 1000}
broker = RedisStreamBroker(_job.url, queue_name=_job.stream, consumer_group_name=_job.group, consumer_id="0",
                           **_recovery)


class TaskOrder(BaseModel):
    """The message, in the form taskiq validates."""

    id: int
    sent_ns: int
    customer: str
    amount: float
    note: str


@broker.task
async def handle(got: TaskOrder) -> None:
    """Nothing, counted."""
    _tally.take(got)
    if _job.hang:
        await _tally.hang()


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _started(_: TaskiqState) -> None:
    _tally.ready()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def _ended(_: TaskiqState) -> None:
    _tally.report()


async def fill(job: Job) -> None:
    """n messages by ``kiq``, some at once."""
    await broker.startup()
    for start in range(0, job.n, _AT_ONCE):
        await asyncio.gather(*(
            handle.kiq(TaskOrder(id=o.id, sent_ns=0, customer=o.customer, amount=o.amount, note=o.note))
            for o in map(order, range(start, min(start + _AT_ONCE, job.n)))))
    await broker.shutdown()
    say(event="filled")
