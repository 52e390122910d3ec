# SPDX-License-Identifier: Apache-2.0
"""Worker ids on Lease objects: who is faster, what is lost on the way, and what people do to objects with kubectl.

The API server is one of ours that keeps to what is documented of the real one (``holdfast.testing.kubernetes``).
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from contextlib import asynccontextmanager

import pytest
import yaml

from holdfast.cli import id_hold
from holdfast.errors import (
    ConfigurationError,
    IdError,
    IdsRefused,
    LeaseLost,
    NotAuthorized,
    ServerRefused,
    ServerUnreachable,
)
from holdfast.ids import Generator, WorkerId, layout_called
from holdfast.ids.scheme import Owner
from holdfast.ids.schemes.kubernetes import KubernetesWorkers
from holdfast.testing import FakeChance, ManualClock
from holdfast.testing.kubernetes import KubernetesServer
from tests.support.manifests import KUBERNETES

POOL, HOUR_MS, LEASE_MS = "web", 3_600_000, 30_000


@pytest.fixture
def server():
    with KubernetesServer() as running:
        yield running


@pytest.fixture
def clock():
    return ManualClock()


async def begun(server, clock):
    """A pool that is no news: its first windows, which begin later than they could, are over."""
    async with opened(server, clock) as workers:
        grant = await workers.claim(owner("first", wanted=1023), LEASE_MS)
        await workers.release(owner("first"), grant, grant.window.first_ms)
    clock.advance(3600)


@asynccontextmanager
async def opened(server, clock=None, **how):
    workers = KubernetesWorkers(server.url, namespace="default", **{"token": server.token, "pool": POOL, **how},
                                clock=clock or ManualClock())
    try:
        yield workers
    finally:
        await workers.close()


def owner(n, wanted=None, name=None):
    return Owner(f"{n:020x}" if isinstance(n, int) else n, name or f"pod-{n}", wanted)


def lease(worker):
    return f"holdfast-ids.{POOL}.{worker}"


def note(server, worker, key):
    return int(server.objects()[lease(worker)]["metadata"]["annotations"][f"holdfast/{key}"])


def ceiling(server):
    return int(server.objects()[f"holdfast-ids.{POOL}"]["metadata"]["annotations"]["holdfast/ceiling-ms"])


# -- what lies there ----------------------------------------------------------------------------------------------


def test_a_lease_object_says_who_has_it_since_when_and_how_often_it_changed_hands(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers:
            first = await workers.claim(owner(1, wanted=7), LEASE_MS)
            clock.advance(10)
            await workers.renew(owner(1), first, LEASE_MS)
            found = server.objects()[lease(7)]
            assert found["metadata"]["labels"] == {"holdfast/pool": POOL, "app.kubernetes.io/managed-by": "holdfast"}
            assert found["spec"] == {
                "holderIdentity": f"pod-1_{1:020x}", "leaseDurationSeconds": 30, "leaseTransitions": 0,
                "acquireTime": "2030-01-01T00:00:00.000000Z", "renewTime": "2030-01-01T00:00:10.000000Z"}
            await workers.release(owner(1), first, first.window.first_ms + 5)
            assert server.objects()[lease(7)]["spec"]["holderIdentity"] == ""
            clock.advance(60)
            await workers.claim(owner(2, wanted=7), 1500)
            spec = server.objects()[lease(7)]["spec"]
            assert (spec["leaseTransitions"], spec["leaseDurationSeconds"]) == (1, 2)

    arun(main())


def test_an_application_makes_ids_with_it_from_the_first_start_of_a_pool_on(server):
    workers = KubernetesWorkers(server.url, namespace="default", token=server.token, pool=POOL)
    with WorkerId(workers, window_s=0.5) as worker:
        ids = Generator(layout_called("snowflake"), worker)
        found = ids.next_ids(5000)
    assert len(set(found)) == 5000
    assert note(server, worker.worker, "window-last-ms") == layout_called("snowflake").decode(max(found)).timestamp_ms


def test_a_single_window_in_a_file_is_one_that_can_be_used_even_at_the_first_start_of_a_pool(
        server, arun, tmp_path, monkeypatch):
    """``holdfast id hold --once``: nobody renews it afterwards."""
    monkeypatch.setattr(id_hold, "scheme_of", lambda _, pool, workers: KubernetesWorkers(
        server.url, namespace="default", token=server.token, pool=pool, workers=workers))
    how = {"name": "job", "wanted": None, "workers": 8, "wait_s": 5.0, "pool": POOL, "scheme": "kubernetes"}
    arun(id_hold._claim_once(path=tmp_path / "hold.json", window_s=0.3, **how))
    said = json.loads((tmp_path / "hold.json").read_text())
    assert said["window_end_ms"] >= said["window_start_ms"] + 250
    assert said["window_end_ms"] == note(server, said["worker"], "window-last-ms")
    server.delete(lease(said["worker"]))
    with pytest.raises(TimeoutError, match=r"its window begins in \d+\.\d s, and 0.1 s were to be waited"):
        arun(id_hold._claim_once(path=tmp_path / "hold.json", window_s=3, **{**how, "wait_s": 0.1, "wanted": 0}))


def test_another_pool_and_another_namespace_have_worker_ids_of_their_own(server, clock, arun):
    async def main():
        async with opened(server, clock) as web, opened(server, clock, pool="web-7") as other:
            assert (await web.claim(owner(1), LEASE_MS)).worker == (await other.claim(owner(2), LEASE_MS)).worker == 0
            assert [held.owner for held in await web.holders()] == ["pod-1"]

    arun(main())
    with pytest.raises(ConfigurationError, match=r"pool 'Web\.7' cannot be part of a Lease's name"):
        KubernetesWorkers(server.url, namespace="default", pool="Web.7")


# -- who is faster ------------------------------------------------------------------------------------------------


def after_a_look(workers, act):
    """What somebody else does between our look and our write, once."""
    look, acted = workers._pool.look, []

    async def looked():
        found = await look()
        if not acted:
            acted.append(True)
            await act()
        return found

    workers._pool.look = looked


@pytest.mark.parametrize("before", ["never given", "given back"])
def test_a_choice_that_somebody_else_made_first_is_made_again(server, clock, arun, before):
    async def main():
        async with opened(server, clock) as slow, opened(server, clock) as fast:
            for n in range(2):
                held = await fast.claim(owner(n), LEASE_MS)
                await fast.release(owner(n), held, held.window.first_ms)
            wanted = 0 if before == "given back" else 5
            clock.advance(60)
            given = []

            async def act():
                given.append(await fast.claim(owner(8, wanted=wanted), LEASE_MS))

            after_a_look(slow, act)
            with pytest.raises(IdError, match=f"worker id {wanted} .* is held by 'pod-8'"):
                await slow.claim(owner(9, wanted=wanted), LEASE_MS)
            held = server.objects()[lease(wanted)]["spec"]["holderIdentity"]
            assert held.startswith("pod-8"), "guard: what was decided on is what is changed"
            assert note(server, wanted, "window-last-ms") == given[0].window.last_ms

    arun(main())


def test_many_that_come_at_once_to_what_was_given_back_have_one_each(server, clock, arun):
    async def main():
        async with opened(server, clock, workers=12) as one, opened(server, clock, workers=12) as other:
            for n in range(12):
                grant = await one.claim(owner(n), LEASE_MS)
                await one.release(owner(n), grant, grant.window.first_ms)
            clock.advance(60)
            grants = await asyncio.gather(*(scheme.claim(owner(100 + n), LEASE_MS)
                                            for n, scheme in enumerate([one, other] * 6)))
            assert sorted(grant.worker for grant in grants) == list(range(12))

    arun(main())


def test_somebody_who_is_faster_each_time_is_an_error_and_no_endless_loop(server, clock, arun):
    async def main():
        async with opened(server, clock, chance=FakeChance([0.0] * 500, [0] * 500)) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            server.answer(409, 1000, "update", "create")
            with pytest.raises(ServerRefused, match="claiming a worker id of pool 'web': 40 times somebody") as refused:
                await workers.claim(owner(2), LEASE_MS)
            assert refused.value.code == "Conflict"
            with pytest.raises(ServerRefused, match=r"changing the Lease holdfast-ids\.web\.0: 40 times"):
                await workers.renew(owner(1), grant, LEASE_MS)
            server.heal()
            assert (await workers.renew(owner(1), grant, LEASE_MS)).worker == grant.worker

    arun(main())


# -- what is lost on the way --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_claim_whose_answer_was_lost_is_found_when_it_is_asked_again(server, clock, arun, lost):
    async def main():
        async with opened(server, clock) as workers:
            first = await workers.claim(owner(0), LEASE_MS)
            await workers.release(owner(0), first, first.window.first_ms)
            server.lose_answers(lost)
            grants = []
            for _ in range(lost):
                with pytest.raises(ServerUnreachable) as unreachable:
                    grants.append(await workers.claim(owner(1), LEASE_MS))
                assert unreachable.value.maybe_done
                if server.objects().get(lease(1), {}).get("spec", {}).get("holderIdentity", "").startswith("pod-1"):
                    break
            server.heal()
            grant = await workers.claim(owner(1), LEASE_MS)
            held = [name for name, found in server.objects().items() if found["spec"].get("holderIdentity")]
            assert held == [lease(grant.worker)], "guard: asked again"
            assert note(server, grant.worker, "window-last-ms") == grant.window.last_ms

    arun(main())


def test_a_renewal_and_a_release_whose_answers_were_lost_are_said_again(server, clock, arun):
    async def main():
        await begun(server, clock)
        async with opened(server, clock) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            clock.advance(10)
            server.lose_answers(1, "update")
            with pytest.raises(ServerUnreachable):
                await workers.renew(owner(1), grant, LEASE_MS)
            clock.advance(3)
            renewed = await workers.renew(owner(1), grant, LEASE_MS)
            assert renewed.window.last_ms == clock.wall_ms() + LEASE_MS == note(server, 0, "window-last-ms")
            server.lose_answers(1, "update")
            with pytest.raises(ServerUnreachable):
                await workers.release(owner(1), renewed, renewed.window.first_ms + 20)
            await workers.release(owner(1), renewed, renewed.window.first_ms + 20)
            assert note(server, 0, "window-last-ms") == renewed.window.first_ms + 20

    arun(main())


def test_a_token_that_was_replaced_in_its_file_is_read_again(server, clock, arun, tmp_path):
    file = tmp_path / "token"
    file.write_text(server.token + "\n")

    async def main():
        async with opened(server, clock, token=file) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            server.token = "the next one"
            with pytest.raises(NotAuthorized, match="does not know us: Unauthorized; see that the service account's"):
                await workers.renew(owner(1), grant, LEASE_MS)
            file.write_text("the next one\n")
            try:
                await workers.renew(owner(1), grant, LEASE_MS)
            except NotAuthorized:
                pytest.fail("guard: read anew for each request")
            file.unlink()
            with pytest.raises(NotAuthorized, match=r"no service account token in .*token: No such"):
                await workers.renew(owner(1), grant, LEASE_MS)

    arun(main())


# -- what people do with kubectl ----------------------------------------------------------------------------------


def test_a_holder_that_was_edited_away_has_lost_it_and_nothing_is_written_over_the_edit(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            server.edit(lease(0), lambda found: found["spec"].update(holderIdentity="alice"))
            with pytest.raises(LeaseLost, match=r"worker id 0 .* its Lease holdfast-ids\.web\.0 has another holder"):
                await workers.renew(owner(1), grant, LEASE_MS)
            await workers.release(owner(1), grant, 0)
            assert server.objects()[lease(0)]["spec"]["holderIdentity"] == "alice", "guard: owner"
            with pytest.raises(IdError, match="is held by 'alice' for another"):
                await workers.claim(owner(2, wanted=0), LEASE_MS)
            server.edit(lease(0), lambda found: found["spec"].update(holderIdentity=""))
            later = await workers.claim(owner(2, wanted=0), LEASE_MS)
            assert later.window.first_ms > grant.window.last_ms, "guard: behind the last one"

    arun(main())


def test_what_others_write_on_an_object_stays_and_costs_one_more_look(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            server.edit(lease(0), lambda found: (found["metadata"]["annotations"].update({"team/note": "ours"}),
                                                 found["metadata"].update(finalizers=["example.org/keep"])))
            clock.advance(10)
            await workers.renew(owner(1), grant, LEASE_MS)
            metadata = server.objects()[lease(0)]["metadata"]
            assert metadata["annotations"]["team/note"] == "ours"
            assert metadata["finalizers"] == ["example.org/keep"]

    arun(main())


def test_a_window_that_was_made_unreadable_may_have_ended_at_the_ceiling(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            unreadable = {"holdfast/window-last-ms": "?"}
            server.edit(lease(0), lambda found: found["metadata"]["annotations"].update(unreadable))
            server.edit(lease(0), lambda found: found["spec"].update(holderIdentity=""))
            later = await workers.claim(owner(2, wanted=0), LEASE_MS)
            assert later.window.first_ms > grant.window.last_ms

    arun(main())


def test_a_worker_ids_object_that_was_deleted_takes_the_id_away_and_the_next_window_begins_behind(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers:
            first = await workers.claim(owner(1), LEASE_MS)
            grant = first
            for _ in range(20):
                clock.advance(10)
                grant = await workers.renew(owner(1), grant, LEASE_MS)
            server.delete(lease(0))
            next_one = await workers.claim(owner(2, wanted=0), LEASE_MS)
            assert next_one.window.first_ms > grant.window.last_ms, "guard: what was deleted begins behind the ceiling"
            with pytest.raises(LeaseLost, match="has another holder, or was deleted"):
                await workers.renew(owner(1), grant, LEASE_MS)
            assert (await workers.claim(owner(3), LEASE_MS)).window.first_ms == clock.wall_ms(), (
                "a worker id that nobody had begins at once")

    arun(main())


def test_an_object_that_was_deleted_is_not_made_anew_by_a_renewal(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            server.delete(lease(0))
            with pytest.raises(LeaseLost):
                await workers.renew(owner(1), grant, LEASE_MS)
            assert lease(0) not in server.objects(), "guard: uid"
            await workers.release(owner(1), grant, 0)

    arun(main())


def test_no_window_ends_above_the_ceiling_which_is_raised_now_and_then(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers:
            grant, ceilings = await workers.claim(owner(1), LEASE_MS), set()
            before = server.requests
            for _ in range(60):
                clock.advance(10)
                grant = await workers.renew(owner(1), grant, LEASE_MS)
                assert grant.window.last_ms <= ceiling(server), "guard: the ceiling comes first"
                ceilings.add(ceiling(server))
            assert len(ceilings) <= 6, "ten minutes, raised by four windows and a bit"
            assert server.requests - before <= 60 + 2 * 6, "a renewal is one request, most of the time"

    arun(main())


def test_a_ceiling_is_there_before_the_window_that_needs_it(server, clock, arun):
    """Whoever dies in between has promised too much, which costs nobody anything."""
    async def main():
        async with opened(server, clock) as workers:
            grant = await workers.claim(owner(1), LEASE_MS)
            clock.advance(600)
            server.lose_answers(1, "update")
            with pytest.raises(ServerUnreachable):
                await workers.renew(owner(1), grant, LEASE_MS)
            assert note(server, 0, "window-last-ms") == grant.window.last_ms, "guard: the ceiling comes first"
            assert ceiling(server) >= clock.wall_ms() + LEASE_MS

    arun(main())


@pytest.mark.parametrize("gone", ["the pool's object", "its annotations"])
def test_a_pool_whose_own_object_was_deleted_has_another_one_and_nobody_is_disturbed(server, clock, arun, gone):
    async def main():
        async with opened(server, clock) as workers, opened(server, clock) as other:
            held = await workers.claim(owner(1), LEASE_MS)
            if gone == "its annotations":
                server.edit(f"holdfast-ids.{POOL}", lambda found: found["metadata"].update(annotations={}))
            else:
                server.delete(f"holdfast-ids.{POOL}")
            server.delete(lease(0))
            found = await other.claim(owner(2, wanted=0), LEASE_MS)
            assert found.window.first_ms > held.window.last_ms, "guard: new or not"
            another = await other.claim(owner(3, wanted=1), LEASE_MS)
            clock.advance(10)
            server.delete(f"holdfast-ids.{POOL}")
            clock.advance(300)
            renewed = await other.renew(owner(3), another, LEASE_MS)
            assert renewed.window.last_ms == clock.wall_ms() + LEASE_MS <= ceiling(server)

    arun(main())


def test_everything_was_deleted_while_ids_are_made_and_what_comes_then_begins_a_window_later(server, clock, arun):
    async def main():
        async with opened(server, clock) as workers, opened(server, clock) as other:
            held = await workers.claim(owner(1), LEASE_MS)
            clock.advance(40)
            held = await workers.renew(owner(1), held, LEASE_MS)
            for name in server.objects():
                server.delete(name)
            found = await other.claim(owner(2), LEASE_MS)
            assert found.worker == held.worker
            assert found.window.first_ms > held.window.last_ms - 1, "guard: new or not"

    arun(main())


def test_an_object_without_its_label_is_named_in_the_end(server, clock, arun):
    async def main():
        async with opened(server, clock, chance=FakeChance([0.0] * 500, [0] * 500)) as workers:
            await workers.claim(owner(1, wanted=0), LEASE_MS)
            server.edit(lease(0), lambda found: found["metadata"].update(labels={}))
            with pytest.raises(ServerRefused, match="holdfast/pool=web, or to one of their names without that label"):
                await workers.claim(owner(2, wanted=0), LEASE_MS)

    arun(main())


# -- clocks -------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_an_hour_ahead_costs_ids_and_nobody_elses_time(server, arun):
    async def main():
        right = ManualClock()
        await begun(server, right)
        ahead = ManualClock(wall_ms=right.wall_ms() + HOUR_MS)
        async with opened(server, right) as workers, opened(server, ahead) as early:
            await workers.claim(owner(0), LEASE_MS)
            right.advance(60)
            early_one = await early.claim(owner(1, wanted=1), LEASE_MS)
            assert early_one.window.first_ms >= ahead.wall_ms()
            for n in (2, 3):
                assert (await workers.claim(owner(n), LEASE_MS)).window.first_ms == right.wall_ms()
            await early.release(owner(1), early_one, early_one.window.first_ms + 5)
            assert (await workers.claim(owner(4, name="pod-1"), LEASE_MS)).window.first_ms == right.wall_ms(), "its own"
            behind = await workers.claim(owner(5, wanted=1), LEASE_MS)
            assert behind.window.first_ms > early_one.window.first_ms + 5, "guard: behind the last one"

    arun(main())


def test_a_clock_that_is_an_hour_behind_is_refused_and_one_that_is_set_back_moves_nothing_back(server, arun):
    async def main():
        right = ManualClock()
        await begun(server, right)
        behind = ManualClock(wall_ms=right.wall_ms() - HOUR_MS)
        async with opened(server, right) as workers, opened(server, behind) as late:
            grants = [await workers.claim(owner(n), LEASE_MS) for n in range(2)]
            with pytest.raises(IdsRefused, match="this machine's clock is behind: 2 of the 2 worker ids of pool 'web'"):
                await late.claim(owner(9), LEASE_MS)
            right.advance(10)
            renewed = await workers.renew(owner(0), grants[0], LEASE_MS)
            right.step_wall(-HOUR_MS)
            grant = renewed
            for _ in range(3):
                right.advance(10)
                now_ms = grant.now_ms + 10_000
                grant = await workers.renew(owner(0), type(grant)(0, grant.window, now_ms), LEASE_MS)
                assert grant.now_ms == now_ms
                assert grant.window.last_ms == now_ms + LEASE_MS

    arun(main())


class Walk:
    """Processes that claim, renew and give back by chance; what each may have made ids with, by worker id."""

    def __init__(self, schemes, clocks, rng):
        self.schemes, self.clocks, self.rng = schemes, clocks, rng
        self.given, self.holds, self.count = defaultdict(list), {}, itertools.count()

    async def step(self, n):
        if n not in self.holds:
            await self.claim(n)
        elif self.rng.random() < 0.2:
            mine, grant, entry = self.holds.pop(n)
            first, last = grant.window.first_ms, grant.window.last_ms
            entry[1] = self.rng.randrange(first - 1, max(first, last + 1))
            await self.schemes[n].release(mine, grant, entry[1])
        else:
            await self.renew(n)

    async def claim(self, n):
        mine = owner(f"h{next(self.count)}", wanted=self.rng.choice([None, 0, 1, 2]))
        try:
            grant = await self.schemes[n].claim(mine, LEASE_MS)
        except IdError:
            return
        entry = [grant.window.first_ms, grant.window.last_ms]
        self.given[grant.worker].append(entry)
        self.holds[n] = (mine, grant, entry)

    async def renew(self, n):
        mine, grant, entry = self.holds[n]
        try:
            grant = await self.schemes[n].renew(mine, grant, LEASE_MS)
        except LeaseLost:
            del self.holds[n]
            return
        entry[1] = grant.window.last_ms
        self.holds[n] = (mine, grant, entry)

    def check(self):
        assert sum(map(len, self.given.values())) > 10
        for windows in self.given.values():
            for (_, last), (first, _) in itertools.pairwise(sorted(w for w in windows if w[0] <= w[1])):
                assert first > last, "guard: behind the last one"


@asynccontextmanager
async def walking(server, clocks, rng):
    async with opened(server, clocks[0], workers=3, chance=rng) as a, opened(
            server, clocks[1], workers=3, chance=rng) as b, opened(server, clocks[2], workers=3, chance=rng) as c:
        yield Walk((a, b, c), clocks, rng)


def test_windows_of_one_id_are_apart_whatever_clocks_do_and_whoever_deletes_its_object(server, arun, rng):
    """Three processes with clocks of their own, set by up to an hour; now and then a worker id's object is deleted."""
    async def main():
        clocks = [ManualClock() for _ in range(3)]
        async with walking(server, clocks, rng) as walk:
            await walk.claim(0)  # makes the pool's object, which nobody deletes
            for _ in range(250):
                n = rng.randrange(3)
                clocks[n].advance(rng.random() * 20)
                there = [name for name in server.objects() if name != f"holdfast-ids.{POOL}"]
                if rng.random() < 0.1:
                    clocks[n].step_wall(rng.randrange(-HOUR_MS, HOUR_MS))
                elif rng.random() < 0.1 and there:
                    server.delete(rng.choice(there))
                else:
                    await walk.step(n)
            walk.check()

    arun(main())


