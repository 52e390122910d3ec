# SPDX-License-Identifier: Apache-2.0
"""Pods that come and go: scaled up and down, killed, cut off, replaced by others while they still run.

At any time no two have one worker id; what each of them was told is looked at as a whole.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from holdfast.ids.named import from_ordinal
from holdfast.testing import Proxy, wait_until
from tests.faults.ids_crew import IdsCrew
from tests.faults.ids_stores import Store, scheme_of

WINDOW_S = 2.0
#: Beside what a window takes: for a busy machine.
SLACK_S = 5.0
#: Ids at a low rate: here it is worker ids that count.
HOW = {"window_s": WINDOW_S, "chunk": 200, "rest_s": 0.05}
BY_PROCESS = (12, 12, 12, 11)
#: Of a rolling update.
PODS = 3


def live(store):
    """How many worker ids are held now, as the store has it."""
    async def look() -> int:
        scheme = scheme_of(store)
        try:
            return sum(holding.live for holding in await scheme.holders())
        finally:
            await scheme.close()

    return asyncio.run(look())


def holders(worker):
    """Members of a process that have a worker id."""
    held = {}
    for line in tuple(worker.lines):
        if isinstance(line, dict) and "window" in line:
            held[line["by"]] = line["window"] != "released"
    return sum(held.values())


def scaled(crew, way, members):
    """That many more, each process of them reaching the store by a way of its own, when all have a worker id."""
    begun = [crew.start(url=way.through(crew.store.url), members=count) for count in members]
    for worker, count in zip(begun, members, strict=True):
        wait_until(lambda worker=worker, count=count: holders(worker) == count, 60, f"{count} more have a worker id")
    return begun


@pytest.mark.timeout(240)
def test_from_3_to_50_and_back_and_again_no_two_have_one_worker_id(backend, stream, tmp_path):
    """Down: two processes are killed, one is asked to end, one is cut off until its windows have ended, and goes on."""
    store = Store("redis", backend.url, stream, workers=100)
    with IdsCrew(store, tmp_path, HOW) as crew, Proxy(backend.server.address) as way:
        (core,) = scaled(crew, way, [3])
        cut = []
        for round_ in range(2):
            killed, also_killed, ended, other = scaled(crew, way, BY_PROCESS)
            assert live(store) >= 50, "50 at one time"
            with Proxy(backend.server.address) as lonely:
                cut.append(crew.start(url=lonely.through(store.url), members=3, name=f"lonely-{round_}"))
                wait_until(lambda: holders(cut[-1]) == 3, 30, "they have worker ids")
                lonely.stall()
                killed.kill9()
                also_killed.kill9()
                crew.end(ended)
                wait_until(lambda: live(store) <= 3 + BY_PROCESS[-1], WINDOW_S + 30, "what they had is free")
                lonely.resume()
                crew.end(cut[-1], other)
            wait_until(lambda: live(store) == 3, WINDOW_S + 30, "three are left")
        assert core.alive
        crew.end(core)
        holds, made = crew.judge()
        print(f"{made} ids of {len(holds)} holds, of at most {len({hold.worker for hold in holds})} worker ids")
        assert len(holds) >= 3 + 2 * (sum(BY_PROCESS) + 3)


def set_of(crew, offset, pods, **how):
    """A process a pod, as StatefulSets name them."""
    wanted = [from_ordinal({"POD_NAME": f"set-{offset}-{pod}"}, crew.store.workers, offset=offset, count=pods)
              for pod in range(pods)]
    return [crew.start(ordinals=(one,), name=f"set-{offset}-{pod}", **how) for pod, one in enumerate(wanted)]


def asked_for(worker):
    """How long it took it to have its worker id, and what it was told meanwhile."""
    line = worker.wait_line(lambda line: "ready" in line)
    return line["after_s"], line["refused"]


def test_two_sets_with_offsets_and_an_ordinal_that_is_killed_comes_back_within_a_window(backend, stream, tmp_path):
    store = Store("redis", backend.url, stream, workers=16)
    with IdsCrew(store, tmp_path, HOW) as crew:
        one, other = set_of(crew, 0, 3), set_of(crew, 3, 3)
        for worker in (*one, *other):
            crew.ready(worker)
        assert live(store) == 6
        one[2].kill9()
        began = time.monotonic()
        back = crew.start(ordinals=(2,), name="set-0-2")
        _, refused = asked_for(back)
        waited_s = time.monotonic() - began
        assert waited_s <= WINDOW_S + SLACK_S, "a restarted ordinal waits for the window before it, and no longer"
        (copy,) = set_of(crew, 3, 1)  # a third set with an offset that is not its own
        told = copy.wait_line(lambda line: line["refused"])["refused"]
        assert told == "WorkerIdTaken", "guard: two live holders"
        crew.end(other[0])
        after_s, _ = asked_for(copy)
        crew.end(*crew.living)
        holds, made = crew.judge()
        print(f"{made} ids; back after {waited_s:.1f} s ({refused}), the copy after {after_s:.1f} s")
        assert {hold.worker for hold in holds} == set(range(6))


@pytest.mark.parametrize("ordinals", [False, True], ids=["any worker id", "by ordinal"])
def test_a_rolling_update_in_which_old_and_new_pods_are_alive_at_once(ordinals, backend, stream, tmp_path):
    """The new one is started before the old one ends: it takes another id, or waits for this one."""
    store = Store("redis", backend.url, stream, workers=8)
    with IdsCrew(store, tmp_path, HOW) as crew:
        def pod(number, version):
            return crew.start(name=f"{version}-{number}", **({"ordinals": (number,)} if ordinals else {}))

        old = [pod(number, "old") for number in range(PODS)]
        for worker in old:
            crew.ready(worker)
        new = []
        for number, worker in enumerate(old):
            new.append(pod(number, "new"))
            if ordinals:
                new[-1].wait_line(lambda line: line["refused"] == "WorkerIdTaken")
            else:
                crew.ready(new[-1])
            crew.end(worker)
            crew.ready(new[-1])
        crew.end(*new)
        holds, made = crew.judge()
        print(f"{made} ids of {len(holds)} holds")
        assert len(holds) >= 2 * PODS
        assert not ordinals or {hold.worker for hold in holds} == set(range(PODS))


def test_one_that_is_cut_off_makes_ids_until_its_window_ends_and_again_when_it_is_heard(backend, stream, tmp_path):
    """Its worker id is somebody else's meanwhile: there is one, and two want it."""
    store = Store("redis", backend.url, stream, workers=1)
    with IdsCrew(store, tmp_path, {**HOW, "window_s": 1.0}) as crew, Proxy(backend.server.address) as way:
        lonely = crew.start(url=way.through(store.url))
        crew.ready(lonely)
        way.stall()
        other = crew.start()
        crew.ready(other)
        way.resume()
        seen = len(lonely.lines)
        crew.end(other)
        lonely.wait_line(lambda line: line["window"] == "claimed", start=seen)
        crew.end(lonely)
        holds, made = crew.judge()
        print(f"{made} ids of {len(holds)} holds")
        assert len(holds) >= 3
