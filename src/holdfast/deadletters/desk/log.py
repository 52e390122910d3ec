# SPDX-License-Identifier: Apache-2.0
"""Searching the handling log over all letters. One letter's is ``Desk.steps``."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from . import tables
from .case import Step
from .desk import Desk, step_of


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which steps. None: whatever it is; all that are given must hold. since_ms: at this time or later."""

    letter_id: str | None = None
    what: str | None = None
    actor: str | None = None
    result: str | None = None
    since_ms: int | None = None


async def steps(desk: Desk, chosen: Chosen, *, limit: int = 100) -> list[Step]:
    """The last of them, oldest first."""
    step = tables.step.c
    query = sa.select(tables.step)
    for name in ("letter_id", "what", "actor", "result"):
        value = getattr(chosen, name)
        if value is not None:
            query = query.where(step[name] == value)
    if chosen.since_ms is not None:
        query = query.where(step.at_ms >= chosen.since_ms)
    query = query.order_by(step.number.desc()).limit(limit)
    return await desk.step(lambda connection: [step_of(row) for row in connection.execute(query).mappings()][::-1],
                           reads=True)
