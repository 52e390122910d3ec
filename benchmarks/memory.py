# SPDX-License-Identifier: Apache-2.0
"""What is left behind by N acknowledged messages? At the server: the stream and every key beside it. Here: the process.

The empty group is the same consumer on the same stream before the first message. Publisher and consumer work at the
same time, and the publisher waits while more than ``BACKLOG`` messages lie in the stream undelivered or pending.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.testing.processes import Worker
from holdfast.testing.waiting import wait_until

from .contestants import CONTESTANTS
from .job import GROUP, STREAM, Job, order
from .rig import PATIENCE_S, Rig, ready

BACKLOG = 5_000
_CHUNK = 500
#: Until sweeps, trims and the allocator have come to rest.
REST_S = 3.0


def measure(bench: Rig, name: str, n: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """One run: the sizes before, after a tenth, and after all."""
    import psutil

    bench.admin.flushdb()
    bench.prepare(name)
    contestant = CONTESTANTS[name]
    with bench.contestant(Job(contestant=name, verb="work", url=bench.url, n=n, keep=contestant.keep)) as worker:
        process = psutil.Process(ready(worker).pid)

        def sizes() -> dict[str, Any]:
            time.sleep(REST_S)
            return {"rss_bytes": process.memory_info().rss, **server_sizes(bench)}

        empty = sizes()
        _publish(bench, worker, 0, n // 10)
        tenth = sizes()
        _publish(bench, worker, n // 10, n)
        full = sizes()
        report = bench.end(worker)
    tell(f"{contestant.title}: {empty['keys_bytes']:,} bytes in keys before, {full['keys_bytes']:,} after {n:,} "
         f"messages; RSS grew by {(full['rss_bytes'] - empty['rss_bytes']) / 1e6:.1f} MB")
    return {"messages": n, "empty": empty, "tenth": tenth, "full": full, "unique": report["unique"],
            "times_empty": full["keys_bytes"] / empty["keys_bytes"],
            "rss_growth_bytes": full["rss_bytes"] - empty["rss_bytes"],
            "rss_growth_after_tenth_bytes": full["rss_bytes"] - tenth["rss_bytes"]}


def server_sizes(bench: Rig) -> dict[str, Any]:
    """MEMORY USAGE of every key there is; the bench has the database to itself."""
    keys = {key.decode(): int(bench.admin.memory_usage(key, samples=0) or 0) for key in bench.admin.scan_iter()}
    return {"keys": keys, "keys_bytes": sum(keys.values()), "stream_length": bench.admin.xlen(STREAM),
            "used_memory_bytes": bench.admin.info("memory")["used_memory"]}


def _publish(bench: Rig, worker: Worker, first: int, last: int) -> None:
    """Plain entries with a body: any writer's. Returns when all are acknowledged."""
    encode = msgspec.json.encode
    for start in range(first, last, _CHUNK):
        pipe = bench.admin.pipeline(transaction=False)
        for number in range(start, min(start + _CHUNK, last)):
            pipe.xadd(STREAM, {"body": encode(order(number))})
        pipe.execute()
        wait_until(lambda: not worker.alive or _waiting(bench) < BACKLOG, PATIENCE_S, "the backlog shrinks")
    bench.wait_drained(worker)


def _waiting(bench: Rig) -> int:
    """Undelivered and pending messages of the group."""
    for found in bench.admin.xinfo_groups(STREAM):
        if found["name"] == GROUP.encode():
            return int(found["pending"] + (found.get("lag") or 0))
    return 0
