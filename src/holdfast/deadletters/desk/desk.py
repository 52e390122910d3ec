# SPDX-License-Identifier: Apache-2.0
"""The desk at work: cases and their handling log in a database, each move and its record in one transaction."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection

from ..._sql.dialects import insert_absent
from ..._sql.engine import READ_ONLY, Database, DatabaseSource
from ..._sql.steps import clock_ms, stepped
from ..._sql.transient import is_transient
from ...errors import CaseMoved, ConfigurationError, LetterNotFound
from . import tables
from .case import Actor, Case, State, Step, may_move
from .commits import Commits, Write
from .find import CaseGroup, Filter, grouped, matching, page_query

T = TypeVar("T")

#: Instances that may open one database at the same time before one of them gives up.
OPENED_AT_ONCE = 20
#: States in which an automatic step may be due.
_WAITING: tuple[State, ...] = ("new", "classified", "scheduled", "replaying", "replayed", "discarded")


class Desk:
    """Cases of one or several services. Open it before use; SQLite serves one machine, PostgreSQL many.

    source: as ``Database`` has it. pool_size: connections at most.
    """

    def __init__(self, source: DatabaseSource, *, pool_size: int = 10) -> None:
        self._database = Database(source, pool_size=pool_size)
        #: Of a SQLite that is ours: as many as it has connections.
        self._threads = ThreadPoolExecutor(2, "holdfast-desk") if self._is_file() else None
        self._commits = Commits(self._step)

    async def open(self) -> Desk:
        """Makes the tables that are missing. Raises ServerUnreachable; ConfigurationError when a file cannot be opened,
        or is no database."""
        try:
            await self._make_tables()
        except BaseException:
            await self._database.close()
            raise
        return self

    async def _make_tables(self) -> None:
        if self._threads is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._check_file)
        for left in reversed(range(OPENED_AT_ONCE)):
            try:
                await self._step(tables.metadata.create_all)
                break
            except sa.exc.DBAPIError as error:  # another instance makes them at this moment; then they are there
                if not left:
                    raise ConfigurationError(f"the desk's database cannot be used: {error.orig}") from error

    def _check_file(self) -> None:
        """Can it be opened, and is it a database?"""
        try:
            with self._database.plain_engine.connect().execution_options(**{READ_ONLY: True}) as connection:
                connection.exec_driver_sql("PRAGMA schema_version")
        except sa.exc.DBAPIError as error:
            if not is_transient(error):
                raise ConfigurationError(f"the desk's database cannot be used: {error.orig}") from error

    def _is_file(self) -> bool:
        return self._database.owned and self._database.plain_engine.dialect.name == "sqlite"

    async def close(self) -> None:
        """Lets go of connections, once what was asked for is committed."""
        await self._commits.close()
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown)
        await self._database.close()

    async def now_ms(self) -> int:
        """The desk's time, by which cases are due: that of the database."""
        return await self._step(clock_ms, reads=True)

    # -- moving ---------------------------------------------------------------------------------------------------

    async def take_in(self, cases: Sequence[Case], actor: Actor) -> list[Case]:
        """Adds those that are not here yet, and gives them as they lie here now. One that is here stays as it is."""
        return await self._step(lambda connection: _taken_in(connection, cases, actor))

    async def move(self, case: Case, after: State, actor: Actor, *, what: str, said: Step | None = None,
                   also: Callable[[Connection], object] | None = None, **changes: Any) -> Case:
        """Moves a case from the version that was read, and records it. ``changes``: of other fields.

        said: more for the record (result, detail, duration_ms, attempts). also: what else is written in the same
        transaction, if it moves. Raises CaseMoved when it has moved meanwhile, ValueError for a move that does not
        exist.
        """
        if not may_move(case.state, after):
            raise ValueError(f"a letter that is {case.state} cannot become {after}")
        free = {} if after == "working" else {"holder": "", "holder_until_ms": 0, "deed": ""}
        moved = msgspec.structs.replace(case, state=after, version=case.version + 1, **{**free, **changes})
        record = msgspec.structs.replace(
            said or Step(letter_id="", what="", actor=""), letter_id=case.letter_id, what=what, actor=actor.name,
            by_person=actor.person, before=case.state, after=after, category=moved.category, rule=moved.rule,
            action=moved.action, trace_id=moved.trace_id)

        def work(connection: Connection, now_ms: int) -> Case:
            now = _moved(connection, case, moved, record, now_ms)
            if also is not None:
                also(connection)
            return now

        return await self._commits.run(case.letter_id, work)

    async def note(self, step: Step) -> None:
        """Records what changed no state: a look at a payload, a comment, a notification."""
        await self._commits.run(step.letter_id, lambda connection, now_ms: noted(connection, step, now_ms))

    # -- looking --------------------------------------------------------------------------------------------------

    async def get(self, letter_id: str) -> Case:
        """One case. Raises LetterNotFound."""
        found = await self._read(lambda connection: _one(connection, letter_id))
        if found is None:
            raise LetterNotFound(f"the desk has no letter {letter_id}: it was not taken in, or is long dealt with")
        return found

    async def due(self, limit: int) -> list[Case]:
        """Cases whose next automatic step is due, and those whose holder has let its deadline pass, oldest first."""
        return await self._read(lambda connection: _due(connection, limit))

    async def find(self, wanted: Filter, *, newest_first: bool = True, limit: int = 100, after: str = "") -> list[Case]:
        """Cases by time of burial. after: the last letter id of the page before."""
        return await self._read(lambda connection: _found(connection, wanted, newest_first, limit, after))

    async def count(self, wanted: Filter) -> int:
        """How many there are."""
        query = matching(sa.select(sa.func.count()).select_from(tables.case), wanted)
        return await self._read(lambda connection: int(connection.execute(query).scalar_one()))

    async def groups(self, wanted: Filter, *, limit: int = 100) -> list[CaseGroup]:
        """Cases gathered by what they died of, the largest group first."""
        return await self._read(lambda connection: grouped(connection, wanted, limit))

    async def steps(self, letter_id: str) -> list[Step]:
        """The handling log of one letter, oldest first."""
        query = sa.select(tables.step).where(tables.step.c.letter_id == letter_id).order_by(tables.step.c.number)
        return await self._read(lambda connection: [step_of(row) for row in connection.execute(query).mappings()])

    # -- bodies ---------------------------------------------------------------------------------------------------

    async def keep_body(self, body: bytes) -> str:
        """Keeps it by its SHA-256, which it gives."""
        sha256 = hashlib.sha256(body).hexdigest()
        await self._step(lambda connection: connection.execute(
            insert_new(connection, tables.body), {"sha256": sha256, "body": body, "at_ms": clock_ms(connection)}))
        return sha256

    async def body(self, sha256: str) -> bytes | None:
        """What was kept; None when it was cleaned up, or erased."""
        query = sa.select(tables.body.c.body).where(tables.body.c.sha256 == sha256)
        found = await self._read(lambda connection: connection.execute(query).scalar_one_or_none())
        return None if found is None else bytes(found)

    # -- underneath -----------------------------------------------------------------------------------------------

    async def write(self, letter_id: str, work: Write[T]) -> T:
        """A small write about one letter, which may share a transaction with others: it is given the time as well, and
        must not raise after it has written."""
        return await self._commits.run(letter_id, work)

    async def step(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        """A transaction of somebody who keeps tables of their own beside these. reads: it writes nothing."""
        return await self._step(work, reads=reads)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._step(work, reads=True)

    async def _step(self, work: Callable[[Connection], T], *, reads: bool = False) -> T:
        return await stepped(self._database, work, what="the desk's database", reads=reads, threads=self._threads)


def insert_new(connection: Connection, table: sa.Table) -> sa.Insert:
    """An insert that leaves a row that is there as it is; its ``rowcount`` says whether there was none."""
    return _insert_new(connection.dialect.name, table)


@lru_cache(64)
def _insert_new(dialect: str, table: sa.Table) -> sa.Insert:
    if dialect in ("mysql", "mariadb"):
        made: sa.Insert = mysql.insert(table).prefix_with("ignore")
    elif dialect == "postgresql":
        made = postgresql.insert(table).on_conflict_do_nothing()
    else:
        made = sqlite.insert(table).on_conflict_do_nothing()
    return made.execution_options(preserve_rowcount=True)


def _taken_in(connection: Connection, cases: Sequence[Case], actor: Actor) -> list[Case]:
    now_ms = clock_ms(connection)
    known = _several(connection, [case.letter_id for case in cases])
    new = {case.letter_id: case for case in cases if case.letter_id not in known}
    fresh = _first_of_their_kind(connection, list(new.values()), now_ms)
    added = [msgspec.structs.replace(case, fresh=letter_id in fresh, due_ms=now_ms, changed_ms=now_ms)
             for letter_id, case in sorted(new.items())]
    rows = [tables.row_of(msgspec.structs.asdict(case)) for case in added]
    absent = insert_absent(connection, tables.case, rows) if rows else []
    mine = [case for case, is_new in zip(added, absent, strict=True) if is_new]
    steps = [_row_of(Step(letter_id=case.letter_id, what="taken_in", actor=actor.name, by_person=actor.person,
                          after=case.state, attempts=case.attempts, trace_id=case.trace_id), now_ms) for case in mine]
    if steps:
        connection.execute(tables.step.insert(), steps)
    now = {**known, **{case.letter_id: case for case in mine}}
    others = [letter_id for letter_id in new if letter_id not in now]  # another instance was first
    now |= _several(connection, others)
    return [now[case.letter_id] for case in cases]


def _first_of_their_kind(connection: Connection, cases: Sequence[Case], now_ms: int) -> set[str]:
    """Letters whose fingerprint was not known in their group; of several with the same one the first."""
    first: dict[tuple[str, str, str], str] = {}
    for case in sorted(cases, key=lambda case: case.letter_id):
        first.setdefault((case.logical, case.group, case.fingerprint), case.letter_id)
    names = sorted(first)
    rows = [{"logical": logical, "grp": group, "fingerprint": fingerprint, "first_ms": now_ms}
            for logical, group, fingerprint in names]
    absent = insert_absent(connection, tables.fingerprint, rows) if rows else []
    return {first[name] for name, is_new in zip(names, absent, strict=True) if is_new}


def _several(connection: Connection, letter_ids: Sequence[str]) -> dict[str, Case]:
    if not letter_ids:
        return {}
    query = sa.select(tables.case).where(tables.case.c.letter_id.in_(letter_ids))
    return {row["letter_id"]: case_of(row) for row in connection.execute(query).mappings()}


#: What each move executes: made once, since making them takes as long as they do.
_UPDATE = tables.case.update().where(
    tables.case.c.letter_id == sa.bindparam("of_letter"), tables.case.c.version == sa.bindparam("of_version"))
_RECORD = tables.step.insert()
_GET = sa.select(tables.case).where(tables.case.c.letter_id == sa.bindparam("of_letter"))


def _moved(connection: Connection, case: Case, moved: Case, record: Step, now_ms: int) -> Case:
    moved = msgspec.structs.replace(moved, changed_ms=now_ms)
    before, after = msgspec.structs.asdict(case), msgspec.structs.asdict(moved)
    row = tables.row_of({name: value for name, value in after.items() if value != before[name]})
    row |= {"of_letter": case.letter_id, "of_version": case.version}
    if connection.execute(_UPDATE, row).rowcount != 1:  # guard: compare and set
        now = _one(connection, case.letter_id)
        raise CaseMoved(f"letter {case.letter_id} was {case.state} when you looked and is "
                        f"{now.state if now else 'gone'} now: look at it again", state=now.state if now else "")
    noted(connection, record, now_ms)
    return moved


def noted(connection: Connection, step: Step, now_ms: int) -> None:
    """As ``Desk.note``, within a transaction."""
    connection.execute(_RECORD, _row_of(step, now_ms))


def _row_of(step: Step, now_ms: int) -> dict[str, Any]:
    row = msgspec.structs.asdict(step) | {"at_ms": now_ms}
    del row["number"]
    return row


def _one(connection: Connection, letter_id: str) -> Case | None:
    row = connection.execute(_GET, {"of_letter": letter_id}).mappings().first()
    return None if row is None else case_of(row)


def _due(connection: Connection, limit: int) -> list[Case]:
    now_ms = clock_ms(connection)
    late = connection.execute(late_query(now_ms, limit)).mappings().all()
    due = connection.execute(due_query(now_ms, limit)).mappings().all() if len(late) < limit else []
    return [case_of(row) for row in (*late, *due)][:limit]


def late_query(now_ms: int, limit: int) -> sa.Select[Any]:
    """Those whose holder has let its deadline pass."""
    case = tables.case.c
    return sa.select(tables.case).where(
        case.holder_until_ms > tables.ZERO, case.holder_until_ms < now_ms, case.state == "working").order_by(
        case.holder_until_ms).limit(limit)


def due_query(now_ms: int, limit: int) -> sa.Select[Any]:
    """Those whose next step is due."""
    case = tables.case.c
    return sa.select(tables.case).where(
        case.due_ms > tables.ZERO, case.due_ms <= now_ms, case.state.in_(_WAITING)).order_by(
        case.due_ms, case.letter_id).limit(limit)


def _found(connection: Connection, wanted: Filter, newest_first: bool, limit: int, after: str) -> list[Case]:
    last = _one(connection, after) if after else None
    place = None if last is None else (last.dead_ms, last.letter_id)
    query = page_query(wanted, place, limit, newest_first=newest_first)
    return [case_of(row) for row in connection.execute(query).mappings()]


def case_of(row: Any) -> Case:
    """A row as a record."""
    values = dict(row)
    values["group"] = values.pop("grp")
    values["fresh"] = bool(values["fresh"])
    return Case(**values)


def step_of(row: Any) -> Step:
    """A row as a record."""
    return Step(**{**dict(row), "by_person": bool(row["by_person"])})
