# SPDX-License-Identifier: Apache-2.0
"""Our tables in the user's database.

``holdfast_inbox``: one row per message that has taken effect, written in the transaction of that effect.
``holdfast_fence``: one row per partition and group, with the highest epoch that has ever written under it.
``holdfast_outbox``: messages written in the user's transactions, until they are in their streams.
``holdfast_guard``: one row per guarded key, for effects outside of streams.
``holdfast_lock_fence``: one row per resource that is written to under a lock, with the holder that wrote last.
``holdfast_lock_token``: one row per lock whose fencing tokens are drawn here, with the last of them.
``holdfast_worker_pool``: one row per pool of worker ids, with its time; ``holdfast_worker``: one row per worker id.
``holdfast_dead_line``: one row per dead letter of a log line. (``log_table``, for records of logs, is the user's own.)

They are SQLAlchemy Core tables on a ``MetaData``. Hand in your own (``Tables(metadata=Base.metadata)``) and Alembic's
autogenerate sees them beside yours; or run ``holdfast sql init``, or print ``ddl`` and apply it by hand.

Names are compared byte for byte. The defaults of the dialects would call two messages the same: MySQL and MariaDB
collations ignore case, and even ``utf8mb4_bin`` ignores trailing spaces. So a name is ``VARBINARY`` there and has the
collation ``"C"`` on PostgreSQL. Sizes are bytes of UTF-8; the key takes 703 of them at most, below the 767 of InnoDB's
oldest row format and the 2,704 of a PostgreSQL index row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Dialect

STREAM_BYTES = 192
GROUP_BYTES = 128
HANDLER_BYTES = 128
MESSAGE_ID_BYTES = 255
ACQUISITION_BYTES = 128

DEFAULT_PREFIX = "holdfast_"

#: What databases raise, and what they raise for a row's own sake: names for rooms that import no SQL library.
DatabaseError = sa.exc.DBAPIError
RowError = (sa.exc.DataError, sa.exc.IntegrityError)

#: Dialects whose differences are written down in ``dialects.py`` and tried.
KNOWN_DIALECTS = ("postgresql", "sqlite", "mysql", "mariadb")


def fit(name: str, size: int) -> str:
    """``name`` as it lies in a column of ``size`` bytes: itself if it is shorter, else its head and its SHA-256.

    A shortened name fills the column exactly and a name kept whole never does, so the two cannot meet; cutting alone
    would call two long ids one and drop a message as a duplicate. NUL, which PostgreSQL cannot store, is shortened too.
    """
    if name.isascii() and len(name) < size and "\0" not in name:  # nearly all, many times a message
        return name
    raw = name.encode("utf-8", "surrogatepass")
    if len(raw) < size and b"\0" not in raw and _encodes(name):
        return name
    head = size - 65
    shown = raw.replace(b"\0", b"?")[:head].decode("utf-8", "ignore").encode().ljust(head, b"_")
    return f"{shown.decode()}~{hashlib.sha256(raw).hexdigest()}"


def _encodes(name: str) -> bool:
    """False for lone surrogates, which no database takes as text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class Name(sa.types.TypeDecorator[str]):
    """Text of at most ``size`` bytes that is compared byte for byte on every dialect."""

    impl = sa.String
    cache_ok = True

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(size)

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.VARBINARY(self.size))
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.VARCHAR(self.size, collation="C"))
        return dialect.type_descriptor(sa.String(self.size))

    def bind_processor(self, dialect: Dialect) -> Any:
        """None where a driver takes text as it is: a call for each value would be most of what reading a row costs."""
        return super().bind_processor(dialect) if dialect.name in ("mysql", "mariadb") else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """As ``bind_processor``."""
        return super().result_processor(dialect, coltype) if dialect.name in ("mysql", "mariadb") else None

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        if value is not None and dialect.name in ("mysql", "mariadb"):
            return value.encode()
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        return value.decode() if isinstance(value, bytes | bytearray) else value


class Tables:
    """Our tables on one ``MetaData``.

    prefix: of the table names. schema: a schema to put them in, where the dialect has schemas. metadata: yours, for
    Alembic; by default one of our own.
    """

    def __init__(
        self, prefix: str = DEFAULT_PREFIX, schema: str | None = None, metadata: sa.MetaData | None = None
    ) -> None:
        self.metadata = sa.MetaData() if metadata is None else metadata
        self.inbox = _inbox(self.metadata, prefix, schema)
        self.fence = _fence(self.metadata, prefix, schema)
        self.outbox = _outbox(self.metadata, prefix, schema)
        self.guard = _guard(self.metadata, prefix, schema)
        self.lock_fence = _lock_fence(self.metadata, prefix, schema)
        self.lock_token = _lock_token(self.metadata, prefix, schema)
        self.worker_pool = _worker_pool(self.metadata, prefix, schema)
        self.worker = _worker(self.metadata, prefix, schema)
        self.counter = _counter(self.metadata, prefix, schema)
        self.ticket = _ticket(self.metadata, prefix, schema)
        self.dead_line = _dead_line(self.metadata, prefix, schema)

    @property
    def all(self) -> list[sa.Table]:
        return [self.inbox, self.fence, self.outbox, self.guard, self.lock_fence, self.lock_token, self.worker_pool,
                self.worker, self.counter, self.ticket, self.dead_line]


