# SPDX-License-Identifier: Apache-2.0
"""Publishing that knows what became of each message: taken for good, refused, or taken by nobody.

One connection of its own: RabbitMQ stops reading from whoever publishes while its memory or disk is short, and
acknowledgements on the same connection would stand still with it.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aio_pika import exceptions as theirs
from aiormq import spec

from ..errors import ServerUnreachable
from .link import Link, closed, told
from .parcel import Parcel

#: Seconds after which a confirm that did not come will not: RabbitMQ is short of memory or disk, or gone.
CONFIRM_S = 15.0
#: Messages on their way at a time.
AT_ONCE = 500
#: Seconds to wait for a server that takes nothing for the moment.
TAKES_S = 1.0
_PERSISTENT = 2


class Taken(enum.Enum):
    """What became of a message."""

    STORED = "stored"
    REFUSED = "refused"  # the queue is full, or lost its majority
    NOWHERE = "nowhere"  # no queue is bound there


class Outlet:
    """Publishes over one confirming channel, which it opens anew when it was lost."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._name = url, name
        self._link: Link | None = None
        self._channel: Any = None
        self._opening = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        #: Ids on their way. The driver finds what came back by its message id: two of one id would be mixed up.
        self._going: dict[str, asyncio.Future[None]] = {}

    async def link(self) -> Link:
        """The connection; another one when it was lost."""
        async with self._opening:
            if self._link is None or self._link.lost:
                former, self._link, self._channel = self._link, None, None
                if former is not None:
                    await former.close()
                self._link = await Link.open(self._url, self._name)
            return self._link

    async def publish(self, parcels: Sequence[Parcel]) -> list[Taken]:
        """Publishes them, ``AT_ONCE`` on their way at a time; answers, for each, what became of it, once RabbitMQ has
        said so.

        Raises ServerUnreachable with ``maybe_done`` when that was not heard of every one: some may be there.
        """
        found: list[Taken] = []
        for at in range(0, len(parcels), AT_ONCE):
            found += await self._some(parcels[at:at + AT_ONCE])
        return found

    async def _some(self, parcels: Sequence[Parcel]) -> list[Taken]:
        if not await (await self.link()).takes(TAKES_S):  # guard: no copies pile up before a door that is shut
            raise ServerUnreachable("RabbitMQ takes no messages: its memory or its disk is short, as `rabbitmqctl "
                                    "status` says")
        channel = await self._open_channel()
        try:
            async with asyncio.timeout(CONFIRM_S):  # one for all: a timer a message would cost as much as sending it
                answers = await asyncio.gather(*(self._one(channel, p) for p in parcels), return_exceptions=True)
        except TimeoutError as error:
            raise ServerUnreachable(f"RabbitMQ has not confirmed {len(parcels)} messages within {CONFIRM_S:g} s",
                                    maybe_done=True) from error
        if Taken.REFUSED in answers and self._channel is channel:
            # RabbitMQ 3.10 goes on refusing a channel when the queue's limit was lifted. Another one asks anew.
            self._channel = None
            self._leave(channel)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Taken)]

    def _leave(self, channel: Any) -> None:
        """Closes a channel once all that is on its way over it was answered."""
        async def ended() -> None:
            until = time.monotonic() + CONFIRM_S
            while channel.confirmations and time.monotonic() < until:  # noqa: ASYNC110 - once, and nobody waits for it
                await asyncio.sleep(0.05)
            await closed(channel)

        task = asyncio.create_task(ended())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _open_channel(self) -> Any:
        link = await self.link()
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await link.channel(confirms=True)
            return self._channel

    async def _one(self, channel: Any, parcel: Parcel) -> Taken:
        known_by = str(parcel.properties.get("message_id") or "")
        while (other := self._going.get(known_by)) is not None:  # guard: what came back is told apart
            await asyncio.wait([other])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if known_by:
            self._going[known_by] = done
        try:
            return await self._sent(channel, parcel)
        finally:
            self._going.pop(known_by, None)
            done.set_result(None)

    async def _sent(self, channel: Any, parcel: Parcel) -> Taken:
        with told(f"publishing to {parcel.exchange or parcel.key!r}"):
            try:
                await channel.basic_publish(
                    parcel.body, exchange=parcel.exchange, routing_key=parcel.key, mandatory=True, wait=False,
                    properties=_properties(parcel))
            except theirs.PublishError:
                return Taken.NOWHERE
            except theirs.DeliveryError:
                return Taken.REFUSED
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                raise ServerUnreachable("the channel was closed before the confirm came", maybe_done=True) from None
        return Taken.STORED

    async def close(self) -> None:
        """Closes the connection."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._channel is not None:
            await closed(self._channel)
        if self._link is not None:
            await self._link.close()
        self._link = self._channel = None


def _properties(parcel: Parcel) -> Any:
    told_of = {name: value for name, value in parcel.properties.items() if value is not None}
    if isinstance(at := told_of.get("timestamp"), int):
        told_of["timestamp"] = datetime.fromtimestamp(at, UTC)
    return spec.Basic.Properties(headers=dict(parcel.headers) or None, delivery_mode=_PERSISTENT, **told_of)


__all__ = ["CONFIRM_S", "Outlet", "Taken"]
