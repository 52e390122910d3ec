# SPDX-License-Identifier: Apache-2.0
"""The stores of the lab of worker ids, all started and ended by it: Redis with a replica, etcd and ZooKeeper where they
are installed, a SQLite file, and the contract server of Kubernetes, which is no cluster."""

from __future__ import annotations

import asyncio
import importlib.util
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..errors import ConfigurationError, MissingExtra
from ..testing.daemon import Daemon
from ..testing.etcd import EtcdServer
from ..testing.kubernetes import KubernetesServer
from ..testing.replicated import Replicated
from ..testing.zookeeper import ZooKeeperServer
from .workers_schemes import Addresses

D = TypeVar("D", bound=Daemon)


@dataclass
class Town:
    """What runs. missing: why a scheme does not take part. file: of SQLite; None without SQLAlchemy."""

    pair: Replicated
    etcd: EtcdServer | None
    zookeeper: ZooKeeperServer | None
    kubernetes: KubernetesServer | None
    file: Path | None
    addresses: Addresses
    missing: dict[str, str]

    def kill(self) -> Callable[[], None]:
        """All of them at once; what brings them back. Redis comes back empty, the others as they were."""
        lock: sqlite3.Connection | None = None
        if self.file is not None:
            lock = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
            lock.execute("BEGIN EXCLUSIVE")  # nobody can kill a file: somebody writes, and does not come to an end
        for server in (self.pair.master, self.etcd, self.zookeeper):
            if server is not None:
                server.kill()
        if self.kubernetes is not None:
            self.kubernetes.stop()
        return lambda: self._revive(lock)

    def _revive(self, lock: sqlite3.Connection | None) -> None:
        if lock is not None:
            lock.close()
        for server in (self.pair.master, self.kubernetes, self.etcd, self.zookeeper):
            if server is not None:
                server.start()


@asynccontextmanager
async def town(folder: Path, token: str, sql: str) -> AsyncIterator[Town]:
    """All of it, for the length of the block. sql: a database that is there already. Raises ServerMissing when not even
    a Redis or Valkey is installed."""
    with ExitStack() as stack:
        missing: dict[str, str] = {}
        pair = Replicated(replicas=1)
        stack.callback(pair.close)
        _, etcd, zookeeper = await asyncio.gather(
            asyncio.to_thread(pair.start),
            _optional(stack, lambda: _wants(EtcdServer(), "httpx2", "http"), "etcd", missing),
            _optional(stack, lambda: _wants(ZooKeeperServer(), "kazoo", "zookeeper"), "zookeeper", missing))
        kubernetes = _kubernetes(stack, missing)
        sqlite, named = _databases(folder, token, sql, stack, missing)
        yield Town(pair, etcd, zookeeper, kubernetes, folder / "lab.db" if sqlite else None, Addresses(
            redis=pair.url, sqlite=sqlite, token=token, etcd=etcd.endpoint if etcd else "",
            zookeeper=zookeeper.hosts if zookeeper else "", kubernetes=kubernetes.url if kubernetes else "",
            kubernetes_token=kubernetes.token if kubernetes else "", **named), missing)


def _wants(server: D, module: str, extra: str) -> D:
    """A server, where what speaks to it is installed."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(extra, type(server).__name__)
    return server


async def _optional(stack: ExitStack, make: Callable[[], D], name: str, missing: dict[str, str]) -> D | None:
    try:
        server = make()
    except ConfigurationError as error:  # neither its server nor what speaks to it need be there
        missing[name] = str(error)
        return None
    stack.callback(server.close)
    await asyncio.to_thread(server.start)
    return server


def _kubernetes(stack: ExitStack, missing: dict[str, str]) -> KubernetesServer | None:
    if importlib.util.find_spec("httpx2") is None:
        missing["kubernetes"] = str(MissingExtra("http", "Kubernetes"))
        return None
    return stack.enter_context(KubernetesServer())


def _databases(folder: Path, token: str, sql: str, stack: ExitStack, missing: dict[str, str]
               ) -> tuple[str, dict[str, str]]:
    """The lab's own file, and the database that was named, by the scheme that it is for; both with tables."""
    if importlib.util.find_spec("sqlalchemy") is None:
        if sql:
            raise MissingExtra("sql", "a database")
        missing["sqlite"] = str(MissingExtra("sql", "a database"))
        return "", {}
    from .ids_tables import LabTables

    own = f"sqlite:///{folder / 'lab.db'}"
    named = {}
    for url in filter(None, (own, sql)):
        tables = LabTables(url, token)
        stack.callback(tables.close)
        tables.create()
        stack.callback(tables.drop)  # guard: nor in somebody else's database
        if url != own:
            named = {"postgresql" if tables.dialect == "postgresql" else "mariadb": url}
    for name in {"postgresql", "mariadb"} - named.keys():
        missing[name] = "name one with --sql"
    return own, {} if "sqlite" in sql.partition(":")[0] else named


