# SPDX-License-Identifier: Apache-2.0
"""Many letters sent back at once, by the same rules and with the same outcome as one, in few writes.

Plain letters go the quick way (``plain``): their entry ids are said, and the server does the rest. Those that are left
go the long way, and so do all where an effect is asked about elsewhere, bodies are edited, or messages redirected::

    read ─▶ make ─▶ ask and move         while some letters are moved, the next are made, and the next but one are read
            read ─▶ make ─▶ ask and move
                    read ─▶ make ─▶ …

Either way letters of a key keep their order: lots go one behind the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..._base import events as ev
from ..._base import points
from ..._base.letter_text import utf8
from ..._redis.keys import GroupKeys
from ...errors import AlreadyApplied, ServerRefused
from .. import plain
from ..letters import LetterInfo, letter_info
from ..outgoing import REPLAY, calls_of, links_of, names_of, noted
from ..replay import Order, Replayer
from ..rules import DAY_MS, refusal
from .job import Item
from .lots import MOST, Lots, Row, by_stream, raised

if TYPE_CHECKING:
    from ..._redis.errand import Arg
    from ..._redis.link import Link
    from ..._redis.scripts import Script
    from ..shelf import Shelf

#: Letters, and bytes of them, in one call of the script: the server does nothing else meanwhile.
MOVED, MOVED_BYTES = 50, 256 * 1024


class _Made(NamedTuple):
    """A letter of a job as it was found; None, it is not on its shelf."""

    item: Item
    letter: LetterInfo | None


class _Going(NamedTuple):
    """What is about to be moved. letter_id: the letter's own, which an item may have had to shorten."""

    item: Item
    letter_id: str
    entry: list[bytes]


