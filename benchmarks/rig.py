# SPDX-License-Identifier: Apache-2.0
"""The bench itself: a server, child processes, and the moment when a stream is drained.

Where there are two processors, the server (and this process, which mostly sleeps) has the first and the contestant the
second: otherwise the scheduler decides who pays for whose cache misses, and figures wander by a fifth.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from holdfast.testing import waiting
from holdfast.testing.processes import Worker
from holdfast.testing.servers import Single

from .contestants import KNOWN
from .job import GROUP, STREAM, Job

ROOT = Path(__file__).resolve().parents[1]
#: Templates live in a database of their own, and are copied from there for each run.
_TEMPLATES_DB = 1
_POLL_S = 0.005
#: Processors this process was given at its start; it changes its own share later.
_CORES: list[int] = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
#: A contestant that takes longer than this for one step has failed.
PATIENCE_S = 600.0

#: Persistence of the server, by name. An AOF rewrite in the middle of a run would measure the disk.
PERSISTENCE: dict[str, dict[str, str]] = {
    "none": {"save": "", "appendonly": "no"},
    "everysec": {"save": "", "appendonly": "yes", "appendfsync": "everysec", "auto-aof-rewrite-percentage": "0"},
}


def child(module: str, *arguments: object, patience_s: float = 1800) -> Any:
    """What ``python -m module`` prints, as JSON: a question that is asked in a fresh process."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], env=env, cwd=ROOT,
                          stdout=subprocess.PIPE, check=True, timeout=patience_s)
    return json.loads(done.stdout)


@dataclass
class Rig:
    """A running server and what is done to it. ``pinned``: server and contestants on processors of their own."""

    server: Single
    pinned: bool

    @property
    def admin(self) -> Any:
        """Synchronous client of database 0."""
        return self.server.admin

    @property
    def url(self) -> str:
        return self.server.url

    def child(self, job: Job, argv: Sequence[str] | None = None) -> Worker:
        """Starts a child on the contestants' processor."""
        command = list(argv or KNOWN["bare"].argv)
        with _affinity({_CORES[1]} if self.pinned else None):
            return Worker(command, env=job.environment(), cwd=ROOT)

    @contextmanager
    def contestant(self, job: Job) -> Iterator[Worker]:
        """A contestant at work, by its own command. Whatever it has started is gone when the block is left."""
        with self.child(job, KNOWN[job.contestant].argv) as worker:
            try:
                yield worker
            finally:
                kill_all(worker)

    def prepare(self, name: str, stream: str = STREAM, group: str = GROUP) -> None:
        """Makes the group at the start of the stream. Ours makes its own: it is part of what is measured."""
        if not KNOWN[name].is_ours:
            self.admin.xgroup_create(stream, group, id="0", mkstream=True)

    def template(self, name: str, n: int, key: str = "") -> None:
        """Has the library itself write n messages, once; ``refill`` copies them. key: to keep several of a library."""
        job = Job(contestant=name, verb="fill", url=self.url, stream=STREAM, n=n)
        self.admin.flushdb()
        with self.child(job) as filler:
            filler.wait_line(lambda line: line["event"] == "filled", PATIENCE_S)
            filler.wait(PATIENCE_S)
        for group in self.admin.xinfo_groups(STREAM):
            self.admin.xgroup_destroy(STREAM, group["name"])
        self.admin.copy(STREAM, key or KNOWN[name].module, destination_db=_TEMPLATES_DB, replace=True)
        self.admin.flushdb()

    def refill(self, name: str, key: str = "") -> int:
        """An empty database with the template's stream in it; its length."""
        self.admin.flushdb()
        with self.templates() as templates:
            templates.copy(key or KNOWN[name].module, STREAM, destination_db=0)
        self.prepare(name)
        return int(self.admin.xlen(STREAM))

    @contextmanager
    def templates(self) -> Iterator[Any]:
        """A client of the templates' database."""
        import redis

        host, port = self.server.address
        client = redis.Redis(host, port, db=_TEMPLATES_DB)
        try:
            yield client
        finally:
            client.close()

    def drained(self, stream: str = STREAM, group: str = GROUP) -> int | None:
        """Now, in monotonic ns, if nothing is pending and nothing is undelivered."""
        asked_ns = time.monotonic_ns()
        for found in self.admin.xinfo_groups(stream):
            if found["name"] == group.encode() and found["pending"] == 0 and self._delivered(stream, found):
                return asked_ns
        return None

    def cpu_s(self) -> float:
        """Processor seconds the server has used."""
        info = self.admin.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def _delivered(self, stream: str, group: dict[str, Any]) -> bool:
        """Lag 0. A server that has no such number, or has lost count, is asked for both ids instead."""
        lag = group.get("lag")
        if lag is not None:
            return bool(lag == 0)
        last = self.admin.xinfo_stream(stream)["last-generated-id"]
        return bool(group["last-delivered-id"] == last)

    def wait_drained(self, worker: Worker, deadline_s: float = PATIENCE_S) -> int:
        """When it was drained. The look itself costs the server some 20 µs every 5 ms."""

        def drained_or_ended() -> int | None:
            if not worker.alive:
                worker.wait_line(lambda line: line["event"] == "drained", 0.0)  # raises, with its last words
            return self.drained()

        return waiting.wait_until(drained_or_ended, deadline_s, "the stream is drained", poll_s=_POLL_S) or 0

    def end(self, worker: Worker) -> dict[str, Any]:
        """SIGTERM, and the worker's report."""
        worker.popen.terminate()
        report: dict[str, Any] = worker.wait_line(lambda line: line["event"] == "report", 30.0)
        worker.wait(30.0)
        return report


@contextmanager
def rig(persistence: str = "none", flavour: str = "valkey", *, pin: bool = True) -> Iterator[Rig]:
    """A server with the named persistence, for as long as the block lasts."""
    pinned = pin and len(_CORES) > 1
    with _affinity({_CORES[0]} if pinned else None), Single(flavour, PERSISTENCE[persistence]) as server:
        yield Rig(server, pinned)


def kill_all(worker: Worker) -> None:
    """SIGKILL to a child and its children: it leads a session of its own, and a supervisor leaves orphans behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)


def ready(worker: Worker) -> Worker:
    """The same, once it is up."""
    worker.wait_line(lambda line: line["event"] == "ready", PATIENCE_S)
    return worker


def server_facts(bench: Rig) -> dict[str, Any]:
    """What the server says it is."""
    info = bench.admin.info("server")
    config = {name: bench.admin.config_get(name)[name] for name in ("save", "appendonly", "appendfsync", "io-threads")}
    return {"server": info.get("server_name", "redis"), "version": info.get("valkey_version", info["redis_version"]),
            "settings": msgspec.to_builtins(config)}



@contextmanager
def beside_server(bench: Rig) -> Iterator[None]:
    """What is started in the block shares the server's processor: a database, for instance."""
    with _affinity({_CORES[0]} if bench.pinned else None):
        yield


@contextmanager
def _affinity(cores: set[int] | None) -> Iterator[None]:
    """Runs on these processors meanwhile; children inherit it."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
