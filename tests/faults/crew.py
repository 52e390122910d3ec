# SPDX-License-Identifier: Apache-2.0
"""What the fault tests have in common: workers on a stream of a real server, and the state of that stream from outside.

The state is read with plain commands by a client of its own. Nothing here asks the code under test how it is doing.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from holdfast import Holdfast
from holdfast._redis.keys import GroupKeys, StreamKeys
from holdfast._sql import Tables, create_all
from holdfast.streams.producer import physical
from holdfast.testing import Cluster, Worker, wait_until
from tests.faults.workers.consumer import Task, Work
from tests.support.nursery import Born

SCRIPT = Path(__file__).parent / "workers" / "consumer.py"
GROUP = "workers"
LEASE_MS = 600
SWEEP_MS = 200
#: Quick enough that dying is cheap; long beside a busy machine's pauses.
QUICK: Mapping[str, Any] = {"lease_ms": LEASE_MS, "sweep_ms": SWEEP_MS, "block_ms": 200}


@dataclass
class Crew:
    """Workers that consume one stream, and what is known about it from outside."""

    backend: Any
    stream: str
    folder: Path
    handler: str = "noting"
    partitions: int = 0
    settings: Mapping[str, Any] = field(default_factory=lambda: dict(QUICK))
    how: Mapping[str, Any] = field(default_factory=dict)
    retry_s: float = 0.05
    attempts: int = 5
    drain_s: float = 5.0
    workers: list[Worker] = field(default_factory=list)
    #: Where another broker's effects are recorded.
    recorded_at: str | None = None

    def __enter__(self) -> Self:
        if self.handler == "ledger":
            make_ledger(self.database)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self.workers:
            worker.close()

    @property
    def database(self) -> Path:
        return self.folder / "ledger.sqlite"

    @property
    def names(self) -> list[str]:
        """The physical streams."""
        return [physical(self.stream, n, self.partitions) for n in range(max(1, self.partitions))]

    @property
    def keys(self) -> list[GroupKeys]:
        return [GroupKeys("hf", name, GROUP) for name in self.names]

    # -- workers

    def task(self, **other: Any) -> Task:
        """What a worker is told; ``other`` is told to this one instead."""
        sql = f"sqlite:///{self.database}" if self.handler == "ledger" else None
        task = Task(url=self.backend.url, stream=self.stream, group=GROUP, handler=self.handler,
                    folder=str(self.folder), partitions=self.partitions, settings=dict(self.settings),
                    how=dict(self.how), sql=sql, records=self.recorded_at, retry_s=self.retry_s, attempts=self.attempts,
                    drain_s=self.drain_s)
        return msgspec.structs.replace(task, **other)

    def start(self, arm: str = "", **other: Any) -> Worker:
        """Another worker; ``arm`` is what ``HOLDFAST_POINTS`` says to it."""
        worker = Born.script(SCRIPT, msgspec.json.encode(self.task(**other)).decode(), env={"HOLDFAST_POINTS": arm})
        self.workers.append(worker)
        return worker

    def started(self, **other: Any) -> Worker:
        """Another worker, that has joined."""
        worker = self.start(**other)
        worker.wait_line(lambda line: line["event"] == "consumer_started", 20)
        return worker

    # -- messages

    def publish(self, works: Sequence[Work], **how: Any) -> list[str]:
        """Publishes with the real producer; answers the ids."""
        return asyncio.run(self._publish(works, how))

    async def _publish(self, works: Sequence[Work], how: Mapping[str, Any]) -> list[str]:
        async with Holdfast(self.backend.url) as hf:
            if self.partitions:
                hf.stream(self.stream, partitions=self.partitions)
            if not how:
                return [receipt.id for receipt in await hf.publish_many(self.stream, works)]
            return [(await hf.publish(self.stream, work, **how)).id for work in works]

    # -- state, from outside

    def pending(self) -> list[tuple[str, str, str]]:
        """Everything pending: (stream key, entry id, consumer)."""
        found = []
        for key in self._read_from():
            rows = self._ask("XPENDING", key, GROUP, "-", "+", 10_000, missing=b"NOGROUP")
            found += [(key.decode(), row[0].decode(), row[1].decode()) for row in rows or ()]
        return found

    def held_by(self, worker: Worker) -> int:
        """Entries pending to any incarnation of this process."""
        return sum(f"-{worker.pid}-hf" in name for _, _, name in self.pending())

    def unread(self) -> int:
        """Entries that the group has not been given yet, and messages that wait for their time."""
        count = 0
        for keys in self.keys:
            beside = StreamKeys("hf", keys.stream)
            count += int(self._ask("ZCARD", beside.later)) + int(self._ask("ZCARD", keys.parked_due))
        for key in self._read_from():
            groups = [_facts(flat) for flat in self._ask("XINFO", "GROUPS", key, missing=b"no such key") or ()]
            read = next((g[b"last-delivered-id"].decode() for g in groups if g[b"name"] == GROUP.encode()), "0-0")
            count += len(self._ask("XRANGE", key, f"({read}", "+", "COUNT", 10_000))
        return count

    def backlog(self) -> int:
        """Entries in the streams: unread or pending, or settled and not yet trimmed."""
        return sum(int(self._ask("XLEN", key)) for key in self._read_from())

    def left(self) -> list[str]:
        """Ids of the messages that lie in any of the group's streams, read or unread, or wait beside them."""
        found = []
        for keys in self.keys:
            beside = StreamKeys("hf", keys.stream)
            found += [raw.decode() for raw in self._ask("ZRANGE", beside.later, 0, -1)]
            for key in (beside.stream_key, keys.replay, keys.parked):
                for _, fields in self._ask("XRANGE", key, "-", "+"):
                    named = _facts(fields)
                    found.append((named.get(b"id") or named[b"hf:identity"]).decode())
        return found

    def body(self, key: str, entry_id: str) -> Any:
        """What a message in one of the streams says."""
        [(_, fields)] = self._ask("XRANGE", key, entry_id, entry_id)
        return json.loads(_facts(fields)[b"body"])

    def letters(self) -> list[dict[bytes, bytes]]:
        """The dead letters, as they lie there."""
        rows = [row for keys in self.keys for row in self._ask("XRANGE", keys.dead, "-", "+")]
        return [_facts(fields) for _, fields in rows]

    def wait_drained(self, deadline_s: float) -> None:
        """Returns when every message is settled or buried."""
        wait_until(self.drained, deadline_s, f"{self.stream} is drained", poll_s=0.05)

    def drained(self) -> bool:
        """Is nothing unread or pending? Unread comes first: what is read meanwhile is then found pending."""
        return not self.unread() and not self.pending() and not self.unread()

    def _read_from(self) -> Iterator[bytes]:
        for keys in self.keys:
            yield keys.stream.encode()
            yield keys.replay

    def _ask(self, *words: Any, missing: bytes = b"\0") -> Any:
        import redis

        try:
            return ask(self.backend, words[2] if words[0] == "XINFO" else words[1], *words)
        except redis.exceptions.ResponseError as error:
            if missing.decode() in str(error):
                return None
            raise

    # -- effects, from outside

    def noted(self) -> Counter[int]:
        """How often each message's handler came to its end, by the file that handlers append to."""
        path = self.folder / "effects"
        return Counter(int(line) for line in path.read_text().split()) if path.exists() else Counter()

    def applied(self) -> Counter[int]:
        """How often each message has a row in the ledger."""
        with read_ledger(self.database) as rows:
            return Counter(n for n, _ in rows)


