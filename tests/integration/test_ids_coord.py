# SPDX-License-Identifier: Apache-2.0
"""Worker ids on a real etcd and a real ZooKeeper: holders that stop, are cut off, or have the wrong time; a restart.

What every scheme claims is in ``tests/contract/test_worker_ids.py``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys

import pytest

from holdfast._base.clock import SystemClock, WallMs
from holdfast.errors import IdsRefused, LeaseLost, NotAuthorized, ServerUnreachable, WorkerIdsExhausted, WorkerIdTaken
from holdfast.ids import Generator, WorkerId, layout_called
from holdfast.ids.scheme import Owner
from holdfast.testing import Proxy, wait_until, wait_until_async
from holdfast.testing.etcd import EtcdServer
from holdfast.testing.zookeeper import ZooKeeperServer
from tests.house.tree import ROOT
from tests.integration.ids_holder import workers

SOON_S = 15.0
HOUR_S = 3600
KINDS = {"etcd": EtcdServer, "zookeeper": ZooKeeperServer}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def server(kind, request):
    return request.getfixturevalue(kind)


class Processes:
    """What several processes would have."""

    def __init__(self, kind, address, pool):
        self.kind, self.address, self.pool, self.made = kind, address, pool, []

    def __call__(self, *, at=None, **how):
        scheme = workers(self.kind, at or self.address, self.pool, **how)
        self.made.append(scheme)
        return scheme


@pytest.fixture
def run(kind, server, stream, arun):
    """Runs a claim, which is given what makes schemes of one pool."""

    def run(claim, at=None):
        async def main():
            processes = Processes(kind, address_of(at or server), stream)
            try:
                await claim(processes)
            finally:
                await asyncio.gather(*(scheme.close() for scheme in processes.made))

        arun(main())

    return run


def address_of(server):
    host, port = server.address
    return f"{host}:{port}"


def owner(name, wanted=None):
    return Owner(f"hold-{name}", f"pod-{name}", wanted)


async def in_time(claim):
    """Asks until it is given."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                return await claim()
            except (WorkerIdTaken, WorkerIdsExhausted):
                await asyncio.sleep(0.05)


class Skewed(SystemClock):
    """A wall clock that is wrong by ``by_s``."""

    def __init__(self, by_s):
        self.by_s = by_s

    def wall_ms(self):
        return WallMs(super().wall_ms() + int(self.by_s * 1000))


def test_of_thirty_who_claim_at_once_twenty_have_the_twenty_ids(run):
    """Ids that nobody ever had, and then those that were given back."""
    async def claim(made):
        several = [made(workers=20) for _ in range(10)]
        for turn in range(2):
            owners = {owner(f"{turn}-{m}-{n}"): scheme for m, scheme in enumerate(several) for n in range(3)}
            found = await asyncio.gather(*(scheme.claim(each, 60_000) for each, scheme in owners.items()),
                                         return_exceptions=True)
            grants = {each: got for each, got in zip(owners, found, strict=True) if not isinstance(got, BaseException)}
            assert sorted(grant.worker for grant in grants.values()) == list(range(20)), "guard: as it was read"
            assert {type(each) for each in found if isinstance(each, BaseException)} == {WorkerIdsExhausted}
            assert [each.live for each in await several[0].holders()] == [True] * 20
            for each, grant in grants.items():
                await owners[each].release(each, grant, grant.window.first_ms)

    run(claim)


