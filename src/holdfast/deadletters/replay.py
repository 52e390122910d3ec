# SPDX-License-Identifier: Apache-2.0
"""Sending letters back: to their group, or to another stream. One script a letter, so it is in exactly one place.

::

    dead letters ──replay.lua──▶ replay stream of the group          one step; nothing in between
    dead letters ──XADD──▶ another stream ──discard.lua──▶ gone      two slots: at least once

A redirect may stop half-way, after the target has the message. The target's slot keeps a mark of it for a day, so that
redirecting the letter again writes nothing twice; and the ids of message and letter go along for whoever reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from .._base import events as ev
from .._base import points
from .._base.clock import Clock, SystemClock
from .._base.message import Message
from .._redis.keys import StreamKeys
from .._redis.scripts import load_script
from ..errors import AlreadyApplied, LetterError, LetterNotFound
from ..streams.inspect import partitions_of
from ..streams.producer import partition_of, physical
from .applied import Applied
from .discard import remove
from .letters import Choice, LetterInfo
from .outgoing import REPLAY, entry_of, links_of, names_of, noted, part_of
from .rules import ReplayRules, refusal
from .shelf import Shelf

if TYPE_CHECKING:
    from .._redis.keys import GroupKeys
    from .._redis.server import Server

#: Writes an entry unless a mark says that it was written.
ONCE = load_script("holdfast.streams", "publish_once")
#: For how long a redirect of the same letter to the same stream is recognised.
REDIRECT_WINDOW_MS = 86_400_000


Outcome = Literal["replayed", "would replay", "applied", "refused", "gone"]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one letter. ``to``: stream it went to; ``entry_id``: its entry there, empty in a dry run.

    outcome: ``replayed``, ``would replay`` (dry run), ``applied`` (its effect exists), ``refused`` (``why`` says the
    rest) or ``gone`` (somebody else moved it meanwhile).
    """

    id: str
    stream: str
    message_id: str
    outcome: Outcome
    to: str = ""
    entry_id: str = ""
    why: str = ""


class Tracing(Protocol):
    """A span around a replay. Gives its ``traceparent``, or None when nothing records."""

    def __call__(self, stream: str, links: Sequence[str], *, letter_id: str, by: str
                 ) -> AbstractContextManager[str | None]: ...


