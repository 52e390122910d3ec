# SPDX-License-Identifier: Apache-2.0
"""A group's dead letters: a quorum queue, read by holding all of it.

A queue has no cursor. Whoever reads takes each letter unacknowledged, and puts back what is not settled when the
channel is closed. It first consumes a queue of no content, alone, so a second reader is told to wait and does not see
half (a quorum queue takes no exclusive consumers). The alternatives were a stream queue, which can be read as often as
one likes and from which nothing can be taken; and a database beside it, which would need two stores to agree at each
crash: the dead-letter service's desk is that database, filled from one place.

What others have dead-lettered here (``x-death``, without our metadata) is read as letters of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from ..._amqp.intake import Intake
from ..._amqp.link import Link
from ..._amqp.outlet import Outlet, Taken
from ..._amqp.parcel import Arrived, Parcel, Queue
from ..._base import events as ev
from ..._base import points
from ..._base.letter_maps import from_format
from ..._base.letter_text import utf8
from ...errors import ConfigurationError, NotAuthorized, ServerError, ServerRefused, ServerUnreachable
from ..letters import Kept, told_apart
from .form import H_LETTER, fields_of, letter_parcel, parcel_of
from .lane import OWN
from .names import Names

if TYPE_CHECKING:
    from .broker import RabbitBroker

#: Messages that AMQP lets a channel hold.
PREFETCH_MAX = 65_535
#: Seconds without a further letter after which those that were counted and did not come are somebody else's.
QUIET_S = 2.0


class DeadQueue:
    """Fulfils ``brokers.letters.Box``."""

    def __init__(self, broker: RabbitBroker, names: Names, prefix: str) -> None:
        self._broker, self._names, self._prefix = broker, names, prefix
        self._outlet: Outlet = broker.outlet
        self._intake: Intake | None = None
        #: How many were removed of those that are held.
        self._removed = 0

    async def make(self) -> None:
        """See ``Box``: the queue alone."""
        link = await self._outlet.link()
        await link.declare([self._names.dead_queue])

    @asynccontextmanager
    async def held(self, most: int | None = None) -> AsyncIterator[Sequence[Kept]]:
        """See ``Box``. Raises ConfigurationError when there is no such group, ServerRefused when somebody reads."""
        link = await self._broker.consuming()
        found: list[Arrived] = []
        came = asyncio.Event()

        def arrived(_: Intake, one: Arrived) -> None:
            found.append(one)
            came.set()

        await self._count(link)
        turn, intake = Intake(self._names.reader, 1, lambda _, __: None), None
        try:
            await self._take_turn(turn, link)
            count = await self._counted(link, most)
            # guard: as many as were counted. Without a number a quorum queue gives 2,000
            self._intake = intake = Intake(self._names.dead, max(1, count), arrived)
            await intake.open(link, "holdfast-letters")
            while len(found) < count and not intake.over.is_set():
                came.clear()
                try:
                    async with asyncio.timeout(QUIET_S):
                        await came.wait()
                except TimeoutError:
                    break
            if intake.over.is_set():
                raise ServerUnreachable(f"reading the letters of group {self._names.group!r}: {intake.why}")
            await intake.pause()  # for each that is removed another one would come, only to be put back
            yield told_apart([(one.tag, str(one.headers.get(H_LETTER, "")), self._letter(one))
                              for one in found[:count]], self._prefix)
            await intake.flushed()
        finally:
            self._intake = None
            if intake is not None:
                await intake.close()
                await self._back(link, len(found) - self._removed)
            await turn.close()

    async def _counted(self, link: Link, most: int | None) -> int:
        """How many are to be read."""
        there = await self._count(link)
        if most is None and there > PREFETCH_MAX:
            ev.log.warning("of %d letters in %r the oldest %d are read, as many as AMQP lets one reader hold: settle "
                           "these, and read again", there, self._names.dead, PREFETCH_MAX)
        return min(there, most or PREFETCH_MAX, PREFETCH_MAX)

    async def mark(self) -> object:
        """See ``Box``: a queue that is empty is as it was; more is not known of one."""
        return None if await self._count(await self._broker.consuming()) else "empty"

    async def _back(self, link: Link, left: int) -> None:
        """Waits until what was held lies there again: the next reader would see less."""
        self._removed = 0
        with contextlib.suppress(ServerError, TimeoutError, ConfigurationError):
            async with asyncio.timeout(QUIET_S):
                while await self._count(link) < left:  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.02)

    async def _take_turn(self, turn: Intake, link: Link) -> None:
        await link.declare([Queue(name=turn.queue, fleeting=True)])
        try:
            await turn.open(link, "holdfast-letters", exclusive=True)  # guard: nobody sees half
        except NotAuthorized as error:
            raise ServerRefused(f"the letters of group {self._names.group!r} are being read by somebody else: try "
                                "again when they are through", code="RESOURCE_LOCKED") from error

    async def _count(self, link: Link) -> int:
        try:
            [count] = await link.declare([Queue(name=self._names.dead, passive=True)])
        except ServerRefused as error:
            if error.code != "NOT_FOUND":
                raise
            raise ConfigurationError(f"there is no group {self._names.group!r} on stream {self._names.stream!r} at "
                                     f"{self._broker.shown}, and no letters of one") from error
        return count

    def _letter(self, one: Arrived) -> list[bytes]:
        """A letter's fields; metadata of our own, or as RabbitMQ's history says it."""
        fields = fields_of(one, self._prefix)
        if "x-death" not in one.headers or any(name.startswith(utf8(self._prefix)) for name in fields[::2]):
            return fields
        at = one.properties.get("timestamp")
        at_ms = int(at.timestamp() * 1000) if isinstance(at, datetime) else 0
        told = from_format("rabbitmq", one.headers, at_ms=at_ms, stream=self._names.stream, group=self._names.group,
                           prefix=self._prefix)
        named = ((utf8(self._prefix + name), utf8(value)) for name, value in told.fields.items())
        return [part for pair in named for part in pair] + fields

    async def send_back(self, kept: Kept, entry: Sequence[bytes]) -> bytes:
        """See ``Box``."""
        points.reached("rabbit.replay.before")
        await self.post(entry)
        points.reached("rabbit.replay.published")
        await self.remove(kept)
        return OWN + utf8(kept.place)

    async def post(self, entry: Sequence[bytes]) -> bytes:
        """See ``Box``."""
        parcel = parcel_of(entry, exchange="", key=self._names.replay, prefix=self._prefix)
        await self._publish(parcel)
        return OWN + utf8(str(parcel.properties.get("message_id", "")))

    async def remove(self, kept: Kept) -> None:
        """See ``Box``."""
        await self.remove_all([kept])

    async def remove_all(self, kept: Sequence[Kept]) -> None:
        """See ``Box``."""
        if self._intake is None:
            raise ServerUnreachable("the letters are not held any more")
        tags = [tag for one in kept for tag in one.handles]
        self._removed += len(tags)
        await self._intake.ack([(tag, False) for tag in tags])
        await self._intake.flushed()

    async def bury(self, fields: Sequence[bytes], letter_id: str) -> None:
        """See ``Box``."""
        await self._publish(letter_parcel(fields, letter_id, queue=self._names.dead, prefix=self._prefix))

    async def _publish(self, parcel: Parcel) -> None:
        [answer] = await self._outlet.publish([parcel])
        if answer is Taken.NOWHERE:
            raise ConfigurationError(f"there is no queue {parcel.key!r} at {self._broker.shown}: run a consumer of "
                                     f"group {self._names.group!r} once, which makes it")
        if answer is Taken.REFUSED:
            raise ServerRefused(f"queue {parcel.key!r} took no more: it is full, or has lost its majority")


__all__ = ["DeadQueue"]