def ask(backend: Any, key: bytes | str, command: str, *rest: Any) -> Any:
    """The raw answer of the node that has ``key``."""
    server = backend.server
    raw = key.encode() if isinstance(key, str) else key
    admin = server.owner_of_key(raw).admin if isinstance(server, Cluster) else backend.admin
    # The name as bytes: the driver would reshape answers to commands that it recognises.
    return admin.execute_command(command.encode(), *rest)


def _facts(flat: Sequence[Any]) -> dict[bytes, Any]:
    """Names and values that come in turns."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def make_ledger(path: Path) -> None:
    """The table of effects, without any constraint: a second row must show. And the tables of ``once``."""
    import sqlalchemy as sa

    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sa.text("PRAGMA journal_mode = WAL"))
        connection.execute(sa.text("CREATE TABLE effects (n INTEGER, pid INTEGER)"))
        create_all(connection, Tables())
    engine.dispose()


@contextmanager
def read_ledger(path: Path) -> Iterator[Iterable[tuple[int, int]]]:
    connection = sqlite3.connect(path, timeout=10)
    try:
        yield connection.execute("SELECT n, pid FROM effects").fetchall()
    finally:
        connection.close()


def works(count: int, **kind: Any) -> list[Work]:
    return [Work(n=n, **kind) for n in range(count)]


def events(worker: Worker, name: str) -> list[Any]:
    """What a worker has said under this name."""
    return [line for line in worker.lines if isinstance(line, dict) and line.get("event") == name]
