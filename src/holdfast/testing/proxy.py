# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that misbehaves on request: between client and server, or between master and replica.

It runs in a thread of its own with its own event loop, so a test drives it with plain calls whatever it is itself
doing, and each call has taken effect when it returns::

    with Proxy(server.address) as proxy:
        trap = proxy.eat_reply(to=b"XREADGROUP")
        ...                        # a consumer that reads through proxy.port
        trap.wait()                # the server has handed out entries that nobody received

``UP`` is from client to server, ``DOWN`` from server to client. In a replication link the replica is the client:
stalling DOWN holds back writes, stalling UP their acknowledgements.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .loop_thread import LoopThread
from .pipe import Lane, Pipe, Way
from .ports import HOST, free_port
from .trap import Match, Then, Trap, Turns

_BOTH = (Way.UP, Way.DOWN)
# On, and zero seconds: closing sends RST and throws away what was not sent.
_LINGER_RST = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Connection:
    """A proxied connection as ``Proxy.connections`` shows it. ``half_open``: the server's side is gone."""

    client_port: int
    half_open: bool


class Proxy(LoopThread):
    """Forwards ``host:port`` (its own, on loopback) to ``target``. ``start`` and ``close``, or a ``with`` block.

    resp: what goes through is Redis's protocol. Of any other one no reply can be eaten, all else works.
    """

    host = HOST

    def __init__(self, target: tuple[str, int], *, resp: bool = True) -> None:
        super().__init__("holdfast-proxy")
        self.target = target
        self._resp = resp
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: set[_Link] = set()
        self._traps: list[Trap] = []
        self._closed = False
        self.lanes: dict[Way, Lane] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect: ``(host, port)``."""
        return self.host, self.port

    def through(self, url: str) -> str:
        """``url`` of the target, rewritten to pass through this proxy."""
        host, port = self.target
        return url.replace(f"{host}:{port}", f"{self.host}:{self.port}")

    # -- what it can do to bytes

    def stall(self, *ways: Way) -> None:
        """Holds bytes back, connections stay open. Both directions unless named."""
        self._each_lane(ways, lambda lane: lane.gate.clear())

    def resume(self, *ways: Way) -> None:
        """Lets held bytes go on, in order, none lost."""
        self._each_lane(ways, lambda lane: lane.gate.set())

    def delay(self, seconds: float, *ways: Way) -> None:
        """Every byte arrives so much later; order is kept. 0 ends it."""

        def set_delay(lane: Lane) -> None:
            lane.delay_s = seconds

        self._each_lane(ways, set_delay)

    def eat_reply(self, to: Match, count: int = 1, then: Then = "cut") -> Trap:
        """Lets matching requests through and swallows their replies, ``count`` times.

        to: the command's name in any case, or a function of the request's words.
        then: ``cut`` resets the connection once the reply was swallowed, and what was under way just before it may go
            too, as in any reset; ``hang`` keeps the connection open and silent.

        A nil reply is passed on and not counted. Only requests sent from now on are matched.
        """
        if not self._resp:
            raise ValueError("only replies of Redis's protocol can be told apart: stall, delay or cut instead")
        trap = Trap(to, count, then)
        self.call(lambda: self._traps.append(trap))
        return trap

    # -- what it can do to connections

    def cut(self) -> int:
        """Resets every connection on both sides (RST); bytes under way are lost. Returns how many there were."""
        return self.call(lambda: self._each_link(_Link.cut))

    def half_open(self) -> int:
        """The server's side of each connection is reset, the client's stays open and silent for ever (a forgetful NAT).

        New connections work.
        """
        return self.call(lambda: self._each_link(_Link.half_open))

    def refuse(self) -> None:
        """New connections are refused. Those that exist stay; ``cut`` them for an outage."""
        self.call(self._stop_listening)

    def accept(self) -> None:
        """New connections are taken again, on the same port."""
        self.call(self._listen)

    def heal(self) -> None:
        """Undoes what was done: passes bytes, at once, eats nothing, takes connections."""
        self.resume()
        self.delay(0)
        self.call(self._disarm)
        self.accept()

    # -- what it knows

    @property
    def connections(self) -> list[Connection]:
        """Those open now, oldest first."""
        return self.call(lambda: sorted((link.state() for link in self._links), key=lambda c: c.client_port))

    @property
    def bytes_up(self) -> int:
        """Bytes passed on to the server, over all connections."""
        return self.lanes[Way.UP].bytes

    @property
    def bytes_down(self) -> int:
        """Bytes passed on to clients, over all connections."""
        return self.lanes[Way.DOWN].bytes

    # -- how

    async def _opened(self) -> None:
        self.lanes = {way: Lane() for way in Way}
        self._listen()

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port))
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._accept_one, self._listener)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept_one(self, listener: socket.socket) -> None:
        """By hand: asyncio's own server loses the sockets of connections that it accepts while it is being closed."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = listener.accept()
            client.setblocking(False)
            # asyncio does it for its own sockets. Without, each second small write waits 40 ms for an acknowledgement.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _closing(self) -> None:
        self._closed = True
        self._stop_listening()
        self._each_link(_Link.cut)

    def _each_lane(self, ways: tuple[Way, ...], act: Callable[[Lane], None]) -> None:
        def run() -> None:
            for way in ways or _BOTH:
                act(self.lanes[way])

        self.call(run)

    def _each_link(self, act: Callable[[_Link], None]) -> int:
        links = list(self._links)
        for link in links:
            act(link)
        return len(links)

    def _disarm(self) -> None:
        for trap in self._traps:
            trap.disarm()
        self._traps.clear()

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)  # what a client sees when the way leads to nobody
            return
        link = _Link(writer, up_writer, Turns(lambda: self._traps) if self._resp else Turns.of_any_bytes())
        self._links.add(link)
        try:
            if not self._closed:
                await link.carry(reader, up_reader, self.lanes)
        finally:
            self._links.discard(link)
            link.cut()


