# SPDX-License-Identifier: Apache-2.0
"""A runner's transactions: holding a job, taking its next letters, telling what became of them.

A runner holds its job until a deadline, which each of its transactions asks for and moves on. One that was taken for
dead finds out at its next transaction, and stops; what it was about to send meanwhile is moved by a script that moves a
letter once, whoever comes first.

A letter with a case at the desk is claimed there in the same transaction, so that a service lets it be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..desk import Actor
from ..desk.tables import NOBODY
from . import cases, tables
from .job import Counts, Item, Job, JobRefused
from .store import items_of, one
from .writing import write

#: For how long a runner that is not heard of holds its job.
HOLD_MS: Final = 30_000


class Taken(msgspec.Struct, frozen=True):
    """What to send now: letters, and of some the SHA-256 of the body that is sent in place of their own.

    refused: letters that were due and cannot go; held: those that wait behind them for good.
    """

    items: list[Item]
    edited: dict[str, str]
    refused: int = 0
    held: int = 0


def hold(connection: Connection, job_id: str, holder: str, *, counted: bool = True) -> Job:
    """This runner's from now on. Raises JobRefused when it does not run, or another runner has it."""
    job, now_ms = tables.job.c, clock_ms(connection)
    free = sa.or_(job.holder == "", job.holder == holder, job.holder_until_ms < now_ms)
    mine = sa.and_(job.id == job_id, job.state == "running", free)
    got = connection.execute(tables.job.update().where(mine), {"holder": holder, "holder_until_ms": now_ms + HOLD_MS})
    found = one(connection, job_id, counted=counted)
    if got.rowcount != 1 or found is None:  # guard: one runner a job
        said = "is not there" if found is None else f"is {found.state}" if found.state != "running" else (
            f"is run by {found.holder}")
        raise JobRefused(f"job {job_id} {said}")
    return found


def _still(connection: Connection, job_id: str, holder: str) -> Job:
    mine = sa.and_(tables.job.c.id == job_id, tables.job.c.holder == holder)
    got = connection.execute(tables.job.update().where(mine), {"holder_until_ms": clock_ms(connection) + HOLD_MS})
    found = one(connection, job_id, counted=False)
    if got.rowcount != 1 or found is None:  # guard: a runner that was taken for dead tells nothing
        raise JobRefused(f"job {job_id} is run by {found.holder if found else 'nobody'}")
    return found


def release(connection: Connection, job_id: str, holder: str) -> None:
    """Anybody's again."""
    mine = sa.and_(tables.job.c.id == job_id, tables.job.c.holder == holder)
    connection.execute(tables.job.update().where(mine), {"holder": "", "holder_until_ms": 0})


def take(connection: Connection, job_id: str, holder: str, limit: int) -> Taken:
    """The next letters, from now on ``working``. Raises JobRefused as ``hold`` does."""
    job = hold(connection, job_id, holder, counted=False)
    if not limit:
        return Taken([], {})
    found = items_of(connection.execute(_next(job, limit)))
    if not found:
        return Taken([], {})
    _taken_up(connection, job, found)
    known, now_ms = cases.known(connection, job), clock_ms(connection)
    odd = cases.odd(connection, job) if known else {}
    mine, told, edited = [], [], {}
    for item in found:
        case = odd.get(item.letter_id)
        if why := cases.not_ours(case, job, now_ms) if case else "":
            told.append(msgspec.structs.replace(item, state="refused", why=why))
            continue
        mine.append(msgspec.structs.replace(item, state="working", claims=item.claims + 1))
        if case is not None and case.edited:
            edited[item.letter_id] = case.edited
    _write(connection, told)
    held = _hold_back(connection, job, told)
    if known:
        cases.claim(connection, job, Actor(holder), now_ms)
    return Taken(mine, edited, refused=len(told), held=held)


