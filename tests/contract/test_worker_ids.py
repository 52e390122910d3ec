# SPDX-License-Identifier: Apache-2.0
"""The contract of schemes of worker ids (``ids.scheme``): one battery, every store.

A scheme joins with a branch in ``made``; the claims do not change. Time is the store's own, so windows are short and
waited for. The matrix of schemes and claims is printed at the end of a run and kept in ``build/worker-id-matrix.txt``
and ``.json``; ``python -m tests.contract.worker_id_matrix`` prints it again.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager

import pytest

from holdfast._sql.install import install
from holdfast.errors import IdsRefused, LeaseLost, WorkerIdsExhausted, WorkerIdTaken
from holdfast.ids import Generator, WorkerId, layout_called
from holdfast.ids.scheme import Owner
from holdfast.ids.schemes.etcd import EtcdWorkers
from holdfast.ids.schemes.kubernetes import KubernetesWorkers
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.ids.schemes.sql import SqlWorkers
from holdfast.ids.schemes.zookeeper import ZooKeeperWorkers
from holdfast.testing.kubernetes import KubernetesServer

SCHEMES = ("redis-valkey", "redis-redis70", "redis-cluster", "sql-sqlite", "sql-postgres", "sql-mariadb", "etcd",
           "zookeeper", "kubernetes")
SOON_S = 10.0


@pytest.fixture(scope="module")
def kubernetes():
    with KubernetesServer() as server:
        yield server


@pytest.fixture(params=SCHEMES)
def made(request, tmp_path, stream):
    """Makes schemes of one pool on one store; each as another process would have it."""
    kind, _, where = request.param.partition("-")
    if kind == "redis":
        url = request.getfixturevalue("_pool").get(where).url
        return lambda **how: RedisWorkers(url, pool=stream, **how)
    if kind == "etcd":
        endpoint = request.getfixturevalue("etcd").endpoint
        return lambda **how: EtcdWorkers([endpoint], pool=stream, **how)
    if kind == "zookeeper":
        hosts = request.getfixturevalue("zookeeper").hosts
        return lambda **how: ZooKeeperWorkers(hosts, pool=stream, **how)
    if kind == "kubernetes":
        server = request.getfixturevalue("kubernetes")
        return lambda **how: KubernetesWorkers(server.url, namespace="default", token=server.token, pool=stream, **how)
    url = f"sqlite:///{tmp_path}/ids.db" if where == "sqlite" else request.getfixturevalue(where).database()
    asyncio.run(install(url))
    return lambda **how: SqlWorkers(url, pool=stream, **how)


@asynccontextmanager
async def opened(made, **how):
    scheme = made(**how)
    try:
        yield scheme
    finally:
        await scheme.close()


def owner(n, wanted=None, name=None):
    return Owner(f"hold-{n}", name or f"pod-{n}", wanted)


async def in_time(claim):
    """Asks until it is given."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                return await claim()
            except (WorkerIdTaken, WorkerIdsExhausted):
                await asyncio.sleep(0.02)


def test_claims_that_come_together_have_an_id_each(made, arun):
    async def main():
        async with opened(made, workers=30) as one, opened(made, workers=30) as other:
            grants = await asyncio.gather(*(scheme.claim(owner(f"{n}-{m}"), 60_000)
                                            for n in range(15) for m, scheme in enumerate((one, other))))
            assert sorted(grant.worker for grant in grants) == list(range(30))

    arun(main())


def test_who_comes_when_all_are_held_is_told_when_one_is_free(made, arun):
    async def main():
        async with opened(made, workers=3) as scheme:
            for n in range(3):
                await scheme.claim(owner(n), 60_000)
            with pytest.raises(WorkerIdsExhausted, match=r"all 3 worker ids .* are held; the first one is free in \d+"):
                await scheme.claim(owner("late"), 60_000)

    arun(main())


def test_asked_again_it_is_the_same_one(made, arun):
    async def main():
        async with opened(made) as scheme:
            first = await scheme.claim(owner(1), 60_000)
            again = await scheme.claim(owner(1), 60_000)
            assert (again.worker, again.window) == (first.worker, first.window)
            assert again.now_ms >= first.now_ms

    arun(main())


