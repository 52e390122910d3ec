# SPDX-License-Identifier: Apache-2.0
"""A partitioned stream, shared by the processes of a group: each partition has one owner at a time.

::

    every sweep:  say that we are here ─▶ who else is? ─▶ whose is which? ─▶ take what is free, give up what is too much
                                                                                │                  │
                                             a StreamSource runs for it, fenced by its epoch       drained, then
                                             released

A partition is owned by an incarnation: its lease on that partition, kept alive by the heart, is the partition's lease.
It ends locally at its deadline, which counts from before the last confirmed beat was sent: from then on nothing is read
and handlers are cancelled, whatever the server may say later. A new owner gets a higher epoch, and settles name
theirs. So there are never two that can settle. Effects outside may overlap by the time a cancelled handler takes to
end.
"""

from __future__ import annotations

import asyncio
import contextlib

from .._base import events as ev
from .._base import points
from .._base.incarnation import new_incarnation
from .._base.thinned import Thinned
from .._redis.keys import GroupKeys
from .._redis.rights import require_rights
from .._redis.scripts import load_script
from .._redis.steps import ClockWatch
from ..consume.contract import Inbox
from ..errors import ServerError, ServerUnreachable
from .agree import agree
from .producer import physical
from .scene import Scene
from .settings import StreamSettings
from .share import moves
from .source import StreamSource

_OWN = load_script("holdfast.streams", "own")
_MEMBERS = load_script("holdfast.streams", "members")

#: Seconds a partition that is given up may take to finish what runs; then its handlers are cancelled.
MOVE_S = 10.0


class Partition:
    """One partition as this process sees it."""

    def __init__(self, number: int, keys: GroupKeys, watch: ClockWatch) -> None:
        self.number = number
        self.keys = keys
        self.source: StreamSource | None = None
        self.task: asyncio.Task[None] | None = None
        self.moving: asyncio.Task[None] | None = None
        self.watch = watch


