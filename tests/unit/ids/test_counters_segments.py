# SPDX-License-Identifier: Apache-2.0
"""Two segments and what is drawn from them, over a store that does as it is told."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast._base.events import CounterJumped, Events, SegmentFailed, SegmentsEmpty, SegmentTaken
from holdfast.errors import ConfigurationError, IdsRefused, ServerUnreachable
from holdfast.ids.counters import AsyncSegments, Segments, Sizes
from holdfast.ids.counters.memory import MemoryCounter
from holdfast.ids.counters.store import Segment
from holdfast.ids.sweeper import SWEEPER
from holdfast.testing import ManualClock, wait_until

SOON_S = 10.0


class Told(MemoryCounter):
    """Counts what it is asked for; gives nothing while it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.tried = 0
        self.away: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def take(self, tag: str, count: int) -> Segment:
        self.tried += 1
        self.open.wait(SOON_S)
        if self.away is not None:
            raise self.away
        self.asked.append(count)
        return super().take(tag, count)


def fetched(store: Told, times: int) -> None:
    wait_until(lambda: len(store.asked) == times, SOON_S, f"{times} segments were fetched")


def settled(ids: Segments) -> None:
    wait_until(lambda: not ids.supply._threads, SOON_S, "nothing is being fetched")


def test_the_next_segment_is_fetched_when_a_tenth_is_used_and_not_before():
    store = Told()
    with Segments(store, "orders", Sizes(100, 100)) as ids:
        assert ids.next_ids(9) == list(range(1, 10))
        settled(ids)
        assert len(store.asked) == 1
        ids.next_ids(1)
        fetched(store, 2)
        settled(ids)
        assert ids.supply.left == 190
        ids.next_ids(80)
        settled(ids)
        assert len(store.asked) == 2, "guard: one is fetched ahead, and no more"


def test_while_the_store_is_away_both_segments_are_used_up_and_then_ids_are_refused():
    store, events = Told(), []
    with Segments(store, "orders", Sizes(100, 100), wait_s=0.2, events=Events(events.append)) as ids:
        ids.next_ids(50)
        fetched(store, 2)
        settled(ids)
        store.away = ServerUnreachable("nobody answers")
        assert ids.next_ids(150) == list(range(51, 201)), "the buffer serves on"
        with pytest.raises(IdsRefused, match=r"both segments of 'orders' are used up, .* within 0\.\d s") as refused:
            ids.next_id()
        assert refused.value.why == "empty"
        with pytest.raises(IdsRefused):
            ids.bound()()
        store.away = None
        fetched(store, 3)
        assert ids.next_id() == 201, "and goes on when it is back"
        assert {e.error for e in events if isinstance(e, SegmentFailed)} == {"ServerUnreachable"}
        assert any(isinstance(e, SegmentsEmpty) and e.seconds >= 0.2 for e in events)


def test_whoever_waits_has_an_id_as_soon_as_the_store_answers():
    store = Told()
    store.open.clear()
    with Segments(store, "orders") as ids, ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(ids.next_id) for _ in range(4)]
        wait_until(lambda: store.tried == 1, SOON_S, "the store is asked")
        store.open.set()
        assert len({one.result(SOON_S) for one in waiting}) == 4
        assert len(store.asked) <= 2, "guard: one is fetched at a time"


def test_trouble_that_asking_again_does_not_mend_is_told_at_once_and_asked_again_by_the_next_call():
    store = Told()
    store.away = ConfigurationError("no such table")
    with Segments(store, "orders", wait_s=60) as ids:
        with pytest.raises(ConfigurationError, match="no such table"):
            ids.next_id()
        store.away = None
        assert ids.next_id() == 1


def test_such_trouble_is_no_trouble_while_there_are_ids():
    store = Told()
    with Segments(store, "orders", Sizes(100, 100)) as ids:
        ids.next_ids(5)
        store.away = ConfigurationError("no such table")
        ids.next_ids(50)
        wait_until(lambda: store.tried >= 3, SOON_S, "it is tried again")
        store.away = None
        fetched(store, 2)
        assert ids.next_ids(45) + ids.next_ids(100) == list(range(56, 201))


def test_segments_become_as_large_as_they_are_used_up():
    store, clock = Told(), ManualClock()
    with Segments(store, "orders", Sizes(10, 40, threshold=0), clock=clock) as ids:
        ids.next_id()
        fetched(store, 2)
        for lasted_s, size in ((10, 40), (10, 40), (1_000, 40), (1_801, 20), (9_999, 10), (9_999, 10)):
            settled(ids)
            clock.advance(lasted_s)
            ids.next_ids(ids.supply.left - store.asked[-1] + 1)  # the first one of the segment that was fetched last
            settled(ids)
            assert store.asked[-1] == size
        assert store.asked == [10, 20, 40, 40, 40, 20, 10, 10]


def test_an_outage_does_not_make_the_next_segment_smaller():
    store, clock = Told(), ManualClock()
    with Segments(store, "orders", Sizes(10, 80), clock=clock) as ids:
        ids.next_ids(9)
        fetched(store, 2)
        settled(ids)
        store.away = ServerUnreachable("nobody answers")
        ids.next_ids(10)
        wait_until(lambda: store.tried > 2, SOON_S, "it is tried")
        clock.advance(86_400)
        store.away = None
        fetched(store, 3)
        assert store.asked == [10, 20, 40]


