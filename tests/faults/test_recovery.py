# SPDX-License-Identifier: Apache-2.0
"""How soon the work of a dead process is in living hands: within lease + sweep, on a stream where nothing else happens.

Measured from the kill to the moment the server says that nothing is pending to the dead any more.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from holdfast.streams.settings import StreamSettings
from holdfast.testing import wait_until
from tests.faults.crew import QUICK, Crew, events
from tests.faults.workers.consumer import Work

DEFAULTS = StreamSettings()
#: What a busy machine may add; the claim is lease + sweep + 1 s.
SLACK_S = 1.0


def bound_s(settings: StreamSettings) -> float:
    return (settings.lease_ms + settings.sweep_ms) / 1000


@pytest.mark.parametrize("settings", [{}, QUICK, {"lease_ms": 2000, "sweep_ms": 1000}], ids=["default", "quick", "2 s"])
def test_work_of_a_killed_process_is_taken_over_in_time_on_an_idle_stream(backend, stream, tmp_path: Path, settings):
    with Crew(backend, stream, tmp_path, settings=settings) as crew:
        victim = crew.started()
        crew.publish([Work(n=n, seconds=60) for n in range(5)])
        wait_until(lambda: crew.held_by(victim) == 5, 10, "it holds five")
        living = crew.started()
        within_s = bound_s(StreamSettings(**settings))
        # A newcomer leaves others half a lease before it judges; this claim is about one that has been there.
        joined = events(living, "consumer_started")[0]["at"]
        wait_until(lambda: time.time() - joined > within_s / 2, 30, "it has settled in")
        victim.kill9()
        killed = time.monotonic()
        wait_until(lambda: not crew.held_by(victim), within_s + SLACK_S, "the work was taken over", poll_s=0.02)
        print(f"taken over {time.monotonic() - killed:.2f} s after the kill; bound {within_s} s")
        [taken] = events(living, "taken_over") or [living.wait_line(lambda line: line["event"] == "taken_over", 2)]
        assert taken["count"] == 5
        assert taken["charged"] == 0


def test_a_lone_newcomer_takes_half_a_lease_longer(backend, stream, tmp_path: Path):
    """Nobody was left. Who comes next looks for half a lease before it judges: lease + lease / 2 + sweep at most."""
    with Crew(backend, stream, tmp_path) as crew:
        victim = crew.started()
        crew.publish([Work(n=n, seconds=60) for n in range(5)])
        wait_until(lambda: crew.held_by(victim) == 5, 10, "it holds five")
        victim.kill9()
        killed = time.monotonic()
        newcomer = crew.started()
        joined_s = time.monotonic() - killed
        settings = StreamSettings(**QUICK)
        within_s = max(joined_s, settings.lease_ms / 1000) + (settings.lease_ms / 2 + settings.sweep_ms) / 1000
        wait_until(lambda: not crew.held_by(victim), within_s - joined_s + SLACK_S, "the work was taken over")
        wait_until(lambda: sum(line["count"] for line in events(newcomer, "taken_over")) == 5, 5, "and it says so")


def test_a_consumer_whose_heart_beats_is_never_robbed_however_idle(backend, stream, tmp_path: Path):
    """Five leases without a read, a settle or a message: idle time is no sign of death."""
    with Crew(backend, stream, tmp_path) as crew:
        holder = crew.started()
        crew.publish([Work(n=1, seconds=5 * QUICK["lease_ms"] / 1000)])
        wait_until(lambda: crew.held_by(holder) == 1, 10, "it holds one")
        watching = crew.started()
        holder.wait_line(lambda line: line["event"] == "ended", 10)
        crew.wait_drained(5)
        assert not events(watching, "taken_over")
        assert crew.noted() == {1: 1}
