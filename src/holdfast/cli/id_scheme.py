# SPDX-License-Identifier: Apache-2.0
"""Where worker ids are kept, as the commands of ``holdfast id`` are told it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import ConfigurationError
from .context import coordinator_options, environment, opened, server_options, settings, sql_option_for

if TYPE_CHECKING:
    from ..ids.scheme import Scheme

F = TypeVar("F", bound=Callable[..., Any])

SCHEMES = ("redis", "sql", "etcd", "zookeeper", "kubernetes")


def scheme_options(command: F) -> F:
    """``--scheme`` with the addresses that it may need, and ``--pool``."""
    for option in (
        server_options(),
        coordinator_options,
        sql_option_for("the database of worker ids and counters"),
        click.option("--pool", default="default", show_default=True, help="whoever shares it shares worker ids"),
        click.option("--scheme", default="redis", show_default=True, type=click.Choice(SCHEMES),
                     help="where worker ids are kept: at --url, --sql, --etcd, --zookeeper, or in this pod's cluster"),
    ):
        command = option(command)
    return command


def scheme_of(scheme: str, pool: str, workers: int) -> Scheme:
    """A scheme of that kind. ConfigurationError without its address."""
    said = settings()
    if scheme == "redis":
        from ..ids.schemes.redis import RedisWorkers

        return RedisWorkers(said.url, pool=pool, workers=workers, prefix=said.own_prefix, data_dir=said.data_dir)
    if scheme == "sql":
        from .. import _sql  # noqa: F401 - names the extra where it is missing
        from ..ids.schemes.sql import SqlWorkers

        return SqlWorkers(_given(said.sql, "sql"), pool=pool, workers=workers)
    if scheme == "etcd":
        from ..ids.schemes.etcd import EtcdWorkers

        return EtcdWorkers(_given(said.etcd, "etcd").split(","), pool=pool, workers=workers)
    if scheme == "zookeeper":
        from ..ids.schemes.zookeeper import ZooKeeperWorkers

        return ZooKeeperWorkers(_given(said.zookeeper, "zookeeper"), pool=pool, workers=workers)
    from ..ids.schemes.kubernetes import KubernetesWorkers

    return KubernetesWorkers.from_cluster(environment(), pool=pool, workers=workers)


def _given(address: str | None, flag: str) -> str:
    if address is None:
        raise ConfigurationError(f"--scheme {flag} needs --{flag}, or HOLDFAST_{flag.upper()}")
    return address


@asynccontextmanager
async def kept(scheme: str, *, patient: bool = False) -> AsyncIterator[None]:
    """For as long as worker ids are asked for: the embedded server runs, and is named, where there is no other.

    patient: a server that is away is no error.
    """
    if scheme != "redis" or (patient and settings().url is not None):
        yield
    else:
        async with opened():
            yield
