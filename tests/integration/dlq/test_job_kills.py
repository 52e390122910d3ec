# SPDX-License-Identifier: Apache-2.0
"""A runner killed at each of its points, again and again: no letter is replayed twice, none is forgotten, and each key
keeps its order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from holdfast._base.letter_lineage import lineage_of
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.jobs import Plan, get, make
from tests.support.letter_service import until
from tests.support.planted import GROUP, letter_id, plant

ANA = Actor("ana", person=True)
ROOT = Path(__file__).parents[3]
LETTERS, KEYS = 160, 5
POINTS = ("job.take.before", "job.take.after", "job.send.before", "job.send.after", "job.tell.before",
          "job.tell.after", "job.recovered.before")
#: Four letters a batch, so that letters are left for every kill, however slow the machine is. One batch at a time, and
#: two.
PLANS = {"paced": Plan(rate_per_s=40, order="sent", wait=False), "rushed": Plan(order="sent", wait=False)}


@pytest.fixture
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    return request.getfixturevalue("postgres").database()


def run_once(url, stream, desk_url, arm=""):
    """One runner, to its end or its death. Gives its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.job_runner", url, stream, desk_url], cwd=ROOT, timeout=60, check=False,
        env=os.environ | {"HOLDFAST_POINTS": arm, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True, text=True)


@pytest.mark.timeout(300)  # twelve processes, one after the other
@pytest.mark.parametrize(("desk_url", "plan"), [("sqlite", "paced"), ("sqlite", "rushed"), ("postgres", "rushed")],
                         indirect=["desk_url"])
def test_a_runner_killed_anywhere_loses_nothing_and_repeats_nothing(backend, stream, desk_url, plan):
    plant(backend.admin, stream, LETTERS, key=lambda n: f"k{n % KEYS}")
    job_id = asyncio.run(_made(backend.url, stream, desk_url, PLANS[plan]))
    kills: Counter[str] = Counter()
    for point in (*POINTS, *POINTS[1:5]):
        ended = run_once(backend.url, stream, desk_url, f"{point}:kill:{1 if kills[point] else 2}"
                         if point != "job.recovered.before" else f"{point}:kill")
        assert ended.returncode == -signal.SIGKILL, (point, ended.returncode, ended.stdout, ended.stderr)
        kills[point] += 1
        until_free(backend.url, stream, desk_url, job_id)
    ended = run_once(backend.url, stream, desk_url)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
    assert sum(kills.values()) >= 10
    assert set(kills) == set(POINTS), f"guard: killed at every point: {kills}"
    check(backend.admin, stream, asyncio.run(_got(desk_url, job_id)))


def check(admin, stream, job):
    """What lies in the replay stream, and what the job says of it."""
    keys = GroupKeys("hf", stream, GROUP)
    sent, by_key = [], defaultdict(list)
    for _, fields in admin.xrange(keys.replay):
        lineage, _ = lineage_of([part for pair in fields.items() for part in pair])
        sent.append(lineage["replayed-from"])
        assert lineage["replay-job"] == job.id
        by_key[fields[b"key"]].append(lineage["replayed-from"])
    assert len(sent) == len(set(sent)), "guard: no letter is replayed twice"
    assert set(sent) == {letter_id(n) for n in range(LETTERS)}, "guard: look at the outside first"
    assert admin.xlen(keys.dead) == 0
    assert all(found == sorted(found) for found in by_key.values()), "guard: order per key"
    assert (job.counts.sent, job.counts.chosen) == (LETTERS, LETTERS), "guard: what an earlier run sent is no loss"


def until_free(url, stream, desk_url, job_id):
    """Waits until the dead runner's hold is over."""
    async def free():
        desk = await Desk(desk_url).open()

        async def over():
            return (await get(desk, job_id)).holder_until_ms < await desk.now_ms()

        try:
            await until(over, "the hold of the dead runner ends")
        finally:
            await desk.close()

    asyncio.run(free())


async def _made(url, stream, desk_url, plan):
    server, desk = await open_server(url), await Desk(desk_url).open()
    try:
        shelf = Shelf(server, stream, GROUP)
        return (await make(desk, shelf, shelf.letters(), plan, ANA, asked="all")).id
    finally:
        await desk.close()
        await server.close()


async def _got(desk_url, job_id):
    desk = await Desk(desk_url).open()
    try:
        return await get(desk, job_id)
    finally:
        await desk.close()
