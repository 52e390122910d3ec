# SPDX-License-Identifier: Apache-2.0
"""Which bodies are whose, and the clean-up of what is over: cases that ended, their log, and bodies nobody has any
more.

A body lies under its SHA-256 once, however many letters it belongs to. It goes with the last of them.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._base.ulid import format_ulid
from ..._sql.steps import clock_ms
from ..._sql.tables import Name
from . import tables
from .case import ENDS
from .desk import Desk, insert_new

#: What a body is to a letter: its whole entry as it came from another broker, or as it lay among the dead letters (see
#: ``packed``), its body before it was mended, or its body as it was sent instead.
ARRIVED: Final = "arrived"
ENTRY: Final = "entry"
ORIGINAL: Final = "original"
SENT: Final = "sent"
#: Cases in one step of the clean-up: a transaction, and others wait for it on SQLite.
STEP: Final = 200

kept = sa.Table(
    "holdfast_desk_kept", tables.metadata,
    sa.Column("letter_id", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("what", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("sha256", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Index("ix_holdfast_desk_kept_sha256", "sha256"),
)


async def keep(desk: Desk, letter_id: str, what: str, body: bytes) -> str:
    """Keeps a body of a letter, and gives its SHA-256. Once more does nothing."""
    return await desk.write(letter_id, lambda connection, now_ms: kept_in(connection, letter_id, what, body, now_ms))


def kept_in(connection: Connection, letter_id: str, what: str, body: bytes, now_ms: int) -> str:
    """As ``keep``, within a transaction."""
    sha256 = hashlib.sha256(body).hexdigest()
    mine = tables.body.c.sha256 == sha256
    # The row is written either way, so that a clean-up that is about to delete it waits, and then sees whose it is.
    if connection.execute(insert_new(connection, tables.body), {
            "sha256": sha256, "body": body, "at_ms": now_ms}).rowcount != 1:
        connection.execute(tables.body.update().where(mine), {"at_ms": now_ms})
    connection.execute(insert_new(connection, kept), {"letter_id": letter_id, "what": what, "sha256": sha256,
                                                      "at_ms": now_ms})
    return sha256


async def kept_of(desk: Desk, letter_id: str) -> list[tuple[str, str]]:
    """What is kept of a letter: what it is, and its SHA-256; oldest first."""
    query = sa.select(kept.c.what, kept.c.sha256).where(kept.c.letter_id == letter_id).order_by(kept.c.at_ms)
    return [(row.what, row.sha256) for row in await desk.step(lambda connection: connection.execute(query).all())]


async def clean_up(desk: Desk, keep_ms: int, *, limit: int = STEP) -> int:
    """One step: cases that ended so long ago go, with all that is theirs, at most ``limit``; and letters of other
    brokers that arrived so long ago, and of which somebody made no case. Gives how many."""
    return await desk.step(lambda connection: _cleaned(connection, keep_ms, limit))


def _cleaned(connection: Connection, keep_ms: int, limit: int) -> int:
    before_ms = clock_ms(connection) - keep_ms
    ids = [row.letter_id for row in connection.execute(over_query(before_ms, limit))]
    ids += connection.execute(caseless_query(before_ms, limit)).scalars()
    if ids:
        hashes = [row.sha256 for row in connection.execute(sa.select(kept.c.sha256).where(kept.c.letter_id.in_(ids)))]
        for table in (kept, tables.step, tables.comment, tables.case):
            connection.execute(table.delete().where(table.c.letter_id.in_(ids)))
        _forget(connection, hashes, before_ms)
    return len(ids)


def over_query(before_ms: int, limit: int) -> sa.Select[Any]:
    """Letters whose cases ended before then: those that ended first, first."""
    case = tables.case.c
    return sa.select(case.letter_id).where(
        case.state.in_(sorted(ENDS)), case.changed_ms < before_ms  # guard: only what has ended
    ).order_by(case.changed_ms).limit(limit)


def caseless_query(before_ms: int, limit: int) -> sa.Select[Any]:
    """Letters that arrived before then and have no case: somebody moved them who did not ask, or they lie on their
    shelf. Ids sort by time, so those that came since are not looked at."""
    case, newest = tables.case.c, format_ulid(max(0, before_ms) << 80)
    return sa.select(kept.c.letter_id).where(
        kept.c.what == ARRIVED, kept.c.letter_id < newest, kept.c.at_ms < before_ms,
        ~sa.exists().where(case.letter_id == kept.c.letter_id)  # guard: not what a case needs
    ).order_by(kept.c.letter_id).limit(limit)


def _forget(connection: Connection, hashes: list[str], before_ms: int) -> None:
    """Bodies that were those letters' and are nobody's now."""
    if hashes:
        connection.execute(orphaned_query(sorted(set(hashes)), before_ms))


def orphaned_query(hashes: list[str], before_ms: int) -> sa.Delete:
    """Takes these bodies away, unless somebody needs one, or it was kept since."""
    body, case = tables.body.c, tables.case.c
    others = sa.exists().where(kept.c.sha256 == body.sha256)
    edited = sa.exists().where(case.edited == body.sha256, case.edited != tables.NOBODY)
    return tables.body.delete().where(body.sha256.in_(hashes), body.at_ms < before_ms, ~others, ~edited)
