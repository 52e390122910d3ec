# SPDX-License-Identifier: Apache-2.0
"""Records to a stream of Redis or Valkey, as messages whose id is the record's.

Without a window a batch goes in one write, and one whose answer never came goes in again: consumers with ``once`` apply
a message of one id a single time. With ``window_s`` the server remembers each id for that long and takes it once, at
the price of a round trip, a script call and a small key a record; sources go side by side, each in its order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..._base.clock import SystemClock
from ..._base.events import Events
from ..._base.secret import Resolver
from ..._base.ulid import UlidFactory
from ...errors import MessageTooLarge, PartitionMismatch, PublishError, ServerError
from ..record import Record
from ..sink import Refused, SinkDown
from .document import Encoded, document, encoded

if TYPE_CHECKING:
    from ..._redis.server import Server
    from ...streams.entry import Outgoing
    from ...streams.producer import Producer

__all__ = ["StreamSink", "fitting", "opened"]

#: Seconds for a batch. Within its window a producer repeats until it knows, which may be an hour.
_PATIENCE_S: Final = 30.0
#: Bytes that a message has beside its body.
_BESIDE: Final = 4_096


class StreamSink:
    """Publishes to ``stream`` of the server at ``url``, or of ``server``, which stays open.

    window_s: within it a record that comes again is not published again; 0: it is. limit_bytes: of one message; a
    record that is larger is refused. partitions: of the stream, 0 for a plain one; the key is the record's source, so
    that each file's records stay in order.
    """

    keeps_once = False

    def __init__(self, stream: str, *, url: str | None = None, server: Server | None = None, prefix: str = "",
                 window_s: float = 0.0, partitions: int = 0, limit_bytes: int = 1_000_000,
                 secrets: Resolver | None = None, events: Events | None = None) -> None:
        self.name = "stream"
        self._stream, self._url, self._prefix, self._secrets = stream, url, prefix, secrets
        self._window_s, self._partitions, self._limit_bytes = window_s, partitions, limit_bytes
        self._events = events or Events()
        self._given = server
        self._server = server
        self._producer: Producer | None = None

    async def open(self) -> None:
        from ...streams.producer import Producer

        if self._server is None:
            self._server = await opened(self._url, self._prefix, self._secrets)
        clock = SystemClock()
        self._producer = Producer(self._server, self._events, clock, UlidFactory(clock))

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        good, refused = encoded(batch, document)
        fits, too_large = fitting(good, self._limit_bytes)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._published(fits)
        except TimeoutError as error:
            raise SinkDown(f"stream {self._stream}: no answer within {_PATIENCE_S:g} s") from error
        except (ServerError, PublishError) as error:
            if isinstance(error, MessageTooLarge | PartitionMismatch):
                raise
            raise SinkDown(f"stream {self._stream}: {error}") from error
        return sorted(refused + too_large, key=lambda one: one.index)

    async def _published(self, records: Sequence[Encoded]) -> None:
        from ...streams.entry import Outgoing

        if self._producer is None:
            raise SinkDown(f"stream {self._stream}: the sink is not open")
        out = [Outgoing(value=one.body, content_type="application/json", id=one.record.id, type="log.record",
                        key=one.record.line.source.id if self._partitions else None) for one in records]
        if not self._window_s:
            await self._producer.publish_many(self._stream, out, partitions=self._partitions,
                                              limit_bytes=self._limit_bytes)
            return
        lanes: dict[str, list[Outgoing]] = {}
        for one, said in zip(records, out, strict=True):
            lanes.setdefault(one.record.line.source.id, []).append(said)
        answers = await asyncio.gather(*(self._one_by_one(self._producer, lane) for lane in lanes.values()),
                                       return_exceptions=True)
        for answer in answers:
            if answer is not None:
                raise answer

    async def _one_by_one(self, producer: Producer, lane: Sequence[Outgoing]) -> None:
        """Sent together, one whose script the server has forgotten would come behind its successors."""
        for one in lane:
            await producer.publish(self._stream, one, partitions=self._partitions, window_s=self._window_s,
                                   limit_bytes=self._limit_bytes)

    async def close(self) -> None:
        if self._server is not None and self._given is None:
            await self._server.close()
            self._server = None


async def opened(url: str | None, prefix: str, secrets: Resolver | None) -> Server:
    """The server at ``url``. SinkDown when it does not answer."""
    from ..._redis.keys import DEFAULT_PREFIX
    from ..._redis.open import open_server
    from ...errors import ServerUnreachable

    try:
        return await open_server(url, prefix=prefix or DEFAULT_PREFIX, secrets=secrets)
    except (ServerUnreachable, TimeoutError) as error:
        raise SinkDown(f"the server cannot be reached: {str(error) or 'no answer'}") from error


def fitting(records: Sequence[Encoded], limit_bytes: int) -> tuple[list[Encoded], list[Refused]]:
    """Those that a message of so many bytes can carry, and why the others are refused."""
    most = limit_bytes - _BESIDE
    return [one for one in records if len(one.body) <= most], [
        Refused(index=one.at, reason="too_large", error="MessageTooLarge",
                detail=f"{len(one.body)} bytes, and a message may have {limit_bytes}")
        for one in records if len(one.body) > most]
