# SPDX-License-Identifier: Apache-2.0
"""Processes that are stopped while they make ids, for longer than their windows, while others have their worker ids.

Every id of every process is kept and looked at: none twice, each in a window that the store gave to whoever made it.
"""

from __future__ import annotations

import time

import pytest

from holdfast.testing import wait_until
from holdfast.testing.kubernetes import KubernetesServer
from tests.faults.ids_crew import IdsCrew
from tests.faults.ids_history import kept, waits_ms
from tests.faults.ids_stores import STORES, store_called

WINDOW_S = 0.6
#: Ids of one run, at least; six stores make six million and more.
AT_LEAST = 1_000_000


@pytest.fixture(scope="module")
def kubernetes():
    with KubernetesServer() as server:
        yield server


@pytest.fixture(params=STORES)
def store(request, stream, tmp_path):
    """One pool with two worker ids, for three processes and more."""
    return store_called(request.param, stream, tmp_path, request.getfixturevalue, workers=2)


def windows(worker):
    """What a process was told of windows so far."""
    return [line for line in tuple(worker.lines) if isinstance(line, dict) and "window" in line]


def holding(crew):
    """One of those that have a worker id now."""
    def has(worker) -> bool:
        said = windows(worker)
        return not worker.paused and bool(said) and said[-1]["window"] != "released"

    return wait_until(lambda: next((one for one in crew.living if has(one)), None), 20, "one holds a worker id")


def stopped_beyond_its_window(crew, rng):
    """Stops one until somebody else has its worker id, and then for a while more."""
    while True:
        worker = holding(crew)
        before = {other: len(windows(other)) for other in crew.living if other is not worker}
        worker.stop()
        if (had := windows(worker)[-1])["window"] != "released":
            break
        worker.cont()  # it had just given it back

    def taken() -> bool:
        return any(line["worker"] == had["worker"] and line["window"] == "claimed"
                   for other, seen in before.items() for line in windows(other)[seen:])

    wait_until(taken, 20, "the worker id of a stopped process is somebody else's")
    time.sleep(rng.uniform(0, WINDOW_S))  # any moment of the new window is as good
    worker.cont()


def test_who_was_stopped_beyond_its_window_makes_no_id_that_another_one_makes(store, tmp_path, rng):
    """Three processes for two worker ids, stopped in turn and killed in between: several holds of each."""
    how = {"window_s": WINDOW_S, "threads": 2, "chunk": 10_000, "rest_s": 0.02, "life_s": 1.5}
    with IdsCrew(store, tmp_path, how) as crew:
        for _ in range(3):
            crew.start()
        for round_ in range(3):
            stopped_beyond_its_window(crew, rng)
            if round_:
                holding(crew).kill9()
                crew.start()
        wait_until(lambda: crew.size() >= AT_LEAST, 60, f"{AT_LEAST} ids are made")
        crew.end(*crew.living)
        holds, made = crew.judge()
        print(f"{made} ids of {len(holds)} holds, by {crew.numbers} processes, on {store.kind}")
        assert made >= AT_LEAST
        assert len(holds) >= 6, "several generations"
        assert min(waits_ms(holds)) >= 1


@pytest.mark.parametrize("store", ["redis-valkey", "sql-postgres", "etcd"], indirect=True)
def test_what_was_prepared_before_a_stop_is_used_up_behind_it_and_no_more(store, tmp_path):
    """The stop comes with blocks half used. Behind it they are drained, and then there is a refusal and no other id."""
    with IdsCrew(store, tmp_path, {"window_s": WINDOW_S, "ordinals": (0,), "most": 500_000}) as crew:
        stopped = crew.start("pause", threads=4, chunk=100_001)
        stopped.wait_line(lambda line: line["pauses"])
        next_one = crew.start()
        crew.ready(next_one)
        wait_until(lambda: crew.size() >= 600_000, 30, "the next one makes ids")
        stopped.cont()
        woken = stopped.wait_line(lambda line: "woken" in line)
        assert stopped.wait(20) == 0, stopped.stderr
        crew.end(next_one)
        holds, made = crew.judge()
        print(f"{woken['woken']} ids were lying ready, of {made}")
        assert woken["refused"] == [True] * 4, "guard: not_after"
        assert {hold.worker for hold in holds} == {0}
        assert sum(len(ids) for _, ids in kept(crew.made)) == made
