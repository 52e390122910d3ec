# SPDX-License-Identifier: Apache-2.0
"""The ways to a worker id that are compared, each opened as a pod would, and one that cheats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from .._redis.keys import DEFAULT_PREFIX
from ..ids.named import from_ordinal, from_variable
from ..ids.scheme import Scheme as Store
from ..ids.schemes.etcd import EtcdWorkers
from ..ids.schemes.kubernetes import KubernetesWorkers
from ..ids.schemes.redis import RedisWorkers
from ..ids.schemes.zookeeper import ZooKeeperWorkers
from ..ids.term import Term
from ..ids.worker import WorkerId
from .ids_families import Everybodys

#: What the template of a Deployment says to each of its pods.
TEMPLATE = {"WORKER_ID": "7"}


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where stores are; empty: there is none. redis: a master, with a replica if it is the lab's own. sqlite: a file of
    the lab's. postgresql, mariadb: as they were named. kubernetes: the contract server. token: of the tables."""

    redis: str
    prefix: str = DEFAULT_PREFIX
    sqlite: str = ""
    postgresql: str = ""
    mariadb: str = ""
    etcd: str = ""
    zookeeper: str = ""
    kubernetes: str = ""
    kubernetes_token: str = ""
    token: str = ""


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Whose ids they are. window_s: of each; also how long a session of etcd and ZooKeeper lives."""

    name: str
    workers: int = 1024
    window_s: float = 2.0


Wants = Literal["any", "template", "ordinal"]


@dataclass(frozen=True)
class Scheme:
    """One way. store: made for a pool; None: there is none. wants: any worker id, the one that stands in the template
    of all pods, or the pod's ordinal. needs: the field of ``Addresses`` that it lives on. depends: that, in words."""

    name: str
    title: str
    store: Callable[[Addresses, Pool], Store] | None
    needs: str = ""
    depends: str = "nothing"
    wants: Wants = "any"

    @property
    def cheats(self) -> bool:
        """Has to be caught."""
        return self.store is None

    def wanted(self, pod: int, workers: int) -> int | None:
        """What the pod with this ordinal is told to want, of so many."""
        if self.wants == "any":
            return None
        if self.wants == "template":
            return min(from_variable(TEMPLATE, 1024), workers - 1)
        return from_ordinal({"POD_NAME": f"web-{pod}"}, workers)

    def term(self, at: Addresses, pool: Pool, pod: int) -> Term:
        """What a generator of that pod stands on. A ``WorkerId`` is not open yet."""
        if self.store is None:
            return Everybodys()
        return WorkerId(self.store(at, pool), name=f"pod-{pod}", wanted=self.wanted(pod, pool.workers),
                        window_s=pool.window_s)


def _redis(at: Addresses, pool: Pool, *, replicas: int = 0, named: str = "") -> Store:
    return RedisWorkers(at.redis, pool=f"{pool.name}{named}{'-wait' if replicas else ''}", workers=pool.workers,
                        replicas=replicas, prefix=at.prefix)


def _sql(field: str) -> Callable[[Addresses, Pool], Store]:
    def made(at: Addresses, pool: Pool) -> Store:
        from ..ids.schemes.sql import SqlWorkers
        from .ids_tables import tables_of

        return SqlWorkers(getattr(at, field), pool=pool.name, workers=pool.workers, tables=tables_of(at.token))

    return made


def _etcd(at: Addresses, pool: Pool) -> Store:
    return EtcdWorkers([at.etcd], pool=pool.name, workers=pool.workers, ttl_s=pool.window_s)


def _zookeeper(at: Addresses, pool: Pool) -> Store:
    return ZooKeeperWorkers(at.zookeeper, pool=pool.name, workers=pool.workers, ttl_s=pool.window_s)


def _kubernetes(at: Addresses, pool: Pool) -> Store:
    return KubernetesWorkers(at.kubernetes, namespace="default", token=at.kubernetes_token, pool=pool.name,
                             workers=pool.workers)


def _any(store: Callable[..., Store], **how: Any) -> Callable[[Addresses, Pool], Store]:
    return lambda at, pool: store(at, pool, **how)


#: By name, in the order of the tables.
SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (
    Scheme("variable", "WORKER_ID in the template of all pods, and nobody who compares", None, wants="template"),
    Scheme("variable+store", "the same, wanted of Redis", _any(_redis, named="-variable"), "redis", "Redis",
           "template"),
    Scheme("ordinal", "the ordinal of a StatefulSet's pod, wanted of Redis", _any(_redis, named="-ordinal"), "redis",
           "a StatefulSet, and Redis", "ordinal"),
    Scheme("redis", "any free one, of Redis", _redis, "redis", "Redis"),
    Scheme("redis+wait", "the same, confirmed by a replica", _any(_redis, replicas=1), "redis",
           "Redis with a replica"),
    Scheme("sqlite", "a row of a SQLite file", _sql("sqlite"), "sqlite", "a file that all share, on one machine"),
    Scheme("postgresql", "a row in PostgreSQL", _sql("postgresql"), "postgresql", "PostgreSQL"),
    Scheme("mariadb", "a row in MariaDB or MySQL", _sql("mariadb"), "mariadb", "MariaDB"),
    Scheme("etcd", "a key of etcd, with a session", _etcd, "etcd", "etcd"),
    Scheme("zookeeper", "a node of ZooKeeper, with a session", _zookeeper, "zookeeper", "ZooKeeper"),
    Scheme("kubernetes", "a Lease object, of the contract server", _kubernetes, "kubernetes", "the cluster alone"),
)}


def present(at: Addresses) -> list[Scheme]:
    """Those that have a store, and the one that wants none."""
    return [scheme for scheme in SCHEMES.values() if not scheme.needs or getattr(at, scheme.needs)]
