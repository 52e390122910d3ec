# SPDX-License-Identifier: Apache-2.0
"""The history of a test of the user's, put together while it runs, and judged at its end.

::

    fates = Fates()
    fates.published(receipt.id, key=order.id)
    …                                                  # workers are killed, servers restarted
    fates.effects(row.message_id for row in invoices)  # what took effect, from where it took effect
    fates.look(server, "orders", "billing")            # what the server holds in the end
    fates.verify()                                     # AssertionError: lost: 1: 01J…

``history`` judges; this gathers. What took effect cannot be asked of us: it has to be read where the handler wrote it,
or the judge would believe the accused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from .._base.letter import DEFAULT_PREFIX as LETTER_PREFIX
from .._base.message import Message
from .._redis.keys import DEFAULT_PREFIX, GroupKeys
from ..consume.order import pair
from ..streams.producer import physical
from .history import Record, Verdict, check

#: Pending entries asked for at once.
PAGE = 1000


class Asked(Protocol):
    """A server of this kit: ``Single``, ``Sentinel`` or ``Cluster``."""

    @property
    def admin(self) -> Any:
        """Its synchronous client; bytes out."""
        ...


class Fates:
    """What is known of each message of a test. ``records`` is the history itself, in order."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._places: list[Record] = []

    def published(self, id: str, key: str | None = None) -> None:
        """It was published, and the publisher was told so. ``key``: what its order is kept within."""
        self.records.append(Record("published", id, key))

    def in_doubt(self, id: str, key: str | None = None) -> None:
        """It was sent, and no answer came: it may be there or not."""
        self.records.append(Record("in_doubt", id, key))

    def effects(self, ids: Iterable[str]) -> None:
        """These took effect, in this order; an id as often as its effect is there."""
        self.records += [Record("effect", one) for one in ids]

    def look(self, server: Asked, stream: str, group: str, *, partitions: int = 0, prefix: str = DEFAULT_PREFIX,
             letter_prefix: str = LETTER_PREFIX) -> dict[str, str]:
        """Where every published message is now, by id: ``pending``, ``buried`` or ``settled``, as the server has it.

        What was published, lies nowhere and is no letter was settled. A later look takes the place of an earlier one.
        """
        names = [physical(stream, number, partitions) for number in range(partitions)] or [stream]
        found = [Record("pending", one) for name in names for one in _waiting(server.admin, name, group, prefix)]
        original = f"{letter_prefix}original-message-id".encode()
        found += [Record("buried", one) for name in names
                  for one in _letters(server.admin, GroupKeys(prefix, name, group), original)]
        there = {one.id for one in found}
        sure = dict.fromkeys(record.id for record in self.records if record.what == "published")
        self._places = [*found, *(Record("settled", one) for one in sure if one not in there)]
        return {record.id: record.what for record in self._places}

    def verdict(self, *, effects: bool = True, order: bool = False) -> Verdict:
        """What ``history.check`` says. effects: they were recorded. order: effects must keep the order within a key."""
        return check([*self.records, *self._places], effects=effects, order=order)

    def verify(self, *, effects: bool = True, order: bool = False) -> Verdict:
        """As ``verdict``; AssertionError with what is wrong. Where nothing was published nothing is shown: that too."""
        verdict = self.verdict(effects=effects, order=order)
        if not verdict.published:
            raise AssertionError("nothing was published, so nothing was shown: call published(receipt.id)")
        if not verdict.ok:  # guard: a wrong history fails the test
            raise AssertionError(verdict.explain())
        return verdict


def _waiting(admin: Any, stream: str, group: str, prefix: str) -> Iterator[str]:
    """Ids of what the group has not settled: delivered and pending, not yet read, parked for long beside the stream."""
    keys = GroupKeys(prefix, stream, group)
    for key in (stream.encode(), keys.replay):
        groups = {info["name"]: info for info in admin.xinfo_groups(key)} if admin.exists(key) else {}
        state = groups.get(group.encode())
        pending = set(_pending(admin, key, group)) if state is not None else set()
        read = b"0-0" if state is None else state["last-delivered-id"]
        for entry_id, fields in admin.xrange(key):
            if entry_id in pending or pair(entry_id) > pair(read):
                yield _id(stream, entry_id, fields)
    for entry_id, fields in admin.xrange(keys.parked):
        yield _id(stream, entry_id, fields)


def _pending(admin: Any, key: bytes, group: str) -> Iterator[bytes]:
    start = "-"
    while page := admin.xpending_range(key, group, start, "+", PAGE):
        yield from (entry["message_id"] for entry in page)
        start = f"({page[-1]['message_id'].decode()}"


def _letters(admin: Any, keys: GroupKeys, original: bytes) -> Iterator[str]:
    for _, fields in admin.xrange(keys.dead):
        yield fields.get(original, b"").decode()


def _id(stream: str, entry_id: bytes, fields: dict[bytes, bytes]) -> str:
    return Message(stream, entry_id, [part for pair in fields.items() for part in pair]).id
