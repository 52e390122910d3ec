# SPDX-License-Identifier: Apache-2.0
"""Ids under a random mix of faults: none is made twice, each is made within a window of whoever made it.

A short storm runs with the tests; ``make soak ROOM=ids`` goes on until a hundred million ids were made. It keeps its
progress in ``build/soak``, and goes on where it was stopped; each round has its own seed, which is written down.

Memory is bounded: a round's ids are sorted and thrown away. Between two rounds it is the windows that are compared: an
id lies in its window, and no window begins before the last one of its worker id has ended, whichever round it was in.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from holdfast.testing import Single
from tests.faults.ids_storm import HOLDS_MIN, WINDOW_S, IdsStorm
from tests.faults.test_crash_matrix import written

PROGRESS = Path("build") / "soak" / "ids.json"
SOAK_IDS, ROUND_IDS = 100_000_000, 5_000_000


def storm(server, rng, pool, folder, *, ids, seconds_max):
    folder.mkdir(exist_ok=True)
    with IdsStorm(server, pool, folder, rng) as made:
        made.run(ids, seconds_max)
        holds, count = made.judge()
    hurt = ", ".join(f"{times} {what}" for what, times in sorted(made.done.items()))
    print(f"{count} ids of {len(holds)} holds; {hurt}")
    return made, holds, count


@pytest.mark.timeout(180)
def test_a_storm_over_those_who_make_ids(rng, stream, tmp_path):
    with Single(faketime_offset_s=0.0) as server:
        made, holds, count = storm(server, rng, stream, tmp_path / "round", ids=1_000_000, seconds_max=30.0)
    assert made.done.total() >= 4
    assert count >= 1_000_000
    assert len(holds) >= HOLDS_MIN


def follow(holds, ends):
    """Where each worker id has come to; AssertionError when one of them had come further in an earlier round."""
    for hold in holds:
        before = ends.get(f"{hold.worker}", 0)
        assert hold.last_ms < hold.first_ms or hold.first_ms > before, f"guard: behind the last one: {before}, {hold}"
    after = dict(ends)
    for hold in holds:
        after[f"{hold.worker}"] = max(after.get(f"{hold.worker}", 0), hold.last_ms)
    return after


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_storm_over_ids_until_there_are_a_hundred_million(seed, tmp_path):
    """Round after round; a finished one is written down."""
    state = json.loads(PROGRESS.read_text()) if PROGRESS.exists() else {}
    if not state or state["ids"] >= SOAK_IDS:
        state = {"seed": seed, "rounds": 0, "ids": 0, "holds": 0, "hurt": {}, "ends": {}}
    with Single(faketime_offset_s=0.0) as server:
        while state["ids"] < SOAK_IDS:
            name = f"{state['seed']}:{state['rounds']}"
            print(f"round {state['rounds']}, seed {name}, window {WINDOW_S} s")
            made, holds, count = storm(server, random.Random(name), "soak", tmp_path / "round", ids=ROUND_IDS,
                                       seconds_max=300.0)
            state = {"seed": state["seed"], "rounds": state["rounds"] + 1, "ids": state["ids"] + count,
                     "holds": state["holds"] + len(holds), "hurt": dict(Counter(state["hurt"]) + made.done),
                     "ends": follow(holds, state["ends"])}
            written(PROGRESS, state)
    print(json.dumps(state, indent=1))
