# SPDX-License-Identifier: Apache-2.0
"""``once="sql"``: an effect is a row in the transaction of its inbox row."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast import Holdfast
from holdfast._sql.install import install

from ..job import Job, Order
from ..tally import Tally

effects = sa.Table("effects", sa.MetaData(),
                   sa.Column("row_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
                   sa.Column("customer", sa.String(32), nullable=False), sa.Column("amount", sa.Float, nullable=False))


#: Many rows in one statement, as one writes a batch for PostgreSQL: its driver sends an executemany row by row.
_ARRAYS = sa.text("INSERT INTO effects (customer, amount) "
                  "SELECT * FROM unnest(CAST(:customers AS text[]), CAST(:amounts AS float8[]))")


async def insert_all(connection: AsyncConnection, got: list[Order]) -> None:
    """A row for each of them."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_ARRAYS, {"customers": [one.customer for one in got],
                                           "amounts": [one.amount for one in got]})
    else:
        await connection.execute(sa.insert(effects), [row(one) for one in got])


def row(got: Order) -> dict[str, object]:
    """One effect."""
    return {"customer": got.customer, "amount": got.amount}


async def declare(hf: Holdfast, job: Job, tally: Tally) -> None:
    """Makes the tables and declares the handler."""
    from holdfast._sql import Database

    await install(job.sql)
    database = Database(job.sql)
    async with database.async_engine.begin() as connection:
        await connection.run_sync(effects.metadata.create_all)
    await database.close()

    if job.batch:
        @hf.consumer(job.stream, group=job.group, once="sql", batch=True)
        async def handle_all(got: list[Order], connection: AsyncConnection) -> None:
            for one in got:
                tally.take(one)
            await insert_all(connection, got)
    else:
        @hf.consumer(job.stream, group=job.group, once="sql")
        async def handle(got: Order, connection: AsyncConnection) -> None:
            tally.take(got)
            await connection.execute(sa.insert(effects), row(got))
