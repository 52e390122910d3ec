# SPDX-License-Identifier: Apache-2.0
"""Publishing: one message, many in one write, later, and once within a window.

A publish is sent once. If its answer never comes the message may or may not be in the stream, and only the caller
knows what that means: ``InDoubt`` names the ids, and publishing again with the same ids is harmless to consumers with
``once``. With a window the server itself remembers the id, and the client repeats until it knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zlib import crc32

from .._base import events as ev
from .._base.clock import Clock
from .._base.ulid import UlidFactory
from .._redis.keys import StreamKeys
from .._redis.netstrings import netstrings
from .._redis.scripts import load_script
from ..errors import (
    AbilityMissing,
    ConfigurationError,
    InDoubt,
    NotReplicated,
    ServerError,
    ServerUnreachable,
)
from .agree import agree
from .entry import LIMIT_BYTES, Outgoing, entry_of

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server

_ONCE = load_script("holdfast.streams", "publish_once")
_SCHEDULE = load_script("holdfast.streams", "schedule")

#: Seconds for which a request is repeated under the server's own window: well within its default of 100.
NATIVE_S = 50.0
#: Between one repetition and the next.
REPEAT_S = 0.05
#: Messages in one write of ``publish_many``.
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was published: message id, physical stream, entry id there (empty for a message published for later)."""

    id: str
    stream: str
    entry_id: str
    duplicate: bool = False


def partition_of(key: str, partitions: int) -> int:
    """Partition of a key: CRC-32 (as zlib's) of its UTF-8 bytes, modulo the number of partitions.

    Documented so that writers in other languages can do the same.
    """
    return crc32(key.encode()) % partitions


def physical(stream: str, partition: int, partitions: int) -> str:
    """Name of one partition's stream: ``orders.3``; the stream's own name when it is not partitioned."""
    return f"{stream}.{partition}" if partitions else stream


def _go_together(**asked: bool) -> None:
    """Of these promises one is kept at a time: the others would be broken in silence."""
    named = [name for name, wanted in asked.items() if wanted]
    if len(named) > 1:
        raise ConfigurationError(f"{' and '.join(named)} do not go together: publish with one")


async def _until_known(window_s: float, send: Callable[[], Awaitable[Any]]) -> Any:
    """Sends until an answer comes, for as long as the server remembers the id; then whether it was written is in doubt.

    Raises the first ``ServerUnreachable`` after which it may have been: what comes later, a refused connection or a
    server that is full, says nothing about that one.
    """
    until = time.monotonic() + window_s
    doubt: ServerUnreachable | None = None
    while True:
        try:
            return await send()
        except ServerUnreachable as error:
            if doubt is None and not error.maybe_done:
                raise
            doubt = doubt or error  # guard: once sent, in doubt, whatever comes of the repeats
        except ServerError as error:
            if doubt is None:
                raise
            raise doubt from error
        await asyncio.sleep(REPEAT_S)
        if time.monotonic() >= until:  # guard: past the window the id is forgotten, and a repeat is a second message
            raise doubt


