# SPDX-License-Identifier: Apache-2.0
"""One consumer of one group on one physical stream: reads, looks around, recovers, and lives under one name at a time.

::

    join ──▶ HELD ── reader: XREADGROUP main and replay stream, prefetching
      ▲        │  └─ sweeper: the dead, lost replies, due and undated entries, low-water mark
      │        ▼
      └──── LOST (beat answered DEAD, group gone): work is revoked, and it joins again under a new name

An incarnation declared dead stays dead: coming back means coming back as somebody else. What the reader and the sweeper
find goes to the inbox; neither ever runs a handler.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._base import events as ev
from .._base import points
from .._base.clock import Instant
from .._base.incarnation import new_incarnation
from .._base.letter_build import Letter
from .._base.thinned import Thinned
from .._redis.heart import Pulse
from .._redis.keys import GroupKeys, StreamKeys
from .._redis.rights import require_rights
from .._redis.scripts import load_script
from ..consume.contract import Inbox, Settlement, Verb
from ..errors import PartitionMismatch, SchemaTooNew, ServerError, ServerRefused, ServerUnreachable
from .agree import agree
from .confirm import Confirmation
from .lane import Lane, Missing
from .scene import Scene
from .settings import StreamSettings
from .sweeper import Sweeper

if TYPE_CHECKING:
    from .._redis.link import Link

#: Version of what Holdfast keeps beside a stream. A newer one is refused, an older one is understood.
SCHEMA = 1
_JOIN = load_script("holdfast.streams", "join", "ids")
_LEAVE = load_script("holdfast.streams", "leave")
#: Seconds that handing back and leaving may take.
CLOSE_S = 3.0

class StreamSource:
    """Fulfils ``consume.contract.Source`` on a Redis or Valkey stream."""

    def __init__(self, scene: Scene, keys: GroupKeys, settings: StreamSettings, *, partitions: int = 0) -> None:
        self._scene = scene
        self._server = scene.server
        self._heart = scene.heart
        self.events, self.clock, self.chance = scene.events, scene.clock, scene.chance
        self.trouble = Thinned(scene.clock)
        self.keys = keys
        self.settings = settings
        self._partitions = partitions
        self.stream, self.group = keys.stream, keys.group
        beside = StreamKeys(keys.prefix, keys.stream)
        self._meta, self.later, self.later_body = beside.meta, beside.later, beside.later_body
        self.link: Link = scene.server.shared(beside.stream_key)
        self.main = Lane(self.link, keys, replay=False, delete=not settings.keep, stow_ms=settings.stow_ms,
                         letter_prefix=settings.letter_prefix)
        self.replay = Lane(self.link, keys, replay=True, delete=True, stow_ms=settings.stow_ms,
                           letter_prefix=settings.letter_prefix)
        self.incarnation = ""
        self.epoch: int | None = None
        self._granted_at = scene.clock.now()
        self._cause = "server"
        self.pulse: Pulse | None = None
        self._reader: Link | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._stop_reading = asyncio.Event()
        self._closing = asyncio.Event()
        self._allowed = False
        self.read_number = 0
        self.read_ended = 0
        self.sweeper = Sweeper(self)
        self.main.on_parked = self.replay.on_parked = self.sweeper.parked
        self._confirmation: Confirmation | None = None
        if settings.confirmation is not None:
            self._confirmation = Confirmation(scene.server, beside.stream_key, settings.confirmation,
                                              settings.confirm_ms)
            self.main.confirm = self.replay.confirm = self._confirmation
            self.main.on_unconfirmed = self.replay.on_unconfirmed = self._unconfirmed

    def _unconfirmed(self, count: int, confirmed: Any) -> None:
        wanted = 0 if self._confirmation is None else self._confirmation.replicas
        given = confirmed[-1] if isinstance(confirmed, list) else confirmed
        self.events.emit(ev.EffectUnconfirmed(stream=self.stream, group=self.group, count=count, wanted=wanted,
                                              confirmed=given if isinstance(given, int) else 0))

    def entomb(self, lane: Lane, missing: Missing) -> Letter:
        """The letter of an entry whose payload is gone."""
        return self._scene.letters.of_missing(lane.stream, lane.group, missing.entry_id, missing.owner.decode(),
                                              missing.count, is_replay=lane.is_replay)

    # -- life -----------------------------------------------------------------------------------------------------

    def own(self, incarnation: str, epoch: int, granted_at: Instant) -> None:
        """This is a partition, and ``incarnation`` was given it. It lives as that one, or not at all."""
        self.incarnation, self.epoch, self._granted_at = incarnation, epoch, granted_at
        self._allowed = True  # whoever shares partitions has asked

    async def run(self, inbox: Inbox) -> None:
        """Joins, reads and sweeps until ``close``; joins again under a new name whenever the old one was lost.

        A partition does not join again: its owner asks for it anew.
        """
        pause_s = 0.05
        while not self._closing.is_set():
            try:
                await self.join()
                pause_s = 0.05
                await self._live(inbox)
            except ServerUnreachable as error:
                self.trouble.warn(f"consuming {self.stream}, trying again", error)
                pause_s = min(2.0, pause_s * 2)
            if self.epoch is not None:
                return
            if not self._closing.is_set():
                await self._wait(self._closing, pause_s)

    async def join(self) -> None:
        """Takes a new name, makes the group if need be, gets a lease."""
        if not self._allowed:
            await require_rights(self.link, self.keys.door, self.stream)  # guard: who cannot settle does not read
            await agree(self._server, self.stream, 0, "consumer")
            self._allowed = True
        if self.epoch is None:
            self.incarnation = new_incarnation(self.chance)
        name = self.incarnation
        sent_at = self.clock.now()
        points.reached("join.before")
        answer, _, start, cause, found = await self.link.run(
            _JOIN,
            (self.main.key, self.keys.leases, self.keys.low, self._meta, self.keys.replay, self.keys.door),
            (self.group, "" if self.epoch is not None else name, self.settings.lease_ms, self.settings.start, SCHEMA,
             self._partitions))
        points.reached("join.after")
        if answer == b"schema":
            raise SchemaTooNew(f"stream {self.stream!r} has schema {found.decode()}, and this Holdfast knows {SCHEMA}: "
                               f"upgrade it")
        if answer == b"partitions":
            raise PartitionMismatch(f"stream {self.stream!r} is one of {found.decode()} partitions, "
                                    f"not of {self._partitions}")
        self._lost = asyncio.Event()
        self.main.become(name, self.epoch)
        self.replay.become(name, self.epoch)
        self.sweeper.begin()
        self.pulse = self._heart.add(self.keys.leases, self.keys.door, name, self.settings.lease_ms, self._on_lost)
        self.pulse.joined(sent_at if self.epoch is None else self._granted_at, self.link.run_id)
        if cause and cause != b"new":
            self.events.emit(ev.GroupHealed(stream=self.stream, group=self.group, start=start.decode(),
                                            cause=cause.decode()))
        self.events.emit(ev.ConsumerStarted(stream=self.stream, group=self.group, consumer=name))

    def _on_lost(self, cause: str) -> None:
        self._cause = cause
        self._lost.set()

    async def _live(self, inbox: Inbox) -> None:
        """One incarnation's life. Ends when it is lost or the source closes."""
        self._cause = "server"
        if inbox.ordered:
            await self._restore(inbox)
        parts = [self._read_loop(inbox), self.sweeper.loop(inbox), self._lost.wait(), self._closing.wait()]
        if self.epoch is not None:
            parts.append(self._deadline())
        tasks = [asyncio.ensure_future(t) for t in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises what a person must mend
        except ServerRefused as error:
            if error.code != "NOGROUP":
                raise
            self._cause = "group_gone"
        finally:
            await _cancelled(tasks)
            self._end_incarnation(inbox)

    def _end_incarnation(self, inbox: Inbox) -> None:
        if self.pulse is not None:
            self._heart.remove(self.pulse)
        if not self._closing.is_set():
            dropped = inbox.revoke(self.main, self._cause) + inbox.revoke(self.replay, self._cause)
            self.events.emit(ev.IncarnationLost(stream=self.stream, group=self.group, consumer=self.incarnation,
                                                cause=self._cause, dropped=dropped))

    async def _deadline(self) -> None:
        """A partition ends when its lease may have ended, not when somebody says so."""
        pulse = self.pulse
        # guard: local deadline. It moves with every beat, in another thread.
        while pulse is not None and (left := pulse.deadline - self.clock.now()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)
        self._on_lost("unreachable")

    async def _restore(self, inbox: Inbox) -> None:
        """Tells an ordered inbox everything that is pending, with its key, before anything new is read."""
        for lane in (self.main, self.replay):
            lane.stow_ms = None
            pending = await lane.pending_keys()
            inbox.restore(lane, pending, await lane.dead_keys() if lane is self.main else ())

    # -- reading --------------------------------------------------------------------------------------------------

    async def _read_loop(self, inbox: Inbox) -> None:
        self._reader = reader = await self._server.link(self.main.key, name=f"hf-read-{self.group}")
        inbox.enter()
        try:
            while not self._stop_reading.is_set():
                room = inbox.room()
                if room <= 0:
                    await inbox.wait_room()
                else:
                    await self._read(reader, inbox, room)
            await self._closing.wait()
        finally:
            inbox.leave()
            await reader.close()

    async def _read(self, reader: Link, inbox: Inbox, room: int) -> None:
        block_ms = self.settings.block_ms
        self.read_number += 1
        number = self.read_number
        points.reached("read.before")
        try:
            reply = await reader.call(
                b"XREADGROUP", b"GROUP", self.group, self.incarnation, b"COUNT", room, b"BLOCK", block_ms,
                b"STREAMS", self.main.key, self.replay.key, b">", b">",
                timeout_s=block_ms / 1000 + max(1.0, self.settings.lease_ms / 4000))
        except ServerUnreachable as error:
            self.trouble.warn(f"reading {self.stream}", error)
            await self._wait(self._closing, 0.05 + 0.2 * self.chance.random())
            return
        except ServerRefused as error:
            if error.code == "UNBLOCKED":
                return
            raise
        finally:
            self.read_ended = max(self.read_ended, number)
        if not reply:
            return
        points.reached("read.after")
        now = self.clock.now()
        for key, entries in reply:
            lane = self.main if key == self.main.key else self.replay
            if lane is self.replay:
                points.reached("read.replayed.after")
            inbox.deliver(lane.fresh(entries, now))
        points.reached("read.delivered.after")

    # -- ending ---------------------------------------------------------------------------------------------------

    async def stop_reading(self) -> None:
        """Take no new work: a blocked read is woken at the server,
        so that nothing is handed out to a closing socket."""
        self._stop_reading.set()
        if self._reader is not None and self._reader.client_id:
            with contextlib.suppress(ServerError):
                await self.link.call("CLIENT", "UNBLOCK", self._reader.client_id, timeout_s=1.0)

    async def close(self, inbox: Inbox) -> int:
        """Hands back what is still pending and in nobody's hands here, gives up the lease.

        A server that does not answer is not waited for: what is pending here is then taken over when the lease ends.
        """
        await self.stop_reading()
        handed_back = 0
        with contextlib.suppress(ServerUnreachable, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                handed_back = await self._leave(inbox)
        if self._confirmation is not None:
            await self._confirmation.close()
        self._closing.set()
        self.events.emit(ev.ConsumerStopped(stream=self.stream, group=self.group, consumer=self.incarnation,
                                            handed_back=handed_back))
        return handed_back

    async def _leave(self, inbox: Inbox) -> int:
        handed_back = 0
        if self.incarnation and not self._lost.is_set():
            handed_back = await self._release_all(self.main, inbox) + await self._release_all(self.replay, inbox)
            points.reached("leave.before")
            await self.link.run(_LEAVE, (self.main.key, self.keys.leases, self.replay.key),
                                (self.group, self.incarnation))
            points.reached("leave.after")
        return handed_back

    async def _release_all(self, lane: Lane, inbox: Inbox) -> int:
        """Everything still pending under our name goes back without an attempt."""
        released, after = 0, b"-"
        while page := await lane.own_pending(after, 500):
            free = [(entry_id, count) for entry_id, count in page if not inbox.holds(lane, entry_id)]
            found = [await lane.fetch(entry_id, count, 0.0) for entry_id, count in free]
            back = [Settlement(d, Verb.RELEASE, note=d.note) for d in found if not isinstance(d, Missing)]
            if back:
                await lane.settle([], back)
            released += len(back)
            after = b"(" + page[-1][0]
        return released

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()

    def inspect(self) -> Any:
        """A frozen record of this consumer's life."""
        from .inspect import ConsumerState

        deadline = self.pulse.deadline if self.pulse else Instant(0.0)
        return ConsumerState(stream=self.stream, group=self.group, consumer=self.incarnation,
                             lease_left_s=round(deadline - self.clock.now(), 3), lost=self._lost.is_set(),
                             reads=self.read_number, epoch=self.epoch)


async def _cancelled(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


