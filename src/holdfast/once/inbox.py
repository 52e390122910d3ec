# SPDX-License-Identifier: Apache-2.0
"""The inbox: one row per message that has taken effect, in the transaction of that effect.

The row is written **before** the handler runs, so that its unique key is the lock: a second attempt of the same message
waits at its own insert until the first has committed (then it is a duplicate) or rolled back (then it is the first).
Looking first and inserting afterwards would let both look.

All functions take a plain ``Connection`` and leave its transaction open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from .._sql.dialects import insert_absent
from .._sql.tables import GROUP_BYTES, HANDLER_BYTES, MESSAGE_ID_BYTES, STREAM_BYTES, Tables, fit

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Key(NamedTuple):
    """What an effect is known by: the same message in another group, or for another handler, is another effect."""

    stream: str
    group: str
    handler: str
    message_id: str

    def fitted(self) -> Key:
        """As it lies in the columns."""
        return Key(fit(self.stream, STREAM_BYTES), fit(self.group, GROUP_BYTES), fit(self.handler, HANDLER_BYTES),
                   fit(self.message_id, MESSAGE_ID_BYTES))


class Entry(NamedTuple):
    """A key, and where its message lies: ``entry`` is for people."""

    key: Key
    entry: str


def claim(connection: Connection, tables: Tables, entries: Sequence[Entry], now_ms: int) -> list[bool]:
    """Inserts the row of each entry; True where it was absent. Of entries with one key only the first can be new."""
    first = {entry.key.fitted(): entry for entry in reversed(entries)}
    keys = sorted(first)
    rows = [_row(key, first[key].entry, now_ms) for key in keys]
    new = {key for key, absent in zip(keys, insert_absent(connection, tables.inbox, rows), strict=True) if absent}
    return [(key := entry.key.fitted()) in new and first[key] is entry for entry in entries]


def _row(key: Key, entry: str, now_ms: int) -> dict[str, str | int]:
    return {"stream": key.stream, "grp": key.group, "handler": key.handler, "message_id": key.message_id,
            "applied_ms": now_ms, "entry": fit(entry, MESSAGE_ID_BYTES)}


def applied(connection: Connection, tables: Tables, keys: Sequence[Key]) -> list[bool]:
    """Does each key have a row? One query for all."""
    t = tables.inbox.c
    fitted = [key.fitted() for key in keys]
    found = connection.execute(
        sa.select(t.stream, t.grp, t.handler, t.message_id)
        .where(sa.tuple_(t.stream, t.grp, t.handler, t.message_id).in_([tuple(key) for key in set(fitted)]))
    )
    present = {tuple(row) for row in found}
    return [tuple(key) in present for key in fitted]


def applied_ms(connection: Connection, tables: Tables, key: Key) -> int | None:
    """When the effect was applied, by its worker's clock; None: there is no row."""
    t, fitted = tables.inbox.c, key.fitted()
    found: int | None = connection.execute(
        sa.select(t.applied_ms).where(sa.tuple_(t.stream, t.grp, t.handler, t.message_id) == tuple(fitted))
    ).scalar_one_or_none()
    return found


def prune(
    connection: Connection, tables: Tables, *, stream: str, group: str, before_ms: int, limit: int
) -> int:
    """Deletes up to ``limit`` rows of a group that were applied before ``before_ms``; returns how many.

    A row may go only when its message can no longer come back. An entry is applied after it was published, so a row
    older than the group's low-water mark (and than every letter that may still be replayed) is safe: give the earlier
    of that mark's time and of ``now - retention``, less what the clocks of workers and server may differ by. Age alone
    is not enough: a parked or buried message can be older than any retention, and would be applied again.
    """
    inbox = tables.inbox
    mine = (inbox.c.stream == fit(stream, STREAM_BYTES), inbox.c.grp == fit(group, GROUP_BYTES))
    old = connection.execute(  # first looked up, then deleted: MySQL takes no LIMIT inside IN
        sa.select(inbox.c.handler, inbox.c.message_id).where(*mine, inbox.c.applied_ms < before_ms)
        .order_by(inbox.c.applied_ms).limit(limit)
    ).all()
    if old:
        pair = sa.tuple_(inbox.c.handler, inbox.c.message_id)
        connection.execute(sa.delete(inbox).where(*mine, pair.in_([tuple(row) for row in old])))
    return len(old)