def test_ids_of_a_thread_grow_and_those_of_threads_are_apart():
    with Segments(MemoryCounter(), "orders") as ids:
        found = [[] for _ in range(4)]

        def draw(some):
            next_id = ids.bound()
            some.extend(next_id() for _ in range(20_000))
            some.extend(ids.next_id() for _ in range(5_000))

        threads = [threading.Thread(target=draw, args=(some,)) for some in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set().union(*found)) == 100_000
        for some in found:
            assert some[:20_000] == sorted(some[:20_000])


def test_strict_ids_keep_the_order_of_the_calls():
    with Segments(MemoryCounter(), "orders") as ids:
        turn, found = itertools.cycle((ids.strict_id, lambda: other.submit(ids.strict_id).result(SOON_S))), []
        with ThreadPoolExecutor(1) as other:
            found = [next(turn)() for _ in range(50)]
        assert found == list(range(1, 51))


def test_a_block_that_lies_unused_is_thrown_away(monkeypatch):
    """guard: late numbers do not stand behind much larger ones."""
    now = [100.0]
    monkeypatch.setattr(SWEEPER, "now", lambda: now[0], raising=False)
    with Segments(MemoryCounter(), "orders", Sizes(100_000), lag_s=1.0) as ids:
        draw = ids.bound()
        drawn = [draw() for _ in range(200)]
        now[0] += 5
        SWEEPER.sweep()
        assert draw() > drawn[-1] + 1, "guard: lag"


def test_tags_are_apart():
    store = MemoryCounter()
    with Segments(store, "orders") as orders, Segments(store, "bills") as bills:
        assert [orders.next_id(), bills.next_id(), orders.strict_id()] == [1, 1, 2]


def test_closed_it_gives_no_more():
    ids = Segments(MemoryCounter(), "orders")
    ids.next_id()
    ids.close()
    with pytest.raises(ConfigurationError, match="were closed"):
        ids.strict_id()


def test_a_jump_of_the_store_is_told():
    class Jumped(MemoryCounter):
        def take(self, tag, count):
            return Segment(super().take(tag, count).ids, "e2", 7_000, "server")

    events = []
    with Segments(Jumped(), "orders", events=Events(events.append)) as ids:
        ids.next_id()
        settled(ids)
    (jump,) = [e for e in events if isinstance(e, CounterJumped)]
    assert (jump.scheme, jump.tag, jump.numbers, jump.why) == ("memory", "orders", 7_000, "server")
    (taken,) = [e for e in events if isinstance(e, SegmentTaken)]
    assert (taken.count, taken.left_ratio) == (1_000, 0.0)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_draws_nothing_that_its_parent_draws():
    """A fork copies the memory store, so the child's is moved on: what counts is what was in blocks and segments."""
    store = MemoryCounter()
    ids = Segments(store, "orders", Sizes(10_000))
    draw = ids.bound()
    before = [draw() for _ in range(500)] + [ids.next_id() for _ in range(500)]
    settled(ids)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        store.take("orders", 1_000_000)  # as if others had been there meanwhile
        found = [draw() for _ in range(5)] + [ids.next_id() for _ in range(5)]
        os.write(write, " ".join(map(str, found)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = set(map(int, os.read(read, 1_000).split()))
    ours = {draw() for _ in range(9_000)} | {ids.next_id() for _ in range(1_000)} | set(before)
    assert len(theirs) == 10
    assert not theirs & ours, "guard: what the parent has is the parent's"
    assert min(theirs) > 1_000_000


class TestInALoop:
    def test_ids_grow_and_are_apart(self, arun):
        async def main():
            async with AsyncSegments(MemoryCounter(), "orders") as ids:
                one = [await ids.next_id() for _ in range(3_000)]
                assert one == sorted(set(one))
                many = await asyncio.gather(*(ids.next_ids(10) for _ in range(50)))
                more = await asyncio.gather(*(ids.next_id() for _ in range(50)))
                assert len({*one, *more}.union(*many)) == 3_550

        arun(main())

    def test_the_loop_turns_while_the_store_is_slow(self, arun):
        async def main():
            store = Told()
            store.open.clear()
            async with AsyncSegments(store, "orders") as ids:
                waiting = [asyncio.create_task(ids.next_id()) for _ in range(10)]
                turns = 0
                while store.tried < 1 or turns < 100:
                    turns += 1
                    await asyncio.sleep(0)
                store.open.set()
                assert len(set(await asyncio.gather(*waiting))) == 10

        arun(main())

    def test_refused_when_both_are_used_up(self, arun):
        async def main():
            store = Told()
            store.away = ServerUnreachable("nobody answers")
            async with AsyncSegments(store, "orders", wait_s=0.1) as ids:
                with pytest.raises(IdsRefused, match="both segments"):
                    await ids.next_id()
                assert not ids.supply._told, "nothing is left behind by who waits no more"
                store.away = None
                await asyncio.to_thread(fetched, store, 1)
                assert await ids.next_id() == 1

        arun(main())

    def test_trouble_is_told(self, arun):
        async def main():
            store = Told()
            store.away = ConfigurationError("no such table")
            async with AsyncSegments(store, "orders", wait_s=60) as ids:
                with pytest.raises(ConfigurationError, match="no such table"):
                    await ids.next_id()

        arun(main())