class _Link:
    """One client's connection and its counterpart to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter, turns: Turns) -> None:
        self._client, self._server, self._turns = client, server, turns
        self._client_port: int = client.get_extra_info("peername")[1]
        self._half_open = False
        self._pipes: list[asyncio.Task[None]] = []

    def state(self) -> Connection:
        """As ``Proxy.connections`` shows it."""
        return Connection(self._client_port, self._half_open)

    async def carry(
        self, reader: asyncio.StreamReader, up_reader: asyncio.StreamReader, lanes: dict[Way, Lane]
    ) -> None:
        """Returns when both directions have ended, or one has broken."""
        up = Pipe(reader, self._server, lanes[Way.UP], self._turns.up)
        down = Pipe(up_reader, self._client, lanes[Way.DOWN], self._down)
        self._pipes = [asyncio.create_task(up.run()), asyncio.create_task(down.run())]
        done, _ = await asyncio.wait(self._pipes, return_when=asyncio.FIRST_EXCEPTION)
        if self._half_open:
            await self._linger(reader)
        try:
            for pipe in done:
                if not pipe.cancelled():
                    pipe.result()
        except* OSError:
            pass  # one side broke off; our caller breaks off the other

    def _down(self, chunk: bytes) -> bytes:
        passed = self._turns.down(chunk)
        if self._turns.sprung is not None and self._turns.sprung.then == "cut":
            self._client.write(passed)
            asyncio.get_running_loop().call_soon(self.cut)
            return b""
        return passed

    async def _linger(self, reader: asyncio.StreamReader) -> None:
        """Holds the client's side open, swallowing what it says, until it gives up or is cut."""
        with suppress(OSError):
            while await reader.read(65536):
                continue

    def half_open(self) -> None:
        # The pipes go first: they would tell the client that the server has closed.
        self._half_open = True
        self._stop_pipes()
        _reset(self._server)

    def cut(self) -> None:
        """A pipe may be waiting at a closed gate: it is stopped, not waited for."""
        self._stop_pipes()
        for writer in (self._client, self._server):
            _reset(writer)

    def _stop_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RST)
    writer.transport.abort()
