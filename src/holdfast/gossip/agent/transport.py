# SPDX-License-Identifier: Apache-2.0
"""One port for datagrams and streams, and bounds for what comes in by them.

Nobody who connects has been believed yet. So streams are counted, in all and by host; what all of them have read and
not yet understood has one limit together; each has to be over in time, and one that falls silent goes sooner. What is
large is decoded in a thread, and the loop goes on meanwhile. Nothing is answered before all of what was asked has been
read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ...errors import BadPacket, ConfigurationError, GossipError
from ..messages import Address, Message
from .address import host_text, packed, reachable, text
from .voice import Reader

#: Attempts to find a port that is free for datagrams and streams both.
PORT_ATTEMPTS: Final = 64
#: Bytes that are asked for as buffer of the socket: bursts wait there. The system may give less.
SOCKET_BYTES: Final = 2 << 20
#: Bytes that are read in one go; an exchange beyond so many is decoded, or encoded, in a thread.
CHUNK: Final = 256 << 10
THREAD_FROM: Final = 128 << 10

Datagram = Callable[[bytes, Address], None]


@dataclass(frozen=True, kw_only=True)
class TransportLimits:
    """streams, streams_per_host: that others opened, at once; the next one is closed at once and counted.

    waiting_bytes: of all incoming streams together, read and not yet understood. stream_s: until one is over;
    silent_s: between two reads of it.
    """

    streams: int = 128
    streams_per_host: int = 32
    waiting_bytes: int = 64 << 20
    stream_s: float = 10.0
    silent_s: float = 5.0


class Conversation:
    """A stream, by turns. source: who is at its other end. counted: it was that one who opened it."""

    def __init__(self, transport: Transport, source: Address, reader: asyncio.StreamReader,
                 writer: asyncio.StreamWriter, *, counted: bool = True) -> None:
        self._transport, self._reader, self._writer, self._counted = transport, reader, writer, counted
        self.source: Final = source

    async def read(self, into: Reader) -> Message:
        """What it says. Raises BadPacket, also when it ends before its message does."""
        return await self._transport.read(self._reader, into, counted=self._counted)

    async def write(self, data: bytes) -> None:
        """What is said to it."""
        await self._transport.write(self._writer, data)


Stream = Callable[[Conversation], Awaitable[None]]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, heard: Datagram, counts: Counter[str]) -> None:
        self._heard, self._counts = heard, counts

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._counts["packets_in"] += 1
        self._counts["bytes_in"] += len(data)
        self._heard(data, (packed(addr[0]), addr[1]))

    def error_received(self, exc: Exception) -> None:
        self._counts["packets_unreachable"] += 1  # nobody listens there: the probe finds that out by itself


class Transport:
    """Listens at once; see ``open``. counts: packets and bytes, streams and what became of them."""

    def __init__(self, limits: TransportLimits) -> None:
        self.limits = limits
        self.counts: Counter[str] = Counter()
        self.waiting_bytes = 0
        #: Is shown each datagram as it goes out, by whoever wants to see what others could record.
        self.tap: Callable[[bytes], object] | None = None
        self.address: Address = (b"", 0)
        self._by_host: Counter[bytes | str] = Counter()
        self._conversations: set[asyncio.Task[None]] = set()
        self._dials: set[asyncio.Timeout] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._tcp: asyncio.Server | None = None
        self._stream: Stream | None = None

    @classmethod
    async def open(cls, host: str, port: int, heard: Datagram, stream: Stream,
                   limits: TransportLimits | None = None) -> Transport:
        """Listens on an IP address. port: 0 finds one that is free for both. Raises ConfigurationError where the port
        is taken or the address is not this machine's."""
        self = cls(limits or TransportLimits())
        self._stream = stream
        for left in reversed(range(1 if port else PORT_ATTEMPTS)):
            try:
                await self._listen(host, port, heard)
                break
            except OSError as error:
                await self.close()
                if error.errno != errno.EADDRINUSE or not left:
                    why = os.strerror(error.errno) if error.errno else str(error)
                    raise ConfigurationError(f"cannot listen on {text((packed(host), port))}: {why}: take another "
                                             "port, or an address of this machine") from error
        return self

    async def _listen(self, host: str, port: int, heard: Datagram) -> None:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._accepted, host, port, backlog=self.limits.streams,
                                               limit=CHUNK)
        bound = self._tcp.sockets[0].getsockname()
        udp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            with contextlib.suppress(OSError):
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
            udp.bind((host, bound[1]))
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(heard, self.counts), sock=udp)
        except BaseException:
            udp.close()
            raise
        self._socket, self.address = udp, (packed(host), bound[1])

    # -- datagrams --------------------------------------------------------------------------------------------------

    def send(self, data: bytes, to: Address) -> None:
        """One datagram; whether it comes through is not known."""
        try:
            if self._socket is None or not reachable(to):
                raise OSError("nothing can be sent there")
            if self.tap is not None:
                self.tap(data)
            self._socket.sendto(data, (host_text(to[0]), to[1]))
        except OSError:  # no route, too large, or the system has no room: datagrams that wait are of no use
            self.counts["packets_unsent"] += 1
        else:
            self.counts["packets_out"] += 1
            self.counts["bytes_out"] += len(data)

    # -- streams that others open -----------------------------------------------------------------------------------

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        task = asyncio.current_task()
        if name is None or task is None or self._stream is None:
            writer.transport.abort()
            return
        source = packed(name[0]), name[1]
        if (len(self._conversations) >= self.limits.streams
                or self._by_host[source[0]] >= self.limits.streams_per_host):  # guard: streams have a bound
            self.counts["streams_turned_away"] += 1
            writer.transport.abort()
            return
        self.counts["streams_in"] += 1
        self._by_host[source[0]] += 1
        self._conversations.add(task)
        try:
            async with asyncio.timeout(self.limits.stream_s):
                await self._stream(Conversation(self, source, reader, writer))
        except (OSError, TimeoutError):
            self.counts["streams_broken"] += 1
        finally:
            self._conversations.discard(task)
            self._by_host[source[0]] -= 1
            self._by_host += Counter()  # hosts without a stream are not kept
            await _closed(writer)

    # -- both directions --------------------------------------------------------------------------------------------

    async def ask(self, to: Address, said: bytes, into: Reader, within_s: float) -> Message:
        """Opens a stream, says something and reads the answer. Raises OSError, TimeoutError, BadPacket (short, when it
        is closed without an answer)."""
        async with self.dial(to, within_s) as talk:
            await talk.write(said)
            return await talk.read(into)

    @contextlib.asynccontextmanager
    async def dial(self, to: Address, within_s: float) -> AsyncIterator[Conversation]:
        """A stream to somebody, closed at the end. Raises OSError, and TimeoutError when it is not over by then."""
        if not reachable(to):
            raise GossipError("nobody can be there")
        self.counts["streams_out"] += 1
        async with asyncio.timeout(within_s) as until:
            self._dials.add(until)
            try:
                reader, writer = await asyncio.open_connection(host_text(to[0]), to[1], limit=CHUNK)
                try:
                    yield Conversation(self, to, reader, writer, counted=False)
                finally:
                    await _closed(writer)
            finally:
                self._dials.discard(until)

    async def read(self, reader: asyncio.StreamReader, into: Reader, *, counted: bool) -> Message:
        """Feeds what comes until there is a message. counted: somebody else opened it, so it may not fall silent, and
        counts against what waits of all."""
        size = 0
        try:
            while True:
                # guard: silent streams. They hold a place of few
                async with asyncio.timeout(self.limits.silent_s if counted else None):
                    data = await reader.read(CHUNK)
                if not data:
                    raise BadPacket("a stream that was closed before its message was there", why="short")
                size += len(data)
                self.counts["stream_bytes_in"] += len(data)
                if counted:
                    self.waiting_bytes += len(data)
                    if self.waiting_bytes > self.limits.waiting_bytes:  # guard: bytes of all streams together
                        raise BadPacket("all streams together hold more bytes than they may", why="large")
                message = into.feed(data) if size < THREAD_FROM else await asyncio.to_thread(into.feed, data)
                if message is not None:
                    return message
        finally:
            self.waiting_bytes -= size if counted else 0

    async def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """All of it."""
        self.counts["stream_bytes_out"] += len(data)
        writer.write(data)
        await writer.drain()

    async def close(self) -> None:
        """Nothing comes any more; what is under way ends."""
        if self._tcp is not None:
            self._tcp.close()
        for until in self._dials:
            if not until.expired():  # guard: no stream outlives its member, whoever waits for its answer
                until.reschedule(asyncio.get_running_loop().time())
        for task in list(self._conversations):
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        self._socket = None
        if self._udp is not None:
            self._udp.close()
            await asyncio.sleep(0)  # the loop closes its socket in its next round
        if self._tcp is not None:
            await self._tcp.wait_closed()
        self._udp = self._tcp = None


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
