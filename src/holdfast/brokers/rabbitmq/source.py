# SPDX-License-Identifier: Apache-2.0
"""One consumer of one group at RabbitMQ: three queues, one connection, one name at a time.

::

    main    ─┐                       many at once
    replay  ─┼─▶ waiting ─▶ inbox    one at a time: what killed once may do it again
    alone   ─┘                       one at a time, and alone in the process
      ▲
      └── main: whatever has come back twice

The server's counter rises for each message that a crashed process had merely prefetched, so it convicts nobody. It
moves a message to the queue *alone*, of which each consumer holds one: what comes back from there was the only one in
hand. When the connection is lost, everything held is another's: it is revoked, and the source joins again under a new
name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._amqp.intake import Intake
from ..._amqp.link import Link
from ..._amqp.parcel import Arrived, Queue
from ..._base import events as ev
from ..._base import points
from ..._base.chance import new_id
from ..._base.incarnation import new_incarnation
from ..._base.thinned import Thinned
from ...consume.contract import Delivery, Inbox, Wanted
from ...errors import ConfigurationError, ServerError, ServerRefused, ServerUnreachable
from .lane import Lane
from .names import Names

if TYPE_CHECKING:
    from .broker import RabbitBroker

#: A message that came back so often is looked at alone. One return is every hand-back of a worker that stops.
RETURNS_MAX = 2
#: Seconds before what could not be moved is put back, to be tried again.
AGAIN_S = 5.0
#: Seconds between two looks whether the connection still is one.
WATCH_S = 0.2
#: Seconds that handing back may take.
CLOSE_S = 3.0


@dataclass(frozen=True, slots=True)
class RabbitState:
    """A source as it stands. pending: unacknowledged here; waiting: of these not yet handed to the worker."""

    stream: str
    group: str
    consumer: str
    lost: bool
    lease_left_s: float
    pending: int
    waiting: int


class RabbitSource:
    """Fulfils ``consume.contract.Source``."""

    def __init__(self, broker: RabbitBroker, wanted: Wanted, names: Names) -> None:
        self._broker, self._names = broker, names
        self.stream, self.group = wanted.stream, wanted.group
        world = broker.world
        self._events, self._clock, self._chance = world.events, world.clock, world.chance
        self._trouble = Thinned(world.clock)
        self._prefetch = broker.settings.prefetch or min(2 * wanted.at_once, 65_535)
        how: dict[str, Any] = {"stream": wanted.stream, "group": wanted.group, "dead": names.dead,
                               "prefix": world.prefix, "letter_prefix": wanted.letter_prefix}
        outlet = broker.outlet
        self.main = Lane(outlet, queue=names.main, back=names.main, **how)
        self.alone = Lane(outlet, queue=names.alone, back=names.main, single=True, **how)
        self.replay = Lane(outlet, queue=names.replay, back=names.replay, single=True, is_replay=True, **how)
        self.lanes = (self.main, self.replay, self.alone)
        for lane in self.lanes:
            lane.on_settled, lane.on_kept = self._wake, self._kept
        self._lane_of: dict[Intake, Lane] = {}
        #: What has arrived and was not handed to the worker: lane and tag.
        self._waiting: deque[tuple[Lane, int]] = deque()
        self._changed, self._stop_reading, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._aside: set[asyncio.Task[None]] = set()
        self.incarnation = ""
        self._link: Link | None = None
        self._lost = True
        self._handed_back = 0
        #: Rounds of handing out: tests wait for them.
        self.rounds = 0

    # -- life -----------------------------------------------------------------------------------------------------

    async def run(self, inbox: Inbox) -> None:
        """Joins and hands out until ``close``; joins again whenever the connection was lost."""
        pause_s = 0.05
        while not self._closing.is_set():
            try:
                await self._join()
                pause_s = 0.05
                await self._live(inbox)
            except ServerUnreachable as error:
                self._trouble.warn(f"consuming {self.stream}, trying again", error)
            except ServerRefused as error:
                if error.code != "NOT_FOUND":
                    raise
                if self._names.queue and not self.incarnation:
                    raise ConfigurationError(
                        f"there is no queue {self._names.queue!r} at {self._broker.shown}, which RabbitSettings.queues "
                        f"names for {self.stream}/{self.group}: declare it first, or leave it out") from error
                self._broker.forget(self._names)  # somebody deleted a queue: it is made again
                self._trouble.warn(f"consuming {self.stream}, trying again", error)
            finally:
                await self._over(inbox)
            if not self._closing.is_set():
                await _within(self._closing.wait(), pause_s * (0.5 + self._chance.random()))
                pause_s = min(2.0, pause_s * 2)

    async def _join(self) -> None:
        """A new name, the queues, three channels."""
        points.reached("rabbit.join.before")
        await self._broker.prepare(self._names)
        link = self._link = await self._broker.consuming()
        self.incarnation = new_incarnation(self._chance)
        many = (self._prefetch, 1, 1)
        for lane, prefetch in zip(self.lanes, many, strict=True):
            intake = Intake(lane.queue, prefetch, self._arrived)
            self._lane_of[intake] = lane
            lane.become(self.incarnation, intake)
            await intake.open(link, self.incarnation)
        self._lost = False
        points.reached("rabbit.join.after")
        self._events.emit(ev.ConsumerStarted(stream=self.stream, group=self.group, consumer=self.incarnation))

    async def _live(self, inbox: Inbox) -> None:
        """One incarnation's life. Ends when a channel is over or the source closes."""
        link = self._link
        if link is None:
            return
        inbox.enter()
        tasks = [asyncio.ensure_future(work) for work in (
            self._hand_out(inbox), self._look(inbox, link), self._watch(link), self._closing.wait(),
            *(intake.over.wait() for intake in self._lane_of))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            inbox.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _over(self, inbox: Inbox) -> None:
        """What was held is the queue's again: the worker forgets it."""
        was = not self._lost
        self._lost = True
        why = next((i.why for i in self._lane_of if i.over.is_set() and i.why), "server")
        for task in self._aside:
            task.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)
        for lane in self.lanes:
            lane.become("", None)
        self._waiting.clear()
        if was and not self._closing.is_set():
            dropped = sum(inbox.revoke(lane, "server") for lane in self.lanes)
            ev.log.warning("consuming %s for %s: %s", self.stream, self.group, why)
            self._events.emit(ev.IncarnationLost(stream=self.stream, group=self.group, consumer=self.incarnation,
                                                 cause="server", dropped=dropped))
        intakes, self._lane_of = list(self._lane_of), {}
        await asyncio.gather(*(intake.close() for intake in intakes))

    # -- handing out ----------------------------------------------------------------------------------------------

    def _arrived(self, intake: Intake, arrived: Arrived) -> None:
        lane = self._lane_of.get(intake)
        if lane is None:
            return
        lane.came(arrived, lambda: new_id(self._chance))
        if lane is self.main and (arrived.returns is None or arrived.returns >= RETURNS_MAX):
            self._later(self._isolate(arrived.tag))  # guard: what may have killed is looked at alone
            return
        self._waiting.append((lane, arrived.tag))
        self._changed.set()

    async def _hand_out(self, inbox: Inbox) -> None:
        """What has arrived goes to the worker as it has room."""
        while True:
            self._changed.clear()
            room = 0 if self._stop_reading.is_set() else inbox.room()
            found = self._next(inbox, room) if room > 0 and self._waiting else {}
            for deliveries in found.values():
                inbox.deliver(deliveries)
            self.rounds += 1
            if found:
                points.reached("rabbit.delivered.after")
                await asyncio.sleep(0)
            elif self._waiting and room <= 0 and not self._stop_reading.is_set():
                await inbox.wait_room()
            else:
                await self._changed.wait()

    def _next(self, inbox: Inbox, room: int) -> dict[Lane, list[Delivery]]:
        """So many that are not in flight already. A message may have been published twice, and be in the queue twice:
        the second waits for the first to be settled."""
        now = self._clock.now()
        found: dict[Lane, list[Delivery]] = {}
        twins: list[tuple[Lane, int]] = []
        taken: set[bytes] = set()
        while self._waiting and room > 0:
            lane, tag = self._waiting.popleft()
            entry_id = lane.open[tag][0] if tag in lane.open else b""
            if not entry_id:
                continue
            if entry_id in taken or any(inbox.holds(one, entry_id) for one in self.lanes):
                twins.append((lane, tag))  # guard: an id in flight is not started a second time
                continue
            taken.add(entry_id)
            found.setdefault(lane, []).append(lane.delivery(tag, now))
            room -= 1
        self._waiting.extendleft(reversed(twins))
        return found

    def _wake(self) -> None:
        self._changed.set()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _isolate(self, tag: int) -> None:
        """Moves a message to the queue of those that run alone, or puts it back after a while."""
        try:
            if await self.main.move(tag, self._names.alone):
                return
        except ServerError as error:
            self._trouble.warn(f"isolating a message of {self.stream}", error)
        await self._put_back(self.main, tag)

    def _kept(self, lane: Lane, tag: int) -> None:
        """A retry was refused by RabbitMQ: the message stays in hand for a while, and is then delivered again."""
        self._events.emit(ev.SettleFailed(stream=self.stream, group=self.group, why="refused"))
        self._later(self._put_back(lane, tag))

    async def _put_back(self, lane: Lane, tag: int) -> None:
        await asyncio.sleep(AGAIN_S)
        with contextlib.suppress(ServerError):  # the connection is gone, and the message is back already
            await lane.give_back([tag])

    # -- looking --------------------------------------------------------------------------------------------------

    async def _look(self, inbox: Inbox, link: Link) -> None:
        """Gauges, as the sweeps of streams take them. Ends the incarnation when it gets no answer: the driver does not
        always hear that its server is gone."""
        names = self._names
        queues = [Queue(name=name, passive=True) for name in (names.main, names.alone, names.replay, names.dead)]
        while True:
            ready, alone, replay, dead = await link.declare(queues)  # guard: silence ends an incarnation
            held = sum(len(lane.open) for lane in self.lanes)
            self._events.emit(ev.Sweep(
                stream=self.stream, group=self.group, consumer=self.incarnation, length=ready + held, pending=held,
                lag=ready, parked=0, due=alone + replay, dead=dead, oldest_pending_s=0.0, consumers=1,
                pending_max=held, in_flight=sum(inbox.held(lane) for lane in self.lanes)))
            await asyncio.sleep(self._broker.settings.look_s)

    @staticmethod
    async def _watch(link: Link) -> None:
        """Returns when the connection is over, whether or not its channels were told."""
        while not link.lost:  # noqa: ASYNC110 - the driver keeps it to itself
            await asyncio.sleep(WATCH_S)

    # -- ending ---------------------------------------------------------------------------------------------------

    async def stop_reading(self) -> None:
        """Takes no new work, and puts back what has not been handed to the worker."""
        self._stop_reading.set()
        self._changed.set()
        with contextlib.suppress(ServerError):
            await asyncio.gather(*(intake.pause() for intake in self._lane_of))
            waiting, self._waiting = list(self._waiting), deque()
            self._handed_back += await self._give_back(waiting)

    async def close(self, inbox: Inbox) -> int:
        """Hands back what is left and in nobody's hands here; then closes the channels."""
        await self.stop_reading()
        with contextlib.suppress(ServerError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                left = [(lane, tag) for lane in self.lanes for tag, (entry_id, _) in lane.open.items()
                        if not inbox.holds(lane, entry_id)]
                self._handed_back += await self._give_back(left)
        self._closing.set()
        self._events.emit(ev.ConsumerStopped(stream=self.stream, group=self.group, consumer=self.incarnation,
                                             handed_back=self._handed_back))
        return self._handed_back

    async def _give_back(self, left: Sequence[tuple[Lane, int]]) -> int:
        return sum([await lane.give_back([tag for of, tag in left if of is lane]) for lane in self.lanes])

    def inspect(self) -> RabbitState:
        """A frozen record of this consumer."""
        return RabbitState(
            stream=self.stream, group=self.group, consumer=self.incarnation, lost=self._lost,
            lease_left_s=0.0 if self._lost else 1.0, pending=sum(len(lane.open) for lane in self.lanes),
            waiting=len(self._waiting))


async def _within(work: Coroutine[Any, Any, Any], seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work


__all__ = ["RETURNS_MAX", "RabbitSource", "RabbitState"]
