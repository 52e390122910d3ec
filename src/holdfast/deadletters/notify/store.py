# SPDX-License-Identifier: Apache-2.0
"""Incidents and notices at the desk: each change compares and sets, so that of several instances one does it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..desk import Case, Desk
from ..desk import tables as desk_tables
from ..desk.desk import insert_new
from ..desk.shared import values
from ..handling.breaker import Breaker
from .incidents import Incident, Notice, worse
from .plan import Plan
from .tables import incident, letter, notice

#: Incidents that are looked at in a round, and kept ones that go in a step of the clean-up.
MANY = 1_000
#: Resolved incidents are kept for so long.
KEEP_MS = 90 * 86_400_000


async def opened(desk: Desk, mine: str, new: Incident, cases: Sequence[Case], plan: Plan) -> bool:
    """Counts letters into the live incident of a slot; into ``new`` if there is none, and then gives True. new: as the
    first of them makes it."""
    def work(connection: Connection, now_ms: int) -> bool:
        return _opened(connection, msgspec.structs.replace(new, opened_ms=now_ms, changed_ms=now_ms), mine, cases, plan)

    return await desk.write(mine, work)


def _opened(connection: Connection, new: Incident, mine: str, cases: Sequence[Case], plan: Plan) -> bool:
    one, is_new = _live(connection, mine), False
    while one is None:
        is_new = _added(connection, new, mine)  # guard: one incident a slot
        one = _live(connection, mine)
    counted = _uncounted(connection, one, cases)
    if counted:
        rows = [{"incident_id": one.id, "letter_id": case.letter_id} for case in counted]
        connection.execute(sa.insert(letter), rows)
        now = _with(one, new, counted)
        connection.execute(incident.update().where(incident.c.id == one.id), _row(now))
        if is_new or now.severity != one.severity:
            _routed(connection, now, plan)
    return is_new


def _uncounted(connection: Connection, one: Incident, cases: Sequence[Case]) -> list[Case]:
    """Each letter once, and none that counts already. Nobody else counts meanwhile: the incident's row is locked."""
    asked = {case.letter_id: case for case in cases}
    query = sa.select(letter.c.letter_id).where(letter.c.incident_id == one.id, letter.c.letter_id.in_(list(asked)))
    known = set(connection.execute(query).scalars())
    return [case for letter_id, case in asked.items() if letter_id not in known]  # guard: a letter counts once


def _with(one: Incident, new: Incident, counted: Sequence[Case]) -> Incident:
    last = counted[-1]
    return msgspec.structs.replace(
        one, count=one.count + len(counted), severity=reduce(worse, (case.severity for case in counted), one.severity),
        changed_ms=new.changed_ms, kind=new.kind, version=one.version + 1, letter_id=last.letter_id,
        error_type=last.error_type, rule=last.rule, fresh=one.fresh or any(case.fresh for case in counted))


def _live(connection: Connection, mine: str) -> Incident | None:
    query = sa.select(incident).where(incident.c.slot == mine).with_for_update()
    row = connection.execute(query).mappings().first()
    return None if row is None else incident_of(row)


def _added(connection: Connection, new: Incident, mine: str) -> bool:
    """False: another instance was first."""
    return connection.execute(insert_new(connection, incident), _row(new) | {"slot": mine}).rowcount == 1


def _routed(connection: Connection, one: Incident, plan: Plan) -> None:
    """A notice for each route that takes it; more of them when it has become more severe."""
    for route in plan.routes:
        if route.takes(one):
            connection.execute(insert_new(connection, notice), msgspec.structs.asdict(
                Notice(incident_id=one.id, route=route.name)))


async def resolve_clear(desk: Desk, after_ms: int) -> list[Incident]:
    """Those whose backlog has been clear for so long are over from now on."""
    backlog = await _backlog(desk)
    paused = {name for name, breaker in (await values(desk, "breaker ", Breaker)).items() if breaker.state != "closed"}
    now_ms, over = await desk.now_ms(), []
    for one in await live(desk):
        source = (one.category, one.logical, one.group)
        breaker = f"{one.category} {one.logical}/{one.group}"
        is_clear = breaker not in paused if one.about == "pause" else source not in backlog
        if is_clear and now_ms - one.changed_ms >= after_ms:
            gone = msgspec.structs.replace(one, state="resolved", resolved_ms=now_ms)
            if await moved(desk, one, gone):
                over.append(gone)
    return over


