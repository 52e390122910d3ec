# SPDX-License-Identifier: Apache-2.0
"""What a consumer costs: commands while nothing happens, and memory after many messages, in the process and the server.

The short run proves the shape with fifty thousand messages; ``make soak ROOM=streams`` proves it with a million.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from holdfast.testing import Single, Worker, wait_until
from tests.faults.crew import Crew
from tests.faults.workers.consumer import Work
from tests.support.backend import Backend

IDLE_COMMANDS_PER_S = 5.0
#: Part of a core that an idle consumer may use.
IDLE_CORE = 0.05
#: What a consumer asks for only when it looks closely, and once each time: between two of them lies a whole round.
CLOSE_LOOK = "xinfo|stream"
ROUNDS = 3
MB = 1 << 20
BURST = 5_000


@pytest.fixture
def server() -> Iterator[Single]:
    with Single("valkey") as started:
        yield started


def calls(admin: Any) -> dict[str, int]:
    """How often each command was carried out, those inside scripts included; without INFO, which only we send."""
    stats: dict[str, Any] = admin.info("commandstats")
    return {name.removeprefix("cmdstat_"): facts["calls"] for name, facts in stats.items() if name != "cmdstat_info"}


def next_round(admin: Any) -> tuple[dict[str, int], float]:
    """Waits for the next close look; the calls up to it, and when that was."""
    seen = calls(admin).get(CLOSE_LOOK, 0)
    wait_until(lambda: calls(admin).get(CLOSE_LOOK, 0) > seen, 20, "it looks closely again")
    return calls(admin), time.monotonic()


def cpu_s(worker: Worker) -> float:
    times = psutil.Process(worker.pid).cpu_times()
    return times.user + times.system


def test_an_idle_consumer_asks_for_little(server, stream, tmp_path: Path):
    """Counted over whole rounds, by the server, with default settings."""
    with Crew(Backend("valkey", server), stream, tmp_path, handler="quiet", settings={}) as crew:
        worker = crew.started()
        crew.publish([Work(n=1)])
        crew.wait_drained(10)
        before, began = next_round(server.admin)
        used_s = -cpu_s(worker)
        for _ in range(ROUNDS):
            after, ended = next_round(server.admin)
        used_s += cpu_s(worker)
        seconds = ended - began
        spent = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
        print(f"{sum(spent.values()) / seconds:.2f} commands/s, {used_s / seconds:.1%} of a core: {spent}")
        assert sum(spent.values()) / seconds <= IDLE_COMMANDS_PER_S, spent
        assert used_s / seconds <= IDLE_CORE


# -- memory


def rss(worker: Worker) -> int:
    return psutil.Process(worker.pid).memory_info().rss


def kept(server: Single) -> int:
    """Bytes of the server's data and what it needs to run: without what clients' buffers take at the moment."""
    info: Any = server.admin.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"])


def feed(crew: Crew, count: int) -> None:
    for first in range(0, count, BURST):
        crew.publish([Work(n=n) for n in range(first, min(count, first + BURST))])
        wait_until(lambda: crew.backlog() < BURST, 60, "the worker keeps up", poll_s=0.02)
    crew.wait_drained(60)


def grown(server: Single, crew: Crew, warm: int, count: int) -> tuple[int, float]:
    """By how many bytes the process grew over ``count`` messages, and the server's memory beside an empty group's."""
    worker = crew.started()
    crew.publish([Work(n=1)])
    crew.wait_drained(10)
    empty = kept(server)
    feed(crew, warm)
    before = rss(worker)
    feed(crew, count)
    after, full = rss(worker), kept(server)
    print(f"{count}: process {before / MB:.1f} to {after / MB:.1f} MB, server {empty / MB:.2f} to {full / MB:.2f} MB")
    return after - before, full / empty


def test_fifty_thousand_messages_leave_nothing_behind(server, stream, tmp_path: Path):
    with Crew(Backend("valkey", server), stream, tmp_path, handler="quiet", settings={}) as crew:
        more, times = grown(server, crew, 10_000, 50_000)
        assert more <= 5 * MB
        assert times <= 1.5


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_messages_to_streams_leave_nothing_behind(server, stream, tmp_path: Path):
    with Crew(Backend("valkey", server), stream, tmp_path, handler="quiet", settings={}) as crew:
        more, times = grown(server, crew, 10_000, 1_000_000)
        assert more <= 20 * MB
        assert times <= 1.5