def test_a_stopped_holder_loses_its_id_and_makes_none_that_its_successor_makes(kind, server, stream, tmp_path):
    """SIGSTOP beyond session and window, the id is somebody else's, SIGCONT, and the blocks are used up."""
    words = (kind, address_of(server), stream, str(tmp_path / "ids"))
    holder = subprocess.Popen([sys.executable, "-m", "tests.integration.ids_holder", *words], cwd=ROOT, text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGSTOP)
        found = []

        def next_one():
            try:
                scheme = workers(kind, address_of(server), stream, workers=1, ttl_s=30.0)
                found.append(WorkerId(scheme, wanted=0, name="two").open())
            except WorkerIdTaken:
                return False
            return True

        wait_until(next_one, SOON_S, "the id is somebody else's")
        theirs = Generator(layout_called("snowflake"), found[0]).next_ids(200_000)
        os.kill(holder.pid, signal.SIGCONT)
        printed, _ = holder.communicate("go on\n", timeout=SOON_S)
        assert printed == "lost\n"
        found[0].close()
    finally:
        holder.kill()
        holder.wait()
    ours = set(map(int, (tmp_path / "ids").read_text().split()))
    assert len(ours) >= 20_000
    assert not ours & set(theirs), "guard: behind the last one"


def test_who_is_cut_off_is_told_by_its_own_clock_and_succeeded_behind_its_window(run, server):
    async def claim(made):
        with Proxy(server.address, resp=False) as proxy:
            cut, told = made(at=f"127.0.0.1:{proxy.port}", workers=1, ttl_s=1.0), []
            cut.lost(told.append)
            old = await cut.claim(owner("old"), 4000)
            proxy.stall()
            await wait_until_async(lambda: told, SOON_S, "it is told")
            with pytest.raises(LeaseLost, match=r"worker id 0 of pool .* the session on"):
                await cut.renew(owner("old"), old, 4000)
            new = await in_time(lambda: made(workers=1).claim(owner("new", wanted=0), 4000))
            assert new.window.first_ms > old.window.last_ms, "guard: behind the last one"
            assert new.now_ms < old.window.last_ms, "it had the id as soon as the session had ended"
            proxy.heal()
            with pytest.raises(WorkerIdsExhausted):
                await cut.claim(owner("back"), 4000)
            assert len(told) == 1

    run(claim)


def test_windows_are_apart_by_clocks_an_hour_behind_and_ahead(run):
    async def claim(made):
        windows = []
        for n, by_s in enumerate((0, HOUR_S, -HOUR_S, 0, -HOUR_S / 2, HOUR_S)):
            scheme = made(workers=1, behind_s=3 * HOUR_S, clock=Skewed(by_s))
            grant = await in_time(lambda scheme=scheme, n=n: scheme.claim(owner(n), 200))
            scheme.clock.by_s = -by_s  # it is set while the id is held
            grant = await scheme.renew(owner(n), grant, 300)
            assert 0 <= grant.now_ms - (SystemClock().wall_ms() + by_s * 1000 - 10_000) < 20_000
            last_ms = grant.window.last_ms if n % 2 else grant.window.first_ms + 5
            windows.append((grant.window.first_ms, last_ms))
            if n != 3:  # that one dies
                await scheme.release(owner(n), grant, last_ms)
            else:
                windows[-1] = (grant.window.first_ms, grant.window.last_ms)
                await scheme.close()
        for (_, last), (first, _) in itertools.pairwise(windows):
            assert first > last, "guard: behind the last one"

    run(claim)


def test_a_clock_an_hour_ahead_robs_nobody_who_lives(run):
    async def claim(made):
        holder, ahead = made(workers=1), made(workers=1, clock=Skewed(HOUR_S))
        grant = await holder.claim(owner("here"), 60_000)
        with pytest.raises(WorkerIdsExhausted):
            await ahead.claim(owner("ahead"), 60_000)
        assert (await holder.renew(owner("here"), grant, 60_000)).worker == 0

    run(claim)


def test_a_clock_far_behind_is_refused_and_makes_nothing(run):
    async def claim(made):
        for n in range(2):
            await made(workers=4).claim(owner(n), 60_000)
        behind = made(workers=4, clock=Skewed(-60))
        with pytest.raises(IdsRefused, match="this machine's clock is behind: 2 of the 2 worker ids"):
            await behind.claim(owner("behind"), 60_000)
        held = await behind.holders()
        assert [each.owner for each in held] == ["pod-0", "pod-1"], "guard: a clock that is far behind"
        assert (await made(workers=4, clock=Skewed(-60), behind_s=61).claim(owner("allowed"), 60_000)).worker == 2

    run(claim)


