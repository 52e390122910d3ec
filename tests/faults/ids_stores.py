# SPDX-License-Identifier: Apache-2.0
"""Stores of worker ids by a name that another process can be told, and a fixture's way to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast._sql.install import install
from holdfast.ids.scheme import Scheme
from holdfast.ids.schemes.etcd import EtcdWorkers
from holdfast.ids.schemes.kubernetes import KubernetesWorkers
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.ids.schemes.sql import SqlWorkers
from holdfast.ids.schemes.zookeeper import ZooKeeperWorkers

STORES = ("redis-valkey", "sql-sqlite", "sql-postgres", "etcd", "zookeeper", "kubernetes")
#: How long a session of etcd or ZooKeeper outlives its process.
SESSION_S = 2.0


class Store(msgspec.Struct, frozen=True):
    """A pool of worker ids somewhere."""

    kind: str
    url: str
    pool: str
    workers: int = 1024
    replicas: int = 0
    token: str = ""


def scheme_of(store: Store) -> Scheme:
    """A process's own way to it."""
    shared = {"pool": store.pool, "workers": store.workers}
    match store.kind:
        case "redis":
            return RedisWorkers(store.url, replicas=store.replicas, **shared)
        case "etcd":
            return EtcdWorkers([store.url], ttl_s=SESSION_S, **shared)
        case "zookeeper":
            return ZooKeeperWorkers(store.url, ttl_s=SESSION_S, **shared)
        case "kubernetes":
            return KubernetesWorkers(store.url, namespace="default", token=store.token, **shared)
    return SqlWorkers(store.url, **shared)


def store_called(name: str, pool: str, folder: Path, fixture: Callable[[str], Any], **how: Any) -> Store:
    """A fresh pool there. fixture: ``request.getfixturevalue``."""
    kind, _, where = name.partition("-")
    match kind:
        case "redis":
            return Store(kind, fixture("servers").get(where).url, pool, **how)
        case "etcd":
            return Store(kind, fixture("etcd").endpoint, pool, **how)
        case "zookeeper":
            return Store(kind, fixture("zookeeper").hosts, pool, **how)
        case "kubernetes":
            server = fixture("kubernetes")
            return Store(kind, server.url, pool, token=server.token, **how)
    url = f"sqlite:///{folder}/ids.db" if where == "sqlite" else fixture(where).database()
    asyncio.run(install(url))
    return Store(kind, url, pool, **how)
