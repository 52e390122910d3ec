# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: no new work, hand back what has not started, finish within the deadline, settle, exit with 0."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from holdfast.testing import Single, Worker, wait_until
from tests.faults.crew import Crew, events
from tests.faults.workers.consumer import Work
from tests.support.backend import Backend

#: Seconds that ending takes beside the drain: settles, hand-back, closing, and a busy machine.
ENDING_S = 3.0
#: The same while the server does not answer: every step waits its time before it gives up.
ENDING_ALONE_S = 15.0


def busy(crew: Crew, works: list[Work]) -> Worker:
    """A worker that holds all of ``works`` and has begun with some."""
    worker = crew.started()
    crew.publish(works)
    worker.wait_line(lambda line: line["event"] == "began", 10)
    wait_until(lambda: crew.held_by(worker) == len(works), 10, "it holds everything")
    return worker


def term(worker: Worker, deadline_s: float) -> tuple[int, float]:
    """SIGTERM; its exit code and how long that took."""
    sent = time.monotonic()
    worker.signal(signal.SIGTERM)
    return worker.wait(deadline_s), time.monotonic() - sent


def test_what_runs_is_finished_and_what_waits_is_handed_back_without_an_attempt(backend, stream, tmp_path: Path):
    with Crew(backend, stream, tmp_path, how={"concurrency": 4}) as crew:
        worker = busy(crew, [Work(n=n, seconds=0.5) for n in range(8)])
        code, _ = term(worker, crew.drain_s + ENDING_S)
        assert code == 0
        assert not worker.stderr
        begun = {line["n"] for line in events(worker, "began")}
        assert crew.noted() == dict.fromkeys(begun, 1)
        # Handed back is parked and due at once; what finished is settled.
        assert len(crew.pending()) == 8 - len(begun) > 0
        assert {name for _, _, name in crew.pending()} == {"hf.parked"}
        other = crew.started()
        crew.wait_drained(10)
        assert not events(other, "taken_over")
        assert crew.noted() == dict.fromkeys(range(8), 1)


def test_handing_back_counts_no_attempt(backend, stream, tmp_path: Path):
    """One attempt is all this consumer allows: a hand-back that counted would bury the messages that fail once."""
    with Crew(backend, stream, tmp_path, how={"concurrency": 1}, attempts=2) as crew:
        crew.publish([Work(n=n, kind="flaky", seconds=0.1) for n in range(30)])
        for _ in range(3):
            worker = crew.started()
            worker.wait_line(lambda line: line["event"] == "began", 10)
            assert term(worker, crew.drain_s + ENDING_S)[0] == 0
        crew.start()
        crew.wait_drained(30)
        assert not crew.letters()
        assert crew.noted() == dict.fromkeys(range(30), 1)


def test_a_handler_that_outlasts_the_drain_is_cancelled_and_its_message_handed_back(backend, stream, tmp_path: Path):
    with Crew(backend, stream, tmp_path, drain_s=0.5) as crew:
        worker = busy(crew, [Work(n=1, seconds=60)])
        code, took_s = term(worker, 10)
        assert code == 0
        assert crew.drain_s <= took_s < crew.drain_s + ENDING_S
        assert [name for _, _, name in crew.pending()] == ["hf.parked"]
        assert not crew.letters()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_second_signal_changes_nothing_about_the_end(backend, stream, tmp_path: Path, second):
    with Crew(backend, stream, tmp_path) as crew:
        worker = busy(crew, [Work(n=n, seconds=1.0) for n in range(3)])
        worker.signal(signal.SIGTERM)
        time.sleep(0.2)  # not for luck: the second has to come while the first is at work
        worker.signal(second)
        assert worker.wait(crew.drain_s + ENDING_S) == 0
        assert crew.noted() == dict.fromkeys(range(3), 1)
        assert crew.drained()


def test_a_plain_handler_that_outlasts_the_drain_is_never_run_beside_itself(backend, stream, tmp_path: Path):
    """A thread cannot be cancelled. Its lease lives as long as it does, so nobody else starts the message meanwhile."""
    with Crew(backend, stream, tmp_path, handler="plain", drain_s=0.3) as crew:
        worker = busy(crew, [Work(n=1, seconds=4.0)])
        watching = crew.started(handler="noting")
        worker.signal(signal.SIGTERM)
        worker.wait_line(lambda line: line["event"] == "handler_overdue", 3)
        ended = worker.wait_line(lambda line: line["event"] == "ended", 10)
        assert worker.wait(10) == 0
        crew.wait_drained(10)
        assert crew.noted() == {1: 1}, f"began again {events(watching, 'began')}, the first ended {ended}"


def test_a_plain_handler_whose_process_is_killed_after_the_drain_is_taken_over(backend, stream, tmp_path: Path):
    """What a supervisor does to a process that does not end in time."""
    with Crew(backend, stream, tmp_path, handler="plain", drain_s=0.3) as crew:
        worker = busy(crew, [Work(n=1, seconds=4.0)])
        watching = crew.started(handler="noting")
        worker.signal(signal.SIGTERM)
        worker.wait_line(lambda line: line["event"] == "handler_overdue", 3)
        assert crew.held_by(worker) == 1, "it was given away beside a running attempt"
        worker.kill9()
        watching.wait_line(lambda line: line["event"] == "taken_over", 5)
        crew.wait_drained(10)
        assert crew.noted() == {1: 1}


@pytest.mark.parametrize("outage", ["dead", "paused"])
def test_a_worker_ends_although_the_server_is_away(stream, tmp_path: Path, outage):
    with (Single("valkey", {"appendonly": "yes"}) as server,
          Crew(Backend("valkey", server), stream, tmp_path, drain_s=1.0) as crew):
        worker = busy(crew, [Work(n=n, seconds=0.3) for n in range(3)])
        if outage == "dead":
            server.kill()
        else:
            server.pause()
        worker.wait_line(lambda line: line["event"] == "ended", 5)
        code, took_s = term(worker, 60)
        assert code == 0, worker.stderr
        assert took_s < crew.drain_s + ENDING_ALONE_S
        assert "Traceback" not in worker.stderr
        if outage == "paused":
            server.resume()
        server.start()
        crew.start()
        crew.wait_drained(20)
        assert sorted(crew.noted()) == [0, 1, 2]
