# SPDX-License-Identifier: Apache-2.0
"""How things stand, as gauges. Each instance reads the same shelves and the same desk, so whoever adds the instances up
counts everything as often as there are instances: the dashboards take the largest.

Everything is read anew each time, and nothing is told from memory: the instance that saw replays pause may not be the
one that sees them go on, and one that was restarted has seen neither.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..._base import events as ev
from ...errors import ServerUnreachable
from ..desk import SENT_BACK, Desk, State
from ..desk.rounds import Standing, standings
from ..handling.breaker import Breaker
from ..jobs import standing as of_jobs
from ..notify import store as notices
from .groups import Whose
from .hand import Hand
from .outside import Shelved
from .pauses import pauses

if TYPE_CHECKING:
    from ..branch.branch import Branch

T = TypeVar("T")
_Emit = Callable[[ev.Event], object]
#: A logical stream and a group.
_Name = tuple[str, str]


class _AtDesk(NamedTuple):
    now_ms: int
    cases: dict[_Name, Standing]
    jobs: dict[_Name, dict[str, int]]
    breakers: dict[str, Breaker]
    untold: int


async def stand(hand: Hand, taken_from: Iterable[Whose], branches: Iterable[Branch] = ()) -> None:
    """Tells how each group stands whose letters are taken in. Raises ServerUnreachable when the desk or the server does
    not answer, after it has told which."""
    emit = hand.events.emit
    emit(ev.RulesStood(current=not hand.rules.refused))
    desk, shelves = await asyncio.gather(
        asked("desk", emit, _at_desk(hand.desk)), asked("server", emit, _shelves(hand, list(taken_from))),
        return_exceptions=True)
    if isinstance(desk, BaseException):
        raise desk
    if isinstance(shelves, BaseException):
        raise shelves
    emit(ev.NoticesStood(untold=desk.untold if hand.rules.current.notify is not None else 0))
    for name, parts in sorted(shelves.items()):
        emit(_stood(name, parts, desk))
        emit(_jobs(name, desk))
        for category, paused in paused_of(name, desk.breakers).items():
            emit(ev.ReplaysStood(stream=name[0], group=name[1], category=category, paused=paused))
    for branch in branches:
        emit(branch.stood(*_since(desk, (branch.origin.name, branch.origin.group), "replaying")))


async def asked(what: str, emit: _Emit, asking: Coroutine[Any, Any, T]) -> T:
    """What was asked for, and an event that says whether there was an answer. Raises ServerUnreachable."""
    try:
        found = await asking
    except ServerUnreachable:
        emit(ev.NeedAnswered(what=what, answered=False))  # guard: which one is told
        raise
    emit(ev.NeedAnswered(what=what, answered=True))
    return found


async def _at_desk(desk: Desk) -> _AtDesk:
    cases = {(one.logical, one.group): one for one in await standings(desk)}
    return _AtDesk(await desk.now_ms(), cases, await of_jobs.standings(desk), await pauses(desk),
                   await notices.untold(desk))


async def _shelves(hand: Hand, taken_from: list[Whose]) -> dict[_Name, list[Shelved]]:
    await hand.outside.server.shared(b"").call("PING")  # it is asked even while there are no letters
    found: dict[_Name, list[Shelved]] = defaultdict(list)
    for whose in taken_from:
        found[whose.logical, whose.group].append(await hand.outside.shelved(whose.stream, whose.group))
    return found


def _stood(name: _Name, parts: list[Shelved], desk: _AtDesk) -> ev.DeskStood:
    cases = desk.cases.get(name)
    states = cases.states if cases else {}
    manual, manual_oldest_s = _since(desk, name, "manual")
    oldest_ms = max((part.now_ms - part.oldest_ms for part in parts if part.oldest_ms is not None), default=0)
    return ev.DeskStood(
        stream=name[0], group=name[1], length=sum(part.length for part in parts), oldest_s=oldest_ms / 1000,
        pending=sum(part.pending for part in parts), open=sum(states.values()), scheduled=states.get("scheduled", 0),
        replayed=sum(states.get(state, 0) for state in SENT_BACK), manual=manual,
        manual_oldest_s=manual_oldest_s)


def _since(desk: _AtDesk, name: _Name, state: State) -> tuple[int, float]:
    """How many of a group's cases are in a state, and for how many seconds the one is that nobody has touched since."""
    cases = desk.cases.get(name)
    if cases is None or state not in cases.states:
        return 0, 0.0
    return cases.states[state], max(0, desk.now_ms - cases.touched_ms[state]) / 1000


def _jobs(name: _Name, desk: _AtDesk) -> ev.JobsStood:
    states = desk.jobs.get(name, {})
    return ev.JobsStood(stream=name[0], group=name[1], waiting=states.get("waiting", 0),
                        running=states.get("running", 0), adrift=states.get("adrift", 0),
                        paused=states.get("paused", 0), stopped=states.get("stopped", 0))


def paused_of(name: _Name, breakers: dict[str, Breaker]) -> dict[str, bool]:
    """A group's categories that have a breaker, and whether replays of one pause. Codes of business errors, each with
    a breaker of its own, are one category."""
    source, found = f" {name[0]}/{name[1]}", dict[str, bool]()
    for known, breaker in breakers.items():
        if known.endswith(source):
            category = known.removesuffix(source).partition(":")[0]
            found[category] = found.get(category, False) or breaker.state != "closed"  # guard: as the desk has it
    return found
