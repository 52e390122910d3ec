# SPDX-License-Identifier: Apache-2.0
"""The schemes whose effects lie in a SQL database. Opened only where there is one: it needs the extra ``sql``."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import ConfigurationError
from ..once.modes import in_sql
from .once_books import Books
from .once_schemes import BOTH, Order, Scheme, World


def _books(world: World) -> Books:
    if world.books is None:
        raise ConfigurationError("this scheme needs a database")
    return world.books


def _sql(world: World, stream: str) -> None:
    books = _books(world)

    @world.consumer(stream, once=in_sql(books.database))
    async def handle(order: Order, session: AsyncSession) -> None:
        world.started.set()
        await session.execute(sa.insert(books.effects), books.row("sql", order.id))


def _sql_batches(world: World, stream: str) -> None:
    books = _books(world)

    @world.consumer(stream, once=in_sql(books.database), batch=True)
    async def handle(orders: list[Order], session: AsyncSession) -> None:
        world.started.set()
        await session.execute(sa.insert(books.effects), [books.row("sql-batches", one.id) for one in orders])


def _state_machine(world: World, stream: str) -> None:
    """The row's own state is the record: who moves it makes the effect."""
    books = _books(world)

    @world.consumer(stream)
    async def handle(order: Order) -> None:
        async with books.engine.begin() as connection:
            if await books.machine.fire(connection, order.id, "pay"):
                await connection.execute(sa.insert(books.effects), books.row("state-machine", order.id))
        await world.work()


#: A handler inside a transaction does not dawdle there: on SQLite nobody else could write meanwhile.
SQL_SCHEMES: tuple[Scheme, ...] = (
    Scheme(name="sql", title='once="sql": effect and inbox row in one transaction, then the acknowledgement',
           where="sql", promises=BOTH, one_step=True, declare=_sql),
    Scheme(name="sql-batches", title='once="sql" with batch=True: a transaction for up to 100 messages', where="sql",
           promises=BOTH, one_step=True, declare=_sql_batches),
    Scheme(name="state-machine", title="a step of the row's own state, by compare-and-set, in the user's transaction",
           where="sql", promises=BOTH, one_step=True, declare=_state_machine),
)
