# SPDX-License-Identifier: Apache-2.0
"""A store of worker ids that loses its newest windows: the replication link is stalled, the master killed.

``replicas`` off, what was given on the old master is known to nobody; a server that is met with another run id gives
windows behind the longest one that there can be. The control takes that knowledge away, and has to be wrong.
"""

from __future__ import annotations

import contextlib
import time

import pytest

from holdfast._redis.endpoint import Endpoint
from holdfast.errors import LeaseLost, ServerRefused
from holdfast.ids.scheme import Owner
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.testing import Proxy, Replicated, wait_until_async
from tests.faults.ids_crew import IdsCrew
from tests.faults.ids_history import Recorded, judge_windows, overlaps, spans
from tests.faults.ids_stores import Store
from tests.faults.test_lock_failover import pair, replicated

WINDOW_MS = 2_000


@contextlib.asynccontextmanager
async def at(url, said, **how):
    """A scheme of one worker id there, which says what it is told."""
    scheme = RedisWorkers(url, pool="orders", **{"workers": 1, **how})
    try:
        yield Recorded(scheme, said.append)
    finally:
        await scheme.close()


def owner(n):
    return Owner(f"hold-{n}", f"pod-{n}")


def moved(scheme, server):
    """Its next connection goes there, as after a failover that a Sentinel announced."""
    scheme.scheme._server.route.endpoint = Endpoint(*server.address)


async def used_before(made, said):
    """The pool was in use, and the replica knows."""
    async with at(made.url, said) as scheme:
        grant = await scheme.claim(owner("before"), WINDOW_MS)
        await scheme.release(owner("before"), grant, grant.window.first_ms)
    replicated(made)


async def lost_and_given_again(made, said, *, forget=False, **how):
    """A window that is lost in a failover, and the next one of the same worker id."""
    await used_before(made, said)
    made.links[0].stall()
    async with at(made.url, said, **how) as before:
        with contextlib.suppress(ServerRefused):
            await before.claim(owner("lost"), WINDOW_MS)
        made.master.kill()
        promoted = made.promote(0)
        if forget:
            promoted.admin.hdel(before.scheme._keys.worker_clock, "run_id")
        async with at(made.url, said) as after:
            await after.claim(owner("next"), WINDOW_MS)


def test_a_window_that_a_failover_lost_and_the_next_one_never_overlap(arun):
    said = []
    with pair() as made:
        arun(lost_and_given_again(made, said))
    assert len(judge_windows(said)) == 3, "guard: another server"


def test_without_that_the_two_overlap(arun):
    """The control: a server that does not know that it is another one gives the same time to the next one."""
    said = []
    with pair() as made:
        arun(lost_and_given_again(made, said, forget=True))
    assert len(overlaps(spans(said))) == 1, "the control has to fail, or the test above shows nothing"


def test_a_window_that_no_replica_confirms_is_told_to_nobody(arun, monkeypatch):
    """Nobody is told; that it is behind the longest window as well costs a wait, and does not need to be known."""
    monkeypatch.setattr("holdfast.ids.schemes.redis.CONFIRM_S", 0.2)
    said = []
    with pair() as made:
        arun(lost_and_given_again(made, said, forget=True, replicas=1))
    assert [hold.owner for hold in judge_windows(said)] == ["hold-before", "hold-next"]


def test_a_renewal_does_not_go_on_over_a_window_that_was_lost(arun):
    """Stopped beyond its window, its worker id given to another one, and the failover forgets that one."""
    async def main(made):
        async with at(made.url, said) as stopped, at(made.url, said) as other:
            old = await stopped.claim(owner("stopped"), 300)
            replicated(made)
            made.links[0].stall()
            await wait_until_async(lambda: _claimed(other, owner("lost"), WINDOW_MS), 10, "its window ends")
            made.master.kill()
            moved(stopped, made.promote(0))
            with pytest.raises(LeaseLost, match="is not ours any more"):
                await stopped.renew(owner("stopped"), old, WINDOW_MS)

    said = []
    with pair() as made:
        arun(main(made))
    assert len(judge_windows(said)) == 2, "guard: a window that was lost meanwhile"


async def _claimed(scheme, who, lease_ms):
    with contextlib.suppress(Exception):
        return await scheme.claim(who, lease_ms)


def test_one_who_was_live_at_the_failover_goes_on(arun):
    async def main(made):
        async with at(made.url, said) as scheme:
            grant = await scheme.claim(owner(1), 10_000)
            replicated(made)
            made.master.kill()
            moved(scheme, made.promote(0))
            with contextlib.suppress(Exception):  # the first one finds the connection broken
                await scheme.renew(owner(1), grant, 20_000)
            renewed = await scheme.renew(owner(1), grant, 20_000)
            assert renewed.window.last_ms >= grant.window.last_ms + 9_000

    said = []
    with pair() as made:
        arun(main(made))
    judge_windows(said)


