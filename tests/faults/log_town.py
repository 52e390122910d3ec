# SPDX-License-Identifier: Apache-2.0
"""A program that logs, something that rotates its file, and a pipeline that is killed: what came of each line."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from holdfast.logs import DeadLine
from holdfast.logs.dead.file import FileDeadLines
from holdfast.logs.mark import State
from holdfast.testing import wait_until
from holdfast.testing.points import VARIABLE
from holdfast.testing.process import Hurtable
from holdfast.testing.waiting import NotReached

WORKER = Path(__file__).parent / "workers" / "log_pipeline.py"
BAD_EVERY = 7


class Town:
    """Everything of one run lies in ``folder``. Line ``n`` is ``{"n": n}``, each seventh one broken."""

    def __init__(self, folder: Path, sink: str) -> None:
        self.folder, self.sink = folder, sink
        self.log = folder / "logs" / "app.log"
        self.log.parent.mkdir()
        self.written = 0
        self._ready = folder / "ready"
        self.worker: Hurtable | None = None
        self.kills = 0

    # -- the program, and what rotates its file ---------------------------------------------------------------------

    def write(self, count: int) -> None:
        with self.log.open("ab", buffering=0) as file:
            for n in range(self.written, self.written + count):
                file.write(b'{"n": %d%s\n' % (n, b"" if n % BAD_EVERY == 0 else b', "text": "line"}'))
        self.written += count

    def rotate(self, mode: str) -> None:
        self._shift()
        first = self.log.with_name("app.log.1")
        if mode == "copytruncate":
            shutil.copy(self.log, first)
            os.truncate(self.log, 0)
            return
        self.log.rename(first)
        self.log.touch()
        if mode == "gzip":
            found = first.stat()
            packed = first.with_name("app.log.1.gz")
            with gzip.open(packed, "wb") as file:
                file.write(first.read_bytes())
            os.utime(packed, ns=(found.st_atime_ns, found.st_mtime_ns))
            first.unlink()

    def _shift(self) -> None:
        turned = {int(path.name.split(".")[2]): path for path in self.log.parent.glob("app.log.*")}
        for number in sorted(turned, reverse=True):
            suffix = ".gz" if turned[number].suffix == ".gz" else ""
            turned[number].rename(self.log.with_name(f"app.log.{number + 1}{suffix}"))

    def outage(self, *, begins: bool) -> None:
        down = self.folder / "down"
        down.touch() if begins else down.unlink(missing_ok=True)

    # -- the pipeline ----------------------------------------------------------------------------------------------

    def start(self, points: str = "") -> None:
        env = {**os.environ, VARIABLE: points}
        self._ready.unlink(missing_ok=True)
        with (self.folder / "worker.err").open("ab") as stderr:
            self.worker = Hurtable([sys.executable, str(WORKER), str(self.folder), self.sink], env=env, stderr=stderr)

    def spooled(self) -> bool:
        """Does something wait for the sink?"""
        return any(path.stat().st_size for path in self.folder.glob("state/checkpoint.spool/*.spool"))

    def kill(self) -> None:
        self.worker.kill()
        self.kills += 1

    def end(self) -> None:
        """Waits until every line is somewhere, then stops the pipeline in good order."""
        self.outage(begins=False)
        if self.worker is None or not self.worker.alive:
            self.start()
        self.until(self.complete, "all lines are somewhere", 20)
        self.until(self._ready.exists, "it can be told to stop", 20)
        self.worker.signal(signal.SIGTERM)
        assert self.worker.reap(20) == 0, self.said()

    def until(self, condition: Callable[[], object], what: str, deadline_s: float = 10) -> None:
        """Waits, and tells what the pipeline said if that was in vain."""
        try:
            wait_until(condition, deadline_s, what)
        except NotReached as error:
            raise AssertionError(f"{error}; missing of {self.written}: {self.missing()[:8]}; {self.said()}") from error

    def close(self) -> None:
        if self.worker is not None and self.worker.alive:
            self.worker.kill()

    def said(self) -> str:
        return (self.folder / "worker.err").read_text()[-2000:]

    # -- what came of it -------------------------------------------------------------------------------------------

    def taken(self) -> Counter[int]:
        """How often each number is in the sink."""
        if self.sink == "sql":
            path = self.folder / "sink.db"
            if not path.exists():
                return Counter()
            with closing(sqlite3.connect(path, timeout=10)) as db:
                try:
                    rows = [row[0] for row in db.execute("SELECT fields FROM holdfast_log")]
                except sqlite3.OperationalError:
                    return Counter()
            return Counter(msgspec.json.decode(row)["n"] for row in rows)
        path = self.folder / "sink.jsonl"
        text = path.read_bytes() if path.exists() else b""
        return Counter(msgspec.json.decode(line)["n"] for line in text.splitlines())

    def dead(self) -> list[DeadLine]:
        async def listed() -> list[DeadLine]:
            kept = FileDeadLines(self.folder / "dead")
            await kept.open()
            try:
                return [line async for line in kept.list()]
            finally:
                await kept.close()

        return asyncio.run(listed())

    def broken(self) -> Counter[int]:
        """How often each number is among the dead letters."""
        return Counter(int(line.raw.split(b":")[1]) for line in self.dead())

    def missing(self) -> list[int]:
        there = self.taken().keys() | self.broken().keys()
        return [n for n in range(self.written) if n not in there]

    def complete(self) -> bool:
        return len(self.taken()) >= self.written - len(range(0, self.written, BAD_EVERY)) and not self.missing()

    def marks(self) -> State:
        text = (self.folder / "state" / "checkpoint").read_bytes()
        return msgspec.json.decode(text.split(b"\n")[1], type=State)

    def judge(self, *, once: bool) -> None:
        """Nothing is lost, ranges tile every source, nothing broken was taken, and nothing came twice; in a sink that
        does not keep records once, not more often than the pipeline was killed."""
        good = {n for n in range(self.written) if n % BAD_EVERY}
        taken, broken = self.taken(), self.broken()
        assert taken.keys() == good
        assert broken.keys() == set(range(self.written)) - good
        assert set(broken.values()) <= {1}, "a dead letter is kept once"
        times = 1 if once else 1 + self.kills
        assert {n: count for n, count in taken.items() if count > times} == {}
        for mark in self.marks().marks:
            assert mark.tiles, mark
