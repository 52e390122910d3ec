# SPDX-License-Identifier: Apache-2.0
"""The locks that are compared, each opened as its user would: a door that gives locks by name, for one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from .._redis.keys import DEFAULT_PREFIX
from .._redis.open import open_server
from .._redis.server import Server
from ..locks import Acquisition, Lock, Locks, LockSettings
from ..locks.etcd import EtcdLocks
from ..locks.minimal import MinimalLocks
from ..locks.postgres import PostgresLocks
from ..locks.quorum import QuorumLocks, QuorumSettings
from ..locks.zookeeper import ZooKeeperLocks

#: A replica has so long to confirm a grant.
CONFIRM_S = 0.5


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where servers are. main: a master with one replica. others: servers that know of none. Empty: there is none."""

    main: str
    others: list[str]
    zookeeper: str = ""
    etcd: str = ""
    sql: str = ""
    prefix: str = DEFAULT_PREFIX

    @property
    def every(self) -> list[str]:
        """Those of the quorum."""
        return [self.main, *self.others]


class Door(Protocol):
    """Gives locks by name, for one process."""

    def lock(self, name: str) -> Lock:
        """The lock called ``name``."""
        ...

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What is held now."""
        ...


class Closing(Door, Protocol):
    """A door that is closed by whoever opened it."""

    async def close(self) -> None:
        """Gives back what is held."""
        ...


Opening = Callable[[Addresses, float], AbstractAsyncContextManager[Door]]


@dataclass(frozen=True)
class Scheme:
    """One way to lock. title: what it is. open: takes a lease in seconds. needs: the field of ``Addresses`` it lives
    on. fails_over: whether its data lies where the lab can make a server fail over. renewed: whether it is held for as
    long as its holder lives; else its lease has to outlast the work."""

    name: str
    title: str
    open: Opening
    needs: str = "main"
    fails_over: bool = True
    renewed: bool = True


class _Fair:
    """A door to the fair locks of ``Locks``."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks

    def lock(self, name: str) -> Lock:
        """In the order of arrival."""
        return self._locks.lock(name, fair=True)

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What is held now."""
        return self._locks.held


@asynccontextmanager
async def _open(locks: Closing) -> AsyncIterator[Door]:
    try:
        yield locks
    finally:
        await locks.close()


@asynccontextmanager
async def _on(at: Addresses, made: Callable[[Server], Locks | MinimalLocks], *, fair: bool = False,
              ) -> AsyncIterator[Door]:
    server = await open_server(at.main, prefix=at.prefix)
    try:
        async with _open(locks := made(server)):
            yield _Fair(locks) if fair and isinstance(locks, Locks) else locks
    finally:
        await server.close()


def _redis(at: Addresses, ttl_s: float, *, replicas: int = 0, fair: bool = False) -> AbstractAsyncContextManager[Door]:
    settings = LockSettings(ttl_s=ttl_s, replicas=replicas, confirm_s=CONFIRM_S)
    return _on(at, lambda server: Locks(server, settings), fair=fair)


def _minimal(at: Addresses, ttl_s: float) -> AbstractAsyncContextManager[Door]:
    return _on(at, lambda server: MinimalLocks(server, ttl_s=ttl_s))


def _quorum(at: Addresses, ttl_s: float) -> AbstractAsyncContextManager[Door]:
    return _open(QuorumLocks(at.every, QuorumSettings(ttl_s=ttl_s, answer_s=min(ttl_s / 5, CONFIRM_S))))


def _zookeeper(at: Addresses, ttl_s: float) -> AbstractAsyncContextManager[Door]:
    return _open(ZooKeeperLocks(at.zookeeper, ttl_s=ttl_s))


def _etcd(at: Addresses, ttl_s: float) -> AbstractAsyncContextManager[Door]:
    return _open(EtcdLocks([at.etcd], ttl_s=ttl_s))


def _postgres(at: Addresses, ttl_s: float) -> AbstractAsyncContextManager[Door]:
    return _open(PostgresLocks(at.sql, ttl_s=ttl_s))


SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (
    Scheme("holdfast+wait", "Holdfast on Redis, replicas=1", partial(_redis, replicas=1)),
    Scheme("holdfast-no-wait", "Holdfast on Redis, as it comes", _redis),
    Scheme("fair", "Holdfast on Redis, fair=True", partial(_redis, fair=True)),
    Scheme("minimal", "SET NX PX and a comparing delete", _minimal, renewed=False),
    Scheme("quorum", "Holdfast's quorum lock on three masters", _quorum, needs="others"),
    Scheme("zookeeper", "Holdfast on ZooKeeper", _zookeeper, needs="zookeeper", fails_over=False),
    Scheme("etcd", "Holdfast on etcd", _etcd, needs="etcd", fails_over=False),
    Scheme("postgres", "Holdfast on PostgreSQL", _postgres, needs="sql", fails_over=False),
)}


def present(at: Addresses) -> list[Scheme]:
    """Those that have a server."""
    return [scheme for scheme in SCHEMES.values() if getattr(at, scheme.needs)]


def named(names: Sequence[str]) -> list[Scheme]:
    """By name."""
    return [SCHEMES[name] for name in names]


def token_of(held: Acquisition) -> int:
    """Its fencing token; 0: this scheme has none."""
    return held.fencing_token
