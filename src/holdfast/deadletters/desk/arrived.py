# SPDX-License-Identifier: Apache-2.0
"""Letters of other brokers, kept whole from the moment they arrive: before they are on a shelf, and before there is a
case."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import tables
from .desk import Desk
from .kept import ARRIVED, kept, kept_in

__all__ = ["keep_arrived", "uncased"]

#: In one look.
PAGE: Final = 1_000


async def keep_arrived(desk: Desk, letter_id: str, line: bytes) -> None:
    """Keeps a letter whole, as ``dlq export`` writes it. One that has a case was here before: it is on its shelf or
    dealt with, and what was erased of it does not come back."""
    await desk.write(letter_id, lambda connection, now_ms: _kept(connection, letter_id, line, now_ms))


def _kept(connection: Connection, letter_id: str, line: bytes, now_ms: int) -> None:
    known = sa.select(tables.case.c.letter_id).where(tables.case.c.letter_id == letter_id)
    if connection.execute(known).first() is None:  # guard: what was erased does not come back
        kept_in(connection, letter_id, ARRIVED, line, now_ms)


async def uncased(desk: Desk, *, after: str = "", limit: int = PAGE) -> list[tuple[str, bytes]]:
    """Letters that arrived and have no case: on their way from the shelf, or lost with its server. Each with its id and
    its line, as ``dlq export`` writes it. after: the last id of the page before."""
    return await desk.step(lambda connection: [
        (row.letter_id, bytes(row.body)) for row in connection.execute(uncased_query(after, limit))], reads=True)


def uncased_query(after: str, limit: int) -> sa.Select[Any]:
    """By letter id: those that were first written, first."""
    case, body = tables.case.c, tables.body.c
    return sa.select(kept.c.letter_id, body.body).join(tables.body, body.sha256 == kept.c.sha256).where(
        kept.c.what == ARRIVED, kept.c.letter_id > after, ~sa.exists().where(case.letter_id == kept.c.letter_id)
    ).order_by(kept.c.letter_id).limit(limit)