def test_windows_of_one_id_never_overlap_however_they_end(made, arun):
    """Given back early, given back with an id that was ahead, and run out by themselves."""
    async def main():
        async with opened(made, workers=1) as scheme:
            windows = []
            for n in range(6):
                grant = await in_time(lambda n=n: scheme.claim(owner(n), 150))
                first = grant.window.first_ms
                if n % 3 == 2:
                    windows.append((first, grant.window.last_ms))
                    continue
                grant = await scheme.renew(owner(n), grant, 1000)
                last = first + (5 if n % 3 else 900)
                await scheme.release(owner(n), grant, last)
                windows.append((first, last))
            for (_, last), (first, _) in itertools.pairwise(windows):
                assert first > last, "guard: behind the last one"

    arun(main())


def test_only_the_owner_extends_or_ends_a_window(made, arun):
    async def main():
        async with opened(made, workers=1) as scheme:
            old = await scheme.claim(owner("old"), 100)
            new = await in_time(lambda: scheme.claim(owner("new"), 60_000))
            with pytest.raises(LeaseLost, match="worker id 0 of pool"):
                await scheme.renew(owner("old"), old, 60_000)
            await scheme.release(owner("old"), old, 0)
            (held,) = await scheme.holders()
            assert (held.window_end_ms, held.owner, held.live) == (new.window.last_ms, "pod-new", True), "guard: owner"

    arun(main())


def test_a_renewed_window_only_grows(made, arun):
    async def main():
        async with opened(made) as scheme:
            grant = await scheme.claim(owner(1), 60_000)
            shorter = await scheme.renew(owner(1), grant, 100)
            assert shorter.window == grant.window, "what was told is not taken back"
            longer = await scheme.renew(owner(1), grant, 120_000)
            assert longer.window.last_ms > grant.window.last_ms
            assert longer.window.first_ms == grant.window.first_ms

    arun(main())


def test_a_wanted_id_is_had_or_refused_and_never_another_one(made, arun):
    async def main():
        async with opened(made, workers=10) as scheme:
            first = await scheme.claim(owner(1, wanted=7, name="web-7"), 300)
            assert first.worker == 7
            with pytest.raises(WorkerIdTaken, match=r"worker id 7 .* is held by 'web-7' for another \d+ ms"):
                await scheme.claim(owner(2, wanted=7, name="copy"), 300)
            again = await in_time(lambda: scheme.claim(owner(3, wanted=7, name="web-7"), 300))
            assert again.worker == 7
            assert again.window.first_ms > first.window.last_ms

    arun(main())


def test_whoever_had_an_id_has_it_again_and_others_what_was_free_for_longest(made, arun):
    async def main():
        async with opened(made, workers=4) as scheme:
            grants = [await scheme.claim(owner(n), 60_000) for n in range(4)]
            for n, grant in enumerate(grants):
                await scheme.release(owner(n), grant, grant.window.first_ms + n)
            assert (await scheme.claim(owner("back", name="pod-2"), 1000)).worker == grants[2].worker
            assert (await scheme.claim(owner("new"), 1000)).worker == grants[0].worker

    arun(main())


def test_holders_are_shown_with_their_windows(made, arun):
    async def main():
        async with opened(made) as scheme:
            assert await scheme.holders() == []
            grant = await scheme.claim(owner(1), 60_000)
            (held,) = await scheme.holders()
            assert (held.worker, held.owner, held.live) == (grant.worker, "pod-1", True)
            assert (held.window_start_ms, held.window_end_ms) == (grant.window.first_ms, grant.window.last_ms)
            await scheme.release(owner(1), grant, grant.window.first_ms)
            (held,) = await scheme.holders()
            assert (held.live, held.window_end_ms) == (False, grant.window.first_ms)

    arun(main())


def test_ids_are_made_while_it_is_renewed_and_none_behind_its_end(made):
    layout = layout_called("snowflake")
    with WorkerId(made(), window_s=0.6) as worker:
        ids = Generator(layout, worker)
        found = []
        for _ in range(30):
            found += ids.next_ids(100)
            assert worker.ready
            time.sleep(0.05)
    assert len(set(found)) == 3000
    with pytest.raises(IdsRefused, match="given back"):
        ids.next_id()

    async def ends():
        async with opened(made) as scheme:
            return {held.worker: held.window_end_ms for held in await scheme.holders()}

    assert asyncio.run(ends())[worker.worker] == layout.decode(max(found)).timestamp_ms, "the next one begins behind it"
