# SPDX-License-Identifier: Apache-2.0
"""The cases of a job's letters that came to an end, where no service looks after them.

A service asks itself what became of a replay, and resolves the case. Without one a job knows it as well: its letter was
handled, or died again as another letter.
"""

from __future__ import annotations

from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..desk import SENT_BACK, Actor, Case, Desk
from ..desk import tables as desk_tables
from ..desk.desk import case_of
from . import tables
from .job import Job

#: Cases in one transaction.
PAGE: Final = 500


async def close(desk: Desk, job: Job, by: Actor) -> int:
    """Resolves the cases of letters that were handled or died again. Gives how many."""
    done = 0
    while closed := await desk.step(lambda connection: _closed(connection, job, by)):
        done += closed
    return done


def _closed(connection: Connection, job: Job, by: Actor) -> int:
    item, case, now_ms = tables.item.c, desk_tables.case, clock_ms(connection)
    query = sa.select(case, item.state.label("ended")).join(tables.item, item.letter_id == case.c.letter_id).where(
        item.job == job.id, item.state.in_(("handled", "died")),
        case.c.state.in_(SENT_BACK)).limit(PAGE).with_for_update()  # what somebody else has moved is theirs
    found = [(case_of({name: value for name, value in row.items() if name != "ended"}), row["ended"])
             for row in connection.execute(query).mappings().all()]
    if found:
        connection.execute(case.update().where(case.c.letter_id == sa.bindparam("of_letter")),
                           [{"of_letter": one.letter_id, "state": "resolved", "version": one.version + 1, "due_ms": 0,
                             "changed_ms": now_ms} for one, _ in found])
        connection.execute(desk_tables.step.insert(), [_step(job, one, ended, by, now_ms) for one, ended in found])
    return len(found)


def _step(job: Job, case: Case, ended: str, by: Actor, now_ms: int) -> dict[str, object]:
    why = "its message was settled, and did not die again" if ended == "handled" else "its message died again"
    return {"letter_id": case.letter_id, "what": "resolved", "actor": by.name, "by_person": by.person,
            "before": case.state, "after": "resolved", "category": case.category, "rule": case.rule, "action": "job",
            "result": "ok" if ended == "handled" else "failed", "attempts": case.attempts, "duration_ms": 0,
            "trace_id": case.trace_id, "detail": msgspec.json.encode({"job": job.id, "why": why}).decode(),
            "at_ms": now_ms}
