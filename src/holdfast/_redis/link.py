# SPDX-License-Identifier: Apache-2.0
"""A link: commands to the master that serves one slot, with nothing repeated that may have been done.

::

    call ─▶ errand ─▶ where? ─▶ wire ─▶ write, read ─▶ all done? ─▶ replies
                        ▲                                  │ not executed: MOVED, ASK, TRYAGAIN, READONLY, …
                        └────────── pause, look again ◀────┘

A lost reply is never followed by a second try here: it is raised as ``ServerUnreachable(maybe_done=True)``, and whoever
sent the command decides. Only refusals that prove that nothing was executed are repeated, until the call's time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from .._base.chance import Chance
from ..errors import ServerError, ServerRefused, ServerUnreachable
from .endpoint import Access, Endpoint
from .errand import Arg, Command, Errand, ErrorReply, name_of, pack_all, pause_s
from .replies import Redirected, verdict
from .route import Question, Route
from .scripts import Script
from .wire import Wire, WireClosed

#: Longest wait for one connection to come about; the rest of a call's time is for other nodes.
CONNECT_S = 2.0


class Wires(Protocol):
    """Where a link takes its connection to a node from: its own, or one that many links share."""

    async def to(self, endpoint: Endpoint, access: Access, timeout_s: float) -> Wire:
        """An open connection to ``endpoint``."""
        ...

    def current(self) -> Wire | None:
        """The connection used last."""
        ...

    def drop(self) -> None:
        """Lets go of what is this link's own."""
        ...


