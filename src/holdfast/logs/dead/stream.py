# SPDX-License-Identifier: Apache-2.0
"""Dead lines in a stream of Redis or Valkey, as dead letters that any of its readers can read.

A put appends. Of one id there may be several entries then, after a crash or a failed replay; they are read as one, and
removed together. So nothing has to be one step, and no key lies beside the stream; the price is that to look for one
line is to read all of them, about a second for every hundred thousand.

As durable as the server: with ``appendfsync everysec`` its last second can be lost (``holdfast doctor`` says so).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from ..._base.secret import Resolver
from ...errors import NotAStream, ServerError
from ..dead_lines import DeadLine, DeadStock
from ..sink import SinkDown
from .entries import entry_of, line_of
from .lookup import Scanned
from .merge import folded

if TYPE_CHECKING:
    from ..._redis.link import Link
    from ..._redis.server import Server

__all__ = ["StreamDeadLines"]

T = TypeVar("T")
_Entry = tuple[bytes, DeadLine | None, int]

#: Entries that are read, written or removed at a time.
_CHUNK: Final = 500


class StreamDeadLines(Scanned):
    """Keeps dead lines in ``stream`` of the server at ``url``, or of ``server``, which stays open."""

    def __init__(self, stream: str, *, url: str | None = None, server: Server | None = None, prefix: str = "",
                 secrets: Resolver | None = None) -> None:
        self.name = "stream"
        self._key = stream.encode()
        self._url, self._prefix, self._secrets = url, prefix, secrets
        self._given, self._server = server, server
        self._seen: dict[bytes, tuple[str, int, int] | None] = {}
        self._upto = b"-"

    async def open(self) -> None:
        from ..sinks.stream import opened

        if self._server is None:
            self._server = await opened(self._url, self._prefix, self._secrets)
        kind = await self._asked(self._link.call(b"TYPE", self._key))
        if kind not in (b"stream", b"none"):
            raise NotAStream(f"{self._key.decode()} holds a {kind.decode()}: name another stream for dead lines")

    async def put(self, lines: Sequence[DeadLine]) -> None:
        kept = [(b"XADD", self._key, b"*", *entry_of(line)) for line in folded(lines).values()]
        for begin in range(0, len(kept), _CHUNK):
            for reply in await self._asked(self._link.pipeline(kept[begin:begin + _CHUNK])):
                if isinstance(reply, ServerError):  # guard: each of them was answered for
                    raise SinkDown(f"the dead lines of {self._key.decode()}: {reply}") from reply

    async def remove(self, ids: Sequence[str]) -> int:
        asked, entries, there = set(ids), [], set()
        async for entry_id, line, _ in self._entries():
            if line is not None and line.id in asked:
                entries.append(entry_id)
                there.add(line.id)
        for begin in range(0, len(entries), _CHUNK):
            await self._asked(self._link.call(b"XDEL", self._key, *entries[begin:begin + _CHUNK]))
        return len(there)

    async def stock(self) -> DeadStock:
        await self._look_on()
        if await self._asked(self._link.call(b"XLEN", self._key)) != len(self._seen):
            self._seen, self._upto = {}, b"-"  # entries were removed, by us or by others: all are looked at anew
            await self._look_on()
        kept = [one for one in self._seen.values() if one is not None]
        return DeadStock(count=len({line_id for line_id, _, _ in kept}), bytes=sum(size for _, size, _ in kept),
                         oldest_ms=min((first_ms for _, _, first_ms in kept), default=0))

    async def _look_on(self) -> None:
        """Entries behind those that were seen: pipelines ask for the stock every few seconds."""
        async for entry_id, line, size in self._entries(self._upto):
            self._seen[entry_id] = None if line is None else (line.id, size, line.first_ms)
            self._upto = b"(" + entry_id

    async def close(self) -> None:
        if self._server is not None and self._given is None:
            await self._server.close()
            self._server = None

    async def _all(self) -> dict[str, DeadLine]:
        return folded([line async for _, line, _ in self._entries() if line is not None])

    async def _entries(self, after: bytes = b"-") -> AsyncIterator[_Entry]:
        """Entries with their size. No line: somebody else has put it there, and it is left alone."""
        while True:
            page = await self._asked(self._link.call(b"XRANGE", self._key, after, b"+", b"COUNT", _CHUNK))
            for entry_id, fields in page:
                yield entry_id, line_of(fields), sum(map(len, fields))
            if len(page) < _CHUNK:
                return
            after = b"(" + page[-1][0]

    @property
    def _link(self) -> Link:
        if self._server is None:
            raise SinkDown(f"the dead lines of {self._key.decode()} are not open")
        return self._server.shared(self._key)

    async def _asked(self, asking: Awaitable[T]) -> T:
        try:
            return await asking
        except (ServerError, TimeoutError) as error:
            raise SinkDown(f"the dead lines of {self._key.decode()}: {error}") from error

