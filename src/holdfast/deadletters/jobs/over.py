# SPDX-License-Identifier: Apache-2.0
"""The clean-up of jobs that have ended: their letters' rows, a page at a time, then their records and themselves.

A job that was stopped can be resumed, and so stays until somebody cancels it.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..desk import Desk
from ..desk import tables as desk_tables
from . import tables
from .job import MOVES
from .store import prepare

_ENDED: Final = sorted(state for state, after in MOVES.items() if not after)
#: Rows in one step: a transaction, and others wait for it on SQLite.
PAGE: Final = 2_000


async def clean_up(desk: Desk, keep_ms: int, *, limit: int = PAGE) -> int:
    """One step: of jobs that ended so long ago, at most ``limit`` rows go. Gives how many."""
    await prepare(desk)
    return await desk.step(lambda connection: _cleaned(connection, keep_ms, limit))


def _cleaned(connection: Connection, keep_ms: int, limit: int) -> int:
    job, item = tables.job.c, tables.item.c
    old = sa.select(job.id).where(
        job.state.in_(_ENDED), job.changed_ms < clock_ms(connection) - keep_ms  # guard: only jobs that have ended
    ).order_by(job.made_ms).limit(1)
    job_id = connection.execute(old).scalar_one_or_none()
    if job_id is None:
        return 0
    some = connection.execute(sa.select(item.letter_id).where(item.job == job_id).limit(limit)).scalars().all()
    if some:
        connection.execute(tables.item.delete().where(item.job == job_id, item.letter_id.in_(some)))
        return len(some)
    connection.execute(desk_tables.step.delete().where(desk_tables.step.c.letter_id == job_id))
    return connection.execute(tables.job.delete().where(job.id == job_id)).rowcount
