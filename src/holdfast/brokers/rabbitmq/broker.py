# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ as a broker: two connections, what has to be there, publishing, sources."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from ..._amqp.link import Link, shown
from ..._amqp.outlet import Outlet, Taken
from ..._amqp.parcel import Exchange
from ..._base.letter import DEFAULT_PREFIX
from ..._base.message import F_ID
from ...consume.contract import Abilities, Source, Wanted
from ...errors import PublishError, ServerRefused
from ..world import World
from .delay import chain
from .form import parcel_of
from .lane import OWN
from .letters import DeadQueue
from .names import Names
from .settings import RabbitSettings
from .source import RabbitSource

ABILITIES: Final = Abilities(atomic_settle=False, native_delay=True, ordering="none", delivery_counter=True,
                             history=False, effects=False, later=False)


class RabbitBroker:
    """Fulfils ``consume.contract.Broker``. ``shown``: its URL without the password."""

    name = "RabbitMQ"
    abilities = ABILITIES

    def __init__(self, url: str, world: World, settings: RabbitSettings) -> None:
        self.world, self.settings = world, settings
        self.shown = shown(url)
        self._url = url
        self.outlet = Outlet(url, "holdfast publishing")
        self._consuming: Link | None = None
        self._opening = asyncio.Lock()
        #: Exchanges and groups that were seen to on this publishing connection.
        self._there: set[str | Names] = set()
        self._there_on: Link | None = None

    async def open(self) -> None:
        """Connects. Raises ServerUnreachable, NotAuthorized."""
        await self.outlet.link()

    async def publish(self, stream: str, entries: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Publishes to the stream's exchange; returns when each queue bound there has the messages for good.

        Raises PublishError when RabbitMQ refused one, or no group is there to take it.
        """
        await self._exchange(stream)
        parcels = [parcel_of(entry, exchange=stream, key=stream, prefix=DEFAULT_PREFIX) for entry in entries]
        answers = await self.outlet.publish(parcels)
        if Taken.NOWHERE in answers:  # guard: a message that nobody takes is not published
            raise PublishError(f"stream {stream!r} at {self.shown} has no group yet, and RabbitMQ keeps nothing for "
                               f"later ones: start a consumer of it first")
        if Taken.REFUSED in answers:
            raise PublishError(f"{self.shown} refused {answers.count(Taken.REFUSED)} of {len(answers)} messages for "
                               f"{stream!r}: a queue is full, or has lost its majority")
        return [OWN + _id_of(entry) for entry in entries]

    def sources(self, wanted: Wanted) -> Sequence[Source]:
        """One source."""
        return [RabbitSource(self, wanted, self.names(wanted.stream, wanted.group))]

    def names(self, stream: str, group: str) -> Names:
        """What the queues of a group are called."""
        return Names(stream, group, self.settings.queues.get(f"{stream}/{group}", ""))

    def letters(self, stream: str, group: str, prefix: str = DEFAULT_PREFIX) -> DeadQueue:
        """The dead letters of a group."""
        return DeadQueue(self, self.names(stream, group), prefix)

    async def consuming(self) -> Link:
        """The connection that consumes, for all sources; another one when it was lost."""
        async with self._opening:
            if self._consuming is None or self._consuming.lost:
                former, self._consuming = self._consuming, None
                if former is not None:
                    await former.close()
                self._consuming = await Link.open(self._url, "holdfast consuming")
            return self._consuming

    async def prepare(self, names: Names) -> None:
        """Sees to it that a group's queues are there, and what its retries wait in; once a connection."""
        link = await self._remembering()
        if names not in self._there:
            await self._exchange(names.stream) if not names.queue else None
            things = [thing for thing in names.needed(self.world.prefix) if not isinstance(thing, Exchange)]
            await link.declare([*chain(self.world.prefix), *things])
            self._there.add(names)

    def forget(self, names: Names) -> None:
        """Something of a group was deleted: it is seen to anew."""
        self._there -= {names, names.stream}

    async def _exchange(self, stream: str) -> None:
        """The stream's exchange. One that is there already is taken as it is, whatever its kind."""
        link = await self._remembering()
        if stream not in self._there:
            try:
                await link.declare([Exchange(name=stream, kind="fanout")])
            except ServerRefused as error:
                if error.code != "PRECONDITION_FAILED":
                    raise
            self._there.add(stream)

    async def _remembering(self) -> Link:
        link = await self.outlet.link()
        if link is not self._there_on:  # the server may have lost what it had
            self._there_on, self._there = link, set()
        return link

    async def close(self) -> None:
        """Closes both connections."""
        await self.outlet.close()
        if self._consuming is not None:
            await self._consuming.close()
            self._consuming = None


def _id_of(entry: Sequence[bytes]) -> bytes:
    return entry[list(entry[::2]).index(F_ID) * 2 + 1] if F_ID in entry[::2] else b""


__all__ = ["ABILITIES", "RabbitBroker"]
