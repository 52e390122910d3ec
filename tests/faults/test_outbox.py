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
from holdfast._base import events as ev
from holdfast._redis.keys import StreamKeys
from holdfast._sql import Database, Tables, create_all
from holdfast.once.outbox.table import NAME_ROW
from holdfast.testing import Replicated, Way, Worker, wait_until
from holdfast.testing.points import known_points
from tests.faults.crew import ask, events
from tests.faults.workers.relay import Task
from tests.integration.sql.servers import MariaDb, Postgres
from tests.support.nursery import Born

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
        relay = Born.script(SCRIPT, msgspec.json.encode(task).decode(), env={"HOLDFAST_POINTS": arm})
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

    def is_frozen() -> bool:
        if _state(frozen) != "T":
            post.write(1, rng)  # one round may take all there was, and it is to be frozen in its second
        return _state(frozen) == "T"

    wait_until(is_frozen, 20, "it is frozen", poll_s=0.05)
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


@pytest.fixture
def pair() -> Iterator[Replicated]:
    with Replicated(replicas=1, proxied=True) as made:
        yield made


@pytest.mark.parametrize("replicas", [1, 0], ids=["replicas-asked-for", "not-asked-for"])
def test_a_failover_loses_rows_only_where_no_replicas_were_asked_for(pair, stream, tmp_path, arun, replicas):
    """The link stalls, rows are relayed, the master dies: what had left the table is gone, what had not comes again."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/db")
    with engine.begin() as connection:
        create_all(connection, Tables())
    before, after = [f"m{n}" for n in range(10)], [f"m{n}" for n in range(10, 30)]

    def write(ids: list[str]) -> None:
        with engine.begin() as connection:
            for message_id in ids:
                outbox.add(connection, stream, {}, id=message_id)

    async def relay(url: str, **how: Any) -> list[str]:
        """Until all is relayed, or the lack of replicas is reported; answers what was reported."""
        stalls: list[str] = []
        async with Holdfast(url, sql=engine) as hf:
            found = await hf.relay(lease_ms=LEASE_MS, poll_s=0.02, wait_s=0.05, **how)

            def hear(event: ev.Event) -> None:
                if isinstance(event, ev.OutboxStalled):
                    stalls.append(event.error)
                    found.stop()

            hf.events.subscribe(hear)
            await found.run(until_empty=True)
        return stalls

    outbox = Holdfast(pair.url, sql=engine).outbox
    write(before)
    assert arun(relay(pair.url)) == []
    pair.wait_in_sync()
    wait_until(lambda: pair.replicas[0].admin.xlen(stream) == len(before), 10, "the replica has the first rows")
    pair.links[0].stall(Way.DOWN)
    write(after)
    for _ in range(2):  # the second time every row is in the stream already, and on the master alone all the same
        stalls = arun(relay(pair.url, replicas=replicas))
        assert [m for m in _ids(pair, stream) if m in after] == after, "the master has them"
        assert bool(stalls) == bool(replicas)
    pair.master.kill()
    pair.promote(0)
    arun(relay(pair.url))
    assert _ids(pair, stream) == (before + after if replicas else before)
    engine.dispose()


def _ids(pair: Replicated, stream: str) -> list[str]:
    return [fields[b"id"].decode() for _, fields in pair.admin.xrange(stream)]
