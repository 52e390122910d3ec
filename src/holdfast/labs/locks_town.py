# SPDX-License-Identifier: Apache-2.0
"""The servers of the lab of locks, all started and ended by it: a pair with a link that can be stalled, two more that
know of none, one that is written to, and ZooKeeper and etcd where they are installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import ConfigurationError, MissingExtra
from ..testing.etcd import EtcdServer
from ..testing.replicated import Replicated
from ..testing.single import Single
from ..testing.waiting import wait_until
from ..testing.zookeeper import ZooKeeperServer
from .locks_schemes import Addresses

S = TypeVar("S", bound=Any)
#: Servers beside the pair: with its master, three.
OTHERS = 2
_CATCH_UP_S = 10.0


@dataclass(frozen=True)
class Town:
    """What runs. resource: what holders write to. missing: why something does not run, by scheme."""

    pair: Replicated
    others: list[Single]
    resource: Single
    zookeeper: str
    etcd: str
    sql: str
    missing: dict[str, str]

    def addresses(self, main: str = "") -> Addresses:
        """Where it all is. main: the URL of another pair's master."""
        return Addresses(main=main or self.pair.url, others=[one.url for one in self.others], zookeeper=self.zookeeper,
                         etcd=self.etcd, sql=self.sql)

    @property
    def counters(self) -> list[Single]:
        """The servers whose commands are counted."""
        return [self.pair.master, *self.others]


@asynccontextmanager
async def town(sql: str = "") -> AsyncIterator[Town]:
    """All of it, for the length of the block. sql: the URL of a PostgreSQL that is there already. Raises
    ServerMissing when not even a Redis or Valkey is installed."""
    with ExitStack() as stack:
        missing: dict[str, str] = {} if sql else {"postgres": "name a PostgreSQL with --sql"}
        singles = [Single() for _ in range(OTHERS + 1)]
        pair = Replicated(replicas=1, proxied=True)
        _, zookeeper, etcd = await asyncio.gather(
            asyncio.gather(_started(stack, pair), *(_started(stack, one) for one in singles)),
            _optional(stack, _zookeeper, "zookeeper", missing), _optional(stack, _etcd, "etcd", missing))
        yield Town(pair, singles[:OTHERS], singles[OTHERS], zookeeper.hosts if zookeeper else "",
                   etcd.endpoint if etcd else "", sql, missing)


async def _started(stack: ExitStack, server: S) -> S:
    stack.callback(server.close)
    await asyncio.to_thread(server.start)
    return server


async def _optional(stack: ExitStack, make: Callable[[], S], name: str, missing: dict[str, str]) -> S | None:
    try:
        server = make()
    except ConfigurationError as error:  # neither its server nor what speaks to it need be there
        missing[name] = str(error)
        return None
    return await _started(stack, server)


def _zookeeper() -> ZooKeeperServer:
    server = ZooKeeperServer()
    _known("kazoo", "zookeeper", "ZooKeeper")
    return server


def _etcd() -> EtcdServer:
    server = EtcdServer()
    _known("httpx2", "http", "etcd")
    return server


def _known(module: str, extra: str, needed_for: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(extra, needed_for)


def caught_up(pair: Replicated) -> None:
    """Returns when the replica has all that the master has."""
    def offset(node: Single, field: str) -> int:
        found: Any = node.admin.info("replication")
        return int(found[field])

    wait_until(lambda: offset(pair.replicas[0], "slave_repl_offset") >= offset(pair.master, "master_repl_offset"),
               _CATCH_UP_S, "the replica has it all")
