# SPDX-License-Identifier: Apache-2.0
"""Jobs at the desk: made with all their letters in one transaction, moved by compare-and-set, each decision recorded.

The records are steps of the handling log under the job's id, so ``dlq log --letter JOB`` tells who asked, who agreed,
who stopped it and why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._base.letter_text import utf8
from ..._base.typed import from_json
from ..._base.ulid import UlidFactory
from ..._sql.steps import clock_ms
from ..._sql.tables import fit
from ...errors import CaseMoved, LetterNotFound
from ..desk import Actor, Desk, Step
from ..desk import tables as desk_tables
from ..desk.tables import NAME_BYTES
from ..letters import LetterInfo
from . import tables
from .job import Counts, Item, ItemState, Job, JobState, Plan, check_move
from .order import arranged
from .order import item_of as light
from .writing import write

if TYPE_CHECKING:
    from ..shelf import Shelf

_ULIDS = UlidFactory()


async def prepare(desk: Desk) -> None:
    """Makes the tables of jobs where they are missing."""
    await desk.step(lambda connection: desk_tables.metadata.create_all(
        connection, tables=[tables.job, tables.item]))


async def make(desk: Desk, shelf: Shelf, letters: AsyncIterator[LetterInfo], plan: Plan, by: Actor, *, asked: str,
               approval: bool = False) -> Job:
    """A job for these letters, by time of burial. approval: it waits until a second person agrees."""
    await prepare(desk)
    job = Job(id=_ULIDS(), logical=fit(shelf.stream, NAME_BYTES), group=fit(shelf.group, NAME_BYTES), asked=asked,
              plan=plan, by=by.name, state="waiting" if approval else "running")
    rows = [_item_row(item) for item in arranged([light(job.id, letter) async for letter in letters])]

    def work(connection: Connection) -> Job:
        now_ms = clock_ms(connection)
        made = msgspec.structs.replace(job, made_ms=now_ms, changed_ms=now_ms)
        connection.execute(tables.job.insert(), _job_row(made))
        write(connection, tables.item.insert(), rows)
        note(connection, made, by, "asked", {"asked": asked, "letters": len(rows)}, before="", now_ms=now_ms)
        return _counted(connection, made)

    return await desk.step(work)


async def get(desk: Desk, job_id: str) -> Job:
    """One job as it stands. Raises LetterNotFound."""
    await prepare(desk)
    found = await desk.step(lambda connection: one(connection, job_id), reads=True)
    if found is None:
        raise LetterNotFound(f"the desk has no job {job_id}: `holdfast dlq job ls` shows those that there are")
    return found


async def jobs(desk: Desk, *, states: Sequence[JobState] = (), limit: int = 100) -> list[Job]:
    """The latest first."""
    await prepare(desk)
    query = sa.select(tables.job).order_by(tables.job.c.made_ms.desc(), tables.job.c.id.desc()).limit(limit)
    if states:
        query = query.where(tables.job.c.state.in_(states))
    return await desk.step(lambda connection: [_counted(connection, _job_of(row))
                                               for row in connection.execute(query).mappings().all()], reads=True)


async def adrift(desk: Desk) -> list[Job]:
    """Running jobs that nobody holds: for a service that takes them up."""
    now_ms = await desk.now_ms()
    return [job for job in await jobs(desk, states=["running"]) if not job.holder or job.holder_until_ms < now_ms]


async def items(desk: Desk, job_id: str, *, states: Sequence[ItemState] = (), limit: int = 1_000) -> list[Item]:
    """Letters of a job, in its order."""
    query = sa.select(tables.item).where(tables.item.c.job == job_id).order_by(tables.item.c.number).limit(limit)
    if states:
        query = query.where(tables.item.c.state.in_(states))
    return await desk.step(lambda connection: items_of(connection.execute(query)), reads=True)


async def move(desk: Desk, job: Job, after: JobState, by: Actor, *, what: str, why: str = "") -> Job:
    """Moves a job from the version that was read, and records who did it.

    Raises JobRefused for a move that may not be, CaseMoved when it has moved meanwhile.
    """
    check_move(job, after, by.name)
    return await desk.step(lambda connection: moved(connection, job, after, by, what=what, why=why))


def moved(connection: Connection, job: Job, after: JobState, by: Actor, *, what: str, why: str = "") -> Job:
    """As ``move``, within a transaction and unchecked."""
    now_ms = clock_ms(connection)
    agreed = by.name if job.state == "waiting" and after == "running" else job.approved_by
    new = msgspec.structs.replace(job, state=after, version=job.version + 1, why=why, approved_by=agreed,
                                  changed_ms=now_ms)
    mine = sa.and_(tables.job.c.id == job.id, tables.job.c.version == job.version)
    changes = {name: getattr(new, name) for name in ("state", "version", "why", "approved_by", "changed_ms")}
    if connection.execute(tables.job.update().where(mine), changes).rowcount != 1:  # guard: compare and set
        now = one(connection, job.id)
        raise CaseMoved(f"job {job.id} was {job.state} when you looked and is {now.state if now else 'gone'} now",
                        state=now.state if now else "")
    note(connection, new, by, what, {"why": why} if why else {}, before=job.state, now_ms=now_ms)
    return _counted(connection, new)


def note(connection: Connection, job: Job, by: Actor, what: str, detail: dict[str, Any], *, before: str,
         now_ms: int) -> None:
    """One record about the job, in the handling log."""
    row = msgspec.structs.asdict(Step(
        letter_id=job.id, what=what, actor=by.name, by_person=by.person, before=before, after=job.state, action="job",
        detail=msgspec.json.encode(detail).decode() if detail else "", at_ms=now_ms))
    del row["number"]
    connection.execute(desk_tables.step.insert(), row)


def one(connection: Connection, job_id: str, *, counted: bool = True) -> Job | None:
    """A job within a transaction. Counting its letters goes through all of them."""
    row = connection.execute(sa.select(tables.job).where(tables.job.c.id == job_id)).mappings().first()
    if row is None:
        return None
    return _counted(connection, _job_of(row)) if counted else _job_of(row)


def _counted(connection: Connection, job: Job) -> Job:
    item = tables.item.c
    rows = connection.execute(sa.select(item.state, sa.func.count().label("number")).where(item.job == job.id)
                              .group_by(item.state)).all()
    return msgspec.structs.replace(job, counts=Counts(**{row.state: row.number for row in rows}))


def _job_row(job: Job) -> dict[str, Any]:
    row = desk_tables.row_of({name: getattr(job, name) for name in job.__struct_fields__ if name != "counts"})
    return row | {"plan": msgspec.json.encode(job.plan).decode()}


def _job_of(row: Any) -> Job:
    values = dict(row)
    return Job(**{**{name: value for name, value in values.items() if name != "grp"}, "group": values["grp"],
                  "plan": from_json(values["plan"], Plan)})


def _item_row(item: Item) -> dict[str, Any]:
    return msgspec.structs.asdict(item) | {"key": fit(item.key, NAME_BYTES),
                                           "letter_id": fit(utf8(item.letter_id).decode("utf-8", "replace"), 64)}


def items_of(rows: sa.CursorResult[Any] | sa.Result[Any]) -> list[Item]:
    """Rows as records."""
    names = tuple(rows.keys())
    return [Item(**dict(zip(names, row, strict=False))) for row in rows.all()]
