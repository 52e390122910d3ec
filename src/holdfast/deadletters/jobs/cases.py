# SPDX-License-Identifier: Apache-2.0
"""The cases of a job's letters at the desk: claimed when their letters are taken up, and told with them.

All of it happens in the transaction that writes the letters. There may be a case for each of a hundred thousand of
them, so what is the same for all is one statement for all; what differs goes row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..desk import Actor, Case, State
from ..desk import tables as desk_tables
from ..desk.carried import sent_back
from ..desk.desk import case_of
from . import tables
from .job import Item, Job
from .writing import write

#: Cases that a job may claim; those of letters that are dealt with already are left as they are.
_OPEN: Final[tuple[State, ...]] = ("new", "classified", "scheduled", "manual", "working")
#: For how long a runner that is not heard of holds its letters' cases.
_HOLD_MS: Final = 60_000
#: A replay is looked after by the service so much later.
_CHECK_MS: Final = 5_000
_LOGGED: Final = ("letter_id", "what", "actor", "by_person", "before", "after", "category", "rule", "action", "result",
                  "attempts", "duration_ms", "trace_id", "detail", "at_ms")
#: What becomes of a case when its letter is told of: its state (None: see ``_sent``), which letters, what the log calls
#: it, and when the service looks again.
_TOLD: Final[tuple[tuple[State | None, tuple[str, ...], str, int], ...]] = (
    (None, ("sent",), "replayed", _CHECK_MS), ("gone", ("gone",), "gone", 0),
    ("manual", ("applied", "refused"), "failed", 0), ("manual", ("waiting",), "released", 0))


def known(connection: Connection, job: Job) -> bool:
    """Has any of the letters that were just taken up a case? All of these are this transaction's from here on."""
    case, item = desk_tables.case, tables.item
    query = sa.select(case.c.letter_id).join(item, item.c.letter_id == case.c.letter_id).where(
        item.c.job == job.id, item.c.state == "working")
    if connection.dialect.name == "sqlite":  # which has one writer
        return connection.execute(query.limit(1)).first() is not None
    return bool(connection.execute(query.with_for_update(of=case)).all())


def odd(connection: Connection, job: Job) -> dict[str, Case]:
    """Of the letters that were just taken up: cases that somebody else has, or threw away, or edited."""
    case, item = desk_tables.case, tables.item
    query = sa.select(case).join(item, item.c.letter_id == case.c.letter_id).where(
        item.c.job == job.id, item.c.state == "working",
        sa.or_(case.c.state == "discarded", case.c.edited != desk_tables.NOBODY,
               sa.and_(case.c.state == "working", case.c.holder != _holder(job))))
    return {row["letter_id"]: case_of(row) for row in connection.execute(query).mappings()}


def not_ours(case: Case, job: Job, now_ms: int) -> str:
    """Why a job lets a letter be; empty when it need not."""
    if case.state == "working" and case.holder != _holder(job) and case.holder_until_ms >= now_ms:
        return f"{case.holder} is at it"  # guard: not what somebody else is at
    return "it was discarded: undo that first" if case.state == "discarded" else ""


def claim(connection: Connection, job: Job, by: Actor, now_ms: int) -> None:
    """The cases of all letters that are taken up."""
    case, item = desk_tables.case.c, tables.item.c
    mine = sa.and_(  # and not those that it claimed before, which are being sent
        case.state.in_(_OPEN), sa.or_(case.state != "working", case.holder != _holder(job)),
        case.letter_id.in_(sa.select(item.letter_id).where(item.job == job.id, item.state == "working")))
    _log(connection, job, by, sa.and_(mine, case.state == "new"), now_ms, after="classified", what="classified")
    _log(connection, job, by, mine, now_ms, after="working", what="claimed", before=sa.case(
        (case.state == "new", "classified"), else_=case.state))
    connection.execute(desk_tables.case.update().where(mine).values(
        state="working", version=case.version + 1, changed_ms=now_ms, deed="replay", holder=_holder(job),
        holder_until_ms=now_ms + _HOLD_MS, due_ms=0))


