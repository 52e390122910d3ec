# SPDX-License-Identifier: Apache-2.0
"""Clocks that are wrong while ids are made: of those who make them, and of the store. No id twice, whatever they say.

What is promised of a clock is less: ids are no older and no younger than a window and what a burst may be ahead, as
long as the store's clock is right, and whoever's clock was wrong makes ids again once the store has heard of it.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from holdfast.errors import IdsRefused
from holdfast.ids import Generator, layout_called
from holdfast.ids.term import Held, Window
from holdfast.testing import Proxy, Replicated, Single, wait_until
from holdfast.testing.binaries import find_faketime
from tests.faults.ids_crew import IdsCrew
from tests.faults.ids_stores import Store, store_called

WINDOW_S = 0.8
HOUR = 3600.0
#: Beside a window and a second of burst: what a busy machine needs from an id to the look at the clock.
SLACK_S = 3.0
HOW = {"window_s": WINDOW_S, "threads": 2, "chunk": 2_000, "rest_s": 0.02}


def grown(crew, worker, deadline_s=20.0):
    """It makes ids, from now on."""
    def size() -> int:
        return sum(path.stat().st_size for path in crew.made.glob(f"{worker.pid}-*"))

    before = size()
    wait_until(lambda: size() > before, deadline_s, "it makes ids")


def late(crew):
    """The youngest and the oldest that an id was, beside the machine's clock."""
    told = [line["late_s"] for line in crew.lines() if isinstance(line, dict) and "late_s" in line]
    assert told
    return min(low for low, _ in told), max(high for _, high in told)


@pytest.mark.parametrize("steps", [
    pytest.param([HOUR, -HOUR], id="an hour"),
    pytest.param([20.0, -20.0], id="less than is refused at once"),
    pytest.param([0.3, -0.3], id="less than a window"),
])
def test_a_makers_clock_that_steps_makes_no_id_twice_and_is_right_again_at_the_next_renewal(steps, backend, stream,
                                                                                           tmp_path):
    """It goes wrong one way, then the other; and one whose window was over for it has the worker id taken meanwhile."""
    with IdsCrew(Store("redis", backend.url, stream, workers=3), tmp_path, HOW) as crew:
        crew.start(life_s=0.4)
        stepping = [crew.start(steps=[(1.5, step), (3.0, -2 * step)]) for step in steps]
        for worker in stepping:
            crew.ready(worker)
        for worker in stepping:
            worker.wait_line(lambda line: line["step"] == 2)
        for worker in stepping:
            grown(crew, worker)
        crew.end(*crew.living)
        holds, made = crew.judge()
        youngest, oldest = late(crew)
        print(f"{made} ids of {len(holds)} holds; {-youngest:.1f} s ahead and {oldest:.1f} s behind at most")
        assert youngest >= -(WINDOW_S + 1 + SLACK_S), "guard: ids are no further ahead than a window and a burst"
        assert oldest <= WINDOW_S + SLACK_S, "guard: a clock that went back is heard of at the next renewal"


def test_clocks_that_run_too_fast_or_too_slow_make_no_id_twice(backend, stream, tmp_path):
    """A leap second that is smeared over a day, what NTP does at most (500 ppm), and far more than anybody does."""
    with IdsCrew(Store("redis", backend.url, stream, workers=4), tmp_path, {**HOW, "life_s": 0.9}) as crew:
        for rate in (1 + 1 / 86_400, 1 - 0.0005, 1 + 0.0005, 0.5, 1.5, 1.0):
            crew.start(rate=rate)
        wait_until(lambda: len({line["by"] for line in crew.lines() if "ready" in line}) == 6, 30, "all had a turn")
        wait_until(lambda: crew.size() > 500_000, 30, "ids are made")
        crew.end(*crew.living)
        holds, made = crew.judge()
        print(f"{made} ids of {len(holds)} holds")
        assert late(crew)[1] <= WINDOW_S + SLACK_S


