# SPDX-License-Identifier: Apache-2.0
"""A connection to a neighbour whose identity is known: words in, words out, each in its turn.

What is to be said waits in a queue with a bound, so a neighbour that does not read is cut off and holds nobody up. What
is heard may be held back for a while (``latency_s``): that is how a link across the world is played on one machine.
Greeting and frames have their own time limits, so nobody keeps a place by saying half a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from ...errors import BadPacket, NotTrusted
from ...gossip.trust.identity import Identity
from ..relay.words import Message
from . import channel, frames, greeting
from .frames import Bye, Word
from .greeting import About, Met

#: Bytes a buffer of the transport may hold before the writer waits.
_BUFFER: Final = 64 << 10
_LENGTH: Final = 4


@dataclass(frozen=True)
class Patience:
    """How long what may take, in seconds, and how much may wait. greeting_s: all of it. frame_s: from a frame's first
    byte to its last. send_s: until a neighbour has read what was written. queue_bytes, queue_words: what waits for one
    neighbour; more, and it is cut off. held_back: words on an emulated way before reading pauses."""

    greeting_s: float = 10.0
    frame_s: float = 20.0
    send_s: float = 30.0
    queue_bytes: int = 48 << 20
    queue_words: int = 10_000
    held_back: int = 5_000


class Ended(Exception):
    """The link is over. why: in a word, for journal and counters."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def host_of(writer: asyncio.StreamWriter) -> str:
    """The address at the other end; ``?`` where it is gone already."""
    return str((writer.get_extra_info("peername") or ("?",))[0])


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: Identity, network: str,
                about: About, *, calling: bool, patience: Patience) -> Met:
    """Both ends show who they are. Raises NotTrusted, BadPacket, OSError, TimeoutError, IncompleteReadError."""
    async with asyncio.timeout(patience.greeting_s):  # guard: greeting-time. Or half a hello keeps a place for good
        if calling:
            caller = greeting.Caller(identity, network, about, os.urandom)
            _put(writer, caller.hello)
            proof, met = caller.answered(await _got(reader))
            _put(writer, proof)
            await writer.drain()
            return met
        door = greeting.Door(identity, network, about, os.urandom)
        _put(writer, door.called(await _got(reader)))
        return door.proven(await _got(reader))


def _put(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(len(data).to_bytes(_LENGTH, "big") + data)


async def _got(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(channel.length(await reader.readexactly(_LENGTH), greeting.GREETING_MAX))


class Link:
    """One neighbour. number: what the relay calls it. heard: is told each word, and raises ``Ended`` or BadPacket to
    end the link. pause_s: so many bytes came; how long to wait before more are read. still: is a message of any use,
    now that its turn has come?"""

    def __init__(self, number: int, met: Met, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], *,
                 outbound: bool, heard: Callable[[Link, Word], None], pause_s: Callable[[Link, int], float],
                 still: Callable[[int, Message], bool],
                 latency_s: float = 0.0, patience: Patience | None = None) -> None:
        self.number, self.met, self.outbound, self.latency_s = number, met, outbound, latency_s
        self.host = host_of(streams[1])
        self.patience = patience or Patience()
        self.sent_bytes: Counter[str] = Counter()
        self.sent_words: Counter[str] = Counter()
        self.spared = 0
        self._reader, self._writer = streams
        self._heard, self._still, self._pause_s = heard, still, pause_s
        self._queue: deque[tuple[bytes, str, Message | None]] = deque()
        self._queued = 0
        self._some = asyncio.Event()
        self._late: deque[Word] = deque()
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        """Whose it is."""
        return self.met.id

    def say(self, word: Word, message: Message | None = None) -> None:
        """Its turn comes. message: what it was made of; it is asked about once more then (``Relay.still``)."""
        payload = frames.encode(word)
        kind = message.kind if message is not None else type(word).__name__.lower()
        self._queue.append((payload, kind, message))
        self._queued += len(payload)
        if self._queued > self.patience.queue_bytes or len(self._queue) > self.patience.queue_words:
            self.end("slow")  # guard: slow-reader. What waits for one neighbour has a bound
        self._some.set()

    def end(self, why: str) -> None:
        """The link ends, as soon as its task sees it."""
        if not self._end.done():
            self._end.set_result(why)

    async def run(self) -> str:
        """Until the link is over; says why. Whatever it was, the connection is closed then."""
        tasks = [asyncio.ensure_future(self._guarded(step())) for step in (self._read, self._write)]
        try:
            await asyncio.wait([self._end])
            return self._end.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    async def _guarded(self, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except Ended as ended:
            self.end(ended.why)
        except (BadPacket, NotTrusted) as bad:
            self.end(f"bad {bad.why}")
        except TimeoutError:
            self.end("time")
        except (OSError, asyncio.IncompleteReadError):
            self.end("gone")

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            first = await self._reader.readexactly(1)
            async with asyncio.timeout(self.patience.frame_s):  # guard: frame-time
                head = first + await self._reader.readexactly(channel.HEAD - 1)
                size = channel.length(head[:_LENGTH], frames.FRAME_MAX)
                payload = await self._reader.readexactly(size)
            word = frames.decode(self.met.channel.open(head[_LENGTH:], payload))
            pause_s = self._pause_s(self, size + channel.HEAD)
            if pause_s:
                await asyncio.sleep(pause_s)
            if not self.latency_s:
                self._heard(self, word)
                continue
            while len(self._late) >= self.patience.held_back:  # noqa: ASYNC110 - time alone makes room
                await asyncio.sleep(self.latency_s)
            self._late.append(word)
            loop.call_later(self.latency_s, self._arrive)

    def _arrive(self) -> None:
        if self._end.done() or not self._late:
            return
        try:
            self._heard(self, self._late.popleft())
        except Ended as ended:
            self.end(ended.why)
        except BadPacket as bad:
            self.end(f"bad {bad.why}")

    async def _write(self) -> None:
        while True:
            while self._queue:
                payload, kind, message = self._queue.popleft()
                self._queued -= len(payload)
                if message is not None and not self._still(self.number, message):
                    self.spared += 1
                    continue
                frame = self.met.channel.seal(payload)
                self.sent_bytes[kind] += len(frame)
                self.sent_words[kind] += 1
                self._writer.write(frame)
                if self._writer.transport.get_write_buffer_size() > _BUFFER:
                    async with asyncio.timeout(self.patience.send_s):
                        await self._writer.drain()
            self._some.clear()
            await self._some.wait()

    async def _close(self) -> None:
        why = self._end.result() if self._end.done() and not self._end.cancelled() else "gone"
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            if why not in {"gone", "slow", "time"}:
                self._writer.write(self.met.channel.seal(frames.encode(Bye(why[:64]))))
            self._writer.close()
            async with asyncio.timeout(0.5):
                await self._writer.wait_closed()
        if not self._writer.transport.is_closing() or self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()
