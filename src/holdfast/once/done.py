# SPDX-License-Identifier: Apache-2.0
"""The done-records of groups: what was applied, looked up, counted, pruned. They lie beside the stream, in its slot.

A record is a member of a sorted set, scored with the server's time at which the effect was applied: about 110 bytes for
a message with an id of our own (``holdfast lab once`` measures it on your server). It may go when its message can no
longer come: after ``kept_ms``, which has to be at least what letters are kept for, and not before the group's low-water
mark has passed it, nor while anything lies replayed, parked for long or published for later. The last three are older
than their place says; as long as one is there, nothing is pruned.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .._base import events as ev
from .._base.thinned import Thinned
from .._redis.keys import EffectKeys, GroupKeys, StreamKeys
from .._redis.rights import require_rights_for_records
from .._redis.scripts import load_script
from ..consume.contract import Delivery
from ..errors import ConfigurationError, ServerError

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._redis.server import Server

_PRUNE = load_script("holdfast.once", "prune")

#: Records removed in one script.
PRUNED = 1000
#: Seconds between two looks at the records of a running consumer.
LOOK_S = 15.0
DAY_MS = 86_400_000
_SLOT = re.compile(rb"[?-]slot:(\d+) ")


class RecordCounts(msgspec.Struct, frozen=True):
    """Records of one group on one physical stream. ``in_doubt``: begun by consumers that are dead, the oldest
    ``in_doubt_oldest_ms`` ago; ``removed``: by this call, ``more`` if others may go too."""

    stream: str
    group: str
    removed: int
    done: int
    half_done: int
    begun: int
    in_doubt: int
    in_doubt_oldest_ms: int
    more: bool


class State(NamedTuple):
    """Of one effect. came: of what stopped half-way, how far: ``"2|5|error"``. begun: it is marked, and did not end.

    slot: where its writes went, or were about to go, if not beside the stream. elsewhere: they are in there, and the
    acknowledgement is still to come.
    """

    applied: bool
    came: str
    begun: bool
    slot: int | None = None
    elsewhere: bool = False


def mark_of_slot(slot: int, now_ms: int, *, doubt: bool = False) -> str:
    """A mark beside the stream that says where an effect goes: nobody else would know where to look for it."""
    return f"{'?' if doubt else '-'}slot:{slot} {now_ms}"


def slot_in(mark: bytes | None) -> int | None:
    """The slot that a mark names; None: it names none."""
    found = _SLOT.match(mark or b"")
    return None if found is None else int(found[1])


def _answers(replies: Sequence[Any]) -> Sequence[Any]:
    for reply in replies:
        if isinstance(reply, ServerError):
            raise reply
    return replies


def _came(half: bytes | None) -> str:
    return "" if half is None else half.partition(b"\n")[0].decode("utf-8", "replace")


def keys_of(delivery: Delivery, prefix: str) -> GroupKeys:
    """Keys of the group a delivery came from; a replayed one belongs to its main stream."""
    found = getattr(delivery.origin, "keys", None)
    return found if found is not None else GroupKeys(prefix, delivery.origin.stream, delivery.origin.group)


def seen_before(delivery: Delivery) -> bool:
    """May an earlier delivery of this very entry have got as far as its effect? Of others the server knows."""
    return bool(delivery.attempts or delivery.suspect or delivery.note is not None
                or getattr(delivery.fence, "count", 1) > 1 or getattr(delivery.origin, "is_replay", False))


class DoneRecords:
    """Asks and tidies the records of the groups that it was asked about. ``kept_ms``: how long one is kept at least."""

    def __init__(self, server: Server, events: ev.Events, clock: Clock, *, kept_ms: int) -> None:
        self._server = server
        self._events = events
        self._kept_ms = kept_ms
        self._trouble = Thinned(clock)
        self._groups: dict[GroupKeys, None] = {}
        self._tidying: asyncio.Task[None] | None = None

    def keys(self, delivery: Delivery) -> GroupKeys:
        """The group's keys; from now on its records are looked after."""
        keys = keys_of(delivery, self._server.prefix)
        self._groups.setdefault(keys)
        return keys

    async def state(self, keys: GroupKeys, identity: str) -> State:
        """What is known of an effect: beside the stream, and in the slot that its mark names."""
        link = self._server.shared(keys.done)
        applied, half, mark = _answers(await link.pipeline(
            [(b"ZSCORE", keys.done, identity), (b"HGET", keys.half_done, identity), (b"HGET", keys.begun, identity)]))
        slot = slot_in(mark)
        if applied is not None or slot is None:
            return State(applied is not None, _came(half), mark is not None)
        there = EffectKeys(self._server.prefix, keys.stream, keys.group, slot)
        applied, half = _answers(await self._server.shared(there.done).pipeline(
            [(b"ZSCORE", there.done, identity), (b"HGET", there.half_done, identity)]))
        return State(False, _came(half), mark.startswith(b"?"), slot, applied is not None)

    async def applied_ms(self, keys: GroupKeys, identity: str) -> int | None:
        """Server ms at which an effect was applied; None: it was not, or its record is pruned."""
        found = await self._server.shared(keys.done).call("ZSCORE", keys.done, identity)
        return None if found is None else int(float(found))

    # -- tidying --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begins to look after the records, until ``close``. Raises ConfigurationError where they may be evicted, and
        NotAuthorized where the user may not keep them."""
        await must_keep(self._server)
        await require_rights_for_records(self._server.shared(b"hf"), b"%s:{hf}:probe" % self._server.prefix.encode())
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy(), name="tidy effects")

    async def close(self) -> None:
        """Ends it."""
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.gather(self._tidying, return_exceptions=True)
            self._tidying = None

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            for keys in list(self._groups):
                try:
                    await self.look(keys)
                except ServerError as error:  # the next look will do
                    self._trouble.warn(f"pruning records of {keys.stream}", error)

    async def look(self, keys: GroupKeys) -> None:
        """Prunes one group's records as far as they may go, and takes the gauges."""
        removed = 0
        while True:
            found = await prune(self._server, keys, kept_ms=self._kept_ms)
            removed += found.removed
            if not found.more:
                break
        if removed:
            self._events.emit(ev.RecordsPruned(stream=keys.stream, group=keys.group, count=removed, where="redis"))
        self._events.emit(ev.EffectRecords(
            stream=keys.stream, group=keys.group, done=found.done, half_done=found.half_done, begun=found.begun,
            in_doubt=found.in_doubt, in_doubt_oldest_s=found.in_doubt_oldest_ms / 1000))


