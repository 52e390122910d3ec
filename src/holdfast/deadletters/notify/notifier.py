# SPDX-License-Identifier: Apache-2.0
"""Whoever tells people: the service's ``Teller``, and rounds in which what is due is told.

::

    tell(case) ─▶ incident (opened, or one more letter) ─▶ a notice for each route
    round ─▶ is a backlog clear? ─▶ what is due, by channel ─▶ claimed ─▶ sent ─▶ marked

A notice is claimed with a deadline before it is sent and marked after. Who dies in between leaves it claimed; another
instance takes it then and tells it again, with the same key where the channel knows one, and saying that it may be a
repetition where it does not. So nothing is lost, and nothing is repeated without a crash or an answer that never came.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from ..._base import events as ev
from ..._base import points
from ..._base.chance import Chance, new_id, system_chance
from ..._base.clock import Clock, SystemClock
from ..._base.thinned import Thinned
from ...errors import CaseMoved, HoldfastError, IncidentNotFound
from ..desk import Case, Desk
from ..desk.shared import change
from ..handling.doors import EventTeller, Tale
from . import store
from .channels.channel import Answer, Channel
from .channels.mail import Mail
from .counting import Counting
from .incidents import About, Incident, Notice, What, doubted, free, next_of, slot, told
from .limits import Window, close, take
from .plan import Plan, Route
from .post import Post
from .words import Said

#: More of them than this for one channel are told together, if it can; and so many in one message at most.
GATHER_OVER, GATHER_MAX = 3, 30
#: Between two tries of one message in vain, in ms: doubled each time, up to the second, and spread by half.
AGAIN_MS, AGAIN_MAX_MS = 2_000, 300_000
#: A channel that has no room for so long is passed over, if there is another, in ms.
PATIENCE_MS = 30_000
#: For so long a message is one instance's. Beyond the time that one may take.
MINE_MS = 30_000
#: Seconds between two rounds, and between two clean-ups.
ROUND_S, CLEAN_S = 1.0, 600.0

_Due = tuple[Incident, Notice, What]
#: The same, and whether it may have been told before.
_Claimed = tuple[Incident, Notice, What, bool]


class Notifier:
    """One of any number of instances at one desk.

    plan: gives what is in force now; None: nobody is told but by events. post: sends. name: of this instance.
    """

    def __init__(self, desk: Desk, plan: Callable[[], Plan | None], *, post: Post | None = None,
                 events: ev.Events | None = None, clock: Clock | None = None, chance: Chance | None = None,
                 name: str = "notifier") -> None:
        self._desk, self._plan, self._name = desk, plan, name
        self._events, self._clock = events or ev.Events(), clock or SystemClock()
        self._chance = chance or system_chance()
        self._post = post or Post(clock=self._clock)
        self._by_event = EventTeller(self._events)
        self._counting = Counting(self._counted)
        self._trouble = Thinned(self._clock)
        self._cleaned: float | None = None
        self._full: set[str] = set()

    # -- what there is to tell ------------------------------------------------------------------------------------

    async def tell(self, kind: Tale, case: Case, why: str) -> None:
        """Counts a letter that needs people into its incident. Told again, it counts once."""
        if self._plan() is not None and kind != "resumed" and (kind == "paused" or case.state == "manual"):
            about: About = "pause" if kind == "paused" else "letters"
            await self._counting.count(slot(about, case.category, case.logical, case.group), (about, kind, case))
        await self._by_event.tell(kind, case, why)

    async def _counted(self, mine: str, letters: Sequence[tuple[About, Tale, Case]]) -> None:
        plan = self._plan()
        if plan is None:
            return
        about, _, first = letters[0]
        new = Incident(id=new_id(self._chance), about=about, kind=letters[-1][1], category=first.category,
                       logical=first.logical, group=first.group, severity=first.severity, opened_ms=0, changed_ms=0)
        if await store.opened(self._desk, mine, new, [case for _, _, case in letters], plan):
            self._events.emit(ev.IncidentChanged(stream=first.logical, group=first.group, category=first.category,
                                                 severity=first.severity, state="opened"))

    async def acknowledge(self, incident_id: str, by: str) -> Incident:
        """Somebody is at it: no more digests. Raises IncidentNotFound, CaseMoved when it is over."""
        while True:
            one = await store.get(self._desk, incident_id)
            if one is None:
                raise IncidentNotFound(f"there is no incident {incident_id}: `holdfast dlq notify ls` lists them")
            if one.state == "resolved":
                raise CaseMoved(f"incident {incident_id} is over since its backlog is clear", state="resolved")
            now = msgspec.structs.replace(one, state="acknowledged", acknowledged_by=by)
            if one.state == "acknowledged" or await store.moved(self._desk, one, now):
                return now

    # -- rounds ---------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Rounds, until ``stop`` is set. What is under way then is finished."""
        while not stop.is_set():
            try:
                await self.round()
            except HoldfastError as error:
                self._trouble.warn("telling people", error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round comes; its words may be anything
                self._trouble.warn("telling people", type(error).__name__)
            try:
                async with asyncio.timeout(ROUND_S * (0.8 + 0.4 * self._chance.random())):
                    await stop.wait()
            except TimeoutError:
                continue
        await self._post.close()

    async def round(self) -> int:
        """Ends incidents that are over, and tells what is due. Gives how many messages went out."""
        plan = self._plan()
        if plan is None:
            return 0
        for over in await store.resolve_clear(self._desk, plan.resolve_after_ms):
            self._events.emit(ev.IncidentChanged(stream=over.logical, group=over.group, category=over.category,
                                                 severity=over.severity, state="resolved"))
        await self._clean()
        due = await self._due(plan)
        sent = await asyncio.gather(*(self._told(plan, name, mine) for name, mine in due.items()))
        return sum(sent)

    async def _clean(self) -> None:
        if self._cleaned is None or self._clock.now() - self._cleaned > CLEAN_S:
            self._cleaned = self._clock.now()
            await store.clean_up(self._desk)

    async def _due(self, plan: Plan) -> dict[str, list[_Due]]:
        """What there is to tell now, by the channel that is to take it."""
        now_ms, found = await self._desk.now_ms(), defaultdict(list)
        for incident, notice in await store.unfinished(self._desk):
            route, what = plan.route(notice.route), next_of(incident, notice, now_ms, plan.digest_ms)
            under_way = notice.sending and notice.holder_until_ms > now_ms
            if what is None or notice.not_before_ms > now_ms or under_way:
                continue
            if route is None or (what == "resolved" and not notice.told and not notice.doubts and not notice.sending):
                await store.changed(self._desk, notice, msgspec.structs.replace(notice, done=True))  # nobody was told
                continue
            found[_channel_of(route, notice)].append((incident, notice, what))
        return found

    async def _told(self, plan: Plan, name: str, due: Sequence[_Due]) -> int:
        """One channel's, until it has no more room."""
        channel, sent = plan.channels[name], 0
        size = GATHER_MAX if channel.gathers and len(due) > GATHER_OVER else 1  # guard: many are told together
        for n in range(0, len(due), size):
            claimed = [found for one in due[n:n + size] if (found := await self._claimed(name, one)) is not None]
            if not claimed:
                continue
            wait_ms = await self._room(name, channel)
            if wait_ms:
                await self._passed_over(plan, claimed, wait_ms)
                break
            sent += await self._sent(plan, name, channel, claimed)
        return sent

    async def _room(self, name: str, channel: Channel | Mail) -> int:
        """0: there is room for a message. Otherwise how long to wait, in ms."""
        wait_ms = await change(self._desk, f"notify {name}", Window, partial(take, per_minute=channel.per_minute))
        if wait_ms and name not in self._full:
            self._full.add(name)
            self._emit(name, "limited")
        elif not wait_ms:
            self._full.discard(name)
        return wait_ms

    async def _passed_over(self, plan: Plan, claimed: Sequence[_Claimed], wait_ms: int) -> None:
        """They wait for room, or go to the next channel where that takes too long."""
        for incident, notice, what, _ in claimed:
            route = plan.route(notice.route)
            if wait_ms > PATIENCE_MS and what == "opened" and route is not None and len(route.to) > 1:
                await self._next_channel(route, incident, notice, "has no room", 0)
            else:
                await store.changed(self._desk, notice, free(notice))

    # -- one message ----------------------------------------------------------------------------------------------

    async def _sent(self, plan: Plan, name: str, channel: Channel | Mail, claimed: Sequence[_Claimed]) -> int:
        is_quiet = all(what == "acknowledged" for _, _, what, _ in claimed) and not channel.acknowledges
        answer = Answer("sent")
        if not is_quiet:
            await self._ended_elsewhere(plan, name, claimed)
            points.reached("dlq.notify.before")
            answer = await self._post.send(channel, _said(plan, channel, claimed))
            points.reached("dlq.notify.after")
            self._emit(name, answer.outcome)
        await self._marked(plan, name, claimed, answer)
        return int(not is_quiet and answer.outcome == "sent")

    async def _claimed(self, name: str, due: _Due) -> _Claimed | None:
        """This instance's for a while, or None when another was quicker. True: it may have been told before."""
        incident, notice, what = due
        again = bool(notice.sending) or name in notice.doubts.split(",")
        mine = msgspec.structs.replace(
            notice, sending=what, holder=self._name, holder_until_ms=await self._desk.now_ms() + MINE_MS,
            doubts=doubted(notice.doubts, name) if again else notice.doubts)
        if not await store.changed(self._desk, notice, mine):
            return None
        return incident, msgspec.structs.replace(mine, version=notice.version + 1), what, again

    async def _marked(self, plan: Plan, name: str, claimed: Sequence[_Claimed], answer: Answer) -> None:
        now_ms = await self._desk.now_ms()
        if answer.outcome == "limited":
            await change(self._desk, f"notify {name}", Window, partial(close, for_ms=int(answer.again_s * 1000)))
        for incident, notice, what, _ in claimed:
            if answer.outcome == "sent":
                await store.changed(self._desk, notice, told(notice, incident, what, name, now_ms))
                continue
            left = msgspec.structs.replace(
                notice, doubts=doubted(notice.doubts, name) if answer.doubt else notice.doubts)
            route = plan.route(notice.route)
            tries = plan.tries if answer.outcome == "failed" else 1
            # Whoever opened an alert has to close it; there is no hurry, so it is not passed over.
            patient = what in ("resolved", "acknowledged") and answer.outcome != "refused"
            if route is not None and notice.fails + 1 >= tries and not patient:
                await self._next_channel(route, incident, left, f"did not take it ({answer.why})", now_ms)
            else:
                await self._again(left, answer, now_ms)

    async def _again(self, notice: Notice, answer: Answer, now_ms: int) -> None:
        wait_ms = self._backoff_ms(notice.fails, answer)
        await store.changed(self._desk, notice, msgspec.structs.replace(
            free(notice), fails=notice.fails + 1, not_before_ms=now_ms + wait_ms))

    def _backoff_ms(self, fails: int, answer: Answer | None = None) -> int:
        spread = 0.5 + self._chance.random()
        wait_ms = min(AGAIN_MAX_MS, AGAIN_MS * 2 ** min(fails, 20)) * spread
        return int(max(wait_ms, (answer.again_s if answer else 0.0) * 1000))

    async def _next_channel(self, route: Route, incident: Incident, notice: Notice, why: str, now_ms: int) -> None:
        """After the last one of the route comes the first again, later: it is told until somebody takes it."""
        name = _channel_of(route, notice)
        position = (route.to.index(name) + 1) % len(route.to)
        after = msgspec.structs.replace(
            free(notice), position=position, via="", fails=0 if position else notice.fails + 1,
            why=f"Channel {name} {why}." if position else "",
            not_before_ms=0 if position else now_ms + self._backoff_ms(notice.fails + 2))
        if await store.changed(self._desk, notice, after) and position:
            self._emit(name, "fell_back")
            self._trouble.warn(f"channel {name} {why}", f"incident {incident.id} goes to {route.to[position]}")

    async def _ended_elsewhere(self, plan: Plan, name: str, claimed: Sequence[_Claimed]) -> None:
        """A channel that may have opened an alert without saying so is told that it is over, too."""
        for incident, notice, what, _ in claimed:
            for other in filter(None, notice.doubts.split(",")) if what == "resolved" else ():
                channel = plan.channels.get(other)
                if channel is not None and channel.keyed and other != name:
                    said = Said((what,), (incident,), (0,), plan.templates, key=_key(notice))
                    self._emit(other, (await self._post.send(channel, said)).outcome)

    async def close(self) -> None:
        """Closes connections."""
        await self._post.close()

    def _emit(self, channel: str, result: str) -> None:
        self._events.emit(ev.Notified(channel=channel, result=result))


async def test_channel(post: Post, plan: Plan, name: str, chance: Chance) -> Answer:
    """One message that says that it is a test; where it opens an alert, that is closed again."""
    channel, now_ms = plan.channels[name], SystemClock().wall_ms()
    incident = Incident(id=f"test-{new_id(chance)}", about="letters", category="unknown", logical="test",
                        group="test", severity="info", opened_ms=now_ms, changed_ms=now_ms, kind="notify")
    said = Said(("test",), (incident,), (0,), plan.templates, key=f"{incident.id}:test")
    answer = await post.send(channel, said)
    if answer.outcome == "sent" and channel.keyed:
        answer = await post.send(channel, replace(said, whats=("resolved",), key=f"{incident.id}:resolved"))
    return answer


def _channel_of(route: Route, notice: Notice) -> str:
    """The one that took the last message, or the one whose turn it is."""
    return notice.via if notice.via in route.to else route.to[notice.position % len(route.to)]


def _said(plan: Plan, channel: Channel | Mail, claimed: Sequence[_Claimed]) -> Said:
    notices = [notice for _, notice, _, _ in claimed]
    return Said(
        tuple(what for _, _, what, _ in claimed), tuple(incident for incident, _, _, _ in claimed),
        tuple(incident.count - notice.told_count for incident, notice, _, _ in claimed), plan.templates,
        repeated=any(again for *_, again in claimed) and not channel.keyed,
        note=notices[0].why if len(notices) == 1 else "", key=_key(notices[0]))


def _key(notice: Notice) -> str:
    return f"{notice.incident_id}:{notice.route}:{notice.serial}"

