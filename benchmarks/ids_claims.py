# SPDX-License-Identifier: Apache-2.0
"""What does it take to get a worker id, and to keep it? On each kind of store, where nobody else holds one, and where
most are held.

How often a scheme asks its store is measured, not read from its code: the same claims through a proxy that keeps every
byte for 20 ms take so many round trips longer. Servers are those of the tests, except that databases sync their
commits; etcd and ZooKeeper do not, and Kubernetes is the tests' small API server, in Python. They share a processor
with the Redis server, the claimant has the other one. All are on this machine: a real way to the store adds its round
trip so many times as the table says.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from holdfast._sql.install import install
from holdfast.testing.binaries import ServerMissing
from holdfast.testing.etcd import EtcdServer
from holdfast.testing.kubernetes import KubernetesServer
from holdfast.testing.ports import HOST
from holdfast.testing.proxy import Proxy
from holdfast.testing.zookeeper import ZooKeeperServer
from tests.integration.sql.servers import MariaDb, Postgres

from .contestants import KNOWN
from .drain import in_turn
from .job import Job
from .rig import PATIENCE_S, Rig, beside_server

Tell = Callable[[str], None]
#: One way, in seconds.
WAY_S = 0.02


@dataclass(frozen=True)
class Effort:
    """claims, renewals: of a run. far: claims and renewals through the proxy. held: how many of 1,024 others hold."""

    claims: int = 30
    renewals: int = 300
    far: int = 5
    runs: int = 3
    held: Sequence[int] = (0, 1000)


FULL = Effort()
QUICK = Effort(claims=5, renewals=30, far=2, runs=1, held=(0, 100))


@dataclass(frozen=True)
class Store:
    """A running one. address: of what a proxy is put before; None: there is no way to it (a file)."""

    url: str
    address: tuple[str, int] | None
    resp: bool = False
    token: str = ""


def _redis(bench: Rig, _: ExitStack) -> Store:
    return Store(bench.url, bench.server.address, resp=True)


def _sqlite(_: Rig, stack: ExitStack) -> Store:
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    url = f"sqlite:///{folder / 'ids.db'}"
    asyncio.run(install(url))
    return Store(url, None)


def _sql(made: Callable[[], Any]) -> Callable[[Rig, ExitStack], Store]:
    def started(bench: Rig, stack: ExitStack) -> Store:
        with beside_server(bench):
            server = made()
        stack.callback(server.close)
        url = server.database()
        asyncio.run(install(url))
        return Store(url, (HOST, server.port))

    return started


def _etcd(bench: Rig, stack: ExitStack) -> Store:
    with beside_server(bench):
        server = stack.enter_context(EtcdServer())
    return Store(server.endpoint, server.address)


def _zookeeper(bench: Rig, stack: ExitStack) -> Store:
    with beside_server(bench):
        server = stack.enter_context(ZooKeeperServer())
    return Store(server.hosts, server.address)


def _kubernetes(_: Rig, stack: ExitStack) -> Store:
    server = stack.enter_context(KubernetesServer())
    return Store(server.url, server.address, token=server.token)


STORES: dict[str, Callable[[Rig, ExitStack], Store]] = {
    "redis": _redis, "sqlite": _sqlite, "postgresql": _sql(lambda: Postgres(durable=True)),
    "mariadb": _sql(lambda: MariaDb(durable=True)), "etcd": _etcd, "zookeeper": _zookeeper, "kubernetes": _kubernetes}


def measure(bench: Rig, names: Sequence[str], effort: Effort, tell: Tell) -> dict[str, Any]:
    """Held → contestant → runs. Who has no server here is left out, and said to be."""
    with ExitStack() as stack:
        stores = dict(_started(bench, names, stack, tell))
        figures: dict[str, dict[str, Any]] = {}
        for held in effort.held:
            with ExitStack() as holding:
                for name, store in stores.items():
                    child = holding.enter_context(bench.child(_job(name, store, held, verb="fill")))
                    child.wait_line(lambda line: line["event"] == "filled", PATIENCE_S)
                figures[str(held)] = _rounds(bench, stores, held, effort, tell)
    return figures


def _rounds(bench: Rig, stores: dict[str, Store], held: int, effort: Effort, tell: Tell) -> dict[str, Any]:
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in stores}
    for number in range(effort.runs if stores else 0):
        for name in in_turn(list(stores), number):
            one = _run(bench, _job(name, stores[name], held, place=number), stores[name], effort)
            figures[name].append(one)
            tell(f"run {number + 1} of {effort.runs}: {KNOWN[name].title}, {held:,} held: claim "
                 f"{one['claim']['p50_ms']:.2f} ms, renewal {one['renewal']['p50_ms']:.2f} ms")
    return figures


def _started(bench: Rig, names: Sequence[str], stack: ExitStack, tell: Tell) -> Iterator[tuple[str, Store]]:
    for name in names:
        try:
            yield name, STORES[KNOWN[name].call](bench, stack)
        except ServerMissing as error:
            tell(f"{KNOWN[name].title} is left out: {error}")


def _job(name: str, store: Store, held: int, **more: Any) -> Job:
    return Job(**{"contestant": name, "verb": "work", "store": KNOWN[name].call, "url": store.url, "token": store.token,
                  "held": held, "name": f"held-{held}", **more})


def _run(bench: Rig, job: Job, store: Store, effort: Effort) -> dict[str, Any]:
    near = _asked(bench, replace(job, n=effort.claims, bursts=effort.renewals))
    if store.address is None:
        return {**near, "round_trips": None}
    with _far(store) as url:
        far = _asked(bench, replace(job, n=effort.far, bursts=effort.far, place=100 + job.place, url=url))
    return {**near, "round_trips": {what: (far[what]["p50_ms"] - near[what]["p50_ms"]) / (2000 * WAY_S)
                                    for what in ("claim", "release", "renewal")}}


@contextmanager
def _far(store: Store) -> Iterator[str]:
    with Proxy(store.address or ("", 0), resp=store.resp) as proxy:
        proxy.delay(WAY_S)
        yield proxy.through(store.url)


def _asked(bench: Rig, job: Job) -> dict[str, Any]:
    with bench.contestant(job) as worker:
        found: dict[str, Any] = worker.wait_line(lambda line: line["event"] == "report", PATIENCE_S)
        worker.wait(PATIENCE_S)
    return {key: value for key, value in found.items() if key != "event"}
