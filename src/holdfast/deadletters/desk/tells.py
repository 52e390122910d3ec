# SPDX-License-Identifier: Apache-2.0
"""What there is to tell people, until it was told: written in the transaction that makes it true, so none is lost.

One instance takes a tale for a while, tells it, and strikes it off. One that is killed between the two has told it, and
another tells it again: at least once.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..._sql.tables import Name
from . import tables
from .desk import Desk, insert_new

tell = sa.Table(
    "holdfast_desk_tell", tables.metadata,
    sa.Column("letter_id", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("kind", Name(tables.ID_BYTES), primary_key=True),
    sa.Column("at_ms", sa.BigInteger, primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("due_ms", sa.BigInteger, nullable=False),
    sa.Column("fails", sa.BigInteger, nullable=False),
    sa.Index("ix_holdfast_desk_tell_due", "due_ms"),
)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell of a letter. fails: how often it was told in vain."""

    letter_id: str
    kind: str
    why: str
    at_ms: int
    due_ms: int
    fails: int


def to_tell(connection: Connection, letter_id: str, kind: str, why: str, *, at_ms: int | None = None) -> None:
    """Puts it down, within a transaction. at_ms: the desk's time, where it is known."""
    now_ms = clock_ms(connection) if at_ms is None else at_ms
    connection.execute(insert_new(connection, tell), {"letter_id": letter_id, "kind": kind, "why": why, "at_ms": now_ms,
                                                      "due_ms": now_ms, "fails": 0})


async def taken(desk: Desk, limit: int, for_ms: int) -> list[Told]:
    """What is to be told now, oldest first. For so long it is this caller's; after that, if it is still there,
    anybody's."""
    return await desk.step(lambda connection: _taken(connection, limit, for_ms))


def _taken(connection: Connection, limit: int, for_ms: int) -> list[Told]:
    now_ms = clock_ms(connection)
    query = sa.select(tell).where(tell.c.due_ms <= now_ms).order_by(tell.c.due_ms).limit(limit)
    found = []
    for row in connection.execute(query).mappings().all():
        told = Told(**row)
        still = sa.and_(_this(told), tell.c.due_ms == told.due_ms)
        mine = connection.execute(tell.update().where(still), {"due_ms": now_ms + for_ms}).rowcount
        if mine == 1:  # guard: one of the instances tells
            found.append(told)
    return found


async def done(desk: Desk, told: Told) -> None:
    """It was told."""
    await desk.write(told.letter_id, lambda connection, _: connection.execute(_STRUCK_OFF, {
        "of_letter": told.letter_id, "of_kind": told.kind, "of_at": told.at_ms}))


async def failed(desk: Desk, told: Told, again_ms: int) -> None:
    """It could not be told: again in so long."""
    await desk.step(lambda connection: connection.execute(tell.update().where(_this(told)), {
        "due_ms": clock_ms(connection) + again_ms, "fails": told.fails + 1}))


def _this(told: Told) -> Any:
    return sa.and_(tell.c.letter_id == told.letter_id, tell.c.kind == told.kind, tell.c.at_ms == told.at_ms)


_STRUCK_OFF = tell.delete().where(tell.c.letter_id == sa.bindparam("of_letter"), tell.c.kind == sa.bindparam("of_kind"),
                                  tell.c.at_ms == sa.bindparam("of_at"))
