# SPDX-License-Identifier: Apache-2.0
"""What of a framework's application can be seen from outside: what its group holds, what it buried, what it billed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Column, MetaData, String, Table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from holdfast import Holdfast
from holdfast._redis.keys import DEFAULT_PREFIX, GroupKeys
from holdfast._sql.tables import Tables, create_all
from holdfast.deadletters import Order, Replayer, open_shelf
from holdfast.testing.waiting import wait_until_async
from tests.support.backend import Backend

#: What a handler with ``once="sql"`` writes.
BILLS = Table("bill", _METADATA := MetaData(), Column("order_id", String))


def begun(order: str) -> Callable[[dict[str, Any]], bool]:
    """The line that an application says when it begins an order."""
    return lambda line: bool(line["began"] == order)


def billed(backend: Backend) -> list[str]:
    """Orders in the order in which they were billed."""
    return [name.decode() for name in backend.admin.lrange("billed", 0, -1)]


def pending(backend: Backend, stream: str, group: str = "g") -> int:
    """How many messages the group holds."""
    return int(backend.admin.xpending(stream, group)["pending"])


def dead(backend: Backend, stream: str, group: str = "g") -> list[dict[bytes, bytes]]:
    """The group's letters."""
    return [fields for _, fields in backend.admin.xrange(GroupKeys(DEFAULT_PREFIX, stream, group).dead)]


def reasons(backend: Backend, stream: str) -> list[str]:
    """Why each of them died."""
    return [fields[b"x-dlq-failure-reason"].decode() for fields in dead(backend, stream)]


async def settled(backend: Backend, stream: str, done: Callable[[], Any]) -> None:
    """Waits until ``done`` and the group holds nothing."""
    await wait_until_async(lambda: done() and not pending(backend, stream), 60, "all is settled")


async def replayed(url: str, stream: str, group: str) -> None:
    """Replays all letters, each as it is."""
    async with Holdfast(url) as hf:
        shelf = await open_shelf(await hf.open(), stream, group)
        async for letter in shelf.letters():
            await Replayer(shelf).one(letter.id, Order(by="ana"))


@asynccontextmanager
async def shop(url: str) -> AsyncIterator[AsyncEngine]:
    """A database with ``BILLS`` and our tables."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(_METADATA.create_all)
        await connection.run_sync(create_all, Tables())
    yield engine
    await engine.dispose()
