# SPDX-License-Identifier: Apache-2.0
"""Relays that are killed at every step, and one that is frozen and comes back: each committed row arrives exactly once.

Rows are written all the while, some of them rolled back; what has arrived is read by a client of its own.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from holdfast import Holdfast
from holdfast._redis.keys import StreamKeys
from holdfast._sql import Database, Tables, create_all
from holdfast.once.outbox_table import NAME_ROW
from holdfast.testing import Worker, wait_until
from holdfast.testing.points import known_points
from tests.faults.crew import ask, events
from tests.faults.workers.relay import Task
from tests.integration.sql.servers import MariaDb, Postgres

SCRIPT = Path(__file__).parent / "workers" / "relay.py"
LEASE_MS = 600
STEPS = tuple(name for name in known_points() if name.startswith("outbox."))
PARTITIONS = 2


class Post:
    """An outbox under fire: writes rows, starts relays, and knows what should have arrived."""

    def __init__(self, backend: Any, stream: str, url: str) -> None:
        self.backend, self.stream, self.url = backend, stream, url
        self.database = Database(url)
        self.hf = Holdfast(backend.url, sql=self.database)
        self.relays: list[Worker] = []
        self.committed: dict[str, list[str]] = {}
        self.rolled_back: set[str] = set()
        self._numbers = itertools.count()
        with self.database.plain_engine.begin() as connection:
            create_all(connection, Tables())

    def write(self, count: int, rng: random.Random) -> None:
        """Transactions of one to three rows under a few keys; one in five is rolled back."""
        for _ in range(count):
            key, back = f"k{rng.randrange(8)}", rng.random() < 0.2
            with self.database.plain_engine.connect() as connection, connection.begin() as transaction:
                ids = [f"m{next(self._numbers)}" for _ in range(rng.randint(1, 3))]
                for message_id in ids:
                    self.hf.outbox.add(connection, self.stream, {"id": message_id}, key=key, id=message_id)
                if back:
                    transaction.rollback()
                    self.rolled_back.update(ids)
                else:
                    self.committed.setdefault(key, []).extend(ids)

    def start(self, arm: str = "") -> Worker:
        """Another relay; ``arm`` is what ``HOLDFAST_POINTS`` says to it."""
        task = Task(url=self.backend.url, sql=self.url, partitions={self.stream: PARTITIONS},
                    how={"lease_ms": LEASE_MS, "poll_s": 0.02, "batch": 20})
        relay = Worker.script(SCRIPT, msgspec.json.encode(task).decode(), env={"HOLDFAST_POINTS": arm})
        self.relays.append(relay)
        return relay

    def leader(self, arm: str = "") -> Worker:
        """Another relay, that leads."""
        relay = self.start(arm)
        relay.wait_line(lambda line: line["event"] == "leading", 20)
        return relay

    def waiting(self) -> int:
        """Rows in the table."""
        number = self.database.tables.outbox.c.number
        with self.database.plain_engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).where(number > NAME_ROW)).scalar_one())

    def wait_empty(self) -> None:
        wait_until(lambda: not self.waiting(), 30, "the outbox is empty", poll_s=0.05)

    def wait_forgotten(self) -> None:
        wait_until(lambda: not any(self.marks(name) for name in self.names), 10, "no mark is left", poll_s=0.05)

    @property
    def names(self) -> list[str]:
        return [f"{self.stream}.{n}" for n in range(PARTITIONS)]

    def marks(self, name: str) -> list[bytes]:
        key = StreamKeys("hf", name).relayed
        return [field for field in ask(self.backend, key, "HKEYS", key) if b":" in field]

    def arrived(self) -> list[tuple[str, str]]:
        """(key, message id) of every entry, a partition after the other."""
        found = []
        for name in self.names:
            for _, flat in ask(self.backend, name, "XRANGE", name, "-", "+"):
                entry = dict(zip(flat[::2], flat[1::2], strict=True))
                found.append((entry[b"key"].decode(), entry[b"id"].decode()))
        return found

    def judge(self) -> None:
        """Each committed row once, none that was rolled back, and each key's rows in order."""
        arrived = self.arrived()
        counts = Counter(message_id for _, message_id in arrived)
        assert not {m: n for m, n in counts.items() if n > 1}, "arrived twice"
        assert set(counts) == {m for ids in self.committed.values() for m in ids}
        assert not set(counts) & self.rolled_back
        for key, ids in self.committed.items():
            assert [m for k, m in arrived if k == key] == ids

    def close(self) -> None:
        for relay in self.relays:
            relay.close()
        self.database.plain_engine.dispose()


@pytest.fixture
def post(backend: Any, stream: str, url: str) -> Iterator[Post]:
    made = Post(backend, stream, url)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/db"
        return
    server = Postgres() if request.param == "postgres" else MariaDb()
    yield server.database()
    server.close()


@pytest.mark.timeout(240)
def test_a_kill_at_every_step_loses_no_row_and_doubles_none(post: Post, rng):
    """At each step the first time it is come to, and on the quickest database the second time as well."""
    for step, nth in itertools.product(STEPS, (1, 2) if post.url.startswith("sqlite") else (1,)):
        post.write(20, rng)
        victim = post.start(f"{step}:kill:{nth}")
        wait_until(partial(_fed, post, victim, rng), 20, f"a kill at {step}", poll_s=0.05)
        assert victim.wait(20) == -9, step
    post.leader()
    post.wait_empty()
    post.write(10, rng)  # each partition is entered once more, and what was left behind is found
    post.wait_empty()
    post.wait_forgotten()
    post.judge()


def _fed(post: Post, victim: Worker, rng: random.Random) -> bool:
    """Gives the victim more to come to its point by."""
    if victim.alive:
        post.write(5, rng)
    return not victim.alive


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_of_two_relays_one_leads_and_the_other_follows_when_it_is_killed(post: Post, rng):
    first, second = post.leader(), post.start()
    post.write(30, rng)
    post.wait_empty()
    assert not events(second, "outbox_relayed")
    first.kill9()
    post.write(30, rng)
    second.wait_line(lambda line: line["event"] == "leading", 10)
    post.wait_empty()
    assert events(second, "outbox_relayed")
    post.judge()


@pytest.mark.parametrize("step", ["outbox.read.after", "outbox.fenced.after", "outbox.written.after",
                                  "outbox.deleted.after"])
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_leader_that_was_frozen_comes_back_and_writes_nothing(post: Post, rng, step):
    """It comes back with rows in its hands that its successor has relayed, deleted and forgotten."""
    post.write(20, rng)
    frozen = post.start(f"{step}:stop:2")
    wait_until(lambda: _state(frozen) == "T", 20, "it is frozen", poll_s=0.02)
    said = len(frozen.lines)
    successor = post.leader()
    post.write(20, rng)
    post.wait_empty()
    length = len(post.arrived())
    frozen.cont()
    frozen.wait_line(lambda line: line["event"] == "outbox_stalled", 20, start=said)
    assert len(post.arrived()) == length
    assert not [line for line in frozen.lines[said:] if line["event"] == "outbox_relayed"]
    assert successor.alive
    post.wait_forgotten()
    post.judge()


def _state(worker: Worker) -> str:
    """One letter of the kernel's: T when a process is stopped."""
    return Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_relay_that_is_asked_to_end_finishes_its_round(post: Post, rng):
    post.write(60, rng)
    relay = post.leader()
    relay.popen.terminate()
    assert relay.wait(20) == 0
    assert events(relay, "over")
    assert not any(post.marks(name) for name in post.names)
    post.leader()
    post.wait_empty()
    post.judge()
