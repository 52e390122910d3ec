# SPDX-License-Identifier: Apache-2.0
"""The hand that moves cases: what judging, deeds, outcomes and recovery have in common.

A move that comes too late (``CaseMoved``) is no error: another instance, or a person, was quicker. Whatever else a move
has to write (what people are told, what a breaker counts) is written in its transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ..._base import events as ev
from ..._base import points
from ..._base.chance import Chance
from ..._base.clock import Clock
from ..._base.events import Events
from ..desk import Actor, Case, Desk, Step
from ..desk.tells import to_tell
from ..handling.doors import Mender, Tale
from ..handling.file import Rules
from .outside import Outside
from .settings import ServiceSettings

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from ..applied import Applied

#: Gives whoever knows which effects of a group's messages are there: logical stream, group.
AppliedOf = Callable[[str, str], "Applied"]


@dataclass(slots=True)
class Hand:
    """One instance at work. ``times``: the desk's time of the round, and this machine's clock at that."""

    desk: Desk
    outside: Outside
    rules: Rules
    settings: ServiceSettings
    actor: Actor
    events: Events
    clock: Clock
    chance: Chance
    mender: Mender
    applied_of: AppliedOf
    times: tuple[int, float] = (0, 0.0)
    #: Letters that are on their way, by stream and group, as asked in this round.
    on_their_way: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    async def begin_round(self) -> None:
        """Asks the desk for its time."""
        asked = self.clock.now()
        self.times = (await self.desk.now_ms(), asked)
        self.on_their_way.clear()

    def now_ms(self) -> int:
        """The desk's time, never ahead of it."""
        ms, at = self.times
        return ms + int((self.clock.now() - at) * 1000)

    async def move(self, case: Case, after: Any, what: str, *, result: str = "ok", why: str = "", began: float = 0.0,
                   tale: Tale | None = None, also: Callable[[Connection], object] | None = None,
                   more: dict[str, Any] | None = None, **changes: Any) -> Case:
        """Moves and records. why, more: for the record, without payload. tale: what people are told of it.

        Raises CaseMoved.
        """
        detail = {**({"why": why} if why else {}), **(more or {})}
        said = Step(letter_id="", what="", actor="", result=result, attempts=case.attempts,
                    duration_ms=int((self.clock.now() - began) * 1000) if began else 0,
                    detail=msgspec.json.encode(detail).decode() if detail else "")

        def beside(connection: Connection) -> None:
            if tale is not None:
                to_tell(connection, case.letter_id, tale, why, at_ms=self.now_ms())
            if also is not None:
                also(connection)

        points.reached("dlq.move.before")
        moved = await self.desk.move(case, after, self.actor, what=what, said=said, also=beside, **changes)
        points.reached("dlq.move.after")
        return moved

    async def claim(self, case: Case, deed: str, **changes: Any) -> Case:
        """From here on it is in this instance's hand, until a deadline."""
        claimed = await self.move(case, "working", "claimed", deed=deed, holder=self.actor.name, due_ms=0,
                                  holder_until_ms=self.now_ms() + int(self.settings.deed_s * 1000),
                                  more={"deed": deed}, **changes)
        points.reached("dlq.claimed.after")
        return claimed

    async def give_up(self, case: Case, tale: Tale, why: str, **more: Any) -> Case:
        """A person's from now on."""
        verdict = self.rules.current.named(case.rule)
        tells = tale != "manual" or verdict is None or verdict.notify
        now = await self.move(case, "manual", "classified" if tale in ("manual", "notify") else "failed",
                              result="ok" if tale in ("manual", "notify") else "refused",
                              why=why, tale=tale if tells else None, due_ms=0, **more)
        self.tell_handled(now, "manual")
        return now

    async def gone(self, case: Case) -> Case:
        """Somebody moved the letter who did not ask the desk, or it was trimmed."""
        now = await self.move(case, "gone", "gone", due_ms=0,
                              why="it is not on its shelf: somebody replayed or discarded it, or it was trimmed")
        self.tell_handled(now, "gone")
        return now

    def tell_handled(self, case: Case, result: str) -> None:
        """An event. How it ended, and under which category: any of its codes could make a label without bounds."""
        category, code = _category(case)
        self.events.emit(ev.LetterHandled(
            stream=case.logical, group=case.group, letter_id=case.letter_id, category=category, code=code,
            action=case.action or "none", result=result, age_s=max(0.0, (self.now_ms() - case.dead_ms) / 1000)))

    def tell_judged(self, case: Case, began: float) -> None:
        """Events: what it is, and how long it took to say so."""
        self.events.emit(ev.LetterJudged(stream=case.logical, group=case.group, letter_id=case.letter_id,
                                         category=_category(case)[0], action=case.action))
        self.tell_step(case, "judged", began)

    def tell_step(self, case: Case, what: str, began: float) -> None:
        self.events.emit(ev.LetterStepped(stream=case.logical, group=case.group, letter_id=case.letter_id, what=what,
                                          seconds=self.clock.now() - began))

    async def way_of(self, case: Case) -> set[str]:
        """Letters of the case's group whose messages were sent back and are not settled, asked once a round."""
        whose = case.stream, case.group
        if whose not in self.on_their_way:
            self.on_their_way[whose] = await self.outside.on_their_way(*whose)
        return self.on_their_way[whose]


def _category(case: Case) -> tuple[str, str]:
    """And its code, if it is a business's."""
    category, _, code = case.category.partition(":")
    return category or "unknown", code
