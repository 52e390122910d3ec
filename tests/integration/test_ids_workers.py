# SPDX-License-Identifier: Apache-2.0
"""Worker ids on Redis: never two owners whose windows overlap, whatever happens to them, the server, or its clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import pytest

from holdfast.errors import IdsRefused, LeaseLost, WorkerIdsExhausted, WorkerIdTaken
from holdfast.ids import Generator, layout_called
from holdfast.ids.scheme import Owner
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.ids.worker import WorkerId
from holdfast.testing import wait_until

pytestmark = pytest.mark.everywhere


@pytest.fixture
def pool(stream):
    return f"ids-{stream}"


def scheme(backend, pool, **how):
    return RedisWorkers(backend.url, pool=pool, **how)


def owner(n, wanted=None, name=None):
    return Owner(f"hold-{n}", name or f"pod-{n}", wanted)


def test_every_claim_has_another_id_and_the_last_one_is_told_that_there_are_no_more(backend, pool, arun):
    async def main():
        workers = scheme(backend, pool, workers=5)
        grants = [await workers.claim(owner(n), 5000) for n in range(5)]
        assert sorted(grant.worker for grant in grants) == [0, 1, 2, 3, 4]
        with pytest.raises(WorkerIdsExhausted, match=r"all 5 worker ids .* are held; the first one is free in \d+ ms"):
            await workers.claim(owner(6), 5000)
        assert (await workers.claim(owner(2), 5000)) .worker == grants[2].worker, "asked again, it is the same one"
        await workers.close()

    arun(main())


def test_windows_of_one_id_follow_each_other_without_overlap(backend, pool, arun):
    async def main():
        workers, ends = scheme(backend, pool, workers=1), -1
        for n in range(5):
            grant = await workers.claim(owner(n), 200)
            assert grant.window.first_ms > ends, "guard: behind the last one"
            renewed = await workers.renew(owner(n), grant, 1000)
            assert renewed.window.last_ms > grant.window.last_ms
            ends = grant.window.first_ms + 50
            await workers.release(owner(n), renewed, ends)
        with pytest.raises(LeaseLost, match="is not ours any more"):
            await workers.renew(owner(0), grant, 400)
        await workers.release(owner(0), grant, 0)
        assert (await workers.holders())[0].window_end_ms == ends, "guard: owner"
        await workers.close()

    arun(main())


def test_a_wanted_id_that_is_held_is_refused_and_had_again_by_its_owner_in_time(backend, pool, arun):
    async def main():
        workers = scheme(backend, pool, workers=10)
        first = await workers.claim(owner(1, wanted=7, name="web-7"), 300)
        with pytest.raises(WorkerIdTaken, match=r"worker id 7 .* is held by 'web-7' for another \d+ ms"):
            await workers.claim(owner(2, wanted=7, name="copy-of-web-7"), 300)
        while True:
            try:
                again = await workers.claim(owner(3, wanted=7, name="web-7"), 300)
                break
            except WorkerIdTaken:
                await asyncio.sleep(0.02)
        assert again.window.first_ms > first.window.last_ms
        await workers.close()

    arun(main())


def test_whoever_had_an_id_has_it_again_and_others_take_what_was_free_for_longest(backend, pool, arun):
    async def main():
        workers = scheme(backend, pool, workers=4)
        grants = [await workers.claim(owner(n), 60_000) for n in range(4)]
        for n, grant in enumerate(grants):
            await workers.release(owner(n), grant, grant.window.first_ms + n)
        assert (await workers.claim(owner("again", name="pod-2"), 1000)).worker == grants[2].worker
        assert (await workers.claim(owner("new"), 1000)).worker == grants[0].worker
        await workers.close()

    arun(main())


@pytest.mark.kinds("valkey")
def test_another_server_gives_nothing_before_the_longest_window_has_ended(backend, pool, arun):
    async def main():
        workers = scheme(backend, pool, workers=10)
        lost = await workers.claim(owner(1), 5000)
        backend.admin.zrem(workers._keys.workers, lost.worker)  # what a failover does to what was not replicated
        backend.admin.hdel(workers._keys.worker_owners, lost.worker)
        backend.admin.hset(workers._keys.worker_clock, "run_id", "the server before")
        grant = await workers.claim(owner(2), 1000)
        assert grant.worker == lost.worker
        assert grant.window.first_ms > lost.window.last_ms, "guard: another server"
        await workers.close()

    arun(main())


@pytest.mark.kinds("valkey")
def test_a_store_that_steps_back_gives_no_time_twice(backend, pool, arun):
    async def main():
        workers = scheme(backend, pool, workers=1)
        grant = await workers.claim(owner(1), 1000)
        ahead = int(backend.admin.hget(workers._keys.worker_clock, "latest")) + 3_600_000
        backend.admin.hset(workers._keys.worker_clock, "latest", ahead)  # as if the clock had been an hour ahead
        await workers.release(owner(1), grant, grant.window.last_ms)
        later = await workers.claim(owner(2), 1000)
        assert later.now_ms >= ahead, "guard: an offset that only grows"
        assert later.window.last_ms - later.window.first_ms == 1000
        await workers.close()

    arun(main())


def test_a_worker_id_is_renewed_and_given_back_with_its_last_time(backend, pool, arun):
    with WorkerId(scheme(backend, pool), window_s=0.6) as worker:
        made = Generator(layout_called("snowflake"), worker)
        ids, began = [], time.monotonic()
        while time.monotonic() - began < 2:
            ids += made.next_ids(10)
        last = layout_called("snowflake").decode(max(ids)).timestamp_ms
    assert len(ids) == len(set(ids))
    with pytest.raises(IdsRefused, match="its worker id was given back"):
        made.next_id()

    async def end_of(worker):
        workers = scheme(backend, pool)
        try:
            return {held.worker: held for held in await workers.holders()}[worker].window_end_ms
        finally:
            await workers.close()

    assert arun(end_of(worker.worker)) == last


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.kinds("valkey")
def test_a_stopped_process_makes_no_id_that_its_successor_makes(backend, pool, tmp_path):
    """Test 16: SIGSTOP beyond the window, the worker id is somebody else's, SIGCONT, and the blocks are used up."""
    ids = tmp_path / "ids"
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            worker = WorkerId(scheme(backend, pool, workers=1), window_s=0.5, wanted=0, name="one").open()
            made = Generator(layout_called("snowflake"), worker)
            draw = made.bound()
            found = [draw() for _ in range(20_000)]
            os.write(write, b"x")
            with contextlib.suppress(IdsRefused):
                found.extend(iter(draw, None))
            ids.write_text("\n".join(map(str, found)))
        finally:
            os._exit(0)
    os.read(read, 1)
    os.kill(child, signal.SIGSTOP)
    try:
        def next_one():
            try:
                return WorkerId(scheme(backend, pool, workers=1), window_s=0.5, wanted=0, name="two").open()
            except WorkerIdTaken:
                return None

        found = []
        wait_until(lambda: found or found.extend(filter(None, [next_one()])) or found, 10, "the id is somebody else's")
        made = Generator(layout_called("snowflake"), found[0])
        theirs = made.next_ids(200_000)
    finally:
        os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    found[0].close()
    ours = set(map(int, ids.read_text().split()))
    assert len(ours) >= 20_000
    assert not ours & set(theirs)
