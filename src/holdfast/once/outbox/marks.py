# SPDX-License-Identifier: Apache-2.0
"""One term of a relay on the streams it writes to: its fence, its rows, and their marks. One script does each step.

A fence stands on a stream as long as no later term has put up its own: from then on every step of this term is refused
there. Which streams have the fence of this term is ``entered``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..._redis.keys import StreamKeys
from ..._redis.scripts import load_script
from ...errors import LeaseLost, NotReplicated, ServerError, ServerRefused

if TYPE_CHECKING:
    from ..._redis.errand import Arg
    from ..._redis.link import Link
    from ..._redis.server import Server
    from .table import Row

_RELAY = load_script("holdfast.once.outbox", "relay", "netstrings")

#: Rows and bytes in one call at most: the server does nothing else meanwhile.
CHUNK_ROWS = 100
CHUNK_BYTES = 1_000_000

DONE, LATER_TERM = 1, 0


class Overtaken(LeaseLost):
    """A later term has been on this stream: its ``epoch`` is at least ours."""

    def __init__(self, message: str, epoch: int) -> None:
        self.epoch = epoch
        super().__init__(message)


class FenceGone(Exception):
    """The fence of this term is not standing on the stream: it was lost with the server that had it. Enter again."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many replicas must have confirmed rows before they leave the table, and how long to wait for them."""

    count: int = 0
    wait_s: float = 1.0


@dataclass(slots=True)
class Sent:
    """How far a stream came: these rows are in it, ``before`` of them from an earlier attempt. ``error`` ended it."""

    rows: list[Row]
    before: int = 0
    error: Exception | None = None


class Marks:
    """The streams of one term. ``epoch`` and ``term`` name it, ``outbox`` the outbox it relays."""

    def __init__(self, server: Server, outbox: str, epoch: int, term: str, replicas: Replicas) -> None:
        self.entered: set[str] = set()
        self._server = server
        self._outbox = outbox
        self._names = (outbox, epoch, term)
        self._replicas = replicas
        self._pinned: dict[bytes, Link] = {}

    async def enter(self, stream: str) -> list[str]:
        """Puts up the fence, and answers the marks that are there: of rows that are in the stream. It does not count as
        entered yet: rows read before this may have been sent and forgotten by others meanwhile."""
        marks: list[bytes] = await self._step(stream, "enter")
        return [mark.decode()[len(self._outbox) + 1 :] for mark in marks]

    async def send(self, stream: str, rows: Sequence[Row]) -> Sent:
        """Sends rows in order, in as many calls as it takes; the first failure ends it."""
        sent = Sent([])
        for chunk in chunks(rows):
            words: list[Arg] = []
            for row in chunk:
                words += (f"{self._outbox}:{row.mark}", row.fields)
            try:
                _, before = await self._step(stream, "send", words, self._replicas)
            except (ServerError, NotReplicated, LeaseLost, FenceGone) as error:
                sent.error = error
                break
            sent.rows += chunk
            sent.before += before
        return sent

    async def forget(self, stream: str, marks: Sequence[str]) -> None:
        """Removes marks of rows that have left the table."""
        if marks:
            await self._step(stream, "forget", [f"{self._outbox}:{mark}" for mark in marks])

    async def close(self) -> None:
        """Closes the connections of this term."""
        for link in self._pinned.values():
            await link.close()

    async def _step(self, stream: str, step: str, words: Sequence[Arg] = (), replicas: Replicas | None = None) -> Any:
        """Raises Overtaken, FenceGone, NotReplicated, ServerError."""
        keys = StreamKeys(self._server.prefix, stream)
        where, args = (keys.stream_key, keys.relayed), (*self._names, step, *words)
        if replicas is not None and replicas.count:
            code, *rest = await self._confirmed(stream, where, args, replicas)
        else:
            code, *rest = await self._server.shared(keys.stream_key).run(_RELAY, where, args)
        if code == DONE:
            return rest
        if code == LATER_TERM:
            raise Overtaken(f"a later term of the relay, {int(rest[0])}, has been on stream {stream!r}", int(rest[0]))
        raise FenceGone(stream)

    async def _confirmed(self, stream: str, keys: tuple[bytes, bytes], args: Sequence[Arg], replicas: Replicas) -> Any:
        """The script and a WAIT behind it in one write: WAIT counts writes of its own connection only, and a connection
        that broke in between would confirm what it has not written."""
        link = await self._pin(keys[0])
        wait = (b"WAIT", replicas.count, int(replicas.wait_s * 1000))
        timeout_s = replicas.wait_s + 5.0
        for word, script in ((b"EVALSHA", _RELAY.sha), (b"EVAL", _RELAY.text)):
            answer, confirmed = await link.pipeline([(word, script, 2, *keys, *args), wait], timeout_s=timeout_s)
            if not (isinstance(answer, ServerRefused) and answer.code == "NOSCRIPT"):
                break
        if isinstance(answer, ServerError):
            raise answer
        got = 0 if isinstance(confirmed, ServerError) else confirmed
        if answer[0] == DONE and got < replicas.count:  # guard: rows stay until replicas have them
            raise NotReplicated(f"rows are in stream {stream!r}, and {got} of {replicas.count} replicas confirmed them "
                                f"within {replicas.wait_s} s: they stay in the outbox until then", confirmed=got)
        return answer

    async def _pin(self, key: bytes) -> Link:
        where = key if self._server.clustered else b""
        if where not in self._pinned:
            self._pinned[where] = await self._server.link(key, name="hf-outbox")
        return self._pinned[where]


def chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """``rows`` in order, cut so that no part is longer than one call should be; a row alone may be."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) == CHUNK_ROWS or size + len(row.fields) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += len(row.fields)
    if chunk:
        yield chunk
