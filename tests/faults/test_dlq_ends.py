# SPDX-License-Identifier: Apache-2.0
"""What the dead-letter service needs goes away, and the service itself is told to go: nothing is lost, nothing is done
twice, and it says what it waits for.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from holdfast.testing import Single, wait_until
from holdfast.testing.ports import free_port
from tests.faults.letter_office import Instance, Office
from tests.integration.sql.servers import Postgres
from tests.support.backend import Backend

RULES: dict[str, Any] = {"builtin": False, "breaker": {"min": 1_000}, "rules": [
    {"name": "currency", "match": {"error_type": "ValueError"}, "category": "permanent", "action": "repair",
     "repairs": [{"name": "default", "path": "/currency", "value": "EUR"}]},
    {"name": "away", "match": {"chain": "ConnectionError"}, "category": "transient",
     "retry": {"strategy": "immediate"}}]}
MANY = 40


@pytest.fixture
def server() -> Iterator[Single]:
    with Single("valkey", {"appendonly": "yes", "appendfsync": "everysec"}) as started:
        yield started


@pytest.fixture
def office(server: Single, stream: str, tmp_path: Path) -> Iterator[Office]:
    made = Office(Backend("valkey", server), stream, tmp_path, f"sqlite:///{tmp_path}/desk.db", RULES)
    yield made
    made.close()


class Probes:
    """What an instance answers at ``--bind``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.args = ("--bind", f"127.0.0.1:{self.port}")
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10)

    def ready(self) -> tuple[int, str]:
        """Status, and why not."""
        try:
            answer = self._http.get("/readyz")
        except httpx2.TransportError:
            return 0, ""
        return answer.status_code, "; ".join(answer.json()["why"])

    def is_ready(self) -> bool:
        """Would a rollout go on?"""
        return self.ready()[0] == 200

    def alive(self) -> int:
        """Status of the other probe."""
        return self._http.get("/healthz").status_code


def publish(office: Office, first: int = 0) -> None:
    """Messages that die once: half of them are sent back, half of them mended."""
    office.publish(*({"id": f"m{n}", **({} if n % 2 else {"fails": 1, "currency": "EUR"})}
                     for n in range(first, first + MANY)))


def all_once(office: Office, count: int = MANY) -> None:
    """Waits for the end, and asserts it."""
    wait_until(lambda: not office.unsettled(count), 90, f"all is done; left: {office.unsettled(count)[:5]}", poll_s=0.3)
    assert office.handled() == {f"m{n}": 1 for n in range(count)}, "guard: nothing twice, nothing lost"
    assert office.shelf() == []


def kept_out(office: Office) -> closing[sqlite3.Connection]:
    """While it is open nobody else can write to the desk: whatever is under way stays so."""
    lock = sqlite3.connect(office.desk_url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    return closing(lock)


def under_way(office: Office) -> bool:
    """Has it begun, and is there something left?"""
    return 0 < sum(office.handled().values()) < MANY


def stopped_in_the_middle(office: Office, probes: Probes, *more: str) -> Instance:
    """An instance with its hands full."""
    instance = office.working(*probes.args, *more)
    wait_until(probes.is_ready, 60, "it is ready")
    publish(office)
    wait_until(lambda: under_way(office), 60, "it is in the middle", poll_s=0.01)
    return instance


@pytest.mark.timeout(240)
def test_sigterm_ends_it_within_its_time_and_another_does_the_rest_once(office):
    probes = Probes()
    instance = stopped_in_the_middle(office, probes, "--drain", "3s")
    with kept_out(office):
        began = time.monotonic()
        instance.signal(signal.SIGTERM)
        wait_until(lambda: "it is stopping" in probes.ready()[1] or not instance.alive, 20, "guard: not ready any more")
        assert "it is stopping" in probes.ready()[1]
        assert probes.alive() == 200
        assert instance.wait(60) == 0, instance.stderr[-2000:]
        assert time.monotonic() - began < 45, "the drain, twice, and what a busy machine adds"
    office.working()
    all_once(office)


@pytest.mark.timeout(240)
def test_a_second_ctrl_c_ends_it_at_once_and_another_does_the_rest_once(office):
    instance = stopped_in_the_middle(office, Probes(), "--drain", "1m")
    with kept_out(office):
        instance.signal(signal.SIGINT)
        wait_until(lambda: "Ctrl-C again ends at once" in instance.stderr, 20, "it says how to end it at once")
        instance.signal(signal.SIGINT)
        assert instance.wait(15) == 130
        assert instance.stderr.rstrip().endswith("found by another instance, or at the next start")
    office.working()
    all_once(office)


@pytest.mark.timeout(240)
def test_a_server_that_dies_under_it_and_comes_back_is_gone_on_with(office, server):
    probes = Probes()
    instance = stopped_in_the_middle(office, probes)
    server.kill()
    wait_until(lambda: probes.ready()[0] == 503, 60, "guard: not ready without its server")
    assert probes.alive() == 200
    server.start()
    wait_until(probes.is_ready, 90, "it is ready again")
    publish(office, MANY)
    all_once(office, 2 * MANY)
    assert instance.alive


@pytest.mark.timeout(240)
def test_a_desk_that_dies_under_it_and_comes_back_is_gone_on_with(server, stream, tmp_path):
    postgres = Postgres(durable=True)
    office = Office(Backend("valkey", server), stream, tmp_path, postgres.database(), RULES)
    try:
        probes = Probes()
        instance = stopped_in_the_middle(office, probes)
        postgres.kill()
        wait_until(lambda: probes.ready()[0] == 503, 60, "guard: not ready without its desk")
        assert probes.alive() == 200
        publish(office, MANY)
        postgres.start()
        wait_until(probes.is_ready, 90, "it is ready again")
        all_once(office, 2 * MANY)
        assert instance.alive
    finally:
        office.close()
        postgres.close()
