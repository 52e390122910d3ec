# SPDX-License-Identifier: Apache-2.0
"""From what the user has (a URL, an engine, a session maker) to connections and sessions.

An engine made here from a URL is ours: its connections get their timeouts once, and on SQLite its transactions begin
with ``BEGIN IMMEDIATE``. An engine the user hands in stays as it is: no listener is added, no setting outlives a
transaction, and it is not disposed of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from ..errors import ConfigurationError, MissingExtra
from .dialects import Timeouts, session_settings
from .tables import KNOWN_DIALECTS, Tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

_E = TypeVar("_E", Engine, AsyncEngine)
_T = TypeVar("_T")

DatabaseSource = str | URL | Engine | AsyncEngine | sessionmaker[Any] | async_sessionmaker[Any]

_DEFAULT_DRIVERS = {  # dialect: (asyncio, plain)
    "postgresql": ("psycopg", "psycopg"),
    "sqlite": ("aiosqlite", "pysqlite"),
    "mysql": ("asyncmy", "pymysql"),
    "mariadb": ("asyncmy", "pymysql"),
}
_BOTH = {"psycopg"}
_ASYNC_ONLY = {"asyncpg", "aiosqlite", "asyncmy", "aiomysql"}

#: Execution option of connections that only read: on SQLite they need not wait for the writer.
READ_ONLY = "holdfast_read_only"


class Database:
    """One database, reached as the user reaches it.

    source: a URL (``postgresql://``, ``sqlite:///file``, ``mysql://``, ``mariadb://``; a driver is chosen when it names
        none), an ``Engine`` or ``AsyncEngine``, or a session maker bound to one; handlers then get its sessions.
    tables: our tables' names. timeouts: see there; None leaves the user's own in force.
    pool_size: connections at most, for an engine made from a URL. One is held per transaction that runs: fewer than the
        handlers that run at once, and they queue for it; more cost memory on the server.

    Raises ``ConfigurationError`` for what cannot keep an effect: an unknown dialect, an in-memory SQLite (its
    transactions share one connection), a session maker without an engine.
    """

    def __init__(
        self,
        source: DatabaseSource,
        *,
        tables: Tables | None = None,
        timeouts: Timeouts | None = Timeouts(),  # noqa: B008  frozen
        pool_size: int = 20,
    ) -> None:
        self.tables = tables or Tables()
        self.timeouts = timeouts
        self._pool_size = pool_size
        self._url: URL | None = None
        self._async_engine: AsyncEngine | None = None
        self._plain_engine: Engine | None = None
        self._async_maker: async_sessionmaker[Any] = async_sessionmaker(expire_on_commit=False)
        self._plain_maker: sessionmaker[Any] = sessionmaker(expire_on_commit=False)
        self._adopt(source)

    def _adopt(self, source: DatabaseSource) -> None:
        if isinstance(source, str | URL):
            self._url = _known(_parse(source))
            return
        if isinstance(source, async_sessionmaker):
            self._async_maker, source = source, _bind_of(source)
        elif isinstance(source, sessionmaker):
            self._plain_maker, source = source, _bind_of(source)
        if isinstance(source, AsyncEngine):
            self._async_engine = _sound(source)
        elif isinstance(source, Engine):
            self._plain_engine = _sound(source)
        else:
            kind = type(source).__name__
            raise ConfigurationError(f"no database in a {kind}: give a URL, an engine or a session maker")

    @property
    def owned(self) -> bool:
        """Is the engine ours (made from a URL)?"""
        return self._url is not None

    @property
    def has_async(self) -> bool:
        return self.owned or self._async_engine is not None

    @property
    def has_plain(self) -> bool:
        return self.owned or self._plain_engine is not None

    @property
    def async_engine(self) -> AsyncEngine:
        """For handlers that are coroutines."""
        if self._async_engine is None:
            url = self._url_for(0, "an async handler needs a URL, an AsyncEngine or an async_sessionmaker; "
                                   "an Engine serves plain handlers")
            engine = _with_driver(lambda: create_async_engine(url, **self._pool_options(url)))
            self._prepare(engine.sync_engine)
            self._async_engine = engine
        return self._async_engine

    @property
    def plain_engine(self) -> Engine:
        """For plain handlers, which run in threads."""
        if self._plain_engine is None:
            url = self._url_for(1, "a plain handler needs a URL, an Engine or a sessionmaker; "
                                   "an AsyncEngine serves async handlers")
            engine = _with_driver(lambda: sa.create_engine(url, **self._pool_options(url)))
            self._prepare(engine)
            self._plain_engine = engine
        return self._plain_engine

    def async_session(self, connection: AsyncConnection) -> AsyncSession:
        """A session inside the transaction of ``connection``: its own ``commit`` does not end that transaction."""
        session: AsyncSession = self._async_maker(bind=connection, join_transaction_mode="rollback_only")
        return session

    def plain_session(self, connection: Connection) -> Session:
        """As ``async_session``, for plain handlers."""
        session: Session = self._plain_maker(bind=connection, join_transaction_mode="rollback_only")
        return session

    @property
    def async_session_class(self) -> type[AsyncSession]:
        return self._async_maker.class_

    @property
    def plain_session_class(self) -> type[Session]:
        return self._plain_maker.class_

    async def close(self) -> None:
        """Disposes of the engines made here. A later use makes new ones."""
        if not self.owned:
            return
        if self._async_engine is not None:
            await self._async_engine.dispose()
        if self._plain_engine is not None:
            self._plain_engine.dispose()
        self._async_engine = self._plain_engine = None

    def _url_for(self, which: int, advice: str) -> URL:
        if self._url is None:
            raise ConfigurationError(advice)
        return _url_with_driver(self._url, which)

    def _pool_options(self, url: URL) -> dict[str, Any]:
        # SQLite has one writer: more connections would only poll one another's lock.
        size = 2 if url.get_backend_name() == "sqlite" else self._pool_size
        return {"pool_size": size, "max_overflow": 0}

    def _prepare(self, engine: Engine) -> None:
        """Settings of every connection of an engine that is ours."""
        name = engine.dialect.name
        settings = session_settings(name, self.timeouts) if self.timeouts is not None else []

        @event.listens_for(engine, "connect")
        def connected(dbapi_connection: Any, _: Any) -> None:
            if name == "sqlite":
                dbapi_connection.isolation_level = None  # or the driver begins transactions itself, deferred
            cursor = dbapi_connection.cursor()
            for statement in settings:
                cursor.execute(statement)
            cursor.close()
            if name != "sqlite":
                dbapi_connection.commit()  # a SET inside a transaction that is rolled back would be undone

        if name == "sqlite":
            event.listen(engine, "begin", _begin_immediate)


def _begin_immediate(connection: Connection) -> None:
    reading = connection.get_execution_options().get(READ_ONLY)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _parse(source: str | URL) -> URL:
    try:
        url = make_url(source)
    except sa.exc.ArgumentError as error:
        raise ConfigurationError(
            "not a database URL: write dialect://user:password@host/name, or sqlite:///file"
        ) from error
    if url.drivername.partition("+")[0] == "postgres":  # as many hosting services write it
        url = url.set(drivername=url.drivername.replace("postgres", "postgresql", 1))
    return url


def _known(url: URL) -> URL:
    _check_dialect(url.get_backend_name())
    in_memory = not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"
    if url.get_backend_name() == "sqlite" and in_memory:
        raise ConfigurationError(_SHARED)
    return url


_SHARED = ("an in-memory SQLite shares one connection among all transactions, so a handler's effect and its inbox row "
           "would commit with another's: use a file, sqlite:///name.db")


def _check_dialect(name: str) -> None:
    if name not in KNOWN_DIALECTS:
        raise ConfigurationError(f"effects cannot be kept in {name!r} yet: it is one of {', '.join(KNOWN_DIALECTS)}")


def _sound(engine: _E) -> _E:
    _check_dialect(engine.dialect.name)
    if isinstance(engine.pool, StaticPool | SingletonThreadPool):
        raise ConfigurationError(_SHARED)
    return engine


def _bind_of(maker: Any) -> Any:
    bind = maker.kw.get("bind")
    if bind is None:
        raise ConfigurationError("the session maker has no engine: build it with bind=engine")
    return bind


def _url_with_driver(url: URL, which: int) -> URL:
    backend, _, driver = url.drivername.partition("+")
    if driver and (driver in _BOTH or (driver in _ASYNC_ONLY) == (which == 0)):
        return url
    return url.set(drivername=f"{backend}+{_DEFAULT_DRIVERS[backend][which]}")


def _with_driver(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except ModuleNotFoundError as error:
        raise MissingExtra("sql", f"the database driver {error.name!r}") from error