class FakeTime:
    """The wall clock of a process, by libfaketime; the clock that counts what passes is left alone, as on a machine."""

    def __init__(self, folder: Path, offset_s: float) -> None:
        self.path = folder / f"faketime-{offset_s}"
        self.step(offset_s)
        self.env = {"LD_PRELOAD": str(find_faketime("valkey")), "FAKETIME_TIMESTAMP_FILE": str(self.path),
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def step(self, offset_s: float) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{offset_s:+f}\n")
        fresh.rename(self.path)


@pytest.mark.parametrize("name", ["redis-valkey", "etcd"])
def test_a_machines_clock_that_is_set_and_is_behind_at_a_restart_makes_no_id_twice(name, request, stream, tmp_path):
    """The real clocks of three processes, set while they make ids; one comes back an hour earlier than it went.

    etcd has no clock, so there the time of a claim is the process's own: ids may be an hour off then, and never twice.
    """
    store = store_called(name, stream, tmp_path, request.getfixturevalue, workers=3)
    clocks = [FakeTime(tmp_path, offset_s) for offset_s in (0.0, HOUR, 2.0)]
    with IdsCrew(store, tmp_path, HOW) as crew:
        workers = [crew.start(env=clock.env, faked=True, name=f"pod-{n}", life_s=1.5) for n, clock in enumerate(clocks)]
        for worker in workers:
            crew.ready(worker)
        for clock, offset_s in zip(clocks, (-HOUR, -2.0, HOUR), strict=True):
            time.sleep(0.5)
            clock.step(offset_s)
        grown(crew, workers[0] if store.kind == "redis" else workers[2])  # on etcd one that is behind is refused
        workers[1].kill9()
        clocks[1].step(-HOUR)
        again = crew.start(env=clocks[1].env, faked=True, name="pod-1")
        if store.kind == "redis":
            crew.ready(again)
            grown(crew, again)
        else:  # it is refused for as long as its clock is that far behind; the others go on
            again.wait_line(lambda line: line["started"])
            clocks[1].step(0.0)
        crew.end(*crew.living)
        holds, made = crew.judge()
        print(f"{made} ids of {len(holds)} holds on {store.kind}")
        assert len(holds) >= 4


@pytest.mark.parametrize("steps", [(HOUR, 0.0), (-HOUR, 0.0), (0.4, -0.4, 30.0, -30.0)], ids=str)
def test_a_stores_clock_that_steps_gives_no_time_twice(steps, stream, tmp_path):
    """While the pool is full and somebody waits: a step makes no window end that is still used."""
    with Single(faketime_offset_s=0.0) as server, \
            IdsCrew(Store("redis", server.url, stream, workers=2), tmp_path, {**HOW, "life_s": 1.2}) as crew:
        workers = [crew.start() for _ in range(3)]
        for step_s in steps:
            wait_until(lambda: sum("ready" in line for line in crew.lines()) >= 2, 20, "worker ids are had")
            time.sleep(0.4)
            server.step_clock(step_s)
            for worker in workers:
                grown(crew, worker, 30)
        crew.end(*crew.living)
        holds, made = crew.judge()
        print(f"{made} ids of {len(holds)} holds")
        assert len(holds) >= 3


def test_a_store_that_is_behind_after_a_failover_gives_no_time_twice(stream, tmp_path):
    """Confirmed windows are known to whoever takes over, and how far its predecessor's time had come."""
    with contextlib.ExitStack() as end:
        made = end.enter_context(Replicated(replicas=2, proxied=True, faketime_offset_s=(0.0, 0.0, -30.0)))
        made.wait_in_sync()
        way = end.enter_context(Proxy(made.master.address))
        store = Store("redis", way.through(made.url), stream, workers=2, replicas=1)
        crew = end.enter_context(IdsCrew(store, tmp_path, HOW))
        workers = [crew.start(life_s=1.2) for _ in range(3)]
        wait_until(lambda: sum("ready" in line for line in crew.lines()) >= 3, 30, "worker ids are had")
        made.links[0].stall()
        time.sleep(0.5)  # what comes now, one replica knows of: the one that is 30 s behind
        made.master.kill()
        way.target = made.promote(1).address
        way.cut()
        for worker in workers:
            grown(crew, worker, 40)
        crew.end(*crew.living)
        holds, ids = crew.judge()
        print(f"{ids} ids of {len(holds)} holds")
        assert late(crew)[1] < WINDOW_S + 1 + 2 * SLACK_S, "store time stands until the clock has caught up, at worst"


# -- one generator, and the term it is told


class Told:
    """A term as it is told: what is held, and what time it is."""

    cause = ""

    def __init__(self, worker: int, first_ms: int, last_ms: int) -> None:
        self.held, self.now = Held(worker, Window(first_ms, last_ms)), float(first_ms)

    def now_ms(self) -> float:
        return self.now

    def made_by(self, maker: object) -> None:
        pass


AT_MS = 2 * 10**12


def test_a_clock_that_was_ahead_keeps_nobody_from_making_ids_when_it_is_right_again():
    """It was an hour ahead until the next renewal, behind the end of the window: no id was made of that time."""
    term = Told(1, AT_MS, AT_MS + 10_000)
    ids = Generator(layout_called("snowflake"), term)
    first = ids.next_id()
    term.now += HOUR * 1000
    with pytest.raises(IdsRefused, match="its window has ended"):
        ids.next_id()
    term.now = AT_MS + 5
    assert ids.next_id() > first, "guard: only a time of which ids were made can have gone back"


@pytest.mark.parametrize("ahead", [0, 20])
def test_ids_of_one_thread_grow_where_a_lower_worker_id_comes_after_a_higher_one(ahead):
    """The worker id was lost with the place in the midst of a millisecond, or ahead of the time."""
    layout = layout_called("snowflake")
    term = Told(9, AT_MS, AT_MS + 10_000)
    ids = Generator(layout, term)
    draw = ids.bound()
    found = [draw(), *ids.next_ids(ahead * layout.sequences + 1)]
    term.held = Held(2, Window(AT_MS, AT_MS + 10_000))
    ids.drop()
    found += [draw(), *ids.next_ids(5_000)]
    assert found == sorted(set(found)), "guard: ids of one thread grow, whichever worker id they bear"
