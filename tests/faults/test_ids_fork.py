# SPDX-License-Identifier: Apache-2.0
"""Servers that fork their workers from a process which has made ids: children make none of its, nor each other's."""

from __future__ import annotations

import os
import signal

import pytest

from holdfast.ids import Generator, WorkerId, layout_called
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.ids.sweeper import SWEEPER
from holdfast.ids.term import Held, Window
from holdfast.testing import wait_until
from tests.faults.ids_crew import IdsCrew
from tests.faults.ids_stores import Store

CHILDREN = 8
THREADS = 8
EACH = 10_000


def crew(backend, stream, tmp_path, **how):
    return IdsCrew(Store("redis", backend.url, stream), tmp_path, {"window_s": 2.0, "children": CHILDREN,
                                                                   "threads": THREADS, "most": EACH, **how})


def test_eight_children_of_eight_threads_and_their_parent_make_no_id_twice(backend, stream, tmp_path):
    with crew(backend, stream, tmp_path) as made:
        parent = made.start("fork")
        assert parent.wait(100) == 0, parent.stderr
        assert "Traceback" not in parent.stderr
        said = [line for line in parent.lines if isinstance(line, dict) and "child" in line]
        assert [line["made"] for line in said] == [THREADS * EACH + 1] * CHILDREN
        holds, ids = made.judge()
        print(f"{ids} ids of {len(holds)} processes")
        assert len(holds) == CHILDREN + 1, "a worker id each"
        assert ids == (CHILDREN + 1) * THREADS * EACH + CHILDREN


def test_a_child_that_was_given_no_way_to_a_worker_id_of_its_own_is_refused(backend, stream, tmp_path):
    with crew(backend, stream, tmp_path, again=False) as made:
        parent = made.start("fork")
        assert parent.wait(60) == 0, parent.stderr
        refused = [line["refused"] for line in parent.lines if isinstance(line, dict) and "child" in line]
        assert len(refused) == CHILDREN
        assert all("made before a fork" in one for one in refused), "guard: a child draws nothing of its parent's"
        holds, ids = made.judge()
        assert (len(holds), ids) == (1, THREADS * EACH), "and the parent made its own"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_leaves_the_block_takes_nothing_from_its_parent(backend, stream):
    """As where a worker's loop ends by an error that goes up through everything that its parent had opened."""
    scheme = RedisWorkers(backend.url, pool=stream)
    with WorkerId(scheme, window_s=1.0) as worker:
        ids = Generator(layout_called("snowflake"), worker)
        ids.next_id()
        pid = os.fork()
        if not pid:
            try:
                worker.close()
            finally:
                os._exit(0)
        try:
            wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, 10, "the child ends")
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        before = worker.window.last_ms
        wait_until(lambda: worker.window.last_ms > before, 10, "the parent's window is extended: it was not given back")
        ids.next_id()


def test_a_child_of_a_child_is_asked_for_a_worker_id_as_well():
    class Told:
        cause = ""

        def __init__(self, number: int) -> None:
            self.held = Held(number, Window(2 * 10**12, 2 * 10**12 + 10_000))

        def now_ms(self) -> float:
            return 2e12

        def made_by(self, maker: object) -> None:
            pass

    asked = iter(range(2, 10))
    ids = Generator(layout_called("snowflake"), Told(1), again=lambda: Told(next(asked)))
    draw = ids.bound()
    workers = []
    for _ in range(3):
        workers.append(layout_called("snowflake").decode(draw()).worker)
        ids._forked()  # what a fork does in the child, to a generator
        SWEEPER.forked()  # and to its blocks
    assert workers == [1, 2, 3]