def tell(connection: Connection, job_id: str, holder: str, items: Sequence[Item], *, failed: int = 0,
         counts: Counts | None = None) -> Job:
    """What became of these. failed: how many died again in time to count. counts: the job's letters as they stood, so
    that they need not be counted.

    What was sent is told even when the job was paused or cancelled meanwhile. Raises JobRefused when another runner has
    it.
    """
    job = _still(connection, job_id, holder)
    _write(connection, items)
    if failed:
        connection.execute(tables.job.update().where(tables.job.c.id == job_id).values(
            failed=tables.job.c.failed + failed))
        job = msgspec.structs.replace(job, failed=job.failed + failed)
    held = _hold_back(connection, job, [item for item in items if item.state in ("died", "refused")])
    cases.tell(connection, job, Actor(holder), items, clock_ms(connection))
    if counts is None:
        return one(connection, job_id) or job
    return msgspec.structs.replace(job, counts=counted(counts, items).moved("waiting", "held", held))


def counted(counts: Counts, told: Sequence[Item]) -> Counts:
    """Counts after these were told of: what came to an end had been sent, the others had been taken up."""
    for state, number in Counter(item.state for item in told).items():
        counts = counts.moved("sent" if state in ("handled", "died") else "working", state, number)
    return counts


def _next(job: Job, limit: int) -> sa.Select[Any]:
    item, other = tables.item, tables.item.alias("other")
    columns = [item.c[name] for name in ("job", "letter_id", "number", "stream", "entry_id", "key", "claims")]
    query = sa.select(*columns).where(item.c.job == job.id, item.c.state == "waiting")  # the others are as by default
    if job.plan.order == "settled":  # guard: one of a key at a time
        same = sa.and_(other.c.job == item.c.job, other.c.stream == item.c.stream, other.c.key == item.c.key,
                       other.c.key != NOBODY)
        out = sa.exists().where(same, other.c.state.in_(("working", "sent")))
        before = sa.exists().where(same, other.c.state == "waiting", other.c.number < item.c.number)
        query = query.where(sa.or_(item.c.key == "", sa.and_(~out, ~before)))
    return query.order_by(item.c.number).limit(limit)


def _taken_up(connection: Connection, job: Job, found: Sequence[Item]) -> None:
    """These, which wait, do so no more. Without an order to keep they are all that wait from the first to the last."""
    item = tables.item.c
    these = (item.number.between(found[0].number, found[-1].number) if job.plan.order == "sent"
             else item.number.in_([one_found.number for one_found in found]))
    connection.execute(tables.item.update().where(item.job == job.id, item.state == "waiting", these).values(
        state="working", claims=item.claims + 1))


_TOLD: Final = tables.item.update().where(
    tables.item.c.job == sa.bindparam("of_job"), tables.item.c.letter_id == sa.bindparam("of_letter")).values(
    {name: sa.bindparam(f"new_{name}") for name in ("state", "claims", "to", "entry", "sent_ms", "why")})


def _write(connection: Connection, items: Sequence[Item]) -> None:
    write(connection, _TOLD, [
        {"of_job": i.job, "of_letter": i.letter_id, "new_state": i.state, "new_claims": i.claims, "new_to": i.to,
         "new_entry": i.entry, "new_sent_ms": i.sent_ms, "new_why": i.why} for i in items])


def _hold_back(connection: Connection, job: Job, ended: Sequence[Item]) -> int:
    """Letters of a key whose earlier one is dead still: they would overtake it. Gives how many."""
    if job.plan.order != "settled":
        return 0
    item, held = tables.item.c, 0
    for one_ended in ended:
        if one_ended.key:
            held += connection.execute(tables.item.update().where(
                item.job == job.id, item.stream == one_ended.stream, item.key == one_ended.key,
                item.key != NOBODY,
                item.state == "waiting"),  # guard: none overtakes one of its key that is dead
                {"state": "held", "why": f"letter {one_ended.letter_id} of its key comes first, and is dead"}).rowcount
    return held
