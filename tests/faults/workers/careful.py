# SPDX-License-Identifier: Apache-2.0
"""A worker process whose handlers act on something outside, under a lock or with a key; told as ``consumer`` is told.

What they act on is a file of SQLite beside the test: an account behind a fence, and a payment service that pays once
for each key. Both outlive the process.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from holdfast import Holdfast, RetryPolicy
from holdfast._base.lock import Held
from holdfast.once import IdempotencyKey, locked, outside
from holdfast.streams.settings import StreamSettings
from holdfast.testing import points
from tests.faults.workers.consumer import Task, Work, first_time, say, tell


@contextmanager
def world(folder: Path) -> Iterator[sqlite3.Connection]:
    """What lies outside. Each block is one transaction."""
    connection = sqlite3.connect(folder / "world.db", timeout=10, isolation_level="IMMEDIATE")
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def make_world(folder: Path) -> None:
    with world(folder) as connection:
        connection.execute("CREATE TABLE account (n INTEGER PRIMARY KEY, fence INTEGER, writes INTEGER)")
        connection.execute("CREATE TABLE payment (key TEXT PRIMARY KEY, n INTEGER)")
        connection.execute("CREATE TABLE call (key TEXT, n INTEGER, pid INTEGER)")


class Handlers:
    """Each handler that a test may ask for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def fenced(self, work: Work, held: Held) -> None:
        """Writes behind the fence. ``stall``: the first attempt blocks until it may go on, and writes at once then."""
        say(event="began", n=work.n, token=held.fencing_token)
        if work.kind == "stall" and first_time(self._folder, work):
            while not (self._folder / "go").exists():
                time.sleep(0.002)  # noqa: ASYNC251 - whoever comes back from a pause goes on where it was
        elif work.kind == "slow" and first_time(self._folder, work):
            await asyncio.sleep(work.seconds)
        with world(self._folder) as connection:
            connection.execute("INSERT OR IGNORE INTO account VALUES (?, 0, 0)", (work.n,))
            done = connection.execute("UPDATE account SET fence = :fence, writes = writes + 1 WHERE n = :n AND fence < "
                                      ":fence", {"fence": held.fencing_token, "n": work.n})
        say(event="wrote", n=work.n, token=held.fencing_token, rows=done.rowcount)

    async def paying(self, work: Work, key: IdempotencyKey) -> None:
        """Calls a service that pays once for each key."""
        with world(self._folder) as connection:
            connection.execute("INSERT INTO call VALUES (?, ?, ?)", (key, work.n, os.getpid()))
            connection.execute("INSERT OR IGNORE INTO payment VALUES (?, ?)", (key, work.n))
        say(event="paid", n=work.n)

    holding = paying


#: How each handler's effect is to happen once.
ONCE: dict[str, Any] = {"fenced": locked(), "paying": outside(), "holding": outside(on_doubt="hold", hold_s=0.1)}


async def main(task: Task) -> None:
    hf = Holdfast(task.url, settings=StreamSettings(**task.settings))
    hf.events.subscribe(tell)
    retry = RetryPolicy(attempts=1, busy_s=0.1)
    handler = getattr(Handlers(Path(task.folder)), task.handler)
    hf.consumer(task.stream, group=task.group, once=ONCE[task.handler], retry=retry, **task.how)(handler)
    await hf.run(drain_s=task.drain_s, signals=True)
    await hf.close()
    say(event="over")


if __name__ == "__main__":
    points.arm_from_env()
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Task)))