class OwnWires:
    """Connections of one link alone: one to its master, and during a slot's move one to where ASK points."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: dict[Endpoint, Wire] = {}
        self._opening = asyncio.Lock()
        self._last: Wire | None = None

    async def to(self, endpoint: Endpoint, access: Access, timeout_s: float) -> Wire:
        wire = self._open.get(endpoint)
        if wire is None or wire.closed:
            async with self._opening:
                wire = self._open.get(endpoint)
                if wire is None or wire.closed:
                    self._tidy()
                    wire = await Wire.open(access, endpoint, self._name, min(timeout_s, CONNECT_S))
                    self._open[endpoint] = wire
        self._last = wire
        return wire

    def _tidy(self) -> None:
        """Keeps one other connection at most: a slot is never in more than two places."""
        for old in [e for e, wire in self._open.items() if wire.closed or (len(self._open) > 1 and not wire.busy)]:
            self._open.pop(old).drop()

    def current(self) -> Wire | None:
        return self._last

    def drop(self) -> None:
        while self._open:
            self._open.popitem()[1].drop()


class Link:
    """Commands to the master of one slot, over a connection of its own (``Server.link``) or a shared one.

    Replies are raw: bytes, integers, lists, None. One request is outstanding at a time, others wait for their turn.
    ``timeout_s`` of a call covers waiting, connecting and redirections; a blocking command needs its block time on top.

    Raises ServerUnreachable (``maybe_done`` tells whether the command may have been carried out), NotAuthorized,
    ServerFull, NotAStream, ServerRefused. A cancelled call drops the connection; the next call opens another.
    """

    def __init__(self, route: Route, slot: int, wires: Wires, chance: Chance, *, timeout_s: float = 5.0) -> None:
        self.timeout_s = timeout_s
        self._route = route
        self._slot = slot
        self._wires = wires
        self._chance = chance
        self._closed = False

    @property
    def client_id(self) -> int:
        """CLIENT ID of the connection used last; 0 before the first, or where the user may not ask."""
        wire = self._wires.current()
        return wire.client_id if wire else 0

    @property
    def run_id(self) -> str:
        """``run_id`` of the server at the other end; empty before the first call, or where INFO is hidden."""
        wire = self._wires.current()
        return wire.run_id if wire else ""

    @property
    def endpoint(self) -> str:
        """Where the connection used last leads, for messages."""
        wire = self._wires.current()
        return str(wire.endpoint) if wire else ""

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    async def connect(self, timeout_s: float | None = None) -> None:
        """Connects now rather than at the first call."""
        await self.call("PING", timeout_s=timeout_s)

    async def call(self, *args: Arg, timeout_s: float | None = None) -> Any:
        """Sends one command and returns its raw reply."""
        reply = (await self._perform((args,), timeout_s))[0]
        if isinstance(reply, ServerError):
            raise reply
        return reply

    async def pipeline(self, commands: Sequence[Command], timeout_s: float | None = None) -> list[Any]:
        """Sends commands in one write. Error replies stand in their places as exceptions; a broken connection raises.

        Not a transaction. Commands that a moving slot refused are repeated after the others, in their order.
        """
        return await self._perform(commands, timeout_s)

    async def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Arg] = (), timeout_s: float | None = None
    ) -> Any:
        """Runs ``script``; a server that does not know it yet is given its text."""
        try:
            return await self.call(b"EVALSHA", script.sha, len(keys), *keys, *args, timeout_s=timeout_s)
        except ServerRefused as refused:
            if refused.code != "NOSCRIPT":
                raise
        return await self.call(b"EVAL", script.text, len(keys), *keys, *args, timeout_s=timeout_s)

    async def run_confirmed(self, script: Script, keys: Sequence[bytes], args: Sequence[Arg], wait: Command,
                            timeout_s: float | None = None) -> tuple[Any, Any]:
        """Runs ``script``, and ``wait`` (``WAIT`` or ``WAITAOF``) behind it in the same write: these commands speak of
        what their own connection wrote, and a reconnection in between would make them answer for nothing.

        Both answers; an error of the script is raised, one of ``wait`` stands in its place.
        """
        reply, confirmed = await self.pipeline(((b"EVALSHA", script.sha, len(keys), *keys, *args), wait), timeout_s)
        if isinstance(reply, ServerRefused) and reply.code == "NOSCRIPT":
            reply, confirmed = await self.pipeline(((b"EVAL", script.text, len(keys), *keys, *args), wait), timeout_s)
        if isinstance(reply, ServerError):
            raise reply
        return reply, confirmed

    async def scan(self, pattern: str, *, kind: str = "", count: int = 1_000) -> AsyncIterator[list[bytes]]:
        """Keys of this master that match the glob ``pattern``, page by page; of the type ``kind`` if it is given.

        Walks the whole key space in small steps: a moment for a million keys, and no lock. A key may come twice.
        """
        cursor = b"0"
        while True:
            cursor, page = await self.call("SCAN", cursor, "MATCH", pattern, "COUNT", count,
                                           *(("TYPE", kind) if kind else ()))
            yield page
            if cursor == b"0":
                return

    async def time_ms(self) -> int:
        """The server's clock, in ms since 1970."""
        seconds, micros = await self.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def abort(self) -> None:
        """Drops this link's own socket at once: a blocked read ends in ServerUnreachable. The next call reconnects."""
        self._wires.drop()

    async def close(self) -> None:
        """Closes for good."""
        self._closed = True
        self._wires.drop()

    async def _perform(self, commands: Sequence[Command], timeout_s: float | None) -> list[Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.timeout_s if timeout_s is None else timeout_s)
        errand = Errand(commands)
        wire: Wire | None = None
        cause: ServerUnreachable | None = None
        attempt = 0
        while True:
            try:
                wire = await self._wire(errand, wire, deadline - loop.time())
                data, count = errand.packed()
                if errand.take(await wire.exchange(data, count, max(0.001, deadline - loop.time()))):
                    return errand.replies
            except WireClosed:
                pass  # Nothing was written; the next turn opens another connection.
            except ServerUnreachable as error:
                self._route.forget()
                if error.maybe_done or not self._route.moves:
                    raise
                cause = error
            wait = pause_s(attempt, self._chance.random()) if attempt or not isinstance(errand.hint, Redirected) else 0
            if loop.time() + wait >= deadline:
                return errand.give_up(cause)
            attempt += 1
            await asyncio.sleep(wait)

    async def _wire(self, errand: Errand, last: Wire | None, timeout_s: float) -> Wire:
        """The connection for this errand's next round."""
        if self._closed:
            raise ServerUnreachable(f"{name_of(errand.first)}: the link is closed")
        timeout_s = max(0.001, timeout_s)
        endpoint = learn(self._route, errand, last.endpoint if last else None) or self._route.known(self._slot)
        if endpoint is None:
            endpoint = await self._find(timeout_s)
        return await self._wires.to(endpoint, self._route.access, timeout_s)

    async def _find(self, timeout_s: float) -> Endpoint:
        asking = self._route.find(self._slot)
        try:
            question = next(asking)
            while True:
                try:
                    reply = await ask(question, timeout_s)
                except ServerError as error:
                    question = asking.throw(error)
                else:
                    question = asking.send(reply)
        except StopIteration as done:
            found: Endpoint = done.value
            return found


def learn(route: Route, errand: Errand, last: Endpoint | None) -> Endpoint | None:
    """Takes in why the last round was refused; the one endpoint to use next, when ASK named it."""
    hint = errand.hint
    if hint is None:
        return None
    if isinstance(hint, Redirected):
        endpoint = Endpoint(hint.host or (last.host if last else ""), hint.port)
        if hint.ask:
            return endpoint
        route.moved(hint.slot, endpoint)
    elif hint.elsewhere:
        route.forget()
    return None


async def ask(question: Question, timeout_s: float) -> Any:
    """One command over a connection made for it."""
    wire = await Wire.open(question.access, question.endpoint, "hf-route", min(timeout_s, CONNECT_S))
    try:
        (reply,) = await wire.exchange(pack_all((question.command,)), 1, min(timeout_s, CONNECT_S))
    except WireClosed:
        raise ServerUnreachable(f"{question.endpoint} hung up") from None
    finally:
        wire.drop()
    if isinstance(reply, ErrorReply):
        meaning = verdict(reply.text, name_of(question.command))
        raise meaning if isinstance(meaning, ServerError) else ServerUnreachable(reply.text)
    return reply
