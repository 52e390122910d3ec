# SPDX-License-Identifier: Apache-2.0
"""One connection to RabbitMQ, and the driver's errors in our words.

Channels are the driver's lower ones: what lies above them makes an object and a task of each acknowledgement.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import aio_pika
from aio_pika import exceptions as theirs
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ConnectionNotAllowed

from ..errors import ConfigurationError, NotAuthorized, ServerRefused, ServerUnreachable
from .parcel import Binding, Exchange, Queue, Thing

#: Seconds that a connection, or an answer on one, may take.
ANSWER_S = 10.0
#: Seconds between two signs of life; a silent server is given up after two of them.
HEARTBEAT_S = 10
_WRITE = "write amqp://host:5672/, with the virtual host behind"


def shown(url: str) -> str:
    """The URL for messages: without its password. Raises ConfigurationError without a host, or with a wrong port."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the URL of RabbitMQ has no readable port: {_WRITE}") from error
    if not parts.hostname:
        raise ConfigurationError(f"the URL of RabbitMQ names no host: {_WRITE}")
    return f"{parts.scheme}://{parts.hostname}:{port or (5671 if parts.scheme == 'amqps' else 5672)}{parts.path}"


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Raises the driver's errors as ours. ``what`` was being done."""
    try:
        yield
    except theirs.ProbableAuthenticationError as error:
        raise NotAuthorized(f"{what}: RabbitMQ refused this user or its password ({_said(error)}): mend them in the "
                            "URL") from error
    except (ChannelAccessRefused, ConnectionNotAllowed) as error:
        raise NotAuthorized(f"{what}: RabbitMQ refused it to this user ({_said(error)}): grant configure, write and "
                            f"read on the virtual host with `rabbitmqctl set_permissions`") from error
    except theirs.ChannelPreconditionFailed as error:
        raise ServerRefused(f"{what}: {_said(error)}", code="PRECONDITION_FAILED") from error
    except theirs.ChannelNotFoundEntity as error:
        raise ServerRefused(f"{what}: {_said(error)}", code="NOT_FOUND") from error
    except ChannelLockedResource as error:
        raise ServerRefused(f"{what}: {_said(error)}", code="RESOURCE_LOCKED") from error
    except (*theirs.CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise ServerUnreachable(f"{what}: {_said(error) or type(error).__name__}", maybe_done=True) from error


def _said(error: BaseException) -> str:
    return " ".join(str(part) for part in error.args if part is not None)


class _Connection(aio_pika.Connection):
    """Of one whose opening failed half-way the driver would begin to close it while it is collected, and never end."""

    def __del__(self) -> None:
        """Whoever opened it has closed it."""


class Link:
    """One connection. Opened by ``open``; once it is closed, by whomever, another one is to be made."""

    def __init__(self, url: str, connection: Any) -> None:
        self._url = url
        self._connection = connection
        self.shown = shown(url)

    @classmethod
    async def open(cls, url: str, name: str) -> Self:
        """Connects. ``name``: for people, in RabbitMQ's list. Raises ServerUnreachable, NotAuthorized."""
        what = f"connecting to {shown(url)}"
        with told(what):
            try:
                connection = await aio_pika.connect(url, timeout=ANSWER_S, heartbeat=HEARTBEAT_S,
                                                    connection_class=_Connection,
                                                    client_properties={"connection_name": name})
            except theirs.CONNECTION_EXCEPTIONS as error:
                if "Connection.OpenOk" not in str(error):  # it was let in, and closed when it named the virtual host
                    raise
                raise NotAuthorized(f"{what}: there is no such virtual host, or this user may not use it: make it with "
                                    f"`rabbitmqctl add_vhost`, or name another one behind the port") from error
        return cls(url, connection)

    @property
    def lost(self) -> bool:
        """Is it over?"""
        transport = self._connection.transport
        return transport is None or not (self._connection.connected.is_set() and transport.connection.is_opened)

    async def takes(self, within_s: float) -> bool:
        """Does RabbitMQ take messages from this connection? It reads nothing while its memory or disk is short."""
        with contextlib.suppress(TimeoutError, *theirs.CONNECTION_EXCEPTIONS):
            async with asyncio.timeout(within_s):
                await self._connection.transport.connection.ready()
                return True
        return False

    async def channel(self, *, confirms: bool) -> Any:
        """A channel of the driver. confirms: what is published on it is confirmed, and what came back raises."""
        with told(f"opening a channel to {self.shown}"):
            channel = self._connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            async with asyncio.timeout(ANSWER_S):
                await channel.initialize()
                return await channel.get_underlay_channel()

    async def declare(self, things: Sequence[Thing]) -> list[int]:
        """Sees to it that queues, exchanges and bindings are there; answers how many messages lie ready in each queue.

        ServerRefused with code PRECONDITION_FAILED: one is there, and is another kind.
        """
        counts: list[int] = []
        channel = await self.channel(confirms=False)
        try:
            for thing in things:
                with told(f"declaring {_named(thing)}"):
                    async with asyncio.timeout(ANSWER_S):
                        if (count := await _declared(channel, thing)) is not None:
                            counts.append(count)
        finally:
            await closed(channel)
        return counts

    async def close(self) -> None:
        """Closes it, with all its channels. Raises nothing."""
        with contextlib.suppress(*theirs.CONNECTION_EXCEPTIONS, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._connection.close()


async def closed(channel: Any) -> None:
    """Closes a channel of the driver. Raises nothing: what it held goes back to its queue either way."""
    with contextlib.suppress(*theirs.CONNECTION_EXCEPTIONS, TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            await channel.close()


def _named(thing: Thing) -> str:
    if isinstance(thing, Binding):
        return f"the binding of {thing.source!r} to {thing.queue or thing.exchange!r}"
    return f"{'queue' if isinstance(thing, Queue) else 'exchange'} {thing.name!r}"


async def _declared(channel: Any, thing: Thing) -> int | None:
    match thing:
        case Queue():
            answer = await channel.queue_declare(thing.name, durable=not (thing.passive or thing.fleeting),
                                                 passive=thing.passive, auto_delete=thing.fleeting,
                                                 arguments=dict(thing.arguments))
            return int(answer.message_count)
        case Exchange():
            await channel.exchange_declare(thing.name, exchange_type=thing.kind, durable=True)
        case Binding() if thing.queue:
            await channel.queue_bind(thing.queue, thing.source, routing_key=thing.key)
        case Binding():
            await channel.exchange_bind(destination=thing.exchange, source=thing.source, routing_key=thing.key)
    return None
