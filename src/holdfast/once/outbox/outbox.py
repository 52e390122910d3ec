# SPDX-License-Identifier: Apache-2.0
"""The outbox: a message that is published if, and only if, the user's transaction commits.

::

    async with sessions.begin() as session:
        session.add(order)
        await hf.outbox.add_async(session, "orders", OrderPaid(...), key=order.id)

The row is written in the caller's own transaction and nothing else happens then: no server is asked, and none needs to
be up. A relay (``relay.py``) brings it to its stream later. Publishing after the commit would lose the message to a
crash in between, publishing before it would announce what may be rolled back.

Not promised: the row's transaction is the caller's, so on a connection in AUTOCOMMIT it is there at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from ..._base.clock import Clock, SystemClock
from ..._redis.netstrings import netstrings
from ..._sql.tables import MESSAGE_ID_BYTES, STREAM_BYTES, Tables, fit
from ...errors import ConfigurationError


class Encode(Protocol):
    """Makes a message's identity and the flat fields of its entry, as publishing does; raises what that raises.

    The caller's trace context is taken here, while the caller is still running.
    """

    def __call__(self, value: Any, *, key: str | None, id: str | None, type: str | None,
                 headers: Mapping[str, str] | None) -> tuple[str, list[bytes]]: ...


class Outbox:
    """Writes messages into the user's transactions. One a process is enough; safe to share among threads and tasks.

    encode: how a value becomes an entry. tables: where our tables are, if they are not called as usual.
    """

    def __init__(self, encode: Encode, tables: Tables | None = None, clock: Clock | None = None) -> None:
        self.tables = tables or Tables()
        self._encode = encode
        self._clock = clock or SystemClock()

    def add(self, where: Session | scoped_session[Any] | Connection, stream: str, value: Any, *, key: str | None = None,
            id: str | None = None, type: str | None = None, headers: Mapping[str, str] | None = None) -> str:
        """Publishes ``value`` to ``stream`` when the transaction of ``where`` commits; answers the message's id.

        stream: the logical name, partitioned or not. The rest is as in ``Holdfast.publish``.
        Raises ConfigurationError for an asynchronous session and for a stream's name that does not fit its column,
        MessageTooLarge, PublishError when the value cannot be encoded, and whatever the database raises.
        """
        _on_side(where, _ASYNC, "`add` got an {}: write `await outbox.add_async(…)`, or its row would not be written")
        message_id, row = self._row(stream, value, key=key, id=id, type=type, headers=headers)
        where.execute(sa.insert(self.tables.outbox), row)
        return message_id

    async def add_async(self, where: AsyncSession | async_scoped_session[Any] | AsyncConnection, stream: str,
                        value: Any, *, key: str | None = None, id: str | None = None, type: str | None = None,
                        headers: Mapping[str, str] | None = None) -> str:
        """As ``add``, in the transaction of an asynchronous session or connection."""
        _on_side(where, _PLAIN, "`add_async` got a {}: write `outbox.add(…)`")
        message_id, row = self._row(stream, value, key=key, id=id, type=type, headers=headers)
        await where.execute(sa.insert(self.tables.outbox), row)
        return message_id

    def statement(self, dialect: str, stream: str, value: Any, *, key: str | None = None, id: str | None = None,
                  type: str | None = None, headers: Mapping[str, str] | None = None) -> tuple[str, str, list[Any]]:
        """As ``add``, for a transaction that is not SQLAlchemy's: the message's id, and the statement that writes its
        row with its parameters (``%s``, as the DB-API calls *format*). Whoever executes it answers for the
        transaction.

        dialect: ``postgresql``, ``mysql``, ``mariadb`` or ``sqlite``.
        """
        message_id, row = self._row(stream, value, key=key, id=id, type=type, headers=headers)
        text, names = _inserting(self.tables.outbox, dialect, tuple(row))
        return message_id, text, [row[name] for name in names]

    def _row(self, stream: str, value: Any, *, key: str | None, id: str | None, type: str | None,
             headers: Mapping[str, str] | None) -> tuple[str, dict[str, Any]]:
        # A name is where the message goes: shortened as other names of ours are, it would go elsewhere.
        if not stream or fit(stream, STREAM_BYTES) != stream:
            raise ConfigurationError(f"an outbox's row has room for a stream's name of 1 to {STREAM_BYTES - 1} bytes, "
                                     f"and {stream[:40]!r}… has {len(stream.encode('utf-8', 'replace'))}")
        message_id, fields = self._encode(value, key=key, id=id, type=type, headers=headers)
        return message_id, {
            "stream": stream, "message_id": fit(message_id, MESSAGE_ID_BYTES), "fields": netstrings(fields),
            "msg_key": None if key is None else key.encode(), "written_ms": self._clock.wall_ms()}


@lru_cache(8)  # fifteen times what the row itself takes
def _inserting(outbox: sa.Table, dialect: str, columns: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The statement that writes these columns of a row, and the order in which it wants them."""
    # Inline: no RETURNING, which not every driver of somebody else's expects.
    insert = sa.insert(outbox).inline()
    own = registry.load("mysql" if dialect == "mariadb" else dialect)(paramstyle="format")
    made = insert.compile(dialect=own, column_keys=list(columns))
    return str(made), tuple(made.positiontup or ())


_ASYNC = (AsyncSession, AsyncConnection, async_scoped_session)
_PLAIN = (Session, Connection, scoped_session)


def _on_side(where: object, other: tuple[type, ...], advice: str) -> None:
    if isinstance(where, other):
        raise ConfigurationError("outbox: " + advice.format(where.__class__.__name__))
