# SPDX-License-Identifier: Apache-2.0
"""What a person does to a group by hand: look at what is pending, move entries, trim.

Consumers do all of this by themselves; these are for the day on which they cannot. The checks are in the scripts, in
the step that writes: what was seen a second ago proves nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from .._base.typed import converted
from .._redis.keys import PARKED, GroupKeys, StreamKeys
from .._redis.scripts import load_script
from .names import OURS

if TYPE_CHECKING:
    from .._redis.link import Link

_CLAIM = load_script("holdfast.streams", "claim")
_TRIM = load_script("holdfast.streams", "trim", "ids")
_PAGE = 500

Fate = Literal["claimed", "live", "fresh", "missing", "settled"]


class PendingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry that was delivered and is not settled. ``kind`` of its consumer: ours, parked, foreign.

    deliveries: as the server counts them; raised for neighbours of a crash too.
    """

    stream: str
    group: str
    id: str
    consumer: str
    kind: str
    idle_s: float
    deliveries: int


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one entry. ``live``: its consumer has a lease; ``fresh``: idle for less than asked; ``missing``:
    its payload was trimmed, and a consumer will bury it; ``settled``: it is not pending."""

    stream: str
    id: str
    fate: Fate
    consumer: str
    deliveries: int
    idle_s: float


class Trim(msgspec.Struct, frozen=True, kw_only=True):
    """``removed`` entries below ``edge``, the first id that stays; ``held_by``: the group that needs the rest."""

    stream: str
    edge: str
    removed: int
    held_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which pending entries: of one consumer, idle for so long, delivered so often."""

    consumer: str | None = None
    idle_s: float = 0.0
    min_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How entries are moved.

    to: a consumer's name; empty: back to the group, due at once for whoever is there. live: also from consumers that
        have a lease, whose handlers may be running: the work is then done twice. force: make entries pending that are
        in the stream and not pending. justid: leave the delivery counter; the former owner's settle is then not
        refused by it. retrycount: set the counter. idle_s: only what was idle for so long.
    """

    to: str = ""
    live: bool = False
    force: bool = False
    justid: bool = False
    retrycount: int | None = None
    idle_s: float = 0.0
    dry_run: bool = False


async def pending(link: Link, keys: GroupKeys, which: Which | None = None) -> AsyncIterator[PendingEntry]:
    """Pending entries in the order of the stream, page by page. Raises ServerRefused (NOGROUP) without the group."""
    wanted = which or Which()
    after = "-"
    tail = [] if wanted.consumer is None else [wanted.consumer]
    while True:
        rows = await link.call(
            "XPENDING", keys.stream, keys.group, "IDLE", int(wanted.idle_s * 1000), after, "+", _PAGE, *tail)
        for entry_id, consumer, idle_ms, count in rows:
            if count >= wanted.min_count:
                yield PendingEntry(stream=keys.stream, group=keys.group, id=entry_id.decode(),
                                   consumer=consumer.decode(), kind=_kind(consumer), idle_s=idle_ms / 1000,
                                   deliveries=count)
        if len(rows) < _PAGE:
            return
        after = "(" + rows[-1][0].decode()


async def claim(link: Link, keys: GroupKeys, ids: Sequence[str], how: Claim) -> list[Claimed]:
    """Moves pending entries; answers what became of each. Raises ServerRefused (NOGROUP) without the group."""
    done: list[Claimed] = []
    for start in range(0, len(ids), _PAGE):
        reply = await link.run(
            _CLAIM, (keys.stream.encode(), keys.leases, keys.due, keys.door),
            (keys.group, how.to or PARKED, int(how.live), int(how.force), int(how.justid),
             "" if how.retrycount is None else how.retrycount, int(how.dry_run), int(how.idle_s * 1000),
             *ids[start : start + _PAGE]))
        done += [_claimed(keys.stream, *reply[i : i + 5]) for i in range(0, len(reply), 5)]
    return done


async def trim(link: Link, keys: StreamKeys, *, before: str = "", keep: int | None = None, past_groups: bool = False,
               dry_run: bool = False) -> Trim:
    """Removes entries below ``before``, or all but the newest ``keep``, or whatever no group needs any more.

    What a group has not read, or holds pending, stays unless ``past_groups``: then those entries are lost to it.
    """
    edge, removed, held_by = await link.run(
        _TRIM, (keys.stream_key,), (before, "" if keep is None else keep, int(past_groups), int(dry_run)))
    return Trim(stream=keys.stream, edge=edge.decode(), removed=removed, held_by=held_by.decode())


def _kind(consumer: bytes) -> str:
    if consumer == PARKED:
        return "parked"
    return "ours" if OURS.match(consumer.decode("utf-8", "replace")) else "foreign"


def _claimed(stream: str, entry_id: bytes, fate: bytes, owner: bytes, *rest: int) -> Claimed:
    deliveries, idle_ms = rest
    told = {"stream": stream, "id": entry_id.decode(), "fate": fate.decode(), "consumer": owner.decode()}
    return converted({**told, "deliveries": deliveries, "idle_s": idle_ms / 1000}, Claimed)
