# SPDX-License-Identifier: Apache-2.0
"""Letters that were sent back to another broker: on their way, and confirmed by it.

Where a letter died on Redis, one script takes it off its shelf and gives it to its group, so it is ``replayed`` at
once. To another broker it is carried, and is ``replaying`` until that broker has confirmed it. The confirmation is a
record of the handling log, written once, in whatever state its case is: what is not on its way and has no such record
was lost on its way, and what has one was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..branch.origin import broker_of
from . import tables
from .case import Actor, Case, State, Step
from .desk import Desk, case_of, noted

__all__ = ["CARRIED", "confirm", "sent_back", "was_carried"]

#: What the handling log calls it.
CARRIED: Final = "carried"
#: States of a letter that left its shelf and whose case does not say so yet: whoever moved it is about to.
_BEFORE: Final[tuple[State, ...]] = ("working", "scheduled")


def sent_back(logical: str) -> State:
    """What a letter of this stream is once it left its shelf."""
    return "replaying" if broker_of(logical) else "replayed"  # guard: not replayed before its broker has it


async def confirm(desk: Desk, letter_ids: Sequence[str], actor: Actor) -> list[str]:
    """Their messages are at their broker, by its own word: what is ``replaying`` is ``replayed`` from now on.

    Gives those whose cases are about to be told that they left their shelf: ask for these again. Twice does nothing.
    """
    return await desk.step(lambda connection: _confirmed(connection, sorted(letter_ids), actor))


def _confirmed(connection: Connection, letter_ids: list[str], actor: Actor) -> list[str]:
    case, step, now_ms = tables.case.c, tables.step.c, clock_ms(connection)
    found = [case_of(row) for row in connection.execute(sa.select(tables.case).where(
        case.letter_id.in_(letter_ids)).order_by(case.letter_id).with_for_update()).mappings()]
    connection.execute(tables.case.update().where(case.letter_id.in_(letter_ids), case.state == "replaying").values(
        state="replayed", version=case.version + 1, changed_ms=now_ms))
    known = set(connection.execute(sa.select(step.letter_id).where(
        step.letter_id.in_(letter_ids), step.what == CARRIED)).scalars())
    for one in found:
        if one.letter_id not in known:
            noted(connection, _record(one, actor), now_ms)
    return [one.letter_id for one in found if one.state in _BEFORE]


def _record(case: Case, actor: Actor) -> Step:
    after = "replayed" if case.state == "replaying" else case.state
    return Step(letter_id=case.letter_id, what=CARRIED, actor=actor.name, by_person=actor.person, before=case.state,
                after=after, category=case.category, rule=case.rule, action=case.action, trace_id=case.trace_id,
                attempts=case.attempts)


async def was_carried(desk: Desk, letter_id: str) -> bool:
    """Has a broker confirmed that it has this letter's message?"""
    return any(step.what == CARRIED for step in await desk.steps(letter_id))
