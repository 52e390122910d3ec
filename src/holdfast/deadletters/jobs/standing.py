# SPDX-License-Identifier: Apache-2.0
"""How many jobs of each group stand where, for gauges: a job that waits for somebody has to be seen."""

from __future__ import annotations

import sqlalchemy as sa

from ..desk import Desk
from . import tables
from .job import MOVES

#: Ended: nobody has to do anything.
_ENDED = sorted(state for state, after in MOVES.items() if not after)


async def standings(desk: Desk) -> dict[tuple[str, str], dict[str, int]]:
    """By logical stream and group: jobs by state, those that ended left out. ``adrift``: running, and nobody holds it.

    The tables have to be there (``store.prepare``).
    """
    job, now_ms = tables.job.c, await desk.now_ms()
    adrift = sa.and_(job.state == "running", sa.or_(job.holder == "", job.holder_until_ms < now_ms))
    query = sa.select(job.logical, job.grp, sa.case((adrift, "adrift"), else_=job.state).label("stands"),
                      sa.func.count().label("number")).where(job.state.not_in(_ENDED)).group_by(
        job.logical, job.grp, sa.text("stands"))
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in await desk.step(lambda connection: connection.execute(query).all(), reads=True):
        found.setdefault((row.logical, row.grp), {})[row.stands] = row.number
    return found
