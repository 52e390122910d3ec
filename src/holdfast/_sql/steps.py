# SPDX-License-Identifier: Apache-2.0
"""One step: a transaction of its own, from a loop, on whichever engine there is; and what time the database has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from ..errors import ServerUnreachable
from .engine import READ_ONLY, Database
from .transient import is_transient

T = TypeVar("T")


async def stepped(database: Database, step: Callable[[Connection], T], *, what: str, reads: bool = False,
                  threads: Executor | None = None) -> T:
    """``step`` in a transaction. ServerUnreachable (``what`` does not answer) where asking again may help.

    reads: it writes nothing, and need not wait for a writer. threads: it runs there as a whole, on the plain engine.
    SQLite has no other way of not blocking than threads, and one change of thread for a transaction costs a third of
    what one for each statement does.
    """
    try:
        if threads is not None:
            return await asyncio.get_running_loop().run_in_executor(threads, _plainly, database, step, reads)
        if database.has_async:
            async with database.async_engine.connect() as connection:
                await connection.execution_options(**{READ_ONLY: reads})
                async with connection.begin():
                    return await connection.run_sync(step)
        return await asyncio.to_thread(_plainly, database, step, reads)
    except DBAPIError as error:
        if is_transient(error):
            raise ServerUnreachable(f"{what} does not answer: {error.orig}", maybe_done=not reads) from error
        raise


def _plainly(database: Database, step: Callable[[Connection], T], reads: bool) -> T:
    with database.plain_engine.connect() as connection:
        connection.execution_options(**{READ_ONLY: reads})
        with connection.begin():
            return step(connection)


_CLOCKS = {
    "postgresql": "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)",
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}
_MYSQL_CLOCK = "SELECT floor(unix_timestamp(sysdate(3)) * 1000)"


def clock_ms(connection: Connection) -> int:
    """The database's own clock, of this moment and not of the transaction's beginning. ms since 1970."""
    return int(connection.execute(sa.text(_CLOCKS.get(connection.dialect.name, _MYSQL_CLOCK))).scalar_one())
