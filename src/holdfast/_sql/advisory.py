# SPDX-License-Identifier: Apache-2.0
"""One connection to PostgreSQL that holds advisory locks, and what is said on it.

Advisory locks of a session are held by the *connection*: PostgreSQL lets them go when it ends, and grants them again
and again to the connection that has them. So who uses this keeps count of what it has taken, and never shares the
connection. Statements go one after the other; one whose asker stops waiting is finished all the same, in its turn, or
the next one would read its answer.

``idle_session_timeout`` (PostgreSQL 14) makes the session a lease: the server ends it when nothing was said for so
long, whether the client is dead, frozen, or behind a network that swallows packets. Without it the server would notice
a frozen client never, and a vanished one by TCP's keep-alive, after two hours as systems are shipped.

``LISTEN`` is heard on the same connection: whenever its socket has something to read while nobody asks, it is read.
That is also how its end is noticed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import ConfigurationError, ServerRefused, ServerUnreachable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from .engine import Database

CHANNEL = "holdfast_locks"
#: The first release with ``idle_session_timeout``.
OLDEST = 140000
_PID = sa.text("SELECT pg_backend_pid()")
_TAKE = sa.text("SELECT CASE WHEN pg_try_advisory_lock(:key) THEN nextval(CAST(:tokens AS regclass)) END")
_GIVE = sa.text("SELECT pg_advisory_unlock(:key), pg_notify(:channel, :said)")


class Advisory:
    """A connection. Made by ``open_advisory``. pid: of the server's process behind it.

    heard: called with the key of a lock that somebody gave back. gone: called once when the connection has ended.
    """

    def __init__(self, connection: AsyncConnection, driver: Any, pid: int, tokens: str) -> None:
        self.pid = pid
        self.heard: Callable[[int], object] = lambda _: None
        self.gone: Callable[[], object] = lambda: None
        self.broken = False
        self._connection, self._driver, self._tokens = connection, driver, tokens
        self._turn = asyncio.Lock()
        self._asked: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._watched = -1
        self._driver_error: type[Exception] = OSError

    # -- what is said ---------------------------------------------------------------------------------------------

    async def take(self, key: int, timeout_s: float) -> int | None:
        """The fencing token when the lock is ours now; None when another connection has it."""
        row = await self._ask(_TAKE, timeout_s, key=key, tokens=self._tokens)
        return None if row[0] is None else int(row[0])

    async def give(self, key: int, timeout_s: float) -> bool:
        """Gives it back, and tells those who wait. Whether it was ours."""
        return bool((await self._ask(_GIVE, timeout_s, key=key, channel=CHANNEL, said=str(key)))[0])

    async def alive(self, timeout_s: float) -> bool:
        """Whether the process we began with is still the one that answers; behind a pooler it may be another one."""
        return bool((await self._ask(_PID, timeout_s))[0] == self.pid)

    async def _ask(self, statement: Any, timeout_s: float, **values: Any) -> Any:
        asking = asyncio.ensure_future(self._said(statement, values))
        self._asked.add(asking)
        asking.add_done_callback(self._done)
        done, _ = await asyncio.wait({asking}, timeout=timeout_s)  # guard: it is not cancelled, whoever stops waiting
        if not done:
            raise ServerUnreachable(f"PostgreSQL did not answer within {timeout_s:.3g} s", maybe_done=True)
        return asking.result()

    def _done(self, asking: asyncio.Task[Any]) -> None:
        self._asked.discard(asking)
        if not asking.cancelled():
            asking.exception()

    async def _said(self, statement: Any, values: dict[str, Any]) -> Any:
        async with self._turn:
            if self.broken:
                raise ServerUnreachable("the connection to PostgreSQL has ended")
            try:
                return (await self._connection.execute(statement, values)).one()
            except SQLAlchemyError as error:
                raise self._meaning(error) from error

    def _meaning(self, error: SQLAlchemyError) -> ServerUnreachable | ServerRefused:
        original = getattr(error, "orig", None)
        state = getattr(original, "sqlstate", None) or ""
        if state and not getattr(self._driver, "closed", False) and not state.startswith(("08", "57P")):
            return ServerRefused(f"PostgreSQL refuses: {original}", code=state)
        self._ended()
        return ServerUnreachable(f"the connection to PostgreSQL has ended: {original or error}", maybe_done=True)

    # -- what is heard --------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """From now on ``heard`` and ``gone`` are called as soon as it is known. Only psycopg says so by itself; with
        another driver they come with the next statement, or not at all."""
        if not hasattr(self._driver, "add_notify_handler"):
            return
        from psycopg import OperationalError

        self._driver_error = OperationalError
        self._driver.add_notify_handler(lambda notice: self.heard(int(notice.payload)))
        # The driver waits on its own descriptor while it asks; a second one can be waited on beside it.
        self._watched = os.dup(self._driver.fileno())
        self._loop.add_reader(self._watched, self._stirred)

    def _stirred(self) -> None:
        """Reads what has come. Nothing is asked for it, so nobody waits behind it."""
        if self._turn.locked():
            return  # whoever asks reads it
        line = self._driver.pgconn
        try:
            line.consume_input()
            while (notice := line.notifies()) is not None:
                self.heard(int(notice.extra))
        except self._driver_error:
            self._ended()

    # -- the end --------------------------------------------------------------------------------------------------

    def _ended(self) -> None:
        if not self.broken:
            self.broken = True
            self._unwatch()
            self.gone()

    def _unwatch(self) -> None:
        if self._watched >= 0:
            self._loop.remove_reader(self._watched)
            os.close(self._watched)
            self._watched = -1

    def abort(self) -> None:
        """Ends the connection at once, whoever waits for an answer on it."""
        self._ended()
        if hasattr(self._driver, "terminate"):
            self._driver.terminate()
        elif not self._driver.closed:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._driver.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Ends the session: all its locks are free. It is not given back to a pool, whose next user would have them."""
        if self._turn.locked():
            self.abort()
        if self._asked:
            await asyncio.wait(self._asked)
        self._ended()
        with contextlib.suppress(SQLAlchemyError):
            await self._connection.invalidate()
        with contextlib.suppress(SQLAlchemyError):
            await self._connection.close()


