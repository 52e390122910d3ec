# SPDX-License-Identifier: Apache-2.0
"""A process in the bench of dead letters: it puts them there, sends them back as a job, or writes bare entries."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import redis.asyncio as redis

from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.jobs import Plan, Runner, make

from ..job import Job, order
from ..tally import say

#: Errors that letters died of: the largest has a twelfth of them, most have few.
KINDS = 300
_PAGE = 500


def kind_of(n: int) -> int:
    """Which error the n-th letter died of."""
    return n % 7 if n % 3 else (n // 3) % KINDS


async def fill(job: Job) -> None:
    """n letters on the shelf, as a consumer leaves them."""
    client, keys = redis.Redis.from_url(job.url), GroupKeys("hf", job.stream, job.group)
    first_ms = int(time.time() * 1000) - job.n
    await client.xgroup_create(job.stream, job.group, id="0", mkstream=True)
    for start in range(0, job.n, _PAGE):
        async with client.pipeline(transaction=False) as pipe:
            for n in range(start, min(start + _PAGE, job.n)):
                pipe.execute_command("XADD", keys.dead, f"{first_ms + n}-0", *_letter(job, n),
                                     "body", msgspec.json.encode(order(n)))
                pipe.execute_command("HSET", keys.letters, _id(n), f"{first_ms + n}-0")
            await pipe.execute()
    await client.aclose()
    say(event="filled")


def _id(n: int) -> str:
    return f"01JD8Z3V5K7Q2M9T4R6W{n:06d}"


def _letter(job: Job, n: int) -> list[Any]:
    kind = kind_of(n)
    meta = {"spec-version": "1", "letter-id": _id(n), "failure-reason": "max_attempts", "error-stage": "handle",
            "exception-type": f"app.errors.Error{kind % 40}", "attempts": "5", "applied": "no",
            "exception-message": f"kind {kind}: the warehouse did not answer order {n} in time",
            "exception-fingerprint": f"v1:{kind:032x}", "original-topic": job.stream, "original-offset": f"{n + 1}-0",
            "original-message-id": f"m{n:025d}", "failure-timestamp": "2026-11-26T12:00:00.000Z",
            "handler": "app.orders.handle"}
    return [*(part for name, value in meta.items() for part in (f"x-dlq-{name}", value)),
            "id", f"m{n:025d}", *(("key", f"customer-{n % 997}") if job.keep else ())]


async def replay(job: Job) -> None:
    """All letters back to their group, as a job on the desk at ``sql``. rate: at most so many a second."""
    server, desk = await open_server(job.url), await Desk(job.sql).open()
    shelf, ana = Shelf(server, job.stream, job.group), Actor("ana", person=True)
    say(event="ready")
    began_ns = time.monotonic_ns()
    made = await make(desk, shelf, shelf.letters(), Plan(order="sent", wait=False, rate_per_s=job.rate), ana,
                      asked="all")
    made_ns, cpu_s = time.monotonic_ns(), time.process_time()
    done = await Runner(desk, shelf, ana).run(made.id)
    say(event="report", began_ns=began_ns, made_ns=made_ns, sent_ns=time.monotonic_ns(), sent=done.counts.sent,
        chosen=done.counts.chosen, cpu_s=time.process_time() - cpu_s)
    await desk.close()
    await server.close()


async def pace(job: Job) -> None:
    """What replay is compared with: the same entries written by a bare loop, 200 a pipeline, to the group's stream."""
    client = redis.Redis.from_url(job.url)
    bodies = [msgspec.json.encode(order(n)) for n in range(job.n)]
    say(event="ready")
    began_ns, cpu_s = time.monotonic_ns(), time.process_time()
    for start in range(0, job.n, 200):
        async with client.pipeline(transaction=False) as pipe:
            for n in range(start, min(start + 200, job.n)):
                pipe.execute_command("XADD", job.stream, "*", *_letter(job, n), "body", bodies[n])
            await pipe.execute()
    say(event="report", began_ns=began_ns, made_ns=began_ns, sent_ns=time.monotonic_ns(), sent=job.n, chosen=job.n,
        cpu_s=time.process_time() - cpu_s)
    await client.aclose()
