# SPDX-License-Identifier: Apache-2.0
"""A worker process that fault tests hurt: one consumer, told what to be by its first argument.

It says on stdout, a line of JSON each, which events it emits and which handlers begin and end. Lines are written with
one ``write`` each and nothing is buffered, so a process killed in the next moment has said everything up to then.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast import Holdfast, Reject, Retry
from holdfast._base.events import Event
from holdfast.streams.settings import StreamSettings
from holdfast.testing import points


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told.

    handler: the name of one of ``handlers``. settings: for ``StreamSettings``; how: for the consumer. folder: where
    handlers leave traces that outlive the process.
    """

    url: str
    stream: str
    handler: str
    folder: str
    records: str | None = None
    group: str = "workers"
    sql: str | None = None
    partitions: int = 0
    settings: dict[str, Any] = {}
    how: dict[str, Any] = {}
    retry_s: float = 0.05
    attempts: int = 5
    drain_s: float = 5.0


class Work(msgspec.Struct):
    """A message of these tests. ``kind`` says what its handler meets, ``seconds`` how long it takes."""

    n: int
    kind: str = "ok"
    seconds: float = 0.0


def say(**line: Any) -> None:
    os.write(1, json.dumps({"pid": os.getpid(), "at": time.time(), **line}).encode() + b"\n")


def note(folder: Path, name: str, line: str) -> None:
    """One line, whole or not at all, that a SIGKILL in the next moment does not take back."""
    fd = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, line.encode() + b"\n")
    os.close(fd)


def first_time(folder: Path, work: Work) -> bool:
    """Is this the first attempt of this message in any process?"""
    try:
        os.close(os.open(folder / f"tried-{work.n}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def meet(folder: Path, work: Work) -> None:
    """What a message of this kind does to its handler."""
    if work.kind == "flaky" and first_time(folder, work):
        raise ConnectionError("not now")
    if work.kind == "wait" and first_time(folder, work):
        raise Retry(after=0.5)
    if work.kind == "bad" or (work.kind == "mend" and first_time(folder, work)):
        raise Reject("of no use")
    if work.kind == "poison" or (work.kind == "once-poison" and first_time(folder, work)):
        os.kill(os.getpid(), signal.SIGKILL)


class Handlers:
    """Each handler that a test may ask for. What one has done is noted when it comes to its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _began(self, work: Work) -> None:
        say(event="began", n=work.n)

    def _ended(self, work: Work) -> None:
        meet(self._folder, work)
        note(self._folder, "effects", str(work.n))
        say(event="ended", n=work.n)

    async def noting(self, work: Work) -> None:
        self._began(work)
        await asyncio.sleep(work.seconds)
        self._ended(work)

    async def blocking(self, work: Work) -> None:
        """Blocks the loop the first time; whoever takes the message over does not."""
        self._began(work)
        if first_time(self._folder, work):
            time.sleep(work.seconds)  # noqa: ASYNC251 - the fault under test
        self._ended(work)

    def plain(self, work: Work) -> None:
        self._began(work)
        time.sleep(work.seconds)
        self._ended(work)

    async def batch(self, works: list[Work]) -> None:
        for work in works:
            self._began(work)
        await asyncio.sleep(max(work.seconds for work in works))
        for work in works:
            self._ended(work)

    async def quiet(self, work: Work) -> None:
        """For runs of many messages."""


def ledger(folder: Path) -> Callable[..., Any]:
    """Writes a row that shows when it is written twice, in the transaction of ``once``."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncSession

    async def ledger(work: Work, session: AsyncSession) -> None:
        say(event="began", n=work.n)
        await session.execute(text("INSERT INTO effects (n, pid) VALUES (:n, :pid)"), {"n": work.n, "pid": os.getpid()})
        await asyncio.sleep(work.seconds)
        meet(folder, work)

    ledger.__annotations__.update(session=AsyncSession, work=Work)
    return ledger


def counting(folder: Path, stream: str) -> Callable[..., Any]:
    """Counts each effect at the server of records, in the step of ``once``."""
    from holdfast.once import Writes

    async def counting(work: Work, writes: Writes) -> None:
        say(event="began", n=work.n)
        writes.hincrby(f"effects:{stream}", str(work.n))
        writes.hincrby(f"again:{stream}", str(work.n))
        await asyncio.sleep(work.seconds)
        meet(folder, work)

    counting.__annotations__.update(work=Work, writes=Writes)
    return counting


def calling(folder: Path) -> Callable[..., Any]:
    """Notes each call with its key, as a callee outside would."""
    from holdfast.once import IdempotencyKey

    async def calling(work: Work, key: IdempotencyKey) -> None:
        say(event="began", n=work.n)
        await asyncio.sleep(work.seconds)
        meet(folder, work)
        note(folder, "calls", f"{work.n} {key}")

    calling.__annotations__.update(work=Work, key=IdempotencyKey)
    return calling


def made(task: Task) -> tuple[Callable[..., Any], Any]:
    """The handler that was asked for, and its ``once``."""
    folder = Path(task.folder)
    if task.handler == "ledger":
        return ledger(folder), "sql"
    if task.handler == "counting":
        return counting(folder, task.stream), "redis"
    if task.handler == "calling":
        return calling(folder), "outside"
    return getattr(Handlers(folder), task.handler), None


def tell(event: Event) -> None:
    if event.level >= 20:
        say(event=event.name, thread=threading.current_thread().name, **event.as_dict())


async def main(task: Task) -> None:
    hf = Holdfast(task.url, sql=task.sql, records=task.records, settings=StreamSettings(**task.settings))
    hf.events.subscribe(tell)
    if task.partitions:
        hf.stream(task.stream, partitions=task.partitions)
    handler, once = made(task)
    hf.consumer(task.stream, group=task.group, once=once, batch=task.handler == "batch",
                retry=Retry(after=task.retry_s, attempts=task.attempts), **task.how)(handler)
    await hf.run(drain_s=task.drain_s, signals=True)
    await hf.close()
    say(event="over")


if __name__ == "__main__":
    points.arm_from_env()
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Task)))
