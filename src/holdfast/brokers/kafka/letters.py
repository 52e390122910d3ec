# SPDX-License-Identifier: Apache-2.0
"""A group's dead letters: a topic, from which nothing can be taken.

So a letter is removed by a record more, which names it (``hf:removed``); reading goes through the topic from end to end
and leaves out what was removed. The topic's own retention is how long letters are kept. Whoever compacts it loses
nothing: letters have their message's key, so it should not be compacted at all.

Two who look after letters at the same time see the same ones, and may both send one back: Kafka has no lock on a topic.
The copies have one id. With transactions what is sent back and the removal are one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ..._base import points
from ..._base.message import F_ID, F_IDENTITY, Message
from ..._kafka.admin import ensure_topics
from ..._kafka.driver import Record
from ..._kafka.look import ends_of, partitions_of, read_through
from ...errors import ConfigurationError
from ..letters import Kept, told_apart
from .lane import H_LETTER
from .record import fields_of, parts_of
from .settings import Topics

if TYPE_CHECKING:
    from .broker import KafkaBroker

__all__ = ["DeadTopic", "standing"]

#: Header of a record that removes a letter: its id.
H_REMOVED: Final = "hf:removed"


def standing(records: Sequence[Record], prefix: str) -> list[Kept]:
    """The letters that lie in these records of a topic, each once, without those that were removed. Pure.

    A removal counts for copies of its letter that lie before it and behind it: they are one letter. A letter without an
    id, somebody else's, is known by its place.
    """
    removed = {value for r in records for name, value in r.headers if name == H_REMOVED and value}
    found = []
    for record in sorted(records, key=lambda r: r.at_ms):
        known_by = _letter_of(record)
        if known_by.encode() in removed or any(name == H_REMOVED for name, _ in record.headers):
            continue  # guard: what was removed is not there (test_letters)
        own = [(name, value) for name, value in record.headers if name != H_LETTER]
        found.append((known_by, known_by, fields_of(record.key, record.value, own, plain=prefix)))
    return told_apart(found, prefix)


def _letter_of(record: Record) -> str:
    return next((value.decode() for name, value in record.headers if name == H_LETTER and value),
                f"{record.partition}-{record.offset}")


class DeadTopic:
    """Fulfils ``brokers.letters.Box``."""

    def __init__(self, broker: KafkaBroker, topics: Topics) -> None:
        self._broker, self._topics = broker, topics

    async def make(self) -> None:
        """See ``Box``: a topic of one partition, so that letters lie in the order in which they came."""
        await asyncio.to_thread(ensure_topics, self._broker.config, self._topics.dead, (), partitions=1)

    @asynccontextmanager
    async def held(self, most: int | None = None) -> AsyncIterator[Sequence[Kept]]:
        """See ``Box``; others may look at the same time. Raises ConfigurationError: there is no such group."""
        config, dead = self._broker.config, self._topics.dead
        if not await asyncio.to_thread(partitions_of, config, dead):
            raise ConfigurationError(f"there is no topic {dead!r} at {self._broker.shown}: group "
                                     f"{self._topics.group!r} of {self._topics.stream!r} has never run there")
        records = await asyncio.to_thread(read_through, config, dead)
        yield standing(records, self._topics.letter_prefix)[:most]

    async def mark(self) -> object:
        """See ``Box``: where each partition ends."""
        found = await asyncio.to_thread(ends_of, self._broker.config, self._topics.dead)
        return tuple(found) or None

    async def send_back(self, kept: Kept, entry: Sequence[bytes]) -> bytes:
        """See ``Box``: to the group's replay topic. Without transactions it is there before its letter goes."""
        out = self._replay(entry)
        if self._broker.transactions:
            [where, *_] = await self._broker.write_together([out, *self._removals(kept)])
        else:
            [where] = await self._broker.write([out])
            points.reached("kafka.replay.after")
            await self.remove(kept)
        return b"%d-%d" % where

    async def post(self, entry: Sequence[bytes]) -> bytes:
        """See ``Box``."""
        [where] = await self._broker.write([self._replay(entry)])
        return b"%d-%d" % where

    def _replay(self, entry: Sequence[bytes]) -> Record:
        fields = list(entry)
        if F_ID not in fields[::2] and F_IDENTITY not in fields[::2]:
            fields += (F_IDENTITY, Message(self._topics.stream, b"0-0", fields).raw_id)
        return Record(self._topics.replay, *parts_of(fields, self._topics.letter_prefix))

    async def remove(self, kept: Kept) -> None:
        """See ``Box``."""
        await self.remove_all([kept])

    async def remove_all(self, kept: Sequence[Kept]) -> None:
        """See ``Box``."""
        await self._broker.write([record for one in kept for record in self._removals(one)])

    def _removals(self, kept: Kept) -> list[Record]:
        return [Record(self._topics.dead, None, None, [(H_REMOVED, letter_id.encode())])
                for letter_id in dict.fromkeys(kept.handles)]

    async def bury(self, fields: Sequence[bytes], letter_id: str) -> None:
        """See ``Box``."""
        key, value, headers = parts_of(fields, self._topics.letter_prefix)
        await self._broker.write([Record(self._topics.dead, key, value, [*headers, (H_LETTER, letter_id.encode())])])