class SharedSource:
    """All partitions of one stream for one group in one process. Fulfils ``consume.contract.Source``."""

    def __init__(self, scene: Scene, stream: str, group: str, partitions: int, settings: StreamSettings, *,
                 single: bool = False) -> None:
        self._scene = scene
        self._server = scene.server
        self._events, self._clock, self._chance = scene.events, scene.clock, scene.chance
        self._trouble = Thinned(scene.clock)
        self.stream = stream
        self.group = group
        self._settings = settings
        self._count = 0 if single else partitions
        self._partitions = [Partition(n, GroupKeys(scene.server.prefix, physical(stream, n, self._count), group),
                                      ClockWatch(settings.step_slack_ms))
                            for n in range(partitions)]
        self._name = new_incarnation(scene.chance)
        self._members = self._partitions[0].keys.members
        self._door = self._partitions[0].keys.door
        self._began_at = scene.clock.now()
        self._watch = ClockWatch(settings.step_slack_ms)
        self._stopping = asyncio.Event()
        self._allowed = False
        self._inbox: Inbox | None = None

    async def run(self, inbox: Inbox) -> None:
        """Shares until ``stop_reading``; goes on running what it owns until ``close``."""
        self._inbox = inbox
        self._began_at = self._clock.now()
        while not self._stopping.is_set():
            try:
                await self._share(inbox)
            except ServerUnreachable as error:
                self._trouble.warn(f"sharing {self.stream}", error)
            for p in self._partitions:
                if p.task is not None and p.task.done():
                    p.task.result()  # what a person must mend is raised here
                    self._let_go(p, "lost")
            spread = self._settings.sweep_ms / 1000 * (0.8 + 0.4 * self._chance.random())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(spread):
                    await self._stopping.wait()
        await asyncio.gather(*(p.task for p in self._partitions if p.task is not None))

    async def _share(self, inbox: Inbox) -> None:
        await self._check()
        link = self._server.shared(self._partitions[0].keys.stream.encode())
        # A member that dies counts for one lease more; its partitions come free at the same time.
        watch, now = self._watch, self._clock.now()
        server_ms, jumped, *members = await link.run(
            _MEMBERS, (self._members, self._door),
            (self._name, self._settings.lease_ms, "" if watch.seen_ms is None else watch.seen_ms, watch.elapsed_ms(now),
             watch.slack_ms, int(watch.other_server(link.run_id))))
        watch.looked(int(server_ms), int(jumped), now, self._clock.now(), link.run_id)  # told by who looks at leases
        live = [m.decode() for m in members]
        free = [p for p in self._partitions if p.source is None and await self._is_free(p)]
        own = [p.number for p in self._partitions if p.source is not None and p.moving is None]
        todo = moves(self._name, live, len(self._partitions), own, [p.number for p in free])
        for number in todo.take:
            await self._take(self._partitions[number], inbox)
        for number in todo.give_up:
            p = self._partitions[number]
            p.moving = asyncio.create_task(self._give_up(p, inbox), name=f"give up {p.keys.stream}")

    async def _check(self) -> None:
        """Once: may we do all that a consumer does, on every partition, and is it this many?"""
        if not self._allowed:
            await agree(self._server, self.stream, self._count, "consumer")
            for p in self._partitions:
                await require_rights(self._server.shared(p.keys.stream.encode()), p.keys.door, p.keys.stream)
            self._allowed = True

    async def _ask(self, p: Partition, incarnation: str) -> tuple[bool, int, int | None]:
        """(taken, epoch, ms left of the owner's lease or None when it has none)."""
        link = self._server.shared(p.keys.stream.encode())
        watch, now = p.watch, self._clock.now()
        taken, epoch, owner, left, server_ms, jumped = await link.run(
            _OWN, (p.keys.owner, p.keys.leases, p.keys.door),
            (incarnation, self._settings.lease_ms, "" if watch.seen_ms is None else watch.seen_ms,
             watch.elapsed_ms(now), watch.slack_ms, int(watch.other_server(link.run_id))))
        step = watch.looked(int(server_ms), int(jumped), now, self._clock.now(), link.run_id)
        if step is not None:
            self._events.emit(ev.ClockStepped(stream=p.keys.stream, group=self.group, by_ms=step.by_ms,
                                              new_server=step.new_server))
        return bool(taken), int(epoch), int(left) if owner and left else None

    async def _is_free(self, p: Partition) -> bool:
        first_look = p.watch.seen_ms is None
        _, _, left_ms = await self._ask(p, "")
        if left_ms is None:
            return True
        # A newcomer cannot tell an owner whose lease ran out from one whose server has just jumped: it leaves it time
        # to beat.
        newcomer = first_look or self._clock.now() - self._began_at < self._settings.lease_ms / 2000
        return left_ms < 0 and not newcomer

    async def _take(self, p: Partition, inbox: Inbox) -> None:
        source = StreamSource(self._scene, p.keys, self._settings, partitions=self._count)
        sent_at = self._clock.now()
        incarnation = new_incarnation(self._chance)
        taken, epoch, _ = await self._ask(p, incarnation)
        if not taken:
            return
        points.reached("partition.taken.after")
        source.own(incarnation, epoch, sent_at)
        p.source = source
        p.task = asyncio.create_task(source.run(inbox), name=f"partition {p.keys.stream}")
        self._events.emit(ev.PartitionAcquired(stream=p.keys.stream, group=self.group, partition=p.number, epoch=epoch))

    async def _give_up(self, p: Partition, inbox: Inbox) -> None:
        """A planned move: no new work, finish what runs, settle, release."""
        source, task = p.source, p.task
        if source is not None:
            await source.stop_reading()
            lanes = (source.main, source.replay)
            for lane in lanes:
                inbox.hand_back(lane)
            until = self._clock.now() + MOVE_S
            while any(inbox.held(lane) for lane in lanes) and self._clock.now() < until:  # noqa: ASYNC110 - moves are rare
                await asyncio.sleep(0.01)
            for lane in lanes:
                inbox.revoke(lane, "moved")
            with contextlib.suppress(ServerError):
                await source.close(inbox)
            points.reached("partition.given.after")
            if task is not None:
                await task
        if p.source is source:  # guard: it may have been lost meanwhile, and even been taken again (test_sharing)
            self._let_go(p, "moved")

    def _let_go(self, p: Partition, cause: str) -> None:
        epoch = p.source.epoch if p.source is not None else None
        p.source = p.task = p.moving = None
        self._events.emit(ev.PartitionReleased(stream=p.keys.stream, group=self.group, partition=p.number,
                                               epoch=epoch or 0, cause=cause))

    async def stop_reading(self) -> None:
        """Take no new work and no new partitions."""
        self._stopping.set()
        await asyncio.gather(*(p.moving for p in self._partitions if p.moving is not None), return_exceptions=True)
        await asyncio.gather(*(p.source.stop_reading() for p in self._partitions if p.source is not None))

    async def close(self, inbox: Inbox) -> int:
        """Releases every partition, and leaves the members."""
        closing = [p.source.close(inbox) for p in self._partitions if p.source is not None]
        # One that cannot be closed keeps no other open: its lease runs out.
        closed = await asyncio.gather(*closing, return_exceptions=True)
        handed_back = sum(each for each in closed if isinstance(each, int))
        with contextlib.suppress(ServerError):
            link = self._server.shared(self._partitions[0].keys.stream.encode())
            await link.run(_MEMBERS, (self._members, self._door), (self._name, 0, "", 0, 0, 0))
        return handed_back

    def inspect(self) -> list[object]:
        """One record a partition owned here."""
        return [p.source.inspect() for p in self._partitions if p.source is not None]