#: Only InnoDB has transactions; a MyISAM inbox would keep the row of an effect that was rolled back.
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB", "mariadb_engine": "InnoDB"}


def _inbox(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}inbox",
        metadata,
        sa.Column("stream", Name(STREAM_BYTES), primary_key=True, comment="logical stream"),
        sa.Column("grp", Name(GROUP_BYTES), primary_key=True, comment="consumer group"),
        sa.Column("handler", Name(HANDLER_BYTES), primary_key=True),
        sa.Column("message_id", Name(MESSAGE_ID_BYTES), primary_key=True),
        sa.Column("applied_ms", sa.BigInteger, nullable=False, comment="wall time of the worker, ms since 1970"),
        sa.Column("entry", Name(MESSAGE_ID_BYTES), nullable=False, comment="physical stream and entry id"),
        # Pruning goes by the age of what one group has applied.
        sa.Index(f"{prefix}inbox_age", "stream", "grp", "applied_ms"),
        schema=schema,
        **_OPTIONS,
    )


def _fence(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}fence",
        metadata,
        sa.Column("stream", Name(STREAM_BYTES), primary_key=True, comment="physical stream, one partition"),
        sa.Column("grp", Name(GROUP_BYTES), primary_key=True, comment="consumer group"),
        sa.Column("epoch", sa.BigInteger, nullable=False, comment="highest epoch that has written; only grows"),
        schema=schema,
        **_OPTIONS,
    )


def _outbox(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # there only INTEGER counts by itself
    return sa.Table(
        f"{prefix}outbox",
        metadata,
        sa.Column("number", number, primary_key=True, autoincrement=True, comment="order of writing"),
        sa.Column("stream", Name(STREAM_BYTES), nullable=False, comment="logical stream"),
        sa.Column("message_id", Name(MESSAGE_ID_BYTES), nullable=False),
        sa.Column("msg_key", sa.LargeBinary, nullable=True, comment="orders and partitions; absent without"),
        sa.Column("fields", sa.LargeBinary(16 * 1024 * 1024 - 1), nullable=False, comment="the entry, as netstrings"),
        sa.Column("written_ms", sa.BigInteger, nullable=False, comment="wall time of the writer, ms since 1970"),
        schema=schema,
        sqlite_autoincrement=True,  # or the number of a deleted last row would be given again
        **_OPTIONS,
    )


def _guard(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}guard",
        metadata,
        sa.Column("namespace", Name(GROUP_BYTES), primary_key=True),
        sa.Column("guarded", Name(MESSAGE_ID_BYTES), primary_key=True, comment="the guarded key"),
        sa.Column("state", sa.String(16), nullable=False, comment="running or done"),
        sa.Column("owner", Name(64), nullable=False, comment="whose attempt it is"),
        sa.Column("began_ms", sa.BigInteger, nullable=False, comment="wall ms of the first attempt's begin"),
        sa.Column("until_ms", sa.BigInteger, nullable=False, comment="wall ms after which it may be taken over"),
        sa.Column("done_ms", sa.BigInteger, nullable=True),
        sa.Column("result", sa.LargeBinary(16 * 1024 * 1024 - 1), nullable=True, comment="JSON of the first result"),
        sa.Index(f"{prefix}guard_age", "namespace", "done_ms"),
        schema=schema,
        **_OPTIONS,
    )


def _lock_fence(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}lock_fence",
        metadata,
        sa.Column("resource", Name(MESSAGE_ID_BYTES), primary_key=True, comment="what is written to under a lock"),
        sa.Column("token", sa.BigInteger, nullable=False, comment="fencing token of who wrote last; only grows"),
        sa.Column("acquisition", Name(ACQUISITION_BYTES), nullable=False, comment="whose token it is"),
        schema=schema,
        **_OPTIONS,
    )


def _lock_token(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}lock_token",
        metadata,
        sa.Column("name", Name(MESSAGE_ID_BYTES), primary_key=True, comment="the lock"),
        sa.Column("token", sa.BigInteger, nullable=False, comment="fencing token given last; only grows"),
        schema=schema,
        **_OPTIONS,
    )


def _worker_pool(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}worker_pool",
        metadata,
        sa.Column("pool", Name(GROUP_BYTES), primary_key=True),
        sa.Column("offset_ms", sa.BigInteger, nullable=False, comment="added to the database's clock; only grows"),
        sa.Column("latest_ms", sa.BigInteger, nullable=False, comment="the latest time that was told"),
        schema=schema,
        **_OPTIONS,
    )


