# SPDX-License-Identifier: Apache-2.0
"""Locks of all kinds under a random mix of faults: what happened is what such locks could have done.

A short storm runs with the tests; ``make soak ROOM=lock`` storms for an hour. The soak keeps its progress in
``build/soak``, and goes on where it was stopped; each round has its own seed, which is written down with what it did.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from holdfast.testing import Operation
from tests.faults.lock_storm import KINDS, Storm
from tests.faults.locking import shrunk, wrong
from tests.faults.test_crash_matrix import written

PROGRESS = Path("build") / "soak" / "lock-storm.json"
ROUND_S, SOAK_ROUNDS = 30.0, 100


def storm(backend, rng, name: str, seconds: float, kinds=KINDS, **how) -> tuple[Storm, dict[str, Counter[str]]]:
    with Storm(backend, rng, name, kinds, **how) as made:
        made.run(seconds)
        counts = made.judge()
        print(made.report(counts))
    return made, counts


@pytest.mark.timeout(120)
def test_a_storm_over_locks_of_every_kind(backend, stream, rng):
    made, counts = storm(backend, rng, stream, 8.0)
    assert made.done.total() >= 10
    for kind, found in counts.items():
        assert found["granted"] >= 20, kind


@pytest.mark.timeout(120)
def test_readers_writers_and_permits_at_random_under_broken_connections(backend, stream, rng):
    nemeses = {"cut": 4, "eaten": 6, "half open": 2, "unsubscribed": 3, "scripts": 1}
    _, counts = storm(backend, rng, stream, 4.0, ("rw", "permits"), nemeses=nemeses)
    assert min(found["granted"] for found in counts.values()) >= 30


def test_a_wrong_history_is_shrunk_to_the_holds_that_make_it_wrong(rng):
    history, at = [], 0.0
    for hold in range(40):
        began, at = at, at + 1
        history.append(Operation("a", "m", "acquire", hold, 10 * hold + 10, began, began + 0.4))
        history.append(Operation("a", "m", "release", hold, True, began + 0.6, began + 0.8))
    assert not wrong(history)
    history.append(Operation("b", "m", "acquire", "rival", 185, 17.45, 17.5))  # while 17 is held
    history.append(Operation("b", "m", "release", "rival", True, 17.52, 17.55))
    assert wrong(history)
    left = shrunk(rng.sample(history, len(history)))
    assert {op.argument for op in left} >= {17, "rival"}
    assert len({op.argument for op in left}) == 2


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_storm_over_locks_for_as_long_as_it_takes(backend, seed):
    """Round after round; a finished one is written down."""
    state = json.loads(PROGRESS.read_text()) if PROGRESS.exists() else {}
    if not state or state["rounds"] >= SOAK_ROUNDS:
        state = {"seed": seed, "rounds": 0, "hurt": {}, "granted": {}}
    while (number := state["rounds"]) < SOAK_ROUNDS:
        name = f"{state['seed']}:{number}"
        print(f"round {number}, seed {name}")
        made, counts = storm(backend, random.Random(name), f"storm-{number}", ROUND_S)
        hurt = Counter(state["hurt"]) + made.done
        granted = Counter(state["granted"]) + Counter({kind: found["granted"] for kind, found in counts.items()})
        state = {"seed": state["seed"], "rounds": number + 1, "hurt": dict(hurt), "granted": dict(granted)}
        written(PROGRESS, state)
    print(json.dumps(state, indent=1))
