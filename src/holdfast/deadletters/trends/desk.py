# SPDX-License-Identifier: Apache-2.0
"""Trends of what a dead-letter service has taken in: all streams and groups, ended cases as well, for as long as the
desk keeps them. It alone knows how long letters took until they were settled, and since when an error is known.

Rows are read as facts, page by page; bodies and words of errors are not read at all. The desk keeps no service of its
own, so that a line by service is one by handler here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..desk import ENDS, Desk
from ..desk.tables import case, fingerprint
from .report import Settled, Trends
from .tally import Fact, Tally, Window

PAGE: Final = 5_000


async def desk_trends(desk: Desk, window: Window, *, logical: str | None = None, group: str | None = None,
                      top: int = 10) -> Trends:
    """The report of the desk's cases. logical, group: only those of this stream, this group."""
    only = [column == value for column, value in ((case.c.logical, logical), (case.c.grp, group)) if value is not None]
    tally, after = Tally(window), ""
    while rows := await desk.step(_page(only, after), reads=True):
        for row in rows:
            tally.add(_fact(row))
        after = rows[-1].letter_id
    known = await desk.step(_known, reads=True)
    return tally.report(top=top, known_ms=known,
                        settled=await desk.step(lambda connection: _settled(connection, window, only), reads=True))


def _page(only: Sequence[sa.ColumnElement[bool]], after: str) -> Any:
    c = case.c
    query = sa.select(c.letter_id, c.dead_ms, c.category, c.error_type, c.logical, c.reason, c.fingerprint, c.handler)
    query = query.where(*only, c.letter_id > after).order_by(c.letter_id).limit(PAGE)
    return lambda connection: connection.execute(query).all()


def _fact(row: Any) -> Fact:
    return Fact(row.dead_ms, row.letter_id, row.category or "unjudged", row.error_type, row.logical, row.handler,
                row.reason, row.fingerprint)


def _known(connection: Connection) -> dict[tuple[str, str], int]:
    c = fingerprint.c
    query = sa.select(c.logical, c.fingerprint, sa.func.min(c.first_ms)).group_by(c.logical, c.fingerprint)
    return {(logical, name): first_ms for logical, name, first_ms in connection.execute(query)}


def _settled(connection: Connection, window: Window, only: Sequence[sa.ColumnElement[bool]]) -> list[Settled]:
    c, ends = case.c, case.c.state.in_(sorted(ENDS))
    took = c.changed_ms - c.dead_ms
    within = sa.and_(ends, c.changed_ms >= window.since_ms, c.changed_ms < window.until_ms)
    query = sa.select(
        c.category, sa.func.sum(sa.case((within, 1), else_=0)), sa.func.sum(sa.case((~ends, 1), else_=0)),
        sa.func.avg(sa.case((within, took))), sa.func.max(sa.case((within, took)))).where(*only).group_by(c.category)
    return [Settled(category=category or "unjudged", settled=int(settled), open=int(open_), mean_s=_seconds(mean),
                    longest_s=_seconds(longest))
            for category, settled, open_, mean, longest in connection.execute(query.order_by(c.category))]


def _seconds(ms: Any) -> float | None:
    return None if ms is None else max(0.0, float(ms) / 1000)
