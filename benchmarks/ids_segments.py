# SPDX-License-Identifier: Apache-2.0
"""What does an id from a counter cost when its store is near, 50 ms away, and not there at all?

One process draws ids at a steady rate from segments of a counter. Its store is behind a proxy that is put between them
even where it does nothing, so that nothing but the way differs. *Away*: the proxy resets every connection
and refuses new ones, at a moment when segments have grown for a few seconds; the ids that the process then has are all
it can give, and every one of them is drawn. How long they last is what is left over the rate: segments that have grown
for an hour last a quarter of one, see ``holdfast.ids.counters.rules``. Beside them, ids that are each asked of the
store.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from holdfast._sql.install import install
from holdfast.testing.binaries import ServerMissing
from holdfast.testing.ports import HOST
from holdfast.testing.proxy import Proxy
from tests.integration.sql.servers import Postgres

from .board import Board
from .contestants import KNOWN
from .job import Job
from .rig import PATIENCE_S, Rig, beside_server

Tell = Callable[[str], None]
RATE = 10_000.0
#: A round trip to the store.
FAR_S = 0.05


@dataclass(frozen=True)
class Effort:
    """seconds: at the rate. flat: ids without a pause. singly: ids that are each asked of the store."""

    seconds: float = 10.0
    flat: int = 5_000_000
    singly: int = 2000


FULL = Effort()
QUICK = Effort(seconds=1.0, flat=200_000, singly=200)


@dataclass(frozen=True)
class Store:
    """A running one. fresh: the URL of one without counters."""

    address: tuple[str, int]
    fresh: Callable[[], str]


def _redis(bench: Rig, _: ExitStack) -> Store:
    def fresh() -> str:
        bench.admin.flushdb()
        return bench.url

    return Store(bench.server.address, fresh)


def _postgresql(bench: Rig, stack: ExitStack) -> Store:
    with beside_server(bench):
        server = Postgres(durable=True)
    stack.callback(server.close)

    def fresh() -> str:
        url = server.database()
        asyncio.run(install(url))
        return url

    return Store((HOST, server.port), fresh)


STORES: dict[str, Callable[[Rig, ExitStack], Store]] = {"redis": _redis, "postgresql": _postgresql}


def measure(bench: Rig, names: Sequence[str], effort: Effort, tell: Tell) -> dict[str, Any]:
    """Contestant → where the store is → figures. Who has no server here is left out, and said to be."""
    figures: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        for name in names:
            try:
                store = STORES[KNOWN[name].call](bench, stack)
            except ServerMissing as error:
                tell(f"without segments on {KNOWN[name].title}: {error}")
            else:
                figures[name] = _everywhere(bench, name, store, effort, tell)
    return figures


def _everywhere(bench: Rig, name: str, store: Store, effort: Effort, tell: Tell) -> dict[str, Any]:
    figures = {where: _run(bench, name, store, effort, where) for where in ("near", "far", "away")}
    figures["singly"] = _asked(bench, replace(_job(name, store.fresh()), verb="singly", n=effort.singly))
    for where, found in figures.items():
        tell(f"ids of a counter on {KNOWN[name].title}, {where}: p50 {found['p50_ns']:,.0f} ns, p999 "
             f"{found['p999_ns']:,.0f} ns")
    return figures


def _run(bench: Rig, name: str, store: Store, effort: Effort, where: str) -> dict[str, Any]:
    url = store.fresh()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder, Proxy(store.address, resp=False) as proxy:
        if where == "far":
            proxy.delay(FAR_S / 2)
        board = Path(folder) / "board" if where == "away" else None
        job = replace(_job(name, proxy.through(url)), n=int(RATE * effort.seconds), rate=RATE, bursts=effort.flat,
                      board=str(board or ""))
        return _asked(bench, job, lambda: _away(proxy), board)


def _job(name: str, url: str) -> Job:
    return Job(contestant=name, verb="work", url=url, store=KNOWN[name].call)


def _away(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.cut()


def _asked(bench: Rig, job: Job, away: Callable[[], None] | None = None, board: Path | None = None) -> dict[str, Any]:
    written = Board(board) if board else None
    with bench.contestant(job) as worker:
        if written is not None and away is not None:
            worker.wait_line(lambda line: line["event"] == "warm", PATIENCE_S)
            away()
            written.add("stop", 1)
        found: dict[str, Any] = worker.wait_line(lambda line: line["event"] == "report", PATIENCE_S)
        worker.wait(PATIENCE_S)
    return {key: value for key, value in found.items() if key != "event"}
