# SPDX-License-Identifier: Apache-2.0
"""What a consumer does besides reading: looks after the dead, the due, the lost, the undated, and the low-water mark.

One loop with two alarms: the next sweep (every ``sweep_ms``, spread by ±20 % so that consumers do not march in step)
and the next due time it knows of. A sweep that finds more than it may take goes on at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .._base import events as ev
from .._base import points
from .._redis.keys import PARKED
from .._redis.scripts import load_script
from .._redis.steps import ClockWatch, Step
from ..consume.contract import Inbox
from ..errors import ServerFull, ServerUnreachable
from .lane import Lane, Missing, Swept
from .lost_replies import LostReplies
from .names import OURS
from .retention import retain

if TYPE_CHECKING:
    from .source import StreamSource

_LATER = load_script("holdfast.streams", "later", "netstrings")
_LOW = load_script("holdfast.streams", "low", "ids")

#: Every how many sweeps consumers are looked at even when nothing is pending, and the low-water mark is recorded.
CLOSELY_EVERY = 8
#: A group none of whose consumers was seen for this long holds back trimming, and is reported.
UNSEEN_MS = 3_600_000
PARKED_NAME = PARKED.decode()
_PAGE = 200
#: Idle times renewed in one script.
_REFRESHED = 1000


class Sweeper:
    """The sweeps of one source, under whichever name it lives."""

    def __init__(self, source: StreamSource) -> None:
        self._source = source
        self._lost = {False: LostReplies(), True: LostReplies()}
        self._poked = asyncio.Event()
        self._clock_of = {replay: ClockWatch(source.settings.step_slack_ms) for replay in (False, True)}
        self.begin()

    def begin(self) -> None:
        """A new incarnation has seen nothing yet."""
        self._round = 0
        for watch in self._clock_of.values():
            watch.forget()
        self._due_at: float | None = None
        self._began_at = self._looked_at = self._source.clock.now()
        self._pages: dict[bool, tuple[bytes, int]] = {False: (b"-", 0), True: (b"-", 0)}
        for lost in self._lost.values():
            lost.forget()
        self.last: Swept | None = None
        self._later_waits = False

    def parked(self, due_in_ms: int) -> None:
        """One of ours was parked: no sweep need find out when it is due."""
        at = self._source.clock.now() + due_in_ms / 1000
        if self._due_at is None or at < self._due_at:
            self._due_at = at
            self._poked.set()

    async def loop(self, inbox: Inbox) -> None:
        """Sweeps until cancelled. What cannot be reached is tried again at the next sweep."""
        s = self._source
        next_sweep = s.clock.now()
        while True:
            now = s.clock.now()
            try:
                if now >= next_sweep:
                    more = await self._sweep(inbox)
                    spread = s.settings.sweep_ms / 1000 * (0.8 + 0.4 * s.chance.random())
                    next_sweep = s.clock.now() if more else s.clock.now() + spread  # type: ignore[assignment]
                elif self._due_at is not None and now >= self._due_at:
                    await self._claim_due(inbox)
            except (ServerUnreachable, ServerFull) as error:
                s.trouble.warn(f"sweeping {s.stream}", error)
                next_sweep = s.clock.now() + min(0.5, s.settings.sweep_ms / 1000)  # type: ignore[assignment]
                self._due_at = None
            alarm = next_sweep if self._due_at is None else min(next_sweep, self._due_at)
            self._poked.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, alarm - s.clock.now())):
                    await self._poked.wait()

    # -- one sweep ------------------------------------------------------------------------------------------------

    async def _sweep(self, inbox: Inbox) -> bool:
        s = self._source
        self._round += 1
        closely = self._round % CLOSELY_EVERY == 1
        swept = await self._look(s.main, inbox, closely=closely)
        if swept.replay_length:
            await self._look(s.replay, inbox, closely=closely)
        await self._publish_later(swept)
        if closely:
            await self._low_water(swept, inbox.held(s.main) + inbox.held(s.replay))
        self.last = swept
        return len(swept.taken) >= s.settings.take_max

    @property
    def _newcomer(self) -> bool:
        """A newcomer leaves expired leases alone.

        It cannot tell a dead consumer from a live one whose server has just jumped ahead; for half a lease it leaves
        the live ones time to say so (they beat every third of one). Recovery by a lone newcomer is that much later.
        Who has not looked for that long is a newcomer again: perhaps the server was away, and nobody could beat.
        Who has no lease at all is dead to it as to everybody. A partition's owner has no doubt: it was given the
        partition because its former owner was dead.
        """
        s = self._source
        return s.epoch is None and s.clock.now() - self._began_at < s.settings.lease_ms / 2000

    async def _look(self, lane: Lane, inbox: Inbox, *, closely: bool) -> Swept:
        s, settings, watch = self._source, self._source.settings, self._clock_of[lane.is_replay]
        sent_at = s.clock.now()
        if sent_at - self._looked_at > max(settings.lease_ms / 2, settings.sweep_ms * 1.5) / 1000:  # guard: absence
            self._began_at = sent_at
        swept = await lane.sweep(
            lease_ms=settings.lease_ms, wanted=0 if inbox_closed(s) else settings.take_max, seen_ms=watch.seen_ms,
            elapsed_ms=watch.elapsed_ms(sent_at), slack_ms=watch.slack_ms,
            other_server=watch.other_server(s.link.run_id), foreign_idle_ms=settings.foreign_idle_ms, closely=closely,
            newcomer=self._newcomer, now=sent_at)
        self._looked_at = s.clock.now()
        step = watch.looked(swept.now_ms, swept.jumped_ms, sent_at, self._looked_at, s.link.run_id)
        self._tell(swept, step)
        inbox.deliver(swept.taken)
        await self._bury(lane, swept.missing)
        if swept.own_pending > inbox.held(lane):
            await self._walk(lane, inbox)
        self._note_due(swept.next_due_ms, swept.now_ms)
        if any(is_foreign(name) for name, _, _, _ in swept.consumers):
            await self._refresh(lane)
        if swept.parked or swept.next_due_ms is not None or (closely and swept.pending):
            await self._reconcile(lane)
        return swept

    async def _refresh(self, lane: Lane) -> None:
        """Each entry once a sweep. With so many that the first are idle again before the last had their turn, going on
        until none is would never end, and nothing else be done."""
        for owner in (PARKED_NAME, lane.incarnation):
            after = b"-"
            while after:  # guard: all of them, however many, and each once
                after = await lane.refresh(owner, after, self._source.settings.sweep_ms, _REFRESHED)

    def _tell(self, swept: Swept, step: Step | None) -> None:
        s = self._source
        for name, count in swept.dead:
            s.events.emit(ev.TakenOver(
                stream=s.stream, group=s.group, from_consumer=name, consumer=s.incarnation, count=count,
                charged=sum(1 for d in swept.taken if d.crashes), payload_missing=len(swept.missing)))
        for name in swept.reaped:
            s.events.emit(ev.ConsumerReaped(stream=s.stream, group=s.group, consumer=name))
        if step is not None:
            s.events.emit(ev.ClockStepped(stream=s.stream, group=s.group, by_ms=step.by_ms, new_server=step.new_server))

    async def _walk(self, lane: Lane, inbox: Inbox) -> None:
        """Our own pending list: what is neither in flight here nor on its way is due now.

        What we know is left out as each page arrives, since a settle that is answered later makes it unknown and no
        less settled. And reads sent while we look may have taken what a page shows: so a read counts as ended if it had
        ended before the first page, and as out if it was sent before the last.
        """
        s = self._source
        pending: list[tuple[bytes, int]] = []
        after, ended = b"-", s.read_ended  # guard: before the first page (tests/unit/streams/test_lost_replies.py)
        while page := await lane.own_pending(after, _PAGE):
            pending += [row for row in page if not inbox.holds(lane, row[0])]  # guard: as it arrives (the same tests)
            after = b"(" + page[-1][0]
        lost = self._lost[lane.is_replay].walked(pending, lambda i: inbox.holds(lane, i), s.read_number, ended)
        found = [await lane.fetch(entry_id, count, s.clock.now()) for entry_id, count in lost]
        await self._bury(lane, [m for m in found if isinstance(m, Missing)])
        deliveries = [d for d in found if not isinstance(d, Missing) and not inbox.holds(lane, d.entry_id)]
        if deliveries:
            s.events.emit(ev.LostReplyRecovered(stream=s.stream, group=s.group, consumer=s.incarnation,
                                                count=len(deliveries)))
            inbox.deliver(deliveries)

    async def _bury(self, lane: Lane, missing: list[Missing]) -> None:
        s = self._source
        for one in missing:
            if s.settings.gone_is_done:  # guard: what others dealt with is no death
                await lane.acknowledge_missing(one)
                continue
            letter = s.entomb(lane, one)
            if not await lane.bury_missing(one, letter.fields, letter.id):
                s.events.emit(ev.Buried(
                    stream=s.stream, group=s.group, message_id="", entry_id=one.entry_id.decode(), letter_id=letter.id,
                    reason="payload_missing", stage="handle", error_type="", attempts=0))

    # -- parked, later, low water -----------------------------------------------------------------------------------

    def _note_due(self, due_ms: int | None, now_ms: int) -> None:
        if due_ms is not None:
            self.parked(max(0, due_ms - now_ms))

    async def _claim_due(self, inbox: Inbox) -> None:
        s = self._source
        self._due_at = None
        if self._later_waits:
            await self._move_later()
        lanes = [s.main, s.replay] if self.last is None or self.last.replay_length else [s.main]
        for lane in lanes:
            room = inbox.room()
            if room <= 0 or inbox_closed(s):
                self.parked(50)
                return
            due = await lane.claim_due(min(room, s.settings.take_max), s.clock.now())
            inbox.deliver(due.deliveries)
            await self._bury(lane, due.missing)
            self._note_due(due.next_due_ms, due.now_ms)
            if due.restored or due.stale:
                s.events.emit(ev.ParkingReconciled(stream=s.stream, group=s.group, restored=due.restored, undated=0,
                                                   stale=due.stale))

    async def _reconcile(self, lane: Lane) -> None:
        after, rank = self._pages[lane.is_replay]
        after, rank, undated, orphans = await lane.reconcile(after, rank, _PAGE)
        points.reached("reconcile.after")
        self._pages[lane.is_replay] = (after or b"-", rank)
        if undated or orphans:
            self._source.events.emit(ev.ParkingReconciled(
                stream=self._source.stream, group=self._source.group, restored=orphans, undated=undated, stale=0))
            self.parked(0)

    async def _publish_later(self, swept: Swept) -> None:
        """Messages published for later whose time has come enter the stream."""
        self._later_waits = swept.next_later_ms is not None
        self._note_due(swept.next_later_ms, swept.now_ms)
        if swept.next_later_ms is not None and swept.next_later_ms <= swept.now_ms:
            await self._move_later()

    async def _move_later(self) -> None:
        s = self._source
        points.reached("later.before")
        _, next_later, now = await s.link.run(_LATER, (s.main.key, s.later, s.later_body), (_PAGE,))
        points.reached("later.after")
        self._later_waits = bool(next_later)
        self._note_due(int(float(next_later)) if next_later else None, int(now))

    async def _low_water(self, swept: Swept, in_flight: int) -> None:
        """Records how far the group has come, trims behind it, keeps the dead letters in bounds,
        and takes the gauges."""
        s = self._source
        (_, trimmed, lag, length, _, others, edge, missed, oldest_ms, dead, dead_age_ms, due) = await s.link.run(
            _LOW, (s.main.key, s.keys.low, s.keys.door, s.keys.dead, s.keys.due),
            (s.group, "keep" if s.settings.keep else "delete", swept.now_ms))
        points.reached("low.after")
        if trimmed:
            s.events.emit(ev.Trimmed(stream=s.stream, count=trimmed, before=edge.decode()))
        # Foreign consumers settle uncounted.
        if missed and not s.settings.gone_is_done and not any(is_foreign(name) for name, _, _, _ in swept.consumers):
            s.events.emit(ev.EntriesMissing(stream=s.stream, group=s.group, count=missed))
        for i in range(0, len(others), 2):
            idle_ms = int(others[i + 1])
            if idle_ms > UNSEEN_MS or idle_ms < 0:  # -1: it has no consumer at all
                s.events.emit(ev.GroupUnseen(stream=s.stream, group=others[i].decode(), idle_s=max(0, idle_ms) / 1000))
        s.events.emit(ev.Sweep(
            stream=s.stream, group=s.group, consumer=s.incarnation, length=length, pending=swept.pending, lag=lag,
            parked=swept.parked, due=due, dead=dead, oldest_pending_s=oldest_ms / 1000,
            dead_oldest_s=dead_age_ms / 1000,
            consumers=sum(alive for _, _, _, alive in swept.consumers),
            pending_max=max((n for name, n, _, _ in swept.consumers if name != PARKED_NAME), default=0),
            in_flight=in_flight))
        await self._retain(dead, dead_age_ms, swept.now_ms)

    async def _retain(self, dead: int, oldest_ms: int, now_ms: int) -> None:
        settings, s = self._source.settings, self._source
        most, age_ms = settings.letters_max, int(settings.letters_days * 86_400_000)
        if (most and dead > most) or (age_ms and oldest_ms > age_ms):
            count = await retain(s.link, s.keys, most, age_ms, now_ms, prefix=settings.letter_prefix)
            s.events.emit(ev.LettersExpired(stream=s.stream, group=s.group, count=count))


def is_foreign(name: str) -> bool:
    """A consumer of other make, which may claim by idle time."""
    return name != PARKED_NAME and not OURS.match(name)


def inbox_closed(source: StreamSource) -> bool:
    """No new work once reading has been stopped."""
    return source._stop_reading.is_set()  # noqa: SLF001 - the sweeper is the other half of the source