class BatchReplayer(Replayer):
    """A ``Replayer`` that also takes a job's letters, many at once."""

    def __init__(self, shelf: Shelf, **more: Any) -> None:
        super().__init__(shelf, **more)
        self._lots = Lots(shelf)
        self._known: set[bytes] = set()  # scripts that the server was given

    async def batch(self, items: Sequence[Item], order: Order, bodies: Mapping[str, bytes]) -> list[Item]:
        """What became of each: sent, applied, refused or gone. bodies: sent in place of some letters' own.

        Raises what the server says; which letters were moved until then has to be looked up.
        """
        found: dict[str, Item] = {}
        for waiting in by_stream(items):
            said = self._said(order, bodies)
            while waiting:
                lot = _first(waiting) if said is not None else waiting
                told, left = await self._quickly(lot, order, said) if said is not None else ([], lot)
                told += await self._slowly(left, order, bodies) if left else []
                found |= {item.letter_id: item for item in told}
                del waiting[:len(lot)]
                if len(left) > len(lot) / 2:  # these are not plain, and so are probably those that come
                    said = None
        return [found[item.letter_id] for item in items]

    async def there(self, items: Sequence[Item]) -> list[bool]:
        """Which of these are on their shelf."""
        found = {item.letter_id: row is not None async for lot, rows in self._lots.read(items)
                 for item, row in zip(lot, rows, strict=True)}
        return [found[item.letter_id] for item in items]

    # -- the quick way --------------------------------------------------------------------------------------------

    def _said(self, order: Order, bodies: Mapping[str, bytes]) -> list[bytes] | None:
        """What goes out with each plain letter; None when all have to go the long way."""
        if bodies or order.redirect_to or self._applied is not None or not (order.force or self._rules.replays_max > 0):
            return None
        return plain.said_of(by=order.by, at_ms=self._clock.wall_ms(), job=order.job, prefix=self._shelf.prefix)

    async def _quickly(self, lot: Sequence[Item], order: Order, said: Sequence[bytes]) -> tuple[list[Item], list[Item]]:
        """What became of those that are plain, and those that are left. Where keys have an order, all that follow the
        first that is not plain are left."""
        keys, in_order = self._keys(lot[0].stream), any(item.key for item in lot)
        kept_ms = -1 if order.force else int(self._rules.kept_days * DAY_MS)
        calls = [plain.call_of(keys.group, self._shelf.prefix, said, [item.entry_id for item in lot[at:at + MOVED]],
                               kept_ms=kept_ms, in_order=in_order) for at in range(0, len(lot), MOVED)]
        points.reached("job.send.before")
        entries = await self._run(keys, plain.PLAIN, plain.names_of(keys), calls)
        points.reached("job.send.after")
        target = keys.replay.decode()
        told = [self._sent(item, item.letter_id, target, entry, order)
                for item, entry in zip(lot, entries, strict=True) if entry != plain.LEFT]
        return told, [item for item, entry in zip(lot, entries, strict=True) if entry == plain.LEFT]

    async def _run(self, keys: GroupKeys, script: Script, names: Sequence[bytes], calls: Sequence[Sequence[Arg]]
                   ) -> list[bytes]:
        """Entries of all calls, which go one behind the other. The first of a run goes alone: a server that does not
        know the script is given its text."""
        link: Link = self._shelf.link(keys)
        entries: list[bytes] = []
        if script.sha not in self._known:
            entries += await link.run(script, names, calls[0])
            self._known.add(script.sha)
            calls = calls[1:]
        replies = await link.pipeline([("EVALSHA", script.sha, len(names), *names, *call) for call in calls])
        for call, reply in zip(calls, replies, strict=True):
            flushed = isinstance(reply, ServerRefused) and reply.code == "NOSCRIPT"  # by somebody, in between
            entries += await link.run(script, names, call) if flushed else raised(reply)
        return entries

    # -- the long way ---------------------------------------------------------------------------------------------

    async def _slowly(self, items: Sequence[Item], order: Order, bodies: Mapping[str, bytes]) -> list[Item]:
        found: list[Item] = []
        moving: asyncio.Task[list[Item]] | None = None
        try:
            async for lot, rows in self._lots.read(items):
                made = [self._made(item, row) for item, row in zip(lot, rows, strict=True)]
                if moving is not None:  # guard: lots go one behind the other
                    found += await moving
                moving = asyncio.create_task(self._finished(made, order, bodies))
                await asyncio.sleep(0)  # so that it has asked before the next are made
            if moving is not None:
                found += await moving
        finally:
            if moving is not None:
                moving.cancel()
        return found

    def _made(self, item: Item, row: Row | None) -> _Made:
        return _Made(item, None if row is None else letter_info(
            item.stream, self._shelf.group, row[0], row[1], self._shelf.prefix))

    async def _finished(self, lot: Sequence[_Made], order: Order, bodies: Mapping[str, bytes]) -> list[Item]:
        """Refuses what may not go, and moves the rest."""
        there = [(made.item, made.letter) for made in lot if made.letter is not None]
        told = [_not_there(made.item) for made in lot if made.letter is None]
        going: list[_Going] = []
        applied, now_ms = await self._asked(there)
        for item, letter in there:
            body = bodies.get(item.letter_id)
            mine = order if body is None else replace(order, body=body)
            error = refusal(letter, self._rules, applied=applied[item.letter_id], now_ms=now_ms,
                            edited=body is not None, force=order.force)
            if error is not None:
                state = "applied" if isinstance(error, AlreadyApplied) else "refused"
                told.append(msgspec.structs.replace(item, state=state, why=str(error)))
            elif order.redirect_to:
                told.append(await self._elsewhere(item, letter, mine))
            else:
                links = links_of(letter.metadata.get("trace-links", ""))
                going.append(_Going(item, letter.id, noted(self._fields(letter, mine, ""), links)))
        return [*told, *await self._go(going, order)]

    async def _elsewhere(self, item: Item, letter: LetterInfo, order: Order) -> Item:
        points.reached("job.send.before")
        sent = await self._send(letter, order)
        points.reached("job.send.after")
        return self._sent(item, letter.id, sent.to, utf8(sent.entry_id), order)

    async def _asked(self, lot: Sequence[tuple[Item, LetterInfo]]) -> tuple[dict[str, int | bool], int]:
        """Whose effects are there, by the records beside the stream and by whoever else was named; and what time it
        is."""
        if not lot:
            return {}, 0
        keys = self._keys(lot[0][0].stream)
        scores, time = await self._shelf.link(keys).pipeline(
            [("ZMSCORE", keys.done, *(utf8(letter.identity) for _, letter in lot)), ("TIME",)])
        found: dict[str, int | bool] = {
            item.letter_id: False if score is None else int(float(score))
            for (item, _), score in zip(lot, raised(scores), strict=True)}
        for item, letter in lot:
            if self._applied is not None and letter.identity and not found[item.letter_id]:
                found[item.letter_id] = await self._applied(letter)
        seconds, micros = raised(time)
        return found, int(seconds) * 1000 + int(micros) // 1000

    async def _go(self, going: Sequence[_Going], order: Order) -> list[Item]:
        if not going:
            return []
        keys = self._keys(going[0].item.stream)
        target = keys.replay.decode()
        points.reached("job.send.before")
        entries = await self._moved(keys, going)
        points.reached("job.send.after")
        return [self._sent(one.item, one.letter_id, target, entry, order)
                for one, entry in zip(going, entries, strict=True)]

    async def _moved(self, keys: GroupKeys, going: Sequence[_Going]) -> list[bytes]:
        calls = calls_of(keys.group, ((one.letter_id, one.item.entry_id, one.entry) for one in going), most=MOVED,
                         most_bytes=MOVED_BYTES)
        return await self._run(keys, REPLAY, names_of(keys), calls)

    def _sent(self, item: Item, letter_id: str, to: str, entry: bytes, order: Order) -> Item:
        if not entry:
            return _not_there(item)
        if not order.redirect_to:
            self._events.emit(ev.Replayed(stream=item.stream, group=self._shelf.group, letter_id=letter_id,
                                          by=order.by))
        return msgspec.structs.replace(item, state="sent", to=to, entry=entry.decode(), sent_ms=self._clock.wall_ms())

    def _keys(self, stream: str) -> GroupKeys:
        return GroupKeys(self._shelf.server.prefix, stream, self._shelf.group)


def _first(waiting: Sequence[Item]) -> Sequence[Item]:
    """Those that go together. Where keys have an order, no call is sent before the one before it is answered: a letter
    in it may have been left."""
    lot = waiting[:MOST]
    return waiting[:MOVED] if any(item.key for item in lot) else lot


def _not_there(item: Item) -> Item:
    """It left its shelf. Taken up before, it was this job that moved it; otherwise somebody else."""
    if item.claims > 1:  # guard: what an earlier run sent is no loss
        return msgspec.structs.replace(item, state="sent", why="an earlier run of this job had taken it up, and it "
                                                               "left its shelf")
    return msgspec.structs.replace(item, state="gone", why="somebody else moved it")
