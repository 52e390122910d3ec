# SPDX-License-Identifier: Apache-2.0
"""Letters at another broker, looked at and sent back as those on Redis are.

``BoxShelf`` is a shelf whose letters a broker keeps, and ``BoxReplayer`` a replayer of it: choosing, the rules, lineage
and events are the same code. The dead-letter service (its desk, jobs, the console) takes such letters over instead,
onto a shelf of its own server (``branch``): it moves each by one script, and a queue has none.

The letters are held for as long as one looks, so that nobody moves what somebody else is looking at.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .._base import events as ev
from .._base.chance import system_chance
from .._base.clock import SystemClock
from .._base.letter import DEFAULT_PREFIX
from ..brokers import World, broker_for, scheme_of
from ..brokers.letters import Box, Kept
from ..errors import ConfigurationError, LetterNotFound
from .letters import Choice, LetterInfo, letter_info
from .replay import Order, Replayer, Sent, sent_of
from .shelf import Shelf

if TYPE_CHECKING:
    from .._redis.keys import GroupKeys


class BoxShelf(Shelf):
    """The dead letters of one group at another broker. ``kept``: what is held of them."""

    def __init__(self, box: Box, kept: Sequence[Kept], stream: str, group: str, *, prefix: str) -> None:
        super().__init__(cast("Any", None), stream, group, prefix=prefix)
        self.box = box
        self._kept = {one.place: one for one in kept}

    async def keys(self) -> list[GroupKeys]:
        """There are none."""
        self._not_here()

    def _not_here(self) -> NoReturn:
        raise ConfigurationError(f"the letters of group {self.group!r} lie at another broker, and this works on "
                                 "letters on Redis: `holdfast dlq replay … --redirect-to STREAM --redirect-url "
                                 "redis://…` moves messages there, and `holdfast dlq serve --also` takes letters in")

    async def exists(self) -> bool:
        """It was opened, so it does."""
        return True

    async def count(self) -> int:
        """How many letters there are."""
        return len(self._kept)

    async def now_ms(self) -> int:
        """This machine's clock: the broker tells no time."""
        return time.time_ns() // 1_000_000

    async def letters(self, choice: Choice | None = None, *, newest_first: bool = False, limit: int | None = None,
                      until_ms: int | None = None) -> AsyncIterator[LetterInfo]:
        """As ``Shelf.letters``. What is held was all there at the start, so ``until_ms`` leaves nothing out."""
        wanted, given = choice or Choice(), 0
        places = list(self._kept.values())
        for kept in reversed(places) if newest_first else places:
            letter = self._told(kept)
            if (limit is None or given < limit) and wanted.takes(letter):
                given += 1
                yield letter

    async def get(self, letter_id: str) -> LetterInfo:
        """One letter, by its id or by its place."""
        for kept in self._kept.values():
            letter = self._told(kept)
            if letter_id in (letter.id, kept.place):
                return letter
        raise LetterNotFound(f"group {self.group!r} of {self.stream!r} has no letter {letter_id}: it was replayed or "
                             f"discarded; `holdfast dlq ls` lists what there is")

    def _told(self, kept: Kept) -> LetterInfo:
        return letter_info(self.stream, self.group, kept.place.encode(), kept.fields, self.prefix)

    async def removed(self, letter: LetterInfo) -> bool:
        """Removes a letter; False when it was gone."""
        kept = self._kept.pop(letter.entry_id, None)
        if kept is not None:
            await self.box.remove(kept)
        return kept is not None

    async def sent_back(self, letter: LetterInfo, entry: Sequence[bytes]) -> bytes:
        """Puts what goes out where the group takes it, and removes the letter; empty when it was gone."""
        kept = self._kept.pop(letter.entry_id, None)
        return b"" if kept is None else await self.box.send_back(kept, entry)


class BoxReplayer(Replayer):
    """Sends letters of a ``BoxShelf`` back: the message is out, and confirmed, before its letter goes."""

    async def _send(self, letter: LetterInfo, order: Order) -> Sent:
        shelf = cast("BoxShelf", self._shelf)
        if order.redirect_to and order.elsewhere is None:
            raise ConfigurationError("redirecting from here needs to know where to: give --redirect-url as well, which "
                                     "may be this broker's own")
        target = order.redirect_to or f"{letter.stream}/{letter.group}"
        if order.dry_run:
            return sent_of(letter, "would replay", target)
        fields = self._fields(letter, order, target)
        if order.elsewhere is not None:
            entry = await order.elsewhere(order.redirect_to, letter.id, fields)
            await shelf.removed(letter)
        else:
            entry = await shelf.sent_back(letter, fields)
        if not entry:
            return sent_of(letter, "gone")
        self._events.emit(ev.Replayed(stream=letter.stream, group=letter.group, letter_id=letter.id, by=order.by))
        return sent_of(letter, "replayed", target, entry.decode())


def replayer_of(shelf: Shelf, **how: Any) -> Replayer:
    """What sends letters of this shelf back."""
    return (BoxReplayer if isinstance(shelf, BoxShelf) else Replayer)(shelf, **how)


@asynccontextmanager
async def open_box(url: str, stream: str, group: str, *, own_prefix: str, prefix: str = DEFAULT_PREFIX
                   ) -> AsyncIterator[BoxShelf]:
    """The letters of ``group`` at the broker of ``url``, held for as long as the block lasts.

    Raises ConfigurationError when there is no such group, ServerRefused while somebody else holds them.
    """
    broker: Any = broker_for(url, _world(own_prefix))
    await broker.open()
    try:
        box: Box = broker.letters(stream, group, prefix)
        async with box.held() as kept:
            yield BoxShelf(box, kept, stream, group, prefix=prefix)
    finally:
        await broker.close()


async def groups_at(url: str, stream: str, *, own_prefix: str) -> list[str]:
    """The groups of ``stream`` at the broker of ``url``. Raises ConfigurationError when the broker does not say which
    those are, or when there is none."""
    broker: Any = broker_for(url, _world(own_prefix))
    asked = getattr(broker, "groups", None)
    if asked is None:
        raise ConfigurationError(f"{scheme_of(url)}:// does not say which groups stream {stream!r} has: name one with "
                                 "--group")
    found: list[str] = await asked(stream)
    if not found:
        raise ConfigurationError(f"stream {stream!r} has no group there that has ever run")
    return found


def _world(own_prefix: str) -> World:
    return World(prefix=own_prefix, events=ev.Events(), clock=SystemClock(), chance=system_chance())


__all__ = ["BoxReplayer", "BoxShelf", "groups_at", "open_box", "replayer_of"]
