# SPDX-License-Identifier: Apache-2.0
"""One process that claims worker ids, gives them back, and renews one: straight at a scheme, without its threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from holdfast.errors import ServerUnreachable
from holdfast.ids.scheme import Grant, Owner, Scheme

from ..figures import percentile
from ..job import Job
from ..tally import say

#: Nothing ends meanwhile.
LEASE_MS = 3_600_000
TRIES = 5


def _redis(job: Job) -> Scheme:
    from holdfast.ids.schemes.redis import RedisWorkers

    return RedisWorkers(job.url, pool=job.name)


def _sql(job: Job) -> Scheme:
    from holdfast.ids.schemes.sql import SqlWorkers

    return SqlWorkers(job.url, pool=job.name)


def _etcd(job: Job) -> Scheme:
    from holdfast.ids.schemes.etcd import EtcdWorkers

    return EtcdWorkers([job.url], pool=job.name)


def _zookeeper(job: Job) -> Scheme:
    from holdfast.ids.schemes.zookeeper import ZooKeeperWorkers

    return ZooKeeperWorkers(job.url, pool=job.name)


def _kubernetes(job: Job) -> Scheme:
    from holdfast.ids.schemes.kubernetes import KubernetesWorkers

    return KubernetesWorkers(job.url, namespace="default", token=job.token, pool=job.name)


SCHEMES: dict[str, Callable[[Job], Scheme]] = {
    "redis": _redis, "sqlite": _sql, "postgresql": _sql, "mariadb": _sql, "etcd": _etcd, "zookeeper": _zookeeper,
    "kubernetes": _kubernetes}


async def fill(job: Job) -> None:
    """``held`` worker ids of the pool are somebody's for as long as this process lives."""
    scheme = SCHEMES[job.store](job)
    for number in range(job.held):
        await _had(scheme, Owner(f"held-{number}", f"pod-{number}"))
    say(event="filled")
    await asyncio.Event().wait()


async def work(job: Job) -> None:
    """n claims of one newcomer after the other, then as many renewals of one. The first claim of all connects."""
    scheme = SCHEMES[job.store](job)
    await _claimed(scheme, f"{job.place}-first")
    took = [await _claimed(scheme, f"{job.place}-{number}") for number in range(job.n)]
    owner = Owner(f"renewed-{job.place}", f"renewed-{job.place}")
    grant = await _had(scheme, owner)
    renewed, cpu_s = [], time.process_time()
    for _ in range(job.bursts):
        began = time.perf_counter_ns()
        grant = await scheme.renew(owner, grant, LEASE_MS)
        renewed.append(time.perf_counter_ns() - began)
    cpu_s = time.process_time() - cpu_s
    say(event="report", claim=_ms([one for one, _ in took]), release=_ms([one for _, one in took]),
        renewal=_ms(renewed), renewals_per_s=len(renewed) * 1e9 / sum(renewed),
        client_cpu_us=cpu_s * 1e6 / len(renewed))
    await scheme.release(owner, grant, grant.window.first_ms)
    await scheme.close()


async def _claimed(scheme: Scheme, name: str) -> tuple[int, int]:
    """ns of a claim and of giving back."""
    owner, clock = Owner(name, name), time.perf_counter_ns
    began = clock()
    grant = await _had(scheme, owner)
    had = clock()
    await scheme.release(owner, grant, grant.window.first_ms)
    return had - began, clock() - had


async def _had(scheme: Scheme, owner: Owner) -> Grant:
    """However often it takes: a store of this machine may be too busy to answer in time."""
    for _ in range(TRIES):
        with suppress(ServerUnreachable):
            return await scheme.claim(owner, LEASE_MS)
    return await scheme.claim(owner, LEASE_MS)


def _ms(took: list[int]) -> dict[str, Any]:
    at = partial(percentile, sorted(took))
    return {"p50_ms": at(50) / 1e6, "max_ms": at(100) / 1e6}