def tell(connection: Connection, job: Job, by: Actor, items: Sequence[Item], now_ms: int) -> None:
    """What became of letters, said of their cases. Those that simply went are one statement."""
    odd_ones = [item for item in items if (item.state != "sent" or item.why)
                and item.state in ("sent", "applied", "refused", "gone", "waiting")]
    _tell_each(connection, job, by, odd_ones, now_ms)
    if len(odd_ones) < len(items):
        _tell_sent(connection, job, by, now_ms)


def _tell_sent(connection: Connection, job: Job, by: Actor, now_ms: int) -> None:
    case, item = desk_tables.case.c, tables.item.c
    sent = sa.exists().where(item.job == job.id, item.letter_id == case.letter_id, item.state == "sent")
    mine = sa.and_(case.holder_until_ms > desk_tables.ZERO, case.holder == _holder(job), sent)
    _log(connection, job, by, mine, now_ms, after=_sent(job), what="replayed")
    connection.execute(desk_tables.case.update().where(mine).values(
        state=_sent(job), version=case.version + 1, changed_ms=now_ms, deed="", holder="", holder_until_ms=0,
        due_ms=now_ms + _CHECK_MS))


def _log(connection: Connection, job: Job, by: Actor, which: sa.ColumnElement[bool], now_ms: int, *, after: State,
         what: str, before: sa.ColumnElement[Any] | None = None) -> None:
    """A step for each of these cases."""
    case = desk_tables.case.c
    found = sa.select(
        case.letter_id, _text(what), _text(by.name), sa.literal(by.person, sa.Boolean),
        case.state if before is None else before, _text(after), case.category, case.rule, _text("job"), _text("ok"),
        case.attempts, sa.literal(0), case.trace_id, _text(_detail(job, "")), sa.literal(now_ms, sa.BigInteger)
    ).where(which)
    connection.execute(desk_tables.step.insert().from_select(list(_LOGGED), found))


def _text(value: str) -> sa.ColumnElement[str]:
    return sa.cast(sa.literal(value), sa.Text)


def _tell_each(connection: Connection, job: Job, by: Actor, items: Sequence[Item], now_ms: int) -> None:
    case = desk_tables.case
    query = sa.select(case).where(case.c.letter_id.in_([item.letter_id for item in items]),
                                  case.c.holder == _holder(job)).with_for_update()
    found = {row["letter_id"]: case_of(row) for row in connection.execute(query).mappings()} if items else {}
    for told, states, what, due in _TOLD:
        after = told or _sent(job)
        mine = [(found[i.letter_id], i) for i in items if i.state in states and i.letter_id in found]
        changes = {"state": after, "deed": "", "holder": "", "holder_until_ms": 0, "changed_ms": now_ms,
                   "due_ms": now_ms + due if due else 0}
        write(connection, case.update().where(case.c.letter_id == sa.bindparam("of_letter")).values(
            {name: sa.bindparam(f"new_{name}") for name in (*changes, "version")}),
            [{"of_letter": one.letter_id, "new_version": one.version + 1,
              **{f"new_{name}": value for name, value in changes.items()}} for one, _ in mine])
        write(connection, desk_tables.step.insert(), [
            {"letter_id": one.letter_id, "what": what, "actor": by.name, "by_person": by.person, "before": one.state,
             "after": after, "category": one.category, "rule": one.rule, "action": "job",
             "result": "refused" if what == "failed" else "ok", "attempts": one.attempts, "duration_ms": 0,
             "trace_id": one.trace_id, "detail": _detail(job, item.why), "at_ms": now_ms} for one, item in mine])


def _detail(job: Job, why: str) -> str:
    return msgspec.json.encode({"job": job.id, **({"why": why} if why else {})}).decode()


def _sent(job: Job) -> State:
    """What a letter is that was sent. Redirected, it was confirmed before it left its shelf."""
    return "replayed" if job.plan.redirect_to else sent_back(job.logical)


def _holder(job: Job) -> str:
    return f"job {job.id}"