class Producer:
    """Writes to streams. One per process is enough; safe for many tasks of one loop."""

    def __init__(self, server: Server, events: ev.Events, clock: Clock, new_id: UlidFactory) -> None:
        self._server = server
        self._events = events
        self._clock = clock
        self._new_id = new_id
        self._round_robin = 0
        self._checked: set[str] = set()
        self._pinned: dict[str, tuple[Link, asyncio.Lock]] = {}

    def fields(self, out: Outgoing, limit_bytes: int = LIMIT_BYTES) -> tuple[str, list[bytes]]:
        """The message's id and its entry."""
        message_id = out.id or self._new_id()
        return message_id, entry_of(out, message_id, self._clock.wall_ms(), limit_bytes)

    def place(self, stream: str, key: str | None, partitions: int) -> str:
        """The physical stream for a key; without a key, partitions take turns."""
        if not partitions:
            return stream
        if key is None:
            self._round_robin = (self._round_robin + 1) % partitions
            return physical(stream, self._round_robin, partitions)
        return physical(stream, partition_of(key, partitions), partitions)

    async def publish(self, stream: str, out: Outgoing, *, partitions: int = 0, window_s: float = 0,
                      replicas: int = 0, wait_s: float = 1.0, at: datetime | None = None, delay_s: float = 0,
                      native_producer: str = "", limit_bytes: int = LIMIT_BYTES) -> Receipt:
        """Publishes one message.

        window_s: within it a second publish of the same id writes nothing and answers with the first entry; the client
            then repeats a lost request until it knows, and no longer. Costs a small key a message for that long.
        replicas: raise NotReplicated unless so many replicas confirmed within ``wait_s`` seconds. Pinned connection.
        at, delay_s: publish later. Kept at the server; a consumer of the stream moves it in when due.
        native_producer: as ``window_s``, kept by the server itself (``XADD … IDMP``, Redis 8.6) under this producer's
            name. UNTRIED: no server that we could run has it. The window is the stream's own, 100 s and 100 ids a
            producer unless ``XCFGSET`` says otherwise, which forgets all ids. Raises AbilityMissing elsewhere.
        Of window_s, native_producer, replicas, at and delay_s one can be asked for at a time.
        Raises InDoubt when the answer never came, ServerUnreachable when nothing was sent, MessageTooLarge, ServerFull.
        """
        _go_together(at=at is not None, delay_s=delay_s > 0, window_s=window_s > 0, replicas=replicas > 0,
                     native_producer=bool(native_producer))
        await self._check(stream, partitions)
        message_id, fields = self.fields(out, limit_bytes)
        # What the server remembers an id by lies in its partition: without a key, the id itself has to lead there.
        remembered = window_s > 0 or bool(native_producer) or at is not None or delay_s > 0
        where = self.place(stream, message_id if remembered and out.key is None else out.key, partitions)
        keys = StreamKeys(self._server.prefix, where)
        started = time.monotonic()
        try:
            if at is not None or delay_s > 0:
                await self._later(keys, message_id, fields, at, delay_s)
                entry_id, duplicate = b"", False
            elif window_s > 0:
                entry_id, duplicate = await self._once(keys, message_id, fields, window_s)
            elif native_producer:
                entry_id, duplicate = await self._native(keys, message_id, fields, native_producer), False
            elif replicas:
                entry_id, duplicate = await self._replicated(keys, message_id, fields, replicas, wait_s), False
            else:
                entry_id, duplicate = await self._server.shared(keys.stream_key).call(
                    b"XADD", keys.stream_key, b"*", *fields), False
        except ServerUnreachable as error:
            self._events.emit(ev.PublishFailed(stream=stream, error=str(error), in_doubt=error.maybe_done))
            if error.maybe_done:
                raise InDoubt(f"publishing {message_id} to {where!r}: sent, and no answer came ({error}). "
                              f"Publish again with id={message_id!r}", message_ids=(message_id,)) from error
            raise
        self._events.emit(ev.Published(stream=stream, count=1, bytes=sum(map(len, fields)),
                                       seconds=time.monotonic() - started))
        return Receipt(id=message_id, stream=where, entry_id=entry_id.decode(), duplicate=duplicate)

    async def publish_many(self, stream: str, outs: Sequence[Outgoing], *, partitions: int = 0,
                           limit_bytes: int = LIMIT_BYTES) -> list[Receipt]:
        """Publishes in order, many in one write. All are encoded before the first is sent.

        Raises InDoubt with the ids whose fate is unknown; what was answered before is published.
        """
        await self._check(stream, partitions)
        made: list[tuple[str, str, list[bytes]]] = []
        for out in outs:
            message_id, fields = self.fields(out, limit_bytes)
            made.append((self.place(stream, out.key, partitions), message_id, fields))
        receipts: list[Receipt | None] = [None] * len(made)
        by_stream: dict[str, list[int]] = {}
        for i, (where, _, _) in enumerate(made):
            by_stream.setdefault(where, []).append(i)
        for where, indexes in by_stream.items():
            for start in range(0, len(indexes), CHUNK):
                await self._chunk(stream, where, indexes[start : start + CHUNK], made, receipts)
        return [r for r in receipts if r is not None]

    async def _chunk(self, stream: str, where: str, indexes: Sequence[int],
                     made: Sequence[tuple[str, str, list[bytes]]], receipts: list[Receipt | None]) -> None:
        key, started = where.encode(), time.monotonic()
        try:
            replies = await self._server.shared(key).pipeline([(b"XADD", key, b"*", *made[i][2]) for i in indexes])
        except ServerUnreachable as error:
            ids = tuple(made[i][1] for i in indexes)
            self._events.emit(ev.PublishFailed(stream=stream, error=str(error), in_doubt=error.maybe_done))
            if error.maybe_done:
                raise InDoubt(f"publishing {len(ids)} messages to {where!r}: sent, and no answer came",
                              message_ids=ids) from error
            raise
        for i, reply in zip(indexes, replies, strict=True):
            if isinstance(reply, ServerError):
                raise reply
            receipts[i] = Receipt(id=made[i][1], stream=where, entry_id=reply.decode())
        self._events.emit(ev.Published(stream=stream, count=len(indexes), seconds=time.monotonic() - started,
                                       bytes=sum(sum(map(len, made[i][2])) for i in indexes)))

    async def cancel(self, stream: str, message_id: str, *, key: str | None = None, partitions: int = 0) -> bool:
        """Takes back a message published for later; False when it is not waiting any more.

        ``key`` as when published.
        """
        for p in range(max(1, partitions)) if key is None else [None]:
            where = physical(stream, p, partitions) if p is not None else self.place(stream, key, partitions)
            keys = StreamKeys(self._server.prefix, where)
            link = self._server.shared(keys.stream_key)
            removed = await link.run(_SCHEDULE, (keys.later, keys.later_body), (message_id, "", ""))
            if removed:
                return True
        return False

    async def _later(self, keys: StreamKeys, message_id: str, fields: list[bytes], at: datetime | None,
                     delay_s: float) -> None:
        if at is not None and at.tzinfo is None:
            raise ConfigurationError("`at` needs a time zone, for example datetime.now(UTC) + timedelta(hours=1)")
        when = f"+{int(delay_s * 1000)}" if at is None else str(int(at.timestamp() * 1000))
        await self._server.shared(keys.stream_key).run(
            _SCHEDULE, (keys.later, keys.later_body), (message_id, when, netstrings(fields)))

    async def _once(self, keys: StreamKeys, message_id: str, fields: list[bytes],
                    window_s: float) -> tuple[bytes, bool]:
        link, sent = self._server.shared(keys.stream_key), keys.sent(message_id)
        entry_id, first = await _until_known(window_s, lambda: link.run(
            _ONCE, (keys.stream_key, sent), (int(window_s * 1000), *fields)))
        return entry_id, not first

    async def _native(self, keys: StreamKeys, message_id: str, fields: list[bytes], producer: str) -> bytes:
        """Source: redis.io/docs/latest/commands/xadd. A repeat is answered with the first entry's id."""
        if not (await self._server.abilities()).xadd_idmp:  # guard: never sent where it is not known
            raise AbilityMissing(f"{self._server.url} has no XADD … IDMP (Redis 8.6): publish with window_s instead")
        link = self._server.shared(keys.stream_key)
        entry_id: bytes = await _until_known(NATIVE_S, lambda: link.call(
            b"XADD", keys.stream_key, b"IDMP", producer, message_id, b"*", *fields))
        return entry_id

    async def _replicated(self, keys: StreamKeys, message_id: str, fields: list[bytes], replicas: int,
                          wait_s: float) -> bytes:
        # WAIT counts writes of its own connection only: through a pool it would be a no-op.
        link, lock = await self._pin(keys.stream_key)
        async with lock:
            entry_id, confirmed = await link.pipeline(
                [(b"XADD", keys.stream_key, b"*", *fields), (b"WAIT", replicas, int(wait_s * 1000))],
                timeout_s=wait_s + 5.0)
        if isinstance(entry_id, ServerError):
            raise entry_id
        if isinstance(confirmed, ServerError) or confirmed < replicas:
            got = 0 if isinstance(confirmed, ServerError) else confirmed
            raise NotReplicated(f"message {message_id} was written, but {got} of {replicas} replicas confirmed within "
                                f"{wait_s} s: a failover now may lose it", message_id=message_id, confirmed=got)
        found: bytes = entry_id
        return found

    async def _pin(self, key: bytes) -> tuple[Link, asyncio.Lock]:
        where = key.decode() if self._server.clustered else ""
        if where not in self._pinned:
            self._pinned[where] = (await self._server.link(key, name="hf-wait"), asyncio.Lock())
        return self._pinned[where]

    async def _check(self, stream: str, partitions: int) -> None:
        """Once per stream: does it have the number of partitions this publisher believes in?"""
        if stream not in self._checked:
            await agree(self._server, stream, partitions, "publisher")
            self._checked.add(stream)
