# SPDX-License-Identifier: Apache-2.0
"""Listening: one connection to a node, however many channels are listened to on it. A message is a hint, no more.

::

    async with listener.listening(channel) as heard:
        ...look once more...                              # what happened before we listened is seen here
        heard.clear(); await heard.wait()                 # set by a message, and by every reconnection

Publish and subscribe loses what is sent while nobody listens. So ``listening`` begins only once the server has
confirmed the subscription, a reconnection sets every event, and whoever waits looks for himself and never waits for
ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from .._base.events import log
from ..errors import ServerError, ServerUnreachable
from .errand import pack_all
from .wire import hang_up

if TYPE_CHECKING:
    from .server import Server

#: Longest wait for a connection and for the server to confirm a subscription.
CONFIRM_S = 2.0
_AGAIN_S = 0.25


async def sharded(server: Server) -> bool:
    """Whether channels belong to slots: SPUBLISH and SSUBSCRIBE, which leave a Cluster's other nodes in peace."""
    return server.clustered and (await server.abilities()).spublish


async def publish_word(server: Server) -> str:
    """The command that reaches a ``Listener`` made with ``sharded``."""
    return "SPUBLISH" if await sharded(server) else "PUBLISH"


class Listener:
    """Channels on the node that serves one slot. sharded: see the function of that name."""

    def __init__(self, server: Server, key: bytes, *, sharded: bool = False) -> None:
        self._server, self._key, self._sharded = server, key, sharded
        self._waiting: dict[bytes, set[asyncio.Event]] = {}
        self._confirmed: dict[bytes, asyncio.Event] = {}
        self._connection: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    @contextlib.asynccontextmanager
    async def listening(self, *channels: bytes) -> AsyncIterator[asyncio.Event]:
        """An event that is set by each message on one of them, which lie in one slot. Raises ServerUnreachable when a
        subscription is not confirmed."""
        event = asyncio.Event()
        for channel in channels:
            self._waiting.setdefault(channel, set()).add(event)
        try:
            for channel in channels:
                await self._subscribed(channel)
            yield event
        finally:
            await self._left(channels, event)

    async def close(self) -> None:
        """Lets go of the connection; whoever still waits is woken."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._hang_up()

    async def _subscribed(self, channel: bytes) -> None:
        try:
            async with asyncio.timeout(CONFIRM_S):
                await self._connected()
                confirmed = self._confirmed.get(channel)
                if confirmed is None:
                    confirmed = self._confirmed[channel] = asyncio.Event()
                    await self._say(b"SUBSCRIBE", channel)
                await confirmed.wait()
        except (RedisError, OSError, TimeoutError) as error:
            self._hang_up()
            raise ServerUnreachable(f"cannot listen on {self._server.url}: {str(error) or 'no answer'}") from error

    async def _left(self, channels: tuple[bytes, ...], event: asyncio.Event) -> None:
        alone = []
        for channel in channels:  # all of them before anything is awaited, where a cancellation may come
            self._waiting[channel].discard(event)
            if not self._waiting[channel]:
                del self._waiting[channel]
                if self._confirmed.pop(channel, None) is not None:
                    alone.append(channel)
        for channel in alone:
            if self._connection is not None:
                with contextlib.suppress(RedisError, OSError):  # the connection's end is its reader's to notice
                    await self._say(b"UNSUBSCRIBE", channel)

    async def _say(self, command: bytes, channel: bytes) -> None:
        word = b"S" + command if self._sharded else command
        await self._connection.send_packed_command(pack_all(((word, channel),)), check_health=False)

    async def _connected(self) -> None:
        async with self._opening:
            if self._connection is None:
                self._connection = await self._open()
                self._reading = asyncio.create_task(self._read(self._connection))

    async def _open(self) -> Any:
        """A connection of the driver's own, to where a link to the same slot leads."""
        link = await self._server.link(self._key, name="hf-listen", timeout_s=CONFIRM_S)
        try:
            route = self._server.route
            endpoint = route.known(self._server.place_of(self._key))
            if endpoint is None:
                raise ServerUnreachable(f"{self._server.url}: nobody serves what is listened to")
            connection = route.access.connection(endpoint, CONFIRM_S)
            await connection.connect()
            return connection
        finally:
            await link.close()

    async def _read(self, connection: Any) -> None:
        try:
            while True:
                self._take(await connection.read_response(disable_decoding=True, timeout=math.inf))
        except (RedisError, OSError) as error:
            log.debug("listening on %s: %s", self._server.url, error)
        if self._connection is connection:
            self._hang_up()
            await self._again()

    def _take(self, message: list[Any]) -> None:
        kind, channel, *_ = message
        if kind in (b"message", b"smessage"):
            self._tell(channel)
        elif kind in (b"subscribe", b"ssubscribe") and channel in self._confirmed:
            self._confirmed[channel].set()

    def _tell(self, channel: bytes) -> None:
        for event in self._waiting.get(channel, ()):
            event.set()

    def _hang_up(self) -> None:
        """Everybody is woken: what was said in between was heard by nobody."""
        connection, self._connection = self._connection, None
        if connection is not None:
            hang_up(connection)
        self._confirmed.clear()
        for channel in self._waiting:  # guard: a reconnection is a message
            self._tell(channel)

    async def _again(self) -> None:
        """Listens anew to what is still waited for, until that works."""
        while self._waiting and self._connection is None and not self._closed:
            try:
                for channel in tuple(self._waiting):
                    await self._subscribed(channel)
                    self._tell(channel)
            except ServerError:
                await asyncio.sleep(_AGAIN_S)
