# SPDX-License-Identifier: Apache-2.0
"""Breakers of replays, one for a category and a group, shared by all instances through the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._base.clock import Clock
from ..._base.events import Events, ReplaysPaused
from ..desk import Case, Desk
from ..desk.shared import change, changed, values
from ..desk.tells import to_tell
from ..handling.breaker import Breaker, after, leave
from ..handling.file import Rules

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

BEFORE = "breaker "
#: Seconds for which one that was closed is taken to be so still: asking costs a transaction a replay.
TRUSTED_S = 0.5


class Pauses:
    """Asks for leave, and tells what became of it."""

    def __init__(self, desk: Desk, rules: Rules, clock: Clock, events: Events) -> None:
        self._desk, self._rules, self._clock, self._events = desk, rules, clock, events
        self._closed_until: dict[str, float] = {}

    async def leave(self, case: Case) -> int:
        """0: it may be sent back. Otherwise when to ask again, in ms of the desk."""
        name = name_of(case)
        if self._clock.now() < self._closed_until.get(name, 0.0):
            return 0

        def ask(breaker: Breaker, now_ms: int) -> tuple[Breaker, tuple[int, bool]]:
            given = leave(breaker, case.letter_id, now_ms, self._rules.current.breaker)
            return given.breaker, (given.wait_ms, given.breaker.state == "closed")

        wait_ms, is_closed = await change(self._desk, name, Breaker, ask)
        if is_closed:
            self._closed_until[name] = self._clock.now() + TRUSTED_S
        return wait_ms

    def ended(self, connection: Connection, case: Case, *, handled: bool) -> bool | None:
        """Counts what became of a replay, within the transaction that records it. True: replays pause from now on;
        False: they go on; None: as before."""
        def count(breaker: Breaker, now_ms: int) -> tuple[Breaker, bool | None]:
            now = after(breaker, case.letter_id, now_ms, self._rules.current.breaker, handled=handled)
            paused = now.state == "open" and breaker.state == "closed"
            resumed = now.state == "closed" and breaker.state != "closed"
            return now, True if paused else False if resumed else None

        moved = changed(connection, name_of(case), Breaker, count)
        if moved is not None:
            kind = "paused" if moved else "resumed"
            to_tell(connection, case.letter_id, kind, f"replays of {case.category} of {case.logical}/{case.group}")
        return moved

    def tell(self, case: Case, paused: bool | None) -> None:
        """Says so, once it is committed."""
        if paused is not None:
            self._closed_until.pop(name_of(case), None)
            self._events.emit(ReplaysPaused(stream=case.logical, group=case.group, paused=paused,
                                            category=case.category.partition(":")[0]))


async def pauses(desk: Desk) -> dict[str, Breaker]:
    """All breakers, by ``category stream/group``."""
    return await values(desk, BEFORE, Breaker)


def name_of(case: Case) -> str:
    """Of its breaker."""
    return f"{BEFORE}{case.category} {case.logical}/{case.group}"
