# SPDX-License-Identifier: Apache-2.0
"""One consumer of a Kafka group in this process: the loop's side of a member whose thread polls.

::

    poll thread ──records──▶ lanes ──what is due──▶ inbox ──settlements──▶ lanes ──steps──▶ committer
        │ assigned, lost: told                     │
        └ revoked: waits here until what is in flight has ended, ``revoke_s`` at most, and nothing is settled after

A partition's beginning is written down before anything of it is delivered: whoever takes it over must see that it had
an owner (``progress``).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..._base import events as ev
from ..._base import points
from ..._base.thinned import Thinned
from ..._kafka.driver import Producing, Record
from ..._kafka.member import Member, Place, Point, written
from ...consume.contract import Inbox
from ...errors import ServerError
from ..world import World
from .committer import Committer
from .lane import Lane
from .settings import KafkaSettings, Topics

__all__ = ["KafkaSource", "KafkaState"]

#: Seconds between two looks while nothing wakes the source.
_LOOK_S: Final = 1.0
#: Between two questions whether what is in flight has ended.
_ENDING_S: Final = 0.01
_AGAIN_S: Final = 0.2
#: Messages that wait for room, from which on no more are asked for.
_ENOUGH: Final = 500


@dataclass(frozen=True, slots=True)
class KafkaState:
    """A source as it stands. partitions: ours, ``orders/3``. pending: read and not finished; waiting: of them, not
    delivered; parked: of those, not due yet."""

    stream: str
    group: str
    consumer: str
    partitions: tuple[str, ...]
    pending: int
    waiting: int
    parked: int


@dataclass(frozen=True, slots=True)
class Plant:
    """What a source is made of. open_member, open_producing: connections, made when it runs."""

    world: World
    settings: KafkaSettings
    topics: Topics
    incarnation: str
    open_member: Callable[[Any], Member]
    open_producing: Callable[[], Producing]
    prepare: Callable[[], Coroutine[Any, Any, None]]
    transactions: bool


class KafkaSource:
    """Fulfils ``consume.contract.Source``."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._world, self._settings = plant.world, plant.settings
        self.stream, self.group = plant.topics.stream, plant.topics.group
        self._lanes: dict[Place, Lane] = {}
        self._member: Member | None = None
        self._producing: Producing | None = None
        self._committer: Committer | None = None
        self._inbox: Inbox | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._closed = asyncio.Event()
        self._failure: ServerError | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._told = Thinned(plant.world.clock)
        self._turn = 0

    # -- life ---------------------------------------------------------------------------------------------------------

    async def run(self, inbox: Inbox) -> None:
        """Joins the group and delivers until ``close``. Raises ServerError that no retry would mend."""
        self._inbox, self._loop = inbox, asyncio.get_running_loop()
        await self._plant.prepare()
        if self._closed.is_set():
            return
        self._producing = await asyncio.to_thread(self._plant.open_producing)
        self._member = self._plant.open_member(self)
        self._committer = Committer(_Log(self._member, self._producing), transactions=self._plant.transactions,
                                    on_fenced=self._fail)
        inbox.enter()
        self._member.start()
        self._world.events.emit(ev.ConsumerStarted(stream=self.stream, group=self.group,
                                                   consumer=self._plant.incarnation))
        try:
            while not self._closed.is_set():
                self._wake.clear()
                self._deliver(inbox)
                self._hold()
                if self._failure is not None:
                    raise self._failure
                await self._rest(inbox)
        finally:
            inbox.leave()
            if not self._closed.is_set():  # it failed: what is in flight will be found by whoever is next
                self._drop(list(self._lanes), "lost")
                self._closed.set()
            await self._end()

    async def _rest(self, inbox: Inbox) -> None:
        """Until something came, something is due, or there is room for what waits."""
        wait_s = _LOOK_S
        dues = [due for lane in self._lanes.values() if (due := lane.due_ms) is not None and lane.ready]
        if dues and not self._stopping:
            wait_s = min(wait_s, max(0.001, (min(dues) - self._world.clock.wall_ms()) / 1000))
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
        if not self._stopping and inbox.room() <= 0 and any(lane.waiting for lane in self._lanes.values()):
            waits.append(asyncio.ensure_future(inbox.wait_room()))
        try:
            await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def stop_reading(self) -> None:
        self._stopping = True
        self._wake.set()

    async def close(self, inbox: Inbox) -> int:
        """Leaves the group: what it says then is that it left in good order."""
        back = 0
        ours = [lane for lane in self._lanes.values() if lane.ready]
        for lane in ours:
            lane.leaving = True
            back += lane.handed_back(inbox)
        await self._last_words(ours)
        self._closed.set()
        self._wake.set()
        self._world.events.emit(ev.ConsumerStopped(stream=self.stream, group=self.group, handed_back=back,
                                                   consumer=self._plant.incarnation))
        return back

    async def _last_words(self, lanes: Sequence[Lane]) -> None:
        """Their owner leaves in good order: whoever takes them over suspects nobody."""
        if self._committer is None or not lanes:
            return
        steps = [self._committer.step(lane, (), (), clean=True) for lane in lanes]
        for answer in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(answer, ServerError):
                self._told.warn(f"leaving {self.stream}", answer)

    async def _end(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._member is not None:
            await asyncio.to_thread(self._member.close)
        if self._committer is not None:
            await self._committer.close()
        if self._producing is not None:
            await asyncio.to_thread(self._producing.close)

    # -- delivering ---------------------------------------------------------------------------------------------------

    def _deliver(self, inbox: Inbox) -> None:
        """Lanes take turns, so that one that is full holds back no other."""
        lanes = [lane for lane in self._lanes.values() if lane.ready and not lane.leaving]
        if self._stopping or not lanes:
            return
        self._turn += 1
        for number in range(len(lanes)):
            lane = lanes[(self._turn + number) % len(lanes)]
            room = inbox.room()
            if room <= 0:
                return
            found = lane.deliveries(room)
            if found:
                points.reached("kafka.read.after")
                inbox.deliver(found)

    def _hold(self) -> None:
        """Partitions that have run too far ahead of their oldest unfinished message pause; all, when it ends."""
        if self._member is None:
            return
        ours = {place: lane for place, lane in self._lanes.items() if lane.epoch}
        held = {place for place, lane in ours.items() if self._stopping or lane.ahead_of_itself}
        self._member.hold(held)
        self._member.full = sum(lane.waiting for lane in ours.values()) > _ENOUGH
        self._member.busy = any(lane.pending for lane in ours.values())

    # -- told by the poll thread --------------------------------------------------------------------------------------

    def records(self, records: Sequence[Record]) -> None:
        """Fulfils ``Listener``."""
        self._in_loop(self._arrived, records)

    def assigned(self, points: Sequence[Point]) -> None:
        """Fulfils ``Listener``."""
        self._in_loop(self._took, points)

    def lost(self, places: Sequence[Place]) -> None:
        """Fulfils ``Listener``."""
        self._in_loop(self._drop, places, "lost")

    def failed(self, error: ServerError) -> None:
        """Fulfils ``Listener``."""
        self._in_loop(self._fail, error)

    def trimmed(self, place: Place, low: int) -> None:
        """Fulfils ``Listener``."""
        self._in_loop(self._missed, place, low)

    def revoked(self, places: Sequence[Place]) -> concurrent.futures.Future[None] | None:
        """Fulfils ``Listener``: answers when what is in flight has ended."""
        if self._loop is None or self._closed.is_set() or self._loop.is_closed():
            return None
        return asyncio.run_coroutine_threadsafe(self._revoke(places), self._loop)

    def _in_loop(self, call: Callable[..., None], *args: object) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call, *args)

    def _arrived(self, records: Sequence[Record]) -> None:
        for record in records:
            lane = self._lanes.get((record.topic, record.partition))
            if lane is not None and lane.epoch:
                lane.arrived(record)
        if self._member is not None:
            self._member.taken(len(records))
        self._wake.set()

    def _missed(self, place: Place, low: int) -> None:
        lane = self._lanes.get(place)
        if lane is not None and lane.epoch and (count := lane.progress.trimmed(low)):
            self._world.events.emit(ev.EntriesMissing(stream=self.stream, group=self.group, count=count))

    def _took(self, points: Sequence[Point]) -> None:
        inbox, committer = self._inbox, self._committer
        if inbox is None or committer is None:
            return
        taken = []
        for point in points:
            lane = self._lanes.get(point.place)
            if lane is None:
                lane = self._lanes[point.place] = Lane(self._plant.topics, point.place, self._plant.incarnation,
                                                       committer, self._world.clock)
                lane.on_back = self._wake.set
            lane.take(point, self._settings.ahead, in_place=inbox.ordered)
            taken.append(lane)
        task = asyncio.create_task(self._open(taken, inbox, committer))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _open(self, lanes: list[Lane], inbox: Inbox, committer: Committer) -> None:
        """Writes down that they have an owner; then they deliver."""
        for lane in lanes:
            epoch = lane.epoch
            while lane.epoch == epoch and not self._closed.is_set():
                try:
                    stepped = await committer.step(lane, (), ())
                except ServerError as error:
                    self._told.warn(f"taking over partitions of {self.stream}", error)
                    await asyncio.sleep(_AGAIN_S)
                    continue
                if not stepped.lost and lane.epoch == epoch:
                    if inbox.ordered:  # what is pending is read anew, from its offset on and in its order
                        inbox.restore(lane, (), ())
                    lane.ready = True
                break
        self._wake.set()

    async def _revoke(self, places: Sequence[Place]) -> None:
        inbox = self._inbox
        lanes = [lane for place in places if (lane := self._lanes.get(place)) is not None and lane.epoch]
        if inbox is None or not lanes:
            return
        for lane in lanes:
            lane.leaving = True
            inbox.hand_back(lane)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.revoke_s):  # guard: the group waits so long and no longer
                while any(inbox.held(lane) for lane in lanes):  # noqa: ASYNC110 - once a rebalance
                    await asyncio.sleep(_ENDING_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._last_words([lane for lane in lanes if lane.ready])
        self._drop(places, "revoked")

    def _drop(self, places: Sequence[Place], cause: str) -> None:
        """They are not ours any more: what is in flight is abandoned, and none of it is settled."""
        inbox = self._inbox
        for place in places:
            lane = self._lanes.get(place)
            if lane is None or not lane.epoch or inbox is None:
                continue
            dropped = inbox.revoke(lane, f"partition {cause}")  # guard: nothing is settled for what is others'
            lane.give_up()
            if dropped or cause == "lost":
                self._world.events.emit(ev.IncarnationLost(
                    stream=self.stream, group=self.group, consumer=self._plant.incarnation, dropped=dropped,
                    cause="rebalance"))

    def _fail(self, error: ServerError) -> None:
        if error.retry_may_help:
            self._told.warn(f"group {self.group} of {self.stream}", error)
        else:
            self._failure = error
            self._wake.set()

    def inspect(self) -> KafkaState:
        """Counts of what is here."""
        ours = [lane for lane in self._lanes.values() if lane.epoch]
        return KafkaState(self.stream, self.group, self._plant.incarnation, tuple(sorted(lane.line for lane in ours)),
                          sum(lane.pending for lane in ours), sum(lane.waiting for lane in ours),
                          sum(lane.parked for lane in ours))


class _Log:
    """Fulfils ``committer.Log`` on a member and its producer."""

    def __init__(self, member: Member, producing: Producing) -> None:
        self._member, self._producing = member, producing
        self.commit = member.commit

    def write(self, records: Sequence[Record]) -> list[ServerError | None]:
        return written(self._producing, records)

    def transact(self, records: Sequence[Record], wanted: Sequence[Point]
                 ) -> tuple[list[ServerError | None], set[Place]]:
        return self._member.transact(self._producing, records, wanted)
