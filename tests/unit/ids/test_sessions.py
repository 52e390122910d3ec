# SPDX-License-Identifier: Apache-2.0
"""Worker ids that go with a session, over a store in memory that races, loses answers, and whose session ends."""

from __future__ import annotations

import itertools
import random

import pytest

from holdfast._coord.node import Node
from holdfast._coord.tenure import Tenure
from holdfast.errors import ConfigurationError, LeaseLost, ServerUnreachable, WorkerIdsExhausted
from holdfast.ids.clockless import to_bytes
from holdfast.ids.scheme import Owner
from holdfast.ids.schemes.zookeeper import ZooKeeperStore
from holdfast.ids.sessions import Seen, SessionWorkers, Stored
from holdfast.ids.term import Window
from holdfast.ids.windows import Record
from holdfast.testing import ManualClock

HOUR = 3_600_000


class Shelf:
    """What all processes see."""

    def __init__(self):
        self.stored, self.marks, self.versions, self.tags = {}, {}, itertools.count(1), itertools.count(1)


class MemoryStore:
    """Fulfils ``Store``. looked: called after a look, when others may be faster. lost: so many answers to writes."""

    def __init__(self, shelf, clock):
        self.session = Tenure("memory", 10.0, clock, clock.now())
        self.shelf, self.tag = shelf, f"s{next(shelf.tags)}"
        self.looked, self.lost, self.asked = lambda: None, 0, 0

    async def look(self):
        self.asked += 1
        seen = Seen(dict(self.shelf.stored), frozenset(self.shelf.marks))
        self.looked()
        return seen

    async def read(self, worker):
        self.asked += 1
        return self.shelf.stored.get(worker)

    async def write(self, record, before, hold):
        self.asked += 1
        assert self.shelf.marks.get(hold) is self, "guard: before the record names it"
        if self.shelf.stored.get(record.worker) != before:
            return None
        self.shelf.stored[record.worker] = Stored(record, next(self.shelf.versions))
        if self.lost:
            self.lost -= 1
            raise ServerUnreachable("the answer was lost", maybe_done=True)
        return self.shelf.stored[record.worker]

    async def put_mark(self, hold):
        self.session.check()
        self.shelf.marks[hold] = self

    async def remove_mark(self, hold):
        self.shelf.marks.pop(hold, None)

    async def close(self):
        self.session.lose("closed")
        self.expired()

    def expired(self):
        """What the server does at the end of a session."""
        for hold, store in list(self.shelf.marks.items()):
            if store is self:
                del self.shelf.marks[hold]


class MemoryWorkers(SessionWorkers):
    name = "memory"

    def __init__(self, shelf, clock=None, **how):
        super().__init__(**{"pool": "web", "workers": 4, "ttl_s": 10.0, "behind_s": 4 * 3600.0, "clock": clock,
                            "chance": random.Random(7)} | how)
        self.shelf = shelf

    async def _open(self):
        return MemoryStore(self.shelf, self.clock)

    async def store(self):
        return await self._stores.alive()


def owner(name, wanted=None):
    return Owner(f"hold-{name}", name, wanted)


def test_a_renewal_after_the_wall_clock_was_set_goes_on_as_if_it_was_not(arun):
    async def main():
        clock = ManualClock()
        workers = MemoryWorkers(Shelf(), clock)
        grant = await workers.claim(owner("a"), 30_000)
        for step_ms in (-HOUR, 2 * HOUR, -HOUR):
            clock.step_wall(step_ms)
            clock.advance(5)
            (await workers.store()).session.confirm(clock.now(), 10.0)
            later = await workers.renew(owner("a"), grant, 30_000)
            assert later.now_ms == grant.now_ms + 5000, "guard: a clock that is set changes nothing"
            assert later.window.last_ms == grant.window.last_ms + 5000
            grant = later
        await workers.close()

    arun(main())