def test_windows_of_one_id_are_apart_whatever_is_deleted_as_long_as_clocks_agree(server, arun, rng):
    """One clock; any object is deleted, the pool's too, and now and then all of them."""
    async def main():
        clock = ManualClock()
        async with walking(server, [clock] * 3, rng) as walk:
            for _ in range(300):
                clock.advance(rng.random() * 15)
                there = list(server.objects())
                if rng.random() < 0.1 and there:
                    for name in there if rng.random() < 0.3 else [rng.choice(there)]:
                        server.delete(name)
                else:
                    await walk.step(rng.randrange(3))
            walk.check()

    arun(main())


# -- rights --------------------------------------------------------------------------------------------------------


def manifest_role():
    documents = yaml.safe_load_all((KUBERNETES / "worker-ids-lease.yaml").read_text())
    return next(found for found in documents if found["kind"] == "Role")


async def whole_life(server):
    """Everything that a process ever asks for: with a race, an edit and a loss."""
    clock = ManualClock()
    async with opened(server, clock) as workers:
        grant = await workers.claim(owner(1), LEASE_MS)
        clock.advance(300)
        grant = await workers.renew(owner(1), grant, LEASE_MS)
        server.edit(lease(0), lambda found: found["metadata"]["annotations"].update({"seen": "yes"}))
        grant = await workers.renew(owner(1), grant, LEASE_MS)
        await workers.holders()
        await workers.release(owner(1), grant, grant.window.first_ms)
        await workers.claim(owner(2), LEASE_MS)
        server.delete(lease(0))
        await workers.claim(owner(3), LEASE_MS)


def test_the_role_of_the_manifest_is_what_is_asked_for_no_more_and_no_less(arun):
    role = manifest_role()
    with KubernetesServer(role=role) as server:
        arun(whole_life(server))
        assert [server.verbs] == [set(rule["verbs"]) for rule in role["rules"]]


@pytest.mark.parametrize("verb", ["get", "list", "create", "update"])
def test_without_one_of_its_verbs_it_says_which_one_and_where_the_role_is(arun, verb):
    role = manifest_role()
    role["rules"][0]["verbs"].remove(verb)
    with KubernetesServer(role=role) as server, pytest.raises(
            NotAuthorized, match=f"(?s)cannot {verb} .*Role holdfast-worker-ids of ops/kubernetes/worker-ids-lease.yaml"
                                 f".*the verb '{verb}' on leases.coordination.k8s.io in namespace 'default'"):
        arun(whole_life(server))
