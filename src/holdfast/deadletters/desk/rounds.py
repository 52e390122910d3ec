# SPDX-License-Identifier: Apache-2.0
"""What a service asks of the desk each round, beside what is due: children, postponements, how things stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from . import tables
from .case import ENDS, Case
from .desk import Desk, case_of


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How many cases of a group are in which state, and when the one of each was touched that nobody has touched for
    longest, in ms of the desk; those that ended are left out."""

    logical: str
    group: str
    states: dict[str, int]
    touched_ms: dict[str, int] = {}

    @property
    def open(self) -> int:
        """Not dealt with yet."""
        return sum(self.states.values())


async def children(desk: Desk, letter_ids: Sequence[str]) -> dict[str, Case]:
    """Of each of these letters the one that its replay died as, where there is one."""
    query = children_query(letter_ids)
    rows = await desk.step(lambda connection: connection.execute(query).mappings().all(), reads=True)
    return {row["parent"]: case_of(row) for row in rows}


def children_query(letter_ids: Sequence[str]) -> sa.Select[Any]:
    """What died of replays of these; the first that died of one comes last."""
    case = tables.case.c
    return sa.select(tables.case).where(
        case.parent.in_(sorted(letter_ids)), case.parent != tables.NOBODY).order_by(case.dead_ms.desc())


async def tries_of(desk: Desk, letter_ids: Sequence[str]) -> dict[str, int]:
    """How often each of these was sent back by itself, the one included that it is known by here.

    One that is to be sent back was sent already, if somebody asks: by a holder who was taken for dead before.
    """
    case = tables.case.c
    query = sa.select(case.letter_id, case.tries, case.state).where(case.letter_id.in_(sorted(letter_ids)))
    rows = await desk.step(lambda connection: connection.execute(query).all(), reads=True)
    return {row.letter_id: row.tries + (row.state == "scheduled") for row in rows}  # guard: a slow holder's try counts


async def postpone(desk: Desk, case: Case, due_ms: int) -> None:
    """Looks again at this time, if it has not moved: no move, and so no record."""
    mine = sa.and_(tables.case.c.letter_id == case.letter_id, tables.case.c.version == case.version)
    await desk.write(case.letter_id, lambda connection, _: connection.execute(
        tables.case.update().where(mine), {"due_ms": due_ms}))


async def standings(desk: Desk) -> list[Standing]:
    """Every group that has a case that is open."""
    case = tables.case.c
    query = sa.select(case.logical, case.grp, case.state, sa.func.count().label("number"),
                      sa.func.min(case.changed_ms).label("touched_ms")).where(
        case.state.not_in(sorted(ENDS))).group_by(case.logical, case.grp, case.state)
    found: dict[tuple[str, str], Standing] = {}
    for row in await desk.step(lambda connection: connection.execute(query).all(), reads=True):
        one = found.setdefault((row.logical, row.grp), Standing(logical=row.logical, group=row.grp, states={},
                                                                touched_ms={}))
        one.states[row.state], one.touched_ms[row.state] = row.number, row.touched_ms
    return [found[name] for name in sorted(found)]
