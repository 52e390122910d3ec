# SPDX-License-Identifier: Apache-2.0
"""Windows where the store has no clock: what a claim, a renewal and an end write, for etcd and ZooKeeper.

The record of a worker id is only ever changed by comparing and setting: whoever writes has read what was there, and
begins behind it. So windows of one id are apart, whatever anybody's clock says. What a clock does decide is where in
time a window lies:

* a claim asks the wall clock, once. From then on a hold counts what passes, suspended time included (``HoldTime``): a
  clock that is set while an id is held, back or forth, moves no window and makes no gap;
* a clock that is ahead leaves ends behind that lie ahead, and whoever has that id next waits for them;
* a clock that is behind by little waits until the window behind the last one begins. One that is far behind is refused,
  by what most holders' clocks said (``refuse_behind``), or the one that the very id was last written by: its ids would
  be old on the day they are made, or it would wait for as long as it is behind.

Who holds an id is not a question of time here: its holder's session is alive, or it is not. A clock that is an hour
ahead takes nothing from anybody.

Rejected: the time that ZooKeeper notes beside a node, which its leader says only after the write, and which another
leader's clock goes on with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from .._base.clock import Clock
from .._base.typed import from_json
from ..errors import IdsRefused, ServerRefused
from .scheme import Owner
from .term import Window
from .windows import Record, chosen, refuse_behind, window_behind


class Pool(NamedTuple):
    """name, workers: how many ids it has. behind_ms: how far a claim's clock may be behind those of others."""

    name: str
    workers: int
    behind_ms: int


class Asked(NamedTuple):
    """One claim. lot: see ``chosen``."""

    owner: Owner
    now_ms: int
    lease_ms: int
    lot: int = 0


class HoldTime:
    """Time of one hold: what the wall clock said at its claim, and what has passed since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall_ms, self._at = clock.wall_ms(), clock.now()

    def now_ms(self) -> float:
        """Milliseconds since 1970, as of the claim's clock."""
        return self._wall_ms + (self._clock.now() - self._at) * 1000  # guard: a clock that is set changes nothing


def claimed(records: Collection[Record], alive: Collection[str], pool: Pool, asked: Asked) -> Record:
    """The owner's record when it asks again, or the one that it is to write.

    alive: holds whose sessions are. Raises WorkerIdTaken, WorkerIdsExhausted, IdsRefused.
    """
    by, now_ms = {record.worker: record for record in records}, asked.now_ms
    seen = list(_as_held(records, alive, now_ms, pool))
    worker = _choice(seen, pool, asked)
    last = by.get(worker)
    if last is not None and last.owner == asked.owner.id and last.owner in alive:
        return last  # guard: asked again
    refuse_behind(seen, now_ms, pool.behind_ms, pool.name)
    if last is not None and _ahead_ms(last, now_ms) > pool.behind_ms:
        if asked.lot:  # it was drawn, and the one whose turn it is may be better
            return claimed(records, alive, pool, asked._replace(lot=0))
        raise _ahead(last, now_ms, pool)  # guard: nobody waits for as long as a clock is wrong
    window = window_behind(last, now_ms, asked.lease_ms)
    return Record(worker, asked.owner.id, asked.owner.name, window, now_ms)


def _choice(seen: Sequence[Record], pool: Pool, asked: Asked) -> int:
    found = chosen(seen, asked.owner, asked.now_ms, pool.workers, pool.name, lot=asked.lot)
    return found.worker if isinstance(found, Record) else found


def _as_held(records: Iterable[Record], alive: Collection[str], now_ms: int, pool: Pool) -> Iterable[Record]:
    """As ``chosen`` is to see them: held as long as the session lives, free from then on, whatever the time is."""
    for record in records:
        if record.owner in alive:  # guard: a session, not a clock, says who holds it
            yield replace(record, window=Window(record.window.first_ms, max(record.window.last_ms, now_ms)))
        else:  # what a clock far ahead has left is nobody's own: there is something better
            yield replace(record, owner="", name="" if _ahead_ms(record, now_ms) > pool.behind_ms else record.name)


def _ahead_ms(record: Record, now_ms: int) -> int:
    return (record.at_ms or 0) - now_ms


def _ahead(last: Record, now_ms: int, pool: Pool) -> IdsRefused:
    ahead_s = _ahead_ms(last, now_ms) / 1000
    return IdsRefused(f"the clock of {last.name!r}, who had worker id {last.worker} of pool {pool.name!r} last, was "
                      f"{ahead_s:.0f} s ahead of this machine's: one of the two is wrong. Set it by NTP, or take "
                      "another worker id until then", why="clock")


def renewed(record: Record, now_ms: int, lease_ms: int) -> Record:
    """With its window extended to ``lease_ms`` from now."""
    last_ms = max(record.window.last_ms, now_ms + lease_ms)  # guard: what was told is not taken back
    return replace(record, window=Window(record.window.first_ms, last_ms), at_ms=now_ms)


def given_back(record: Record, now_ms: int, last_ms: int) -> Record:
    """With its window ended at ``last_ms``, and free."""
    window = Window(record.window.first_ms, max(last_ms, record.window.first_ms - 1))
    return replace(record, owner="", window=window, at_ms=now_ms)


# -- as it lies in the store --------------------------------------------------------------------------------------


class _Kept(msgspec.Struct, frozen=True):
    owner: str
    name: str
    first_ms: int
    last_ms: int
    at_ms: int


def to_bytes(record: Record) -> bytes:
    """A record, as JSON."""
    window = record.window
    return msgspec.json.encode(_Kept(record.owner, record.name, window.first_ms, window.last_ms, record.at_ms or 0))


def from_bytes(worker: int, raw: bytes, where: str) -> Record:
    """A record. ServerRefused when it is none: what cannot be read is never free."""
    try:
        kept = from_json(raw, _Kept)
    except msgspec.DecodeError as error:
        raise ServerRefused(f"what lies at {where} is no record of worker id {worker}: {error}. Remove it once nobody "
                            "has used that id for the length of a window", code="RECORD") from error
    return Record(worker, kept.owner, kept.name, Window(kept.first_ms, kept.last_ms), kept.at_ms)
