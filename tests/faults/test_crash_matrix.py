# SPDX-License-Identifier: Apache-2.0
"""Workers killed at every step from read to settle, and at random times: each message is applied once, dead, or waits.

A short siege runs with the tests; ``make soak ROOM=streams`` besieges until 300 have died. The soak keeps its progress
in ``build/soak``, and goes on where it was stopped. ``build/crash-matrix-*.json`` has the kills of each step.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.testing.points import known_points
from tests.faults.crew import QUICK, Crew
from tests.faults.siege import TIMER, Siege

PARTITIONED = ("partition.taken.after", "partition.given.after")
#: Steps of every delivery, walked by both kinds of consumer.
COMMON = ("read.after", "read.delivered.after", "handler.before", "handler.after", "settle.before", "settle.after",
          "decide.after", "park.after", "bury.before", "mark.after")
#: Steps of other ways to have effects once, and of what is no consumer: `test_once_kills` and `test_dlq_service` say
#: who walks which.
ELSEWHERE = ("apply.", "effect.", "outside.", "locked.", "outbox.", "guard.", "once.guard.", "dlq.", "job.", "logs.",
             "rotation.", "secrets.", "rabbit.", "kafka.", "branch.", "apart.")
#: Steps of a consumer with `once="sql"` on a plain stream: all there are, but for those of partitions.
EVERY = tuple(name for name in known_points() if name not in PARTITIONED and not name.startswith(ELSEWHERE))
SOAK_KILLS = 300
PROGRESS = Path("build") / "soak" / "streams-crash-matrix.json"

LEDGER = {"handler": "ledger", "how": {"concurrency": 8}, "settings": {**QUICK, "stow_ms": 300}}
BARE = {"handler": "noting", "how": {"concurrency": 8}, "partitions": 3}


def besiege(crew: Crew, rng: random.Random, plan: tuple[str, ...]) -> Siege:
    with crew:
        siege = Siege(crew, rng)
        siege.run(plan)
        siege.finish()
        print(siege.report())
        written(Path("build") / f"crash-matrix-{crew.handler}.json", dict(siege.kills))
        judge(siege)
    return siege


def judge(siege: Siege) -> None:
    """Nothing lost, nothing in two places, nothing left; and with `once` nothing applied twice or applied and dead."""
    crew, verdict = siege.crew, siege.verdict()
    if crew.handler == "ledger":
        assert verdict.ok, verdict.explain()
    else:  # at least once: a handler may have run again after a death
        assert replace(verdict, applied_twice=()).ok, verdict.explain()
    assert not crew.pending()
    assert not crew.left()
    dead = [letter[b"x-dlq-original-message-id"].decode() for letter in crew.letters()]
    assert len(dead) == len(set(dead)), "a message has two letters"
    if crew.handler == "ledger":
        assert not {siege.published[n] for n in crew.applied()} & set(dead), "applied, and dead"


def written(path: Path, state: object) -> None:
    """A file that is there whole, or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(state, indent=1))
    fresh.rename(path)


def covered(siege: Siege, plan: tuple[str, ...]) -> None:
    assert not [name for name in plan if not siege.kills[name]], siege.report()


@pytest.mark.timeout(240)
def test_a_kill_at_every_step_of_a_consumer_with_a_ledger(backend, stream, tmp_path: Path, rng):
    plan = (*EVERY, *[TIMER] * 4)
    siege = besiege(Crew(backend, stream, tmp_path, **LEDGER), rng, plan)
    covered(siege, plan)
    assert sum(siege.kills.values()) >= 35


@pytest.mark.timeout(240)
def test_kills_among_the_owners_of_partitions(backend, stream, tmp_path: Path, rng):
    plan = (*COMMON, *PARTITIONED, *[TIMER] * 4)
    siege = besiege(Crew(backend, stream, tmp_path, **BARE), rng, plan)
    covered(siege, plan)
    assert sum(siege.kills.values()) >= 15


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_streams_under_siege_until_three_hundred_have_died(backend, tmp_path: Path, seed):
    """Round after round, each with its own seed; a finished round is written down."""
    state = json.loads(PROGRESS.read_text()) if PROGRESS.exists() else {}
    if not state or sum(state["kills"].values()) >= SOAK_KILLS:
        state = {"seed": seed, "rounds": 0, "kills": {}}
    kills = Counter(state["kills"])
    while sum(kills.values()) < SOAK_KILLS or not set(EVERY) | set(PARTITIONED) <= kills.keys():
        number = state["rounds"]
        folder = tmp_path / str(number)
        folder.mkdir()
        rng = random.Random(f"{state['seed']}:{number}")
        kind, steps = (BARE, (*COMMON, *PARTITIONED)) if number % 4 == 3 else (LEDGER, EVERY)
        siege = besiege(Crew(backend, f"soak-{number}", folder, **kind), rng, (*steps, *[TIMER] * 10))
        kills += siege.kills
        state = {"seed": state["seed"], "rounds": number + 1, "kills": dict(kills)}
        written(PROGRESS, state)
    print(json.dumps(dict(kills), indent=1))
