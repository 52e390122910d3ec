# SPDX-License-Identifier: Apache-2.0
"""A worker process that carries out orders (``tests/faults/domain.py``) under a mode of ``once``, told by its argument.

Run as a module, from the root: ``python -m tests.faults.workers.domain '{…}'``.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast import Fixed, Holdfast, Reject, RetryPolicy
from holdfast.once import IdempotencyKey, Writes, in_redis, in_sql, locked, outside
from holdfast.streams.settings import StreamSettings
from holdfast.testing import points
from tests.faults.domain import SHOP, Order, redis_key
from tests.faults.workers.consumer import Work, meet, say, tell


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told.

    mode: ``redis``, ``sql``, ``outside``, ``locked`` (around ``sql``), or ``tally``, which is none and only counts.
    store: tag of the keys, URL, or the callee's file. side: ``async`` or ``plain``. stock: ``rows`` are locked, or
    ``compare`` and set. attempts: counted ones.
    """

    url: str
    stream: str
    group: str
    mode: str
    folder: str
    store: str
    side: str = "async"
    stock: str = "compare"
    settings: dict[str, Any] = {}
    how: dict[str, Any] = {}
    attempts: int = 20
    lock_s: float = 5.0
    idle_s: float = 30.0
    drain_s: float = 5.0


def in_writes(task: Task) -> Callable[..., Any]:
    """Effects in Redis, beside the stream or in another slot, by the tag."""
    folder, tag = Path(task.folder), task.store

    async def order_in_redis(order: Order, writes: Writes) -> None:
        say(event="began", n=order.n)
        left = int(await writes.read("HGET", redis_key(tag, "stock"), order.item))
        if left < order.count:
            raise Reject("sold out")
        writes.hincrby(redis_key(tag, "stock"), order.item, -order.count)
        writes.hincrby(redis_key(tag, "money"), order.customer, -order.amount)
        writes.hincrby(redis_key(tag, "money"), SHOP, order.amount)
        writes.hincrby(redis_key(tag, "points"), order.customer, order.points)
        writes.hincrby(redis_key(tag, "effects"), order.id, 1)
        await asyncio.sleep(order.seconds)
        meet(folder, order)

    return order_in_redis


def in_tables(task: Task) -> Callable[..., Any]:
    """Effects in the database, by rows that are locked or by compare-and-set."""
    from sqlalchemy import Connection, text
    from sqlalchemy.ext.asyncio import AsyncSession

    folder = Path(task.folder)
    look = text("SELECT pieces FROM stock WHERE item = :item FOR UPDATE")
    take = text("UPDATE stock SET pieces = pieces - :count WHERE item = :item")
    take_if = text("UPDATE stock SET pieces = pieces - :count WHERE item = :item AND pieces >= :count")
    rest = [text("UPDATE accounts SET money = money - :amount, points = points + :points WHERE name = :customer"),
            text("UPDATE accounts SET money = money + :amount WHERE name = :shop"),
            text("INSERT INTO effects (order_id, pid) VALUES (:id, :pid)")]

    def facts(order: Order) -> dict[str, Any]:
        say(event="began", n=order.n)
        return {**msgspec.structs.asdict(order), "shop": SHOP, "pid": os.getpid()}

    def refuse_unless(there: bool) -> None:
        if not there:
            raise Reject("sold out")

    async def order_in_coroutine(order: Order, session: AsyncSession) -> None:
        row = facts(order)
        if task.stock == "rows":
            refuse_unless((await session.execute(look, row)).scalar_one() >= order.count)
            await session.execute(take, row)
        else:
            refuse_unless((await session.execute(take_if, row)).rowcount == 1)
        for statement in rest:
            await session.execute(statement, row)
        await asyncio.sleep(order.seconds)
        meet(folder, order)

    def order_in_thread(order: Order, connection: Connection) -> None:
        row = facts(order)
        if task.stock == "rows":
            refuse_unless(connection.execute(look, row).scalar_one() >= order.count)
            connection.execute(take, row)
        else:
            refuse_unless(connection.execute(take_if, row).rowcount == 1)
        for statement in rest:
            connection.execute(statement, row)
        time.sleep(order.seconds)
        meet(folder, order)

    order_in_coroutine.__annotations__.update(order=Order, session=AsyncSession)
    order_in_thread.__annotations__.update(order=Order, connection=Connection)
    return order_in_coroutine if task.side == "async" else order_in_thread