def test_a_session_outlives_a_restart_of_the_server_and_so_do_the_ends_of_windows(kind, run):
    async def claim(made):
        scheme = made(workers=1, ttl_s=20.0)
        grant = await scheme.claim(owner("a"), 1000)
        await asyncio.to_thread(server.restart)

        async def renewed():
            try:
                return await scheme.renew(owner("a"), grant, 1000)
            except ServerUnreachable:
                return None

        later = await wait_until_async(renewed, SOON_S, "it is renewed")
        assert later.window.last_ms > grant.window.last_ms
        await scheme.release(owner("a"), later, later.window.last_ms)
        await asyncio.to_thread(server.restart)
        after = made(workers=1)
        assert (await after.claim(owner("b"), 1000)).window.first_ms > later.window.last_ms

    how = {"tick_ms": 1000} if kind == "zookeeper" else {}
    with KINDS[kind](**how) as server:
        run(claim, at=server)


def test_an_answer_that_is_lost_costs_a_question_and_no_second_id(run):
    """Each write is done, and nobody is told."""
    async def claim(made):
        scheme = made(workers=3)
        store = await scheme._stores.alive()
        write = store.write

        async def untold(*words):
            await write(*words)
            raise ServerUnreachable("the answer was lost", maybe_done=True)

        store.write = untold
        grant = await scheme.claim(owner("a"), 10_000)
        longer = await scheme.renew(owner("a"), grant, 60_000)
        assert longer.window.last_ms > grant.window.last_ms
        assert [(each.worker, each.live) for each in await scheme.holders()] == [(0, True)]
        await scheme.release(owner("a"), longer, longer.window.first_ms)
        (held,) = await scheme.holders()
        assert (held.live, held.window_end_ms) == (False, longer.window.first_ms)

    run(claim)


def test_two_pools_and_odd_names_do_not_meet(kind, server, arun):
    async def main():
        several = [workers(kind, address_of(server), pool) for pool in ("a", "a/record", "..", "ä b")]
        for scheme in several:
            assert (await scheme.claim(Owner(f"x/../{scheme.pool}", "n"), 1000)).worker == 0
            assert [each.live for each in await scheme.holders()] == [True]
        for scheme in several:
            await scheme.close()

    arun(main())


@pytest.mark.parametrize("kind", ["etcd"], indirect=True)
def test_a_lease_that_somebody_revoked_keeps_no_window(run):
    """Before the session itself has come to know."""
    async def claim(made):
        scheme = made(workers=2)
        grants = {each: await scheme.claim(owner(each), 10_000) for each in "ab"}
        store = await scheme._stores.alive()
        way = scheme.etcd.own_way()
        await way.call("/v3/lease/revoke", {"ID": str(store._session.lease)})
        await way.close()
        for each, grant in grants.items():
            with pytest.raises(LeaseLost, match="the mark of this hold was removed"):
                await scheme.renew(owner(each), grant, 60_000)
        ends = {each.worker: each.window_end_ms for each in await scheme.holders()}
        assert ends == {grant.worker: grant.window.last_ms for grant in grants.values()}, "guard: a session that lives"

    run(claim)


@pytest.mark.parametrize("kind", ["zookeeper"], indirect=True)
def test_nodes_belong_to_the_user_who_made_them(run):
    async def claim(made):
        await made(auth=(("digest", "app:secret"),)).claim(owner("a"), 60_000)
        with pytest.raises(NotAuthorized):
            await made().claim(owner("b"), 60_000)
        assert (await made(auth=(("digest", "app:secret"),)).claim(owner("c"), 60_000)).worker == 1

    run(claim)
