# SPDX-License-Identifier: Apache-2.0
"""Holding a worker id, against a store whose answers a test decides: lost, had again, counted, given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from holdfast._base.events import Events
from holdfast.errors import ConfigurationError, IdsRefused, LeaseLost, ServerUnreachable, WorkerIdTaken
from holdfast.ids import Generator, Pace, Window, WorkerId, layout_called
from holdfast.ids.scheme import Grant, Holding
from holdfast.testing import wait_until

LAYOUT = layout_called("snowflake")


class Store:
    """A scheme in memory. renewing: raised by renewals, if set."""

    name, workers = "memory", 8

    def __init__(self):
        self.owners, self.released, self.renewing, self.claiming = [], [], None, None
        self.closed = False

    @staticmethod
    def _now_ms():
        return time.time_ns() // 1_000_000

    async def claim(self, owner, lease_ms):
        if self.claiming is not None:
            raise self.claiming
        self.owners.append(owner)
        now = self._now_ms()
        return Grant(len(self.owners) - 1, Window(now, now + lease_ms), now)

    async def renew(self, owner, grant, lease_ms):
        if self.renewing is not None:
            raise self.renewing
        now = self._now_ms()
        return Grant(grant.worker, Window(grant.window.first_ms, now + lease_ms), now)

    async def release(self, owner, grant, last_ms):
        self.released.append((owner, grant.worker, last_ms))

    async def holders(self):
        return [Holding(0, "a", 0, 1, live=True), Holding(1, "b", 0, 1, live=False), Holding(2, "c", 0, 1, live=True)]

    async def close(self):
        self.closed = True


@pytest.fixture
def said():
    return []


@pytest.fixture
def events(said):
    made = Events()
    made.subscribe(said.append)
    return made


def of(said, kind):
    return [event for event in said if type(event).__name__ == kind]


def test_one_that_is_lost_makes_no_id_any_more_and_another_one_is_had_in_its_place(said, events):
    store = Store()
    with WorkerId(store, window_s=0.6, events=events) as worker:
        ids = Generator(LAYOUT, worker, Pace(), events=events)
        draw = ids.bound()
        for _ in range(20_000):
            draw()  # a block is half used
        store.claiming, store.renewing = WorkerIdTaken("all are gone"), LeaseLost("worker id 0 is somebody else's")
        wait_until(lambda: worker.cause, 5, "it is lost")
        assert LAYOUT.decode(LAYOUT.encode(1, worker.worker, 0)).worker == 0
        for ask in (draw, ids.next_id, ids.strict_id):
            with pytest.raises(IdsRefused, match="worker 0: worker id 0 is somebody else's") as refused:
                ask()
            assert refused.value.why == "window", "guard: nothing is made once it is lost"
        assert not worker.ready
        wait_until(lambda: of(said, "WorkerIdRefused"), 5, "another one is asked for")
        store.claiming = store.renewing = None
        wait_until(lambda: not worker.cause, 5, "another one is had")
        assert {LAYOUT.decode(made).worker for made in (draw(), ids.next_id(), ids.strict_id())} == {1}
        assert worker.ready
    assert len({owner.id for owner in store.owners}) == 2, "whoever lost one is somebody else"
    assert len({owner.name for owner in store.owners}) == 1
    assert [lost.worker for lost in of(said, "WorkerIdLost")] == [0]
    assert {refused.why for refused in of(said, "IdRefused")} == {"window"}
    assert [worker for _, worker, _ in store.released] == [1]


def test_a_scheme_that_learns_of_a_loss_is_heard_before_the_next_renewal(said, events):
    class Told(Store):
        def lost(self, tell):
            self.tell = tell

    store = Told()
    with WorkerId(store, window_s=3600, events=events) as worker:
        ids = Generator(LAYOUT, worker)
        ids.next_id()
        worker._loop.call_soon_threadsafe(store.tell, "the session has ended")
        wait_until(lambda: len(store.owners) == 2, 5, "guard: another one is asked for at once")
        wait_until(lambda: not worker.cause, 5, "another one is had")
        assert LAYOUT.decode(ids.next_id()).worker == 1
    assert [lost.worker for lost in of(said, "WorkerIdLost")] == [0]


def test_whoever_waits_for_one_that_is_closed_is_told_and_two_may_close_it():
    class Slow(Store):
        async def claim(self, owner, lease_ms):
            grant = await super().claim(owner, lease_ms)
            return Grant(grant.worker, Window(grant.window.first_ms + 3_600_000, grant.window.last_ms + 3_600_000),
                         grant.now_ms)

    store, told = Slow(), []
    worker = WorkerId(store)

    def wait():
        with pytest.raises(IdsRefused, match="was closed while it was waited for") as refused:
            worker.open(wait_s=7200)
        told.append(refused)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    wait_until(lambda: store.owners, 5, "it is claimed")
    closing = [threading.Thread(target=worker.close, daemon=True) for _ in range(2)]
    for thread in closing:
        thread.start()
    for thread in (*closing, waiting):
        thread.join(5)
        assert not thread.is_alive(), "guard: whoever waits for it is told"
    assert told
    assert [owner for owner, _, _ in store.released] == store.owners


def test_a_worker_id_has_one_generator():
    """Two have the same time and the same sequence: they would make the same ids."""
    worker = WorkerId(Store())
    Generator(LAYOUT, worker)
    with pytest.raises(ConfigurationError, match="has a generator: all threads and tasks share that one"):
        Generator(LAYOUT, worker)  # guard: one generator a worker id


def test_a_worker_id_and_its_window_are_replaced_together():
    """An id with the new worker id and a time of the old window could be its former holder's."""
    store = Store()
    worker = WorkerId(store)
    worker._take(Grant(3, Window(100, 200), 100))
    held = worker.held
    worker._take(Grant(4, Window(300, 400), 300))
    assert (held.worker, held.window) == (3, Window(100, 200))
    assert (worker.worker, worker.window) == (4, Window(300, 400))