#: Writes to a stream of another server: stream, letter id, fields; answers the entry's id there.
Elsewhere = Callable[[str, str, Sequence[bytes]], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How letters are sent back.

    by: who does it, for the letter and for events. job: what belongs together. body: sent in place of the message's.
    redirect_to: a stream, instead of the group's replay stream; elsewhere: writes to it on another server. force: see
    ``rules``. dry_run: only say what would be.
    """

    by: str
    job: str = ""
    body: bytes | None = None
    redirect_to: str = ""
    elsewhere: Elsewhere | None = None
    force: bool = False
    dry_run: bool = False


class Replayer:
    """Sends letters of one group back.

    applied: asks whether effects are there (see ``rules``); without it only the letter's own word counts. tracing: puts
    each replay into a span, as ``holdfast.sinks.otel.replaying`` does; without it the next attempt links to the
    earlier ones alone.
    """

    def __init__(self, shelf: Shelf, *, applied: Applied | None = None, rules: ReplayRules | None = None,
                 events: ev.Events | None = None, clock: Clock | None = None, tracing: Tracing | None = None) -> None:
        self._shelf = shelf
        self._applied = applied
        self._rules = rules or ReplayRules()
        self._events = events or ev.Events()
        self._clock = clock or SystemClock()
        self._tracing = tracing

    async def one(self, letter_id: str, order: Order) -> Sent:
        """Sends one letter back. Raises LetterNotFound, AlreadyApplied, ReplayRefused."""
        letter = await self._shelf.get(letter_id)
        refused = await self._refusal(letter, order)
        if refused is not None:
            raise refused
        sent = await self._send(letter, order)
        if sent.outcome == "gone":
            raise LetterNotFound(f"letter {letter_id} was moved by somebody else just now")
        return sent

    async def many(self, choice: Choice, order: Order, *, rate_per_s: float | None = None, limit: int | None = None
                   ) -> AsyncIterator[Sent]:
        """Sends all chosen letters back, oldest first, so that messages of a key keep their order.

        Letters written after the start are left alone: what dies again is not sent back again. One that is refused is
        reported and the rest goes on. rate_per_s: at most so many a second, spread evenly.
        """
        until_ms, begun, sent = await self._shelf.now_ms(), self._clock.now(), 0
        async for letter in self._shelf.letters(choice, until_ms=until_ms, limit=limit):
            await self._wait_turn(begun, sent, rate_per_s)
            refused = await self._refusal(letter, order)
            yield await self._send(letter, order) if refused is None else _not_sent(letter, refused)
            sent += 1

    async def several(self, letter_ids: Sequence[str], order: Order, *, rate_per_s: float | None = None
                      ) -> AsyncIterator[Sent]:
        """Sends the named letters back, in this order. Those that are refused or not there are reported."""
        begun = self._clock.now()
        for n, letter_id in enumerate(letter_ids):
            await self._wait_turn(begun, n, rate_per_s)
            try:
                yield await self.one(letter_id, order)
            except LetterNotFound as error:
                yield Sent(id=letter_id, stream=self._shelf.stream, message_id="", outcome="gone", why=str(error))
            except LetterError as error:
                yield _not_sent(await self._shelf.get(letter_id), error)

    async def _wait_turn(self, begun: float, n: int, rate_per_s: float | None) -> None:
        """Waits until the ``n``-th letter may go."""
        if rate_per_s:
            await asyncio.sleep(max(0.0, begun + n / rate_per_s - self._clock.now()))

    async def _refusal(self, letter: LetterInfo, order: Order) -> LetterError | None:
        applied = await self._applied(letter) if self._applied is not None and letter.identity else None
        return refusal(letter, self._rules, applied=applied, now_ms=await self._shelf.now_ms(),
                       edited=order.body is not None, force=order.force)

    async def _send(self, letter: LetterInfo, order: Order) -> Sent:
        keys = next(keys for keys in await self._shelf.keys() if keys.stream == letter.stream)
        target = keys.replay.decode() if not order.redirect_to else order.redirect_to if order.elsewhere else (
            await self._place(letter, order.redirect_to))
        if order.dry_run:
            return sent_of(letter, "would replay", target)
        links = links_of(letter.metadata.get("trace-links", ""))
        with self._traced(letter, links, order.by) as place:
            fields = self._fields(letter, order, target)
            if order.redirect_to:
                entry = await self._redirect(keys, letter, target, fields, order.elsewhere)
            else:
                if place is not None:
                    links.append(place)
                entry = await self._back(keys, letter, noted(fields, links))
        if not entry:
            return sent_of(letter, "gone")
        self._events.emit(ev.Replayed(stream=letter.stream, group=letter.group, letter_id=letter.id, by=order.by))
        return sent_of(letter, "replayed", target, entry.decode())

    def _fields(self, letter: LetterInfo, order: Order, target: str) -> list[bytes]:
        return entry_of(letter, by=order.by, at_ms=self._clock.wall_ms(), job=order.job, body=order.body,
                        redirect_to=target if order.redirect_to else "", prefix=self._shelf.prefix)

    def _traced(self, letter: LetterInfo, links: Sequence[str], by: str) -> AbstractContextManager[str | None]:
        if self._tracing is None:
            return nullcontext()
        return self._tracing(letter.stream, links, letter_id=letter.id, by=by)

    async def _back(self, keys: GroupKeys, letter: LetterInfo, fields: list[bytes]) -> bytes:
        points.reached("replay.before")
        entries: list[bytes] = await self._shelf.link(keys).run(
            REPLAY, names_of(keys), (keys.group, *part_of(letter.id, letter.entry_id, fields)))
        points.reached("replay.after")
        return entries[0]

    async def _redirect(self, keys: GroupKeys, letter: LetterInfo, target: str, fields: list[bytes],
                        elsewhere: Elsewhere | None) -> bytes:
        if not await self._shelf.link(keys).call("XRANGE", keys.dead, letter.entry_id, letter.entry_id):
            return b""
        if elsewhere is not None:
            written = await elsewhere(target, letter.id, fields)
            await remove(self._shelf, keys, letter)
            return written
        there = StreamKeys(self._shelf.server.prefix, target)
        entry: bytes = (await self._shelf.server.shared(there.stream_key).run(
            ONCE, (there.stream_key, there.sent(f"letter:{letter.id}")), (REDIRECT_WINDOW_MS, *fields)))[0]
        await remove(self._shelf, keys, letter)
        return entry

    async def _place(self, letter: LetterInfo, stream: str) -> str:
        """The physical stream for a redirected message."""
        return await _partition(self._shelf.server, stream, letter.key or letter.message_id)


async def place_of(server: Server, stream: str, fields: Sequence[bytes]) -> str:
    """The physical stream for a message on its way to ``stream``."""
    message = Message(stream, b"0-0", fields)
    return await _partition(server, stream, message.key or message.id)


async def _partition(server: Server, stream: str, key: str) -> str:
    partitions = await partitions_of(server, stream)
    return physical(stream, partition_of(key, partitions), partitions) if partitions else stream


def sent_of(letter: LetterInfo, outcome: Outcome, to: str = "", entry_id: str = "", why: str = "") -> Sent:
    """What became of a letter."""
    return Sent(id=letter.id, stream=letter.stream, message_id=letter.message_id, outcome=outcome, to=to,
                entry_id=entry_id, why=why)


def _not_sent(letter: LetterInfo, refused: LetterError) -> Sent:
    return sent_of(letter, "applied" if isinstance(refused, AlreadyApplied) else "refused", why=str(refused))