async def must_keep(server: Server) -> None:
    """Refuses a server that throws away keys without expiry when it is full: forgotten records are effects done twice.

    A server that hides ``INFO`` is taken at its owner's word; ``holdfast doctor`` says so.
    """
    masters = await server.masters()
    try:
        for link in masters.values():
            try:
                info = (await link.call("INFO", "memory")).decode("utf-8", "replace")
            except ServerError:
                continue
            facts = dict(line.split(":", 1) for line in info.split("\r\n") if ":" in line)
            policy = facts.get("maxmemory_policy", "")
            if policy.startswith("allkeys") and facts.get("maxmemory", "0") != "0":
                raise ConfigurationError(
                    f"{link.endpoint} evicts any key when it is full (maxmemory-policy {policy}), records of effects "
                    "among them, and what is forgotten is applied again: set noeviction or volatile-*, or use "
                    "once='sql'")
    finally:
        for link in masters.values():
            await link.close()


async def prune(server: Server, keys: GroupKeys, *, kept_ms: int, dry_run: bool = False) -> RecordCounts:
    """One step of pruning, or only a look. ``kept_ms``: how long a record is kept at least."""
    beside = StreamKeys(keys.prefix, keys.stream)
    answer = await server.shared(keys.done).run(
        _PRUNE, (keys.done, keys.results, keys.half_done, keys.begun, keys.leases, keys.low, keys.replay, keys.parked,
                 beside.later), (kept_ms, PRUNED, "look" if dry_run else "prune"))
    removed, done, half_done, begun, in_doubt, oldest_ms, more = answer
    return RecordCounts(keys.stream, keys.group, removed, done, half_done, begun, in_doubt, oldest_ms, bool(more))
