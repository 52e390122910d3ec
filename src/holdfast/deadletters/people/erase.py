# SPDX-License-Identifier: Apache-2.0
"""Erasing what is kept of one key: letters on the shelf, bodies, errors' words, comments, and the key itself.

What stays is that there were letters, what was done with them and by whom, and a record of the erasure. In place of the
key stands a keyed hash (HMAC-SHA-256): with the same ``secret`` the same key gives the same mark, so that a second
request can be matched; without one it is drawn anew and thrown away.

What is out of reach: the user's own stream, replay streams, backups, replicas' files, and the old pages of PostgreSQL
until it vacuums. SQLite is vacuumed here. Letters in somebody's hand at this moment are left, and said.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sqlite3

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..._sql.tables import fit
from ..desk import ENDS, Actor, Desk, tables
from ..desk.arrived import uncased
from ..desk.kept import kept
from ..desk.tables import NAME_BYTES
from ..desk.tells import tell
from ..discard import remove
from ..export import fields_of
from ..jobs import tables as job_tables
from ..jobs.store import prepare
from ..letters import Choice, letter_info
from ..shelf import Shelf


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure found. mark: what stands in place of the key. busy: letters in somebody's hand, which were left:
    erase again later."""

    mark: str
    letters: int
    cases: int
    busy: list[str]
    done: bool


async def erase(desk: Desk, shelf: Shelf, key: str, by: Actor, *, why: str, secret: bytes, dry_run: bool) -> Erased:
    """Erases at the desk, in all groups, and on this shelf. ``why``: for the record; it must not hold the key."""
    await prepare(desk)
    mark = "erased:" + hmac.new(secret, key.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]
    busy = await desk.step(lambda connection: _busy(connection, key), reads=True)
    letters = [letter async for letter in shelf.letters(Choice(key=key), until_ms=await shelf.now_ms())
               if letter.id not in busy]
    if not dry_run:
        places = {keys.stream: keys for keys in await shelf.keys()}
        for letter in letters:
            await remove(shelf, places[letter.stream], letter)
    arrived = [] if dry_run else await _arrived(desk, key, shelf.prefix)
    cases = await desk.step(lambda connection: _erased(connection, key, mark, by, why=why, arrived=arrived,
                                                       dry_run=dry_run))
    if not dry_run:
        await _vacuum(desk)
    return Erased(mark=mark, letters=len(letters), cases=cases, busy=sorted(busy), done=not dry_run)


async def _arrived(desk: Desk, key: str, prefix: str) -> list[str]:
    """Letters of other brokers that are kept and have no case yet."""
    found, after = list[str](), ""
    while page := await uncased(desk, after=after):
        found += [letter_id for letter_id, line in page if letter_info(
            "", "", b"0-0", fields_of(line), prefix).key == key]
        after = page[-1][0]
    return found


def _busy(connection: Connection, key: str) -> set[str]:
    case = tables.case.c
    query = sa.select(case.letter_id).where(case.key == fit(key, NAME_BYTES), case.state == "working")
    return {row.letter_id for row in connection.execute(query)}


def _erased(connection: Connection, key: str, mark: str, by: Actor, *, why: str, arrived: list[str],
            dry_run: bool) -> int:
    case, now_ms = tables.case.c, clock_ms(connection)
    query = sa.select(case.letter_id, case.state).where(
        case.key == fit(key, NAME_BYTES), case.state != "working").with_for_update()  # guard: not what is in a hand
    found = connection.execute(query).all()
    ids = [row.letter_id for row in found]
    if dry_run:
        return len(ids)
    gone = ids + arrived  # guard: what has no case yet is erased, too
    for at in range(0, len(gone), 500):
        _forget(connection, gone[at:at + 500], mark, now_ms)
    open_ids = [row.letter_id for row in found if row.state not in ENDS]
    for at in range(0, len(open_ids), 500):
        connection.execute(tables.case.update().where(case.letter_id.in_(open_ids[at:at + 500])),
                           {"state": "gone", "due_ms": 0})
    item = job_tables.item.c
    connection.execute(job_tables.item.update().where(item.key == fit(key, NAME_BYTES)), {"key": mark})
    detail = msgspec.json.encode({"mark": mark, "why": why, "cases": len(ids)}).decode()
    connection.execute(tables.step.insert(), [
        {"letter_id": letter_id, "what": "erased", "actor": by.name, "by_person": by.person, "before": "", "after": "",
         "category": "", "rule": "", "action": "", "result": "ok", "attempts": 0, "duration_ms": 0, "trace_id": "",
         "detail": detail, "at_ms": now_ms} for letter_id in [*ids, mark]])
    return len(ids)


def _forget(connection: Connection, ids: list[str], mark: str, now_ms: int) -> None:
    case, body = tables.case.c, tables.body.c
    mine = kept.c.letter_id.in_(ids)
    hashes = [row.sha256 for row in connection.execute(sa.select(kept.c.sha256).where(mine))]
    hashes += [row.edited for row in connection.execute(sa.select(case.edited).where(case.letter_id.in_(ids)))]
    connection.execute(kept.delete().where(mine))
    connection.execute(tables.case.update().where(case.letter_id.in_(ids)).values(
        key=mark, error=mark, edited="", message_id=mark, version=case.version + 1, changed_ms=now_ms))
    others = sa.exists().where(kept.c.sha256 == body.sha256)
    connection.execute(tables.body.delete().where(body.sha256.in_(sorted({h for h in hashes if h})), ~others))
    connection.execute(tables.comment.update().where(tables.comment.c.letter_id.in_(ids)), {"words": mark})
    connection.execute(tables.step.update().where(tables.step.c.letter_id.in_(ids)), {"detail": ""})
    connection.execute(tell.update().where(tell.c.letter_id.in_(ids)), {"why": mark})


async def _vacuum(desk: Desk) -> None:
    """SQLite keeps what was deleted in free pages and in its log until then."""
    path = await desk.step(_file_of, reads=True)
    if path:
        await asyncio.to_thread(_rewritten, path)


def _file_of(connection: Connection) -> str:
    return str(connection.engine.url.database) if connection.dialect.name == "sqlite" else ""


def _rewritten(path: str) -> None:
    connection = sqlite3.connect(path, timeout=60)
    try:
        connection.execute("vacuum")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
