# SPDX-License-Identifier: Apache-2.0
"""What people do with letters at the desk: whose they are, what is said about them, thrown away and taken back.

A letter that is thrown away stays on its shelf until the time for undoing is over; only then a service takes it off,
and keeps its entry. So taking it back moves the case alone, and nothing can get lost on the way.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ..._sql.tables import fit
from ...errors import LetterError
from ..desk import Actor, Case, Desk, Filter, Step, tables
from ..desk.tables import NAME_BYTES
from ..letters import LetterInfo
from ..service.cases import case_of


async def queue(desk: Desk, *, assignee: str | None = None, limit: int = 100) -> list[Case]:
    """Letters that wait for a person, oldest first. assignee: of this person; "" is nobody's; None: all."""
    return await desk.find(Filter(states=("manual",), assignee=assignee), newest_first=False, limit=limit)


async def taken_in(desk: Desk, letter: LetterInfo, logical: str, by: Actor) -> Case:
    """The case of a letter, made where the service has not made it yet, and judged to be a person's."""
    (case,) = await desk.take_in([case_of(letter, logical)], by)
    return await claimed(desk, case, by)


async def claimed(desk: Desk, case: Case, by: Actor) -> Case:
    """A person's from now on, where nobody has judged it yet; another one stays as it is. Raises CaseMoved."""
    if case.state == "new":
        case = await desk.move(case, "classified", by, what="classified", action="manual")
    return case if case.state != "classified" else await desk.move(case, "manual", by, what="claimed", due_ms=0)


async def assign(desk: Desk, case: Case, assignee: str, by: Actor) -> Case:
    """Gives a letter to somebody; to nobody with "". Raises CaseMoved, LetterError when it waits for no person."""
    check_waits(case)
    return await desk.move(case, "manual", by, what="assigned", assignee=fit(assignee, NAME_BYTES))


async def comment(desk: Desk, case: Case, words: str, by: Actor) -> None:
    """Says something about a letter. The words are kept apart from the log, so that they can be erased."""
    def work(connection: Connection) -> None:
        connection.execute(tables.comment.insert(), {
            "letter_id": case.letter_id, "person": fit(by.name, NAME_BYTES), "words": words.replace("\0", "\ufffd"),
            "at_ms": clock_ms(connection)})

    await desk.step(work)
    await desk.note(Step(letter_id=case.letter_id, what="commented", actor=by.name, by_person=by.person))


async def comments(desk: Desk, letter_id: str) -> list[tuple[int, str, str]]:
    """When (ms), by whom, and what; oldest first."""
    said = tables.comment.c
    query = sa.select(said.at_ms, said.person, said.words).where(said.letter_id == letter_id).order_by(said.number)
    return [tuple(row) for row in await desk.step(lambda connection: connection.execute(query).all(), reads=True)]


async def discard(desk: Desk, case: Case, by: Actor, *, undo_ms: int) -> Case:
    """Throws a letter away. It can be taken back for so long; then a service takes it off its shelf for good."""
    due_ms = await desk.now_ms() + max(1, undo_ms)
    return await desk.move(case, "discarded", by, what="discarded", action="discard", due_ms=due_ms)


async def undo(desk: Desk, case: Case, by: Actor) -> Case:
    """Takes a discard back, or else an edit. Raises LetterError when there is nothing that can be undone."""
    if case.state == "discarded":  # guard: only before it is taken off its shelf
        return await desk.move(case, "manual", by, what="undone", action="manual", due_ms=0)
    if case.state == "manual" and case.edited:
        return await desk.move(case, "manual", by, what="undone", edited="")
    raise LetterError(f"letter {case.letter_id} is {case.state}: there is nothing to undo, or it is too late")


def check_waits(case: Case) -> None:
    """Raises LetterError for a letter that waits for no person."""
    if case.state != "manual":
        raise LetterError(f"letter {case.letter_id} is {case.state}: only one that waits for a person can be dealt "
                          "with by one")
