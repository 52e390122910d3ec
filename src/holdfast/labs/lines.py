# SPDX-License-Identifier: Apache-2.0
"""Connections that are lent to one user at a time, as the pool of an ordinary client does.

A shared connection would let a handler's one command wait for everybody else's, and ``WATCH`` speaks of the connection
it was sent on. So a transaction goes over the very socket that watches: if that one broke, nothing is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from .._redis.errand import Command, ErrorReply, name_of, pack_all
from .._redis.link import Link, OwnWires
from .._redis.replies import verdict
from .._redis.slots import slot_of
from .._redis.wire import Wire, WireClosed
from ..errors import ServerError, ServerRefused, ServerUnreachable

if TYPE_CHECKING:
    from .._base.chance import Chance
    from .._redis.server import Server

#: Connections at most. More handlers than that wait for one another.
LINES = 20


class Line:
    """One connection, as long as it is lent."""

    def __init__(self, link: Link, wires: OwnWires) -> None:
        self.link = link
        self._wires = wires
        self._watching: Wire | None = None

    async def call(self, *command: Any) -> Any:
        """One command, one answer."""
        return await self.link.call(*command)

    async def watch(self, key: bytes, *then: Command) -> list[Any]:
        """``WATCH key`` and commands behind it, in one write; their answers."""
        answers = await self.link.pipeline([("WATCH", key), *then])  # guard: who was quicker is noticed
        for answer in answers:
            if isinstance(answer, ServerError):
                raise answer
        used = self._wires.current()
        self._watching = self._watching or used
        if self._watching is not used:  # guard: what an earlier connection watched, nobody watches any more
            raise ServerUnreachable("the connection that watched is gone: begin anew")
        return answers[1:]

    async def transact(self, commands: Sequence[Command]) -> list[Any] | None:
        """``MULTI``, the commands, ``EXEC``, in one write on the socket that watches; None when a watched key has
        changed. Errors of single commands stand in their places: the others are carried out."""
        wire, self._watching = self._watching, None
        if wire is None:
            raise ServerUnreachable("nothing is watched: the connection is gone")
        try:
            replies = await wire.exchange(pack_all([("MULTI",), *commands, ("EXEC",)]), len(commands) + 2,
                                          self.link.timeout_s)
        except WireClosed:  # guard: never over another socket, where nothing is watched
            raise ServerUnreachable("the connection that watched is gone, and nothing was sent") from None
        return _executed(replies, commands)

    async def rest(self) -> None:
        """What is still watched is let go of, for whoever is lent the connection next."""
        if self._watching is not None:
            self._watching = None
            await self.link.call("UNWATCH")

    def drop(self) -> None:
        """Hangs up: it may still watch, or wait for an answer."""
        self._watching = None
        self.link.abort()


def _executed(replies: Sequence[Any], commands: Sequence[Command]) -> list[Any] | None:
    """The answer of EXEC. Raises what refused the transaction as a whole."""
    for reply, command in zip(replies, [("MULTI",), *commands, ("EXEC",)], strict=True):
        if isinstance(reply, ErrorReply):
            meaning = verdict(reply.text, name_of(command))
            raise meaning if isinstance(meaning, ServerError) else ServerRefused(reply.text, code="EXECABORT")
    found: list[Any] | None = replies[-1]
    return found


class Lines:
    """A pool of them, all to the master that serves one key's slot."""

    def __init__(self, server: Server, key: bytes, chance: Chance, count: int = LINES) -> None:
        self._server, self._slot, self._chance = server, slot_of(key), chance
        self._all: list[Line] = []
        self._free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        self._count = count

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Line]:
        """A connection for the block."""
        line = await self._take()
        try:
            yield line
            await line.rest()
        except BaseException:
            line.drop()
            raise
        finally:
            self._free.put_nowait(line)

    async def _take(self) -> Line:
        if self._free.empty() and len(self._all) < self._count:
            wires = OwnWires("hf-lab")
            line = Line(Link(self._server.route, self._slot, wires, self._chance), wires)
            self._all.append(line)
            return line
        return await self._free.get()

    async def close(self) -> None:
        """Closes all of them."""
        for line in self._all:
            await line.link.close()