def by_calls(task: Task) -> Callable[..., Any]:
    """Effects at the callee."""
    folder, callee = Path(task.folder), Path(task.store)

    async def order_outside(order: Order, key: IdempotencyKey) -> None:
        say(event="began", n=order.n)
        if order.kind in ("bad", "wait"):  # what is said by a directive has not happened
            meet(folder, order)
        await asyncio.sleep(order.seconds)
        await asyncio.to_thread(call, callee, str(key), order)
        if order.kind == "flaky":
            meet(folder, order)

    def order_outside_in_thread(order: Order, key: IdempotencyKey) -> None:
        say(event="began", n=order.n)
        if order.kind in ("bad", "wait"):
            meet(folder, order)
        time.sleep(order.seconds)
        call(callee, str(key), order)
        if order.kind == "flaky":
            meet(folder, order)

    return order_outside if task.side == "async" else order_outside_in_thread


def call(callee: Path, key: str, order: Order) -> None:
    """The callee's side of a call: noted, and carried out unless its key was before."""
    connection = sqlite3.connect(callee, timeout=20, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        was = _carry_out(connection, key, order)
        connection.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", (key, order.id, os.getpid(), time.time(), was))
        connection.execute("COMMIT")
    finally:
        connection.close()
    if was == "sold out":
        raise Reject(was)


def _carry_out(connection: sqlite3.Connection, key: str, order: Order) -> str:
    if connection.execute("SELECT 1 FROM calls WHERE key = ? AND was = 'done'", (key,)).fetchone():
        return "known"
    taken = connection.execute("UPDATE stock SET pieces = pieces - ?1 WHERE item = ?2 AND pieces >= ?1",
                               (order.count, order.item))
    if not taken.rowcount:
        return "sold out"
    connection.execute("UPDATE accounts SET money = money - ?, points = points + ? WHERE name = ?",
                       (order.amount, order.points, order.customer))
    connection.execute("UPDATE accounts SET money = money + ? WHERE name = ?", (order.amount, SHOP))
    connection.execute("INSERT INTO effects VALUES (?, ?)", (order.id, os.getpid()))
    return "done"


def by_tally(task: Task) -> Callable[..., Any]:
    """For very many messages: a line each, in a file of this process's own."""
    fd = os.open(Path(task.folder) / f"tally-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def tally(work: Work) -> None:
        os.write(fd, b"%d\n" % work.n)

    return tally


def mode_of(task: Task) -> tuple[Any, Callable[..., Any]]:
    """The mode, and the handler for it."""
    if task.mode == "tally":
        return None, by_tally(task)
    if task.mode == "redis":
        return in_redis(), in_writes(task)
    if task.mode == "outside":
        return outside(), by_calls(task)
    from holdfast._sql import Database, Timeouts

    sql = in_sql(Database(task.store, timeouts=Timeouts(lock_s=task.lock_s, idle_s=task.idle_s)))
    return (sql if task.mode == "sql" else locked(inner=sql)), in_tables(task)


async def main(task: Task) -> None:
    hf = Holdfast(task.url, settings=StreamSettings(**task.settings))
    hf.events.subscribe(tell)
    once, handler = mode_of(task)
    # Nobody is blamed here: every death is the siege's, and what is busy is tried again soon.
    retry = RetryPolicy(attempts=task.attempts, backoff=Fixed(0.05), crash_limit=1_000_000, busy_s=0.05)
    hf.consumer(task.stream, group=task.group, once=once, retry=retry, **task.how)(handler)
    await hf.run(drain_s=task.drain_s, signals=True)
    await hf.close()
    say(event="over")


if __name__ == "__main__":
    points.arm_from_env()
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Task)))