async def open_advisory(database: Database, idle_s: float, timeout_s: float) -> Advisory:
    """A connection of its own, out of the database's engine. idle_s: the server ends it when nothing is said so long.

    Makes the sequence of fencing tokens when it is missing. Raises ConfigurationError for another dialect, a server
    before 14, and a user who may not make the sequence; ServerUnreachable.
    """
    engine = database.async_engine
    if engine.dialect.name != "postgresql":
        raise ConfigurationError(f"advisory locks are PostgreSQL's: {engine.dialect.name} has none")
    fence = database.tables.lock_fence
    quoted = engine.dialect.identifier_preparer
    tokens = quoted.quote(f"{fence.name.removesuffix('fence')}token")
    tokens = f"{quoted.quote_schema(fence.schema)}.{tokens}" if fence.schema else tokens
    try:
        async with asyncio.timeout(timeout_s):
            connection = await engine.connect()
            try:
                return await _begun(await connection.execution_options(isolation_level="AUTOCOMMIT"), idle_s, tokens)
            except BaseException:
                await connection.invalidate()
                await connection.close()
                raise
    except TimeoutError as error:
        raise ServerUnreachable(f"PostgreSQL did not answer within {timeout_s:g} s") from error
    except DBAPIError as error:
        raise ServerUnreachable(f"cannot open a session on PostgreSQL: {error.orig}") from error


async def _begun(connection: AsyncConnection, idle_s: float, tokens: str) -> Advisory:
    pid, version = (await connection.execute(sa.text(
        "SELECT pg_backend_pid(), CAST(current_setting('server_version_num') AS integer)"))).one()
    if version < OLDEST:
        raise ConfigurationError(f"PostgreSQL {version // 10000} cannot end a session whose client is frozen: 14 can")
    await _tokens_made(connection, tokens)
    # guard: the session is a lease. A client that vanished while we wrote to it is given up as soon.
    for setting in ("idle_session_timeout", "tcp_user_timeout"):
        await connection.execute(sa.text(f"SET {setting} = {round(idle_s * 1000)}"))
    await connection.execute(sa.text(f"LISTEN {CHANNEL}"))
    driver = (await connection.get_raw_connection()).driver_connection
    return Advisory(connection, driver, pid, tokens)


async def _tokens_made(connection: AsyncConnection, tokens: str) -> None:
    """Tokens begin at the time in µs, above those of a lock that was kept in Redis before."""
    there = sa.text("SELECT to_regclass(:tokens) IS NOT NULL, CAST(extract(epoch FROM now()) * 1000000 AS bigint)")
    found, now_us = (await connection.execute(there, {"tokens": tokens})).one()
    if found:
        return
    try:
        await connection.execute(sa.text(f"CREATE SEQUENCE IF NOT EXISTS {tokens} START {now_us}"))
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state == "42501":
            raise ConfigurationError(f"the sequence {tokens} is missing and this user may not make it: run CREATE "
                                     f"SEQUENCE {tokens} START {now_us}; and grant USAGE on it") from error
        if state not in ("23505", "42P07"):  # somebody else made it this moment
            raise