def _worker(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}worker",
        metadata,
        sa.Column("pool", Name(GROUP_BYTES), primary_key=True),
        sa.Column("worker", sa.Integer, primary_key=True, autoincrement=False, comment="the worker id"),
        sa.Column("owner", Name(ACQUISITION_BYTES), nullable=False, comment="hold; empty when it was given back"),
        sa.Column("name", Name(MESSAGE_ID_BYTES), nullable=False, comment="who has or had it"),
        sa.Column("first_ms", sa.BigInteger, nullable=False, comment="beginning of the window"),
        sa.Column("last_ms", sa.BigInteger, nullable=False, comment="its end; the next one begins behind it"),
        schema=schema,
        **_OPTIONS,
    )


def _counter(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}counter",
        metadata,
        sa.Column("scheme", Name(16), primary_key=True, comment="segment, or floor: of a counter kept elsewhere"),
        sa.Column("tag", Name(MESSAGE_ID_BYTES), primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False, comment="the last number that was given; only grows"),
        sa.Column("part", sa.Integer, nullable=False, comment="id = number * parts + part"),
        sa.Column("parts", sa.Integer, nullable=False),
        schema=schema,
        **_OPTIONS,
    )


def _ticket(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # there only INTEGER counts by itself
    return sa.Table(
        f"{prefix}ticket",
        metadata,
        sa.Column("number", number, primary_key=True, autoincrement=True, comment="of all tags together"),
        sa.Column("tag", Name(MESSAGE_ID_BYTES), nullable=False, comment="who took it last"),
        schema=schema,
        sqlite_autoincrement=True,  # or the number of a deleted last row would be given again
        **_OPTIONS,
    )


def _dead_line(metadata: sa.MetaData, prefix: str, schema: str | None) -> sa.Table:
    return sa.Table(
        f"{prefix}dead_line",
        metadata,
        sa.Column("id", Name(64), primary_key=True, comment="of source, offset and bytes"),
        sa.Column("first_ms", sa.BigInteger, nullable=False, comment="wall ms at which it failed first"),
        sa.Column("last_ms", sa.BigInteger, nullable=False, comment="and last"),
        sa.Column("position", sa.BigInteger, nullable=False, comment="its first byte in the file"),
        sa.Column("reason", Name(GROUP_BYTES), nullable=False),
        sa.Column("stage", Name(16), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False, comment="that it takes here"),
        sa.Column("raw", _long_binary(), nullable=False, comment="the line as it stands in the file"),
        sa.Column("line", _long_text(), nullable=False, comment="everything else, as JSON"),
        sa.Index(f"{prefix}dead_line_age", "first_ms", "position", "id"),
        schema=schema,
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
        **_OPTIONS,
    )


def _long_text() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _long_binary() -> sa.types.TypeEngine[bytes]:
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def log_table(name: str, columns: Mapping[str, str], *, schema: str | None = None) -> sa.Table:
    """A table for records of logs, by their ids. It is the user's: ``sql init`` does not make it, the sink does.

    columns: more of them, each text, integer or boolean.
    """
    kinds: dict[str, sa.types.TypeEngine[Any]] = {"text": _long_text(), "integer": sa.BigInteger(),
                                                  "boolean": sa.Boolean()}
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", Name(64), primary_key=True, comment="of source, offset and bytes"),
        sa.Column("time_ns", sa.BigInteger, nullable=True, comment="the event's own time, ns since 1970"),
        sa.Column("source", _long_text(), nullable=False, comment="the file"),
        sa.Column("source_id", Name(MESSAGE_ID_BYTES), nullable=False, comment="its content"),
        sa.Column("position", sa.BigInteger, nullable=False, comment="first byte of the line"),
        sa.Column("length", sa.BigInteger, nullable=False, comment="its bytes"),
        sa.Column("fields", _long_text(), nullable=False, comment="JSON"),
        *(sa.Column(column, kinds[kind], nullable=True) for column, kind in columns.items()),
        schema=schema,
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
        **_OPTIONS,
    )


def create_all(connection: Connection, tables: Tables) -> None:
    """Creates the tables that are missing. Run by ``holdfast sql init``; harmless when they exist."""
    tables.metadata.create_all(connection, tables=tables.all)


def missing_tables(connection: Connection, tables: Tables, wanted: Sequence[sa.Table] | None = None) -> list[str]:
    """Names of our tables, or of those ``wanted``, that the database does not have."""
    inspector = sa.inspect(connection)
    asked = tables.all if wanted is None else wanted
    return [t.fullname for t in asked if not inspector.has_table(t.name, schema=t.schema)]


def ddl(dialect_name: str, tables: Tables | None = None) -> str:
    """The statements that create our tables, to be read or applied by hand. Needs no driver and no server."""
    if dialect_name not in KNOWN_DIALECTS:
        known = ", ".join(KNOWN_DIALECTS)
        raise ConfigurationError(f"there are no tables for the dialect {dialect_name!r}: name one of {known}")
    found = tables or Tables()
    statements: list[str] = []

    def write(statement: Any, *_: Any, **__: Any) -> None:
        statements.append(str(statement.compile(dialect=engine.dialect)).strip() + ";\n")

    engine = sa.create_mock_engine(f"{dialect_name}://", write)
    found.metadata.create_all(engine, tables=found.all, checkfirst=False)
    return "\n".join(statements)
