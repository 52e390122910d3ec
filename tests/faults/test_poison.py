# SPDX-License-Identifier: Apache-2.0
"""A message that kills its process is told from those that merely sat beside it, however its handler runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.testing import wait_until
from tests.faults.crew import Crew, works
from tests.faults.workers.consumer import Work

#: Deaths charged to a message before it is buried (``RetryPolicy.crash_limit``).
CRASH_LIMIT = 3


@pytest.fixture
def crew(request: pytest.FixtureRequest, backend, stream: str, tmp_path: Path) -> Iterator[Crew]:
    with Crew(backend, stream, tmp_path, **getattr(request, "param", {})) as made:
        yield made


def run_until_drained(crew: Crew, deaths_max: int) -> int:
    """Keeps one worker running until nothing is left; answers how many died on the way."""
    deaths = 0
    while True:
        worker = crew.start()

        def over(worker=worker) -> str:
            if not worker.alive:
                return "died"
            return "drained" if crew.drained() else ""

        if wait_until(over, 30, "the worker dies or finishes", poll_s=0.02) == "drained":
            return deaths
        deaths += 1
        assert deaths <= deaths_max, f"{deaths} deaths, {len(crew.letters())} letters: {worker.stderr[-500:]}"


def reasons(crew: Crew) -> list[tuple[bytes, bytes]]:
    return [(letter[b"x-dlq-failure-reason"], letter[b"body"]) for letter in crew.letters()]


def mixed(count: int, *poisons: int) -> list[Work]:
    found = works(count)
    for n in poisons:
        found[n].kind = "poison"
    return found


@pytest.mark.parametrize("crew", [{"handler": "noting"}, {"handler": "plain"}, {"handler": "batch"}], indirect=True,
                         ids=["async", "plain", "batch"])
def test_one_poison_among_a_hundred_prefetched_is_the_one_that_is_buried(crew):
    crew.publish(mixed(100, 50))
    deaths = run_until_drained(crew, CRASH_LIMIT + 1)
    assert deaths == CRASH_LIMIT + 1  # the first is charged to nobody: a hundred were in its hands
    [(reason, body)] = reasons(crew)
    assert reason == b"crash_loop"
    assert b'"n":50' in body
    assert sorted(crew.noted()) == [n for n in range(100) if n != 50]


@pytest.mark.parametrize("crew", [{"handler": "noting"}, {"handler": "batch"}], indirect=True, ids=["async", "batch"])
def test_two_poisons_in_one_process_are_both_found_and_nobody_else(crew):
    crew.publish(mixed(40, 10, 11))
    run_until_drained(crew, 2 * CRASH_LIMIT + 1)
    assert sorted(reasons(crew)) == [(b"crash_loop", b'{"n":10,"kind":"poison","seconds":0.0}'),
                                     (b"crash_loop", b'{"n":11,"kind":"poison","seconds":0.0}')]
    assert sorted(crew.noted()) == [n for n in range(40) if n not in (10, 11)]


def test_a_live_neighbour_that_takes_a_poison_over_is_not_robbed_of_its_own_work(crew):
    """Several processes: the poison goes from hand to hand, and what sat beside it is buried nowhere."""
    crew.publish(mixed(200, 20))
    deaths = 0
    team = [crew.start() for _ in range(3)]
    while deaths <= CRASH_LIMIT:
        dead = wait_until(lambda team=team: [w for w in team if not w.alive], 30, "the poison kills again")
        deaths += len(dead)
        team = [w for w in team if w.alive] + [crew.start() for _ in dead]
    crew.wait_drained(30)
    assert [reason for reason, _ in reasons(crew)] == [b"crash_loop"]
    assert sorted(crew.noted()) == [n for n in range(200) if n != 20]


def spans(lines: list[Any]) -> list[tuple[int, float, float]]:
    """(message, begin, end) of each handler that came to its end, from what a worker has said."""
    began: dict[int, float] = {}
    found = []
    for line in lines:
        if line["event"] == "began":
            began[line["n"]] = line["at"]
        elif line["event"] == "ended":
            found.append((line["n"], began[line["n"]], line["at"]))
    return found


@pytest.mark.parametrize("crew", [
    {"handler": "noting", "how": {"concurrency": 4}},
    {"handler": "noting", "how": {"concurrency": 4, "rate_per_s": 15.0, "burst": 1}},
    {"handler": "batch", "how": {"concurrency": 4, "batch_size": 100, "batch_wait_s": 0.9}},
], indirect=True, ids=["free", "rate-limited", "batch"])
def test_a_suspect_runs_alone_in_its_process(crew):
    """Were anything running beside it when the process dies, the wrong one would be charged.

    Attempts that wait for their turn, or for a batch to fill, had passed the gate when it was still open.
    """
    crew.publish([Work(n=n, kind="once-poison" if n == 3 else "ok", seconds=0.1) for n in range(10)])
    assert crew.start().wait(20) == -signal.SIGKILL
    suspects = {crew.body(key, entry_id)["n"] for key, entry_id, _ in crew.pending()}
    crew.publish([Work(n=n, seconds=0.02) for n in range(100, 140)])
    second = crew.started()
    crew.wait_drained(30)
    found = spans([line for line in second.lines if line["event"] in ("began", "ended")])
    alone = [span for span in found if span[0] in suspects]
    assert len(alone) == len(suspects) > 0
    for n, begin, end in alone:
        beside = [m for m, a, b in found if m != n and a < end and b > begin]
        assert not beside, f"{beside} ran beside the suspect {n}"