def test_a_window_behind_an_id_that_was_ahead_ends_no_later_than_others(arun):
    """It was given back with an id a second ahead, and is lost with the next one, which begins there."""
    async def main(made):
        await used_before(made, said)
        made.links[0].stall()
        async with at(made.url, said) as before:
            grant = await before.claim(owner("ahead"), WINDOW_MS)
            await before.release(owner("ahead"), grant, grant.window.last_ms)
            await before.claim(owner("lost"), WINDOW_MS)
            made.master.kill()
            made.promote(0)
        async with at(made.url, said) as after:
            await after.claim(owner("next"), WINDOW_MS)

    said = []
    with pair() as made:
        arun(main(made))
    assert len(judge_windows(said)) == 4, "guard: a lease from now"


def test_a_second_failover_soon_after_the_first_gives_no_time_twice(arun):
    """What is given behind the barrier of the first one is lost in the second: its barrier is behind that."""
    async def main(made):
        await used_before(made, said)
        first, second = made.replicas
        made.master.kill()
        made.promote(0)
        with Proxy(first.address) as link:
            second.admin.replicaof(*link.address)
            made.wait_in_sync()
            async with at(first.url, said) as one:
                grant = await one.claim(owner("known"), WINDOW_MS)
                await one.release(owner("known"), grant, grant.window.first_ms - 1)
                await wait_until_async(lambda: knows(second, one), 10, "the second one knows of the first")
                link.stall()
                await one.claim(owner("lost"), WINDOW_MS)
                first.kill()
        second.admin.replicaof("NO", "ONE")
        async with at(second.url, said) as after:
            await after.claim(owner("next"), WINDOW_MS)

    def knows(server, scheme):
        return server.admin.hget(scheme.scheme._keys.worker_clock, "barrier") not in (None, b"0")

    said = []
    with Replicated(replicas=2) as made:
        made.wait_in_sync()
        arun(main(made))
    assert len(judge_windows(said)) == 4, "guard: behind the barrier before"


def test_a_claim_that_follows_the_failover_says_which_server_it_reached(arun):
    """It was about to ask the server that is gone, and is carried to the one that took over."""
    async def main(made):
        await used_before(made, said)
        async with at(made.url, said) as one, at(made.url, said) as other:
            await other.holders()  # its connection is open, to the server that will be gone
            made.links[0].stall()
            await one.claim(owner("lost"), WINDOW_MS)
            made.master.kill()
            moved(other, made.promote(0))
            await wait_until_async(lambda: _claimed(other, owner("next"), WINDOW_MS), 10, "it is carried there")

    said = []
    with pair() as made:
        arun(main(made))
    assert len(judge_windows(said)) == 3, "guard: another server"


@pytest.mark.parametrize("replicas", [0, 1])
@pytest.mark.parametrize("offset_s", [-0.5, 30.0])
def test_processes_that_make_ids_through_a_failover_make_none_twice(replicas, offset_s, tmp_path):
    """They are carried to the server that takes over, whose clock is another one; one is cut off, and one new."""
    with pair(faketime_offset_s=(0.0, offset_s)) as made, Proxy(made.master.address) as way:
        store = Store("redis", way.through(made.url), "orders", workers=4, replicas=replicas)
        how = {"window_s": 0.8, "chunk": 5_000, "rest_s": 0.01, "threads": 2}
        with IdsCrew(store, tmp_path, how) as crew:
            for _ in range(3):
                crew.ready(crew.start())
            before = crew.size()
            made.links[0].stall()
            time.sleep(0.3)  # renewals come and go that nobody else will know of
            made.master.kill()
            way.target = made.promote(0).address
            way.cut()
            late = crew.start(window_s=0.5)
            crew.ready(late, deadline_s=60) if replicas == 0 else None
            if replicas == 0:
                assert crew.size() > before
            crew.end(*crew.living)
            holds, ids = crew.judge()
            print(f"{ids} ids of {len(holds)} holds, replicas={replicas}, the next server {offset_s:+} s off")


def test_the_barrier_costs_a_new_one_a_window_and_a_second(arun):
    async def main(made):
        await used_before(made, said)
        made.master.kill()
        made.promote(0)
        async with at(made.url, said) as scheme:
            grant = await scheme.claim(owner(1), WINDOW_MS)
            assert WINDOW_MS < grant.window.first_ms - grant.now_ms <= WINDOW_MS + 1_001
            assert (await scheme.claim(owner(1), WINDOW_MS)).window == grant.window, "asked again, it is the same"

    said = []
    with pair() as made:
        arun(main(made))