def test_a_session_that_has_ended_keeps_nothing_and_nobody_is_asked(arun):
    async def main():
        clock = ManualClock()
        workers, told = MemoryWorkers(Shelf(), clock), []
        workers.lost(told.append)
        grant = await workers.claim(owner("a"), 60_000)
        store = await workers.store()
        asked = store.asked
        clock.advance(10)  # its window goes on, its session does not
        with pytest.raises(LeaseLost, match="worker id 0 of pool 'web' is not ours any more: the session on memory"):
            await workers.renew(owner("a"), grant, 60_000)
        assert store.asked == asked, "guard: a session that has ended keeps nothing"
        store.session._watch()  # what its timer does, late
        assert told == [], "guard: nothing is lost twice"
        await workers.release(owner("a"), grant, 0)
        again = await workers.claim(owner("b"), 60_000)
        assert again.worker == 1, "the server has not ended the session yet"
        store.expired()
        assert (await workers.claim(owner("c", wanted=0), 60_000)).window.first_ms > grant.window.last_ms
        await workers.close()

    arun(main())


def test_a_session_that_ends_by_itself_is_told_of_once_and_one_that_is_closed_is_not(arun):
    async def main():
        clock = ManualClock()
        workers, told = MemoryWorkers(Shelf(), clock), []
        workers.lost(told.append)
        await workers.claim(owner("a"), 60_000)
        store = await workers.store()
        clock.advance(10)
        store.session._watch()  # what its timer does
        store.session._watch()
        assert told == ["the session on memory was lost (unreachable)"]
        await workers.claim(owner("b"), 60_000)
        await workers.close()
        assert len(told) == 1

    arun(main())


def test_an_answer_that_was_lost_is_found_again(arun):
    async def main():
        workers = MemoryWorkers(Shelf(), ManualClock())
        store = await workers.store()
        store.lost = 1
        grant = await workers.claim(owner("a"), 30_000)
        store.lost = 1
        grant = await workers.renew(owner("a"), grant, 60_000)
        assert len(workers.shelf.stored) == 1, "guard: its answer was lost, and it is ours"
        assert workers.shelf.stored[0].record.window == grant.window
        store.lost = 1
        await workers.release(owner("a"), grant, 0)
        assert (workers.shelf.stored[0].record.owner, workers.shelf.marks) == ("", {})
        await workers.close()

    arun(main())


def test_what_was_written_and_not_found_out_is_found_out_when_asked_again(arun):
    async def main():
        workers = MemoryWorkers(Shelf(), ManualClock())
        store = await workers.store()
        store.lost, store.read = 1, unanswered
        with pytest.raises(ServerUnreachable):
            await workers.claim(owner("a"), 30_000)
        grant = await workers.claim(owner("a"), 30_000)
        assert (grant.worker, len(workers.shelf.stored)) == (0, 1)
        store.lost = 1
        with pytest.raises(ServerUnreachable):
            await workers.renew(owner("a"), grant, 40_000)
        del store.read
        assert (await workers.renew(owner("a"), grant, 50_000)).window.last_ms == grant.window.last_ms + 20_000
        await workers.close()

    arun(main())


async def unanswered(_worker):
    raise ServerUnreachable("nobody answers", maybe_done=True)


def test_who_comes_too_late_takes_another_one_and_not_all_the_same(arun):
    """Each time the next one is taken by somebody in between."""
    async def main():
        shelf = Shelf()
        workers, others = MemoryWorkers(shelf, ManualClock(), workers=64), MemoryStore(shelf, ManualClock())
        store, taken = await workers.store(), itertools.count()

        def faster():
            worker = next(taken)
            if worker < 5:
                others.shelf.marks[f"o-{worker}"] = others
                shelf.stored[worker] = Stored(Record(worker, f"o-{worker}", "", Window(0, 9), 0), next(shelf.versions))

        store.looked = faster
        found = await workers.claim(owner("a"), 30_000)
        assert found.worker not in shelf.stored or shelf.stored[found.worker].record.name == "a"
        assert next(taken) < 6, "guard: not all take the next one"
        await workers.close()

    arun(main())


