# SPDX-License-Identifier: Apache-2.0
"""Letters of other brokers, kept whole from the moment they arrive: before they are on a shelf, and before there is a
case."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from . import tables
from .desk import Desk
from .kept import kept

__all__ = ["ARRIVED", "uncased"]

#: What a body is to a letter: its whole entry, as it came from its broker.
ARRIVED: Final = "arrived"
#: In one look.
PAGE: Final = 1_000


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
