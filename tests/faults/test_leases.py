# SPDX-License-Identifier: Apache-2.0
"""Whose lease lives: a handler that sleeps, one that blocks the loop and a plain one, each for three leases.

A second live process watches the group all the time and would take over whatever it believes dead. And a process that
was frozen for three leases comes back as somebody else, and settles nothing of what it held.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.testing import Worker, wait_until
from tests.faults.crew import LEASE_MS, Crew, events
from tests.faults.workers.consumer import Work

LEASE_S = LEASE_MS / 1000
LONG_S = 3 * LEASE_S


def busy_and_watching(crew: Crew, works: Sequence[Work]) -> tuple[Worker, Worker]:
    """Two workers that have both joined: the one that began with ``works``, and the other."""
    pair = [crew.started(), crew.started()]
    crew.publish(works)
    first = wait_until(lambda: [w for w in pair if events(w, "began")], 10, "somebody begins")[0]
    pair.remove(first)
    return first, pair[0]


@pytest.mark.parametrize("handler", ["noting", "plain"], ids=["sleeping", "plain"])
def test_a_handler_that_leaves_the_loop_alone_keeps_its_lease(backend, stream, tmp_path: Path, handler):
    with Crew(backend, stream, tmp_path, handler=handler) as crew:
        busy, watching = busy_and_watching(crew, [Work(n=1, seconds=LONG_S)])
        busy.wait_line(lambda line: line["event"] == "ended", 10)
        crew.wait_drained(5)
        assert crew.noted() == {1: 1}
        assert not events(watching, "taken_over")
        assert not events(watching, "began")
        for name in ("loop_blocked", "incarnation_lost", "taken_over"):
            assert not events(busy, name)


def test_a_blocked_loop_is_reported_loses_its_lease_and_settles_nothing(backend, stream, tmp_path: Path):
    with Crew(backend, stream, tmp_path, handler="blocking") as crew:
        busy, watching = busy_and_watching(crew, [Work(n=1, seconds=LONG_S)])
        blocked = busy.wait_line(lambda line: line["event"] == "loop_blocked", LEASE_S)
        assert blocked["thread"] == "holdfast-heart"  # told from outside the loop, while it is blocked
        taken = watching.wait_line(lambda line: line["event"] == "taken_over", LONG_S)
        busy.wait_line(lambda line: line["event"] == "ended", 10)
        watching.wait_line(lambda line: line["event"] == "ended", 10)
        crew.wait_drained(5)
        lost = busy.wait_line(lambda line: line["event"] == "incarnation_lost", 5)
        busy.wait_line(lambda line: line["event"] == "consumer_started" and line["consumer"] != lost["consumer"], 5)
        assert lost["cause"] == "loop_blocked"
        assert taken["from_consumer"] == lost["consumer"]
        assert taken["count"] == 1
        # Both came to their end: without `once` that is what a blocked loop costs. One of them settled it.
        assert crew.noted() == {1: 2}
        assert not crew.letters()


def test_a_frozen_process_comes_back_as_somebody_else_and_settles_nothing(backend, stream, tmp_path: Path):
    with Crew(backend, stream, tmp_path, how={"concurrency": 5}) as crew:
        frozen, other = busy_and_watching(crew, [Work(n=n, seconds=0.3) for n in range(20)])
        frozen.stop()
        at_stop, held = len(frozen.lines), crew.held_by(frozen)
        assert held > 0
        wait_until(lambda: not crew.held_by(frozen), LONG_S + 5, "its entries were taken over")
        crew.wait_drained(20)
        frozen.cont()
        lost = frozen.wait_line(lambda line: line["event"] == "incarnation_lost", 5, start=at_stop)
        again = frozen.wait_line(lambda line: line["event"] == "consumer_started", 5, start=at_stop)
        assert again["consumer"] != lost["consumer"]
        # What it took to be its own is dropped; or it had tried to settle, and was refused before it was told.
        assert lost["dropped"] in range(held + 1)
        assert sum(line["count"] for line in events(other, "taken_over")) == held
        # It is alive again: new messages reach it, and its old name owns nothing any more.
        crew.publish([Work(n=n, seconds=0.1) for n in range(100, 140)])
        frozen.wait_line(lambda line: line["event"] == "ended" and line["n"] >= 100, 10)
        crew.wait_drained(20)
        counts = crew.noted()
        assert sorted(counts) == [*range(20), *range(100, 140)]
        running_then = {line["n"] for line in frozen.lines[:at_stop] if line["event"] == "began"}
        assert {n for n, times in counts.items() if times > 1} <= running_then


def test_effects_of_a_frozen_process_happen_once(backend, stream, tmp_path: Path):
    """The ledger's transaction of the frozen process is open all the while; nobody else may commit beside it."""
    with Crew(backend, stream, tmp_path, handler="ledger", how={"concurrency": 4}) as crew:
        frozen, other = busy_and_watching(crew, [Work(n=n, seconds=0.05) for n in range(40)])
        frozen.stop()
        other.wait_line(lambda line: line["event"] == "taken_over", LONG_S + 5)
        frozen.cont()
        frozen.wait_line(lambda line: line["event"] == "incarnation_lost", 5)
        crew.wait_drained(30)
        assert crew.applied() == dict.fromkeys(range(40), 1)
        assert not crew.letters()