def test_a_record_that_somebody_else_wrote_or_removed_is_lost(arun):
    async def main():
        shelf = Shelf()
        workers = MemoryWorkers(shelf, ManualClock())
        grants = {name: await workers.claim(owner(name), 30_000) for name in "ab"}
        shelf.stored[0] = Stored(Record(0, "robber", "", Window(0, 9), 0), next(shelf.versions))
        del shelf.stored[1]
        for name, grant in grants.items():
            with pytest.raises(LeaseLost, match="somebody else has it by now"):
                await workers.renew(owner(name), grant, 30_000)
        assert shelf.stored[0].record.owner == "robber", "guard: owner"
        with pytest.raises(LeaseLost, match="it was not claimed here"):
            await workers.renew(owner("a"), grants["a"], 30_000)
        await workers.close()

    arun(main())


def test_a_refused_claim_leaves_no_mark(arun):
    async def main():
        shelf = Shelf()
        workers = MemoryWorkers(shelf, ManualClock(), workers=1)
        store = await workers.store()

        def faster():
            shelf.marks["o"] = store
            shelf.stored[0] = Stored(Record(0, "o", "", Window(0, 9), 0), next(shelf.versions))

        store.looked = faster
        with pytest.raises(WorkerIdsExhausted):
            await workers.claim(owner("late"), 30_000)
        assert list(shelf.marks) == ["o"]
        await workers.close()

    arun(main())


def test_processes_whose_clocks_differ_by_two_hours_and_are_set_have_no_moment_in_common(arun, rng):
    async def main():
        shelf, windows = Shelf(), []
        clocks = [ManualClock(wall_ms=1_893_456_000_000 + rng.randrange(-HOUR, HOUR)) for _ in range(5)]
        processes = [MemoryWorkers(shelf, clock, workers=2, behind_s=1e7) for clock in clocks]
        held = {}
        for n in range(400):
            who = rng.randrange(5)
            workers, name = processes[who], owner(f"{who}-{n}")
            if rng.random() < 0.2:
                clocks[who].step_wall(rng.randrange(-HOUR, HOUR))
            for clock, each in zip(clocks, processes, strict=True):
                clock.advance(0.5)
                (await each.store()).session.confirm(clock.now(), 10.0)
            if who not in held:
                try:
                    held[who] = (name, await workers.claim(name, rng.randrange(1, 60_000)))
                except WorkerIdsExhausted:
                    continue
            elif rng.random() < 0.6:
                name, grant = held[who]
                later = await workers.renew(name, grant, rng.randrange(1, 60_000))
                assert later.window.last_ms >= grant.window.last_ms
                assert later.now_ms >= grant.now_ms
                held[who] = (name, later)
            else:
                name, grant = held.pop(who)
                last_ms = rng.randrange(grant.window.first_ms, grant.window.last_ms + 1)
                await workers.release(name, grant, last_ms)
                windows.append((grant.worker, grant.window.first_ms, last_ms))
        windows += [(grant.worker, grant.window.first_ms, grant.window.last_ms) for _, grant in held.values()]
        for one, other in itertools.pairwise(sorted(windows)):
            assert one[0] != other[0] or one[2] < other[1], "guard: behind the last one"
        assert len(windows) > 30
        for workers in processes:
            await workers.close()

    arun(main())


def test_a_session_without_time_is_refused():
    with pytest.raises(ConfigurationError, match="ttl_s=0"):
        MemoryWorkers(Shelf(), ttl_s=0)


class Between:
    """A ZooKeeper where somebody claims between two questions of a look."""

    name, id = "zk", 1

    def __init__(self):
        self.marks = []

    async def sync(self, _path):
        """Nothing is behind."""

    async def children(self, path):
        return list(self.marks) if path.endswith("/alive") else ["0"]

    async def get(self, path):
        self.marks.append("hold-b-2")
        value = to_bytes(Record(0, "hold-b-2", "b", Window(0, 9), 0))
        return Node(path=path, value=value, version=1, czxid=1, owner=0)


def test_who_claims_between_two_questions_is_not_taken_for_dead(arun):
    async def main():
        seen = await ZooKeeperStore(Between(), "/ids/web").look()
        assert seen.stored[0].record.owner in seen.alive, "guard: marks after records"

    arun(main())
