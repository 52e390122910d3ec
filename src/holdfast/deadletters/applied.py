# SPDX-License-Identifier: Apache-2.0
"""Asking whoever knows whether the effect of a dead message is there. A letter's own word is from the day it died.

The question names the message by its identity, as effects do: an edited body, another entry id, a replay in between
make no difference to it. An effect that is known by a business id cannot be asked about from here, since only its
handler can read that id: there the consumer answers, which acknowledges what it finds applied.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._base.letter_text import utf8
from .._base.message import Message
from .._redis.keys import GroupKeys
from ..consume.contract import Delivery, Effect, Origin
from ..errors import LetterError
from .branch.origin import stream_of
from .letters import LetterInfo

if TYPE_CHECKING:
    from .._redis.server import Server

#: Says whether the effect of a letter's message is there: at which wall ms it was applied, True when that is not known.
Applied = Callable[[LetterInfo], Awaitable[int | bool]]


def asking(effect: Effect) -> Applied:
    """Asks ``effect``, which must be the one its consumer used: same database, stream, group and handler."""
    async def applied(letter: LetterInfo) -> int | bool:
        return (await effect.applied([delivery_of(letter)]))[0] is True

    return applied


def beside_stream(server: Server) -> Applied:
    """Asks the done-records that ``once="redis"`` and ``"outside"`` keep beside the stream."""
    async def applied(letter: LetterInfo) -> int | bool:
        keys = GroupKeys(server.prefix, letter.stream, letter.group)
        at = await server.shared(keys.done).call("ZSCORE", keys.done, utf8(letter.identity))
        return False if at is None else int(float(at))

    return applied


def any_of(*asked: Applied) -> Applied:
    """Whoever knows first."""
    async def applied(letter: LetterInfo) -> int | bool:
        for ask in asked:
            if found := await ask(letter):
                return found
        return False

    return applied


@asynccontextmanager
async def sql_inbox(url: str, stream: str, group: str, handler: str = "") -> AsyncIterator[Applied]:
    """Asks the inbox in the database at ``url`` for what was applied. ``handler``: for effects that were named apart.

    stream: as the desk names it, also one of another broker.

    Raises MissingExtra, ConfigurationError without our tables there, ServerUnreachable without the database.
    """
    from ..once.sql import SqlOnce

    base = SqlOnce(url)
    await base.open()

    once = base.for_consumer(stream_of(stream), group, handler)

    async def applied(letter: LetterInfo) -> int | bool:
        return await once.applied_ms(delivery_of(letter)) or False

    try:
        yield applied
    finally:
        await base.close()


@dataclass(slots=True)
class _Grave:
    """Where a letter lies: as much of an origin as effects look at."""

    stream: str
    group: str

    async def mark_started(self, delivery: Delivery) -> bool:
        raise LetterError(f"{delivery!r} is dead: it cannot be started")

    async def settle(self, acks: list[Delivery], others: Sequence[Any]) -> Sequence[Any]:
        raise LetterError(f"{len(acks) + len(others)} messages are dead: they cannot be settled")


def delivery_of(letter: LetterInfo) -> Delivery:
    """The letter's message, as if it had been delivered."""
    origin: Origin = _Grave(letter.stream, letter.group)
    message = Message(letter.source_stream, utf8(letter.source_id), letter.fields)
    return Delivery(origin, message.entry_id, message, None)