def until_refused(ids):
    """It is said a little before it is refused; whatever is made until then is of the window."""
    last_ms = ids.term.window.last_ms
    while True:
        assert LAYOUT.decode(ids.next_id()).timestamp_ms <= last_ms
        time.sleep(0.001)


def test_a_store_that_does_not_answer_is_asked_again_and_ids_are_made_until_the_window_ends(said, events):
    store = Store()
    with WorkerId(store, window_s=2.0, events=events) as worker:
        ids = Generator(LAYOUT, worker)
        store.renewing = ServerUnreachable("nobody there")
        wait_until(lambda: of(said, "WorkerIdUnrenewed"), 5, "a renewal failed")
        ids.next_id()
        wait_until(lambda: not worker.ready, 5, "the window has ended")
        with pytest.raises(IdsRefused, match=r"its window has ended \d+ ms ago and was not extended"):
            until_refused(ids)
        store.renewing = None
        wait_until(lambda: worker.ready, 5, "it is extended")
        assert LAYOUT.decode(ids.next_id()).worker == 0, "it was nobody else's meanwhile"
    assert 0 <= min(event.left_s for event in of(said, "WorkerIdUnrenewed")) < 2.0


def test_what_was_made_is_counted_and_the_pool_is_looked_at(said, events):
    store = Store()
    with WorkerId(store, window_s=0.3, events=events) as worker:
        ids = Generator(LAYOUT, worker)
        ids.next_ids(1000)
        wait_until(lambda: of(said, "IdsMade") and of(said, "WorkerIdsHeld"), 5, "it is told")
        ids.next_ids(500)
    assert sum(event.count for event in of(said, "IdsMade")) == 1500
    assert {(event.held, event.capacity) for event in of(said, "WorkerIdsHeld")} == {(2, 8)}


def test_it_is_given_back_with_the_time_of_the_last_id_and_nothing_is_made_behind_it():
    store = Store()
    with WorkerId(store) as worker:
        ids = Generator(LAYOUT, worker)
        draw = ids.bound()
        made = max([draw() for _ in range(10_000)])
    ((_, _, last_ms),) = store.released
    assert last_ms >= LAYOUT.decode(made).timestamp_ms
    for ask in (draw, ids.next_id):
        with pytest.raises(IdsRefused, match="its worker id was given back"):
            ask()
    assert store.closed


def test_a_loop_may_hold_one(arun):
    async def main():
        store = Store()
        async with WorkerId(store) as worker:
            Generator(LAYOUT, worker).next_id()
        assert store.released

    arun(main())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_neither_ends_what_is_its_parents_nor_waits_for_it():
    store = Store()
    with WorkerId(store) as worker:
        child = os.fork()
        if not child:
            try:
                worker.close()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert worker.ready
        assert not store.released


@pytest.mark.parametrize("ends", ["exit", "default"])
def test_sigterm_gives_it_back_and_then_does_what_it_would_have_done(tmp_path, ends):
    """Inside the very lock that closing takes, too: a signal comes in the midst of anything."""
    store = tmp_path / "released"
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(f"""
        import signal, sys, time
        from tests.unit.ids.test_worker import LAYOUT, Store
        from holdfast.ids import Generator, WorkerId

        class Noted(Store):
            async def release(self, owner, grant, last_ms):
                open({str(store)!r}, "w").write(str(last_ms))

        def leave(*_):
            sys.exit(7)

        if {ends!r} == "exit":
            signal.signal(signal.SIGTERM, leave)
        worker = WorkerId(Noted()).open()
        worker.close_on(signal.SIGTERM)
        ids = Generator(LAYOUT, worker)
        last = ids.next_id()
        with ids._guard:
            signal.raise_signal(signal.SIGTERM)
            print(LAYOUT.decode(last).timestamp_ms, flush=True)
        while True:
            time.sleep(0.01)
    """))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=30, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])})
    assert done.returncode == (7 if ends == "exit" else -signal.SIGTERM), done.stderr
    assert int(store.read_text()) == int(done.stdout), "guard: released on SIGTERM"
