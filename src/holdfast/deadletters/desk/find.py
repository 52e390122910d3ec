# SPDX-License-Identifier: Apache-2.0
"""Choosing cases, and gathering them by what they died of: as SQL, so that a hundred thousand are a screen at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .case import ENDS, State
from .tables import case


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which cases. None: whatever it is; all that are given must hold.

    logical, group: whose letters. states: in one of them. open: not dealt with yet (no end). since_ms: buried at this
    time or later. text: a part of the error's words, or an id in full. assignee: "" is nobody's.
    """

    logical: str | None = None
    group: str | None = None
    states: tuple[State, ...] | None = None
    open: bool | None = None
    reason: str | None = None
    error_type: str | None = None
    fingerprint: str | None = None
    category: str | None = None
    severity: str | None = None
    rule: str | None = None
    key: str | None = None
    message_id: str | None = None
    assignee: str | None = None
    fresh: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    text: str | None = None


_EQUAL = {"logical": case.c.logical, "group": case.c.grp, "reason": case.c.reason, "error_type": case.c.error_type,
          "fingerprint": case.c.fingerprint, "category": case.c.category, "severity": case.c.severity,
          "rule": case.c.rule, "key": case.c.key, "message_id": case.c.message_id, "assignee": case.c.assignee,
          "fresh": case.c.fresh}


def matching(query: sa.Select[Any], wanted: Filter) -> sa.Select[Any]:
    """The query, of those that are wanted."""
    for name, column in _EQUAL.items():
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(column == value)
    if wanted.states is not None:
        query = query.where(case.c.state.in_(wanted.states))
    if wanted.open is not None:
        ends = case.c.state.in_(sorted(ENDS))
        query = query.where(~ends if wanted.open else ends)
    if wanted.since_ms is not None:
        query = query.where(case.c.dead_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        query = query.where(case.c.dead_ms <= wanted.until_ms)
    if wanted.text:
        ids = (case.c.letter_id, case.c.message_id, case.c.key, case.c.source_id, case.c.trace_id)
        query = query.where(sa.or_(case.c.error.contains(wanted.text, autoescape=True),
                                   *(column == wanted.text for column in ids)))
    return query


def page_query(wanted: Filter, last: tuple[int, str] | None, limit: int, *, newest_first: bool) -> sa.Select[Any]:
    """Cases by time of burial. last: when the last one of the page before was buried (ms), and its letter id."""
    query, place = matching(sa.select(case), wanted), sa.tuple_(case.c.dead_ms, case.c.letter_id)
    if last is not None:
        query = query.where(place < sa.tuple_(*last) if newest_first else place > sa.tuple_(*last))
    order = (case.c.dead_ms, case.c.letter_id)
    return query.order_by(*(column.desc() for column in order) if newest_first else order).limit(limit)


class CaseGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Cases that died of the same thing: one fingerprint, one reason. first_ms, last_ms: when they were buried.

    example: the letter that came last. fresh: whether the fingerprint was new with one of them.
    """

    fingerprint: str
    reason: str
    error_type: str
    stage: str
    error: str
    count: int
    first_ms: int
    last_ms: int
    example: str
    fresh: bool


def grouped(connection: Connection, wanted: Filter, limit: int) -> list[CaseGroup]:
    """The largest groups first. Everything that is said of one is said of those of its letters that are wanted."""
    found: dict[tuple[str, str], CaseGroup] = {}
    for row in connection.execute(gathered_query(wanted, limit)).mappings():
        group, name = _group(row), (row["fingerprint"], row["reason"])
        if name not in found or group.example > found[name].example:  # several that were buried in the same ms
            found[name] = group
    return list(found.values())


def gathered_query(wanted: Filter, limit: int) -> sa.Select[Any]:
    """One statement: the groups from an index alone, then of each the row that was buried last."""
    number = sa.func.count().label("number")
    query = matching(sa.select(
        case.c.fingerprint, case.c.reason, number, sa.func.min(case.c.dead_ms).label("first_ms"),
        sa.func.max(case.c.dead_ms).label("last_ms"),
        sa.func.max(sa.case((case.c.fresh, 1), else_=0)).label("any_fresh")), wanted)
    groups = query.group_by(case.c.fingerprint, case.c.reason).order_by(
        number.desc(), case.c.fingerprint, case.c.reason).limit(limit).subquery("gathered")
    last = sa.and_(case.c.fingerprint == groups.c.fingerprint, case.c.reason == groups.c.reason,
                   case.c.dead_ms == groups.c.last_ms)
    joined = sa.select(groups, case.c.letter_id, case.c.error_type, case.c.stage, case.c.error).join_from(
        groups, case, last)
    return matching(joined, wanted).order_by(  # guard: an example is wanted itself
        groups.c.number.desc(), groups.c.fingerprint, groups.c.reason)


def _group(row: Any) -> CaseGroup:
    return CaseGroup(fingerprint=row["fingerprint"], reason=row["reason"], error_type=row["error_type"],
                     stage=row["stage"], error=row["error"], count=row["number"], first_ms=row["first_ms"],
                     last_ms=row["last_ms"], example=row["letter_id"], fresh=bool(row["any_fresh"]))