async def _backlog(desk: Desk) -> set[tuple[str, str, str]]:
    case = desk_tables.case.c
    query = sa.select(case.category, case.logical, case.grp).where(case.state == "manual").distinct()
    return {(row.category, row.logical, row.grp)
            for row in await desk.step(lambda connection: connection.execute(query).all(), reads=True)}


async def moved(desk: Desk, before: Incident, after: Incident) -> bool:
    """Changes an incident that nobody has changed meanwhile."""
    row = _row(msgspec.structs.replace(after, version=before.version + 1))
    if after.state == "resolved":
        row["slot"] = None
    mine = sa.and_(incident.c.id == before.id, incident.c.version == before.version)
    return await desk.step(lambda connection: connection.execute(
        incident.update().where(mine), row).rowcount) == 1  # guard: what has changed meanwhile is not over


async def live(desk: Desk) -> list[Incident]:
    """Those that are not resolved, oldest first."""
    return await _found(desk, incident.c.state != "resolved", incident.c.opened_ms)


async def last(desk: Desk, limit: int) -> list[Incident]:
    """The last ones, live or not, newest first."""
    return await _found(desk, sa.true(), incident.c.opened_ms.desc(), limit)


async def get(desk: Desk, incident_id: str) -> Incident | None:
    """One of them."""
    return next(iter(await _found(desk, incident.c.id == incident_id, incident.c.id)), None)


async def _found(desk: Desk, where: Any, order: Any, limit: int = MANY) -> list[Incident]:
    query = sa.select(incident).where(where).order_by(order).limit(limit)
    return [incident_of(row) for row in await desk.step(
        lambda connection: connection.execute(query).mappings().all(), reads=True)]


async def unfinished(desk: Desk) -> list[tuple[Incident, Notice]]:
    """Notices that may have something to tell, with their incidents."""
    query = sa.select(notice).where(notice.c.done.is_(False)).limit(MANY)
    rows = await desk.step(lambda connection: connection.execute(query).mappings().all(), reads=True)
    notices = [Notice(**{**row, "done": False}) for row in rows]
    ids = sorted({one.incident_id for one in notices})
    found = {one.id: one for one in await _found(desk, incident.c.id.in_(ids), incident.c.id)} if ids else {}
    return [(found[one.incident_id], one) for one in notices if one.incident_id in found]


async def untold(desk: Desk) -> int:
    """Notices with something to tell that no channel has taken yet, after trying."""
    tried = sa.or_(notice.c.fails > 0, notice.c.why != "")
    query = sa.select(sa.func.count()).select_from(notice).where(notice.c.done.is_(False), tried)
    return int(await desk.step(lambda connection: connection.execute(query).scalar_one(), reads=True))


async def changed(desk: Desk, before: Notice, after: Notice) -> bool:
    """Writes a notice that nobody has changed meanwhile."""
    mine = sa.and_(notice.c.incident_id == before.incident_id, notice.c.route == before.route,
                   notice.c.version == before.version)
    row = msgspec.structs.asdict(msgspec.structs.replace(after, version=before.version + 1))
    return await desk.step(lambda connection: connection.execute(
        notice.update().where(mine), row).rowcount) == 1  # guard: one instance tells


async def notices(desk: Desk, incident_ids: Sequence[str]) -> list[Notice]:
    """What was told of these."""
    query = sa.select(notice).where(notice.c.incident_id.in_(incident_ids)).order_by(notice.c.route)
    rows = await desk.step(lambda connection: connection.execute(query).mappings().all(), reads=True)
    return [Notice(**{**row, "done": bool(row["done"])}) for row in rows]


async def clean_up(desk: Desk, keep_ms: int = KEEP_MS) -> int:
    """Resolved incidents go after so long. Gives how many."""
    def work(connection: Connection) -> int:
        old = sa.select(incident.c.id).where(incident.c.state == "resolved",
                                             incident.c.resolved_ms < clock_ms(connection) - keep_ms).limit(100)
        ids = list(connection.execute(old).scalars())
        for column in (letter.c.incident_id, notice.c.incident_id, incident.c.id) if ids else ():
            connection.execute(sa.delete(column.table).where(column.in_(ids)))
        return len(ids)

    return await desk.step(work)


def incident_of(row: Any) -> Incident:
    """A row as a record."""
    fields = {name: value for name, value in dict(row).items() if name != "slot"}
    fields["group"] = fields.pop("grp")
    return Incident(**{**fields, "fresh": bool(fields["fresh"])})


def _row(one: Incident) -> dict[str, Any]:
    return desk_tables.row_of(msgspec.structs.asdict(one))
