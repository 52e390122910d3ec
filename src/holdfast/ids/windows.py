# SPDX-License-Identifier: Apache-2.0
"""Which worker id is given, and for which window: the rules, for stores that keep records and run no scripts of ours.

The scripts for Redis (``lua/claim_worker.lua``) say the same; one battery of tests holds both to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import WorkerIdsExhausted, WorkerIdTaken
from .scheme import Owner
from .term import Window


@dataclass(frozen=True)
class Record:
    """What a store keeps of one worker id. owner: of the hold; empty when it was given back."""

    worker: int
    owner: str
    name: str
    window: Window

    def live(self, now_ms: int) -> bool:
        """Whether somebody may make ids with it. One that was given back is free, even if its last id was ahead."""
        return bool(self.owner) and self.window.last_ms >= now_ms


@dataclass(frozen=True)
class StoreTime:
    """A clock that never goes back, made of one that may: what is added to it, and the latest time it said."""

    offset_ms: int = 0
    latest_ms: int = 0

    def at(self, clock_ms: int) -> StoreTime:
        """Its state after the store's own clock said ``clock_ms``."""
        offset_ms = max(self.offset_ms, self.latest_ms - clock_ms)  # guard: an offset that only grows
        return StoreTime(offset_ms, clock_ms + offset_ms)


def chosen(records: Sequence[Record], owner: Owner, now_ms: int, workers: int, pool: str) -> Record | int:
    """The record of the owner that asks again, or the worker id that it is to be given.

    The wanted one; else the one that its name had before; else one that nobody ever had; else the one that has been
    free for longest. Raises WorkerIdTaken, WorkerIdsExhausted.
    """
    by = {record.worker: record for record in records}
    again = next((r for r in records if r.owner == owner.id and r.live(now_ms)), None)
    if again is not None and owner.wanted in (None, again.worker):
        return again  # guard: asked again
    if owner.wanted is not None:
        held = by.get(owner.wanted)
        if held is not None and held.live(now_ms):  # guard: two live holders
            raise taken(held.worker, pool, held.name, held.window.last_ms - now_ms)
        return owner.wanted
    free = sorted((r for r in records if not r.live(now_ms) and r.worker < workers), key=lambda r: r.window.last_ms)
    mine = next((r.worker for r in free if owner.name and r.name == owner.name), None)
    unused = next((n for n in range(workers) if n not in by), None)
    for worker in (mine, unused, free[0].worker if free else None):
        if worker is not None:
            return worker
    first = min(record.window.last_ms for record in records)
    raise exhausted(workers, pool, first - now_ms)


def taken(worker: int, pool: str, name: str, left_ms: int) -> WorkerIdTaken:
    """What is said to the second one that wants a worker id."""
    return WorkerIdTaken(f"worker id {worker} of pool {pool!r} is held by {name!r} for another {left_ms} ms: two "
                         "processes were given the same one")


def exhausted(workers: int, pool: str, left_ms: int) -> WorkerIdsExhausted:
    """What is said to whoever comes when all are held."""
    return WorkerIdsExhausted(f"all {workers} worker ids of pool {pool!r} are held; the first one is free in "
                              f"{left_ms} ms")


def window_behind(last: Record | None, now_ms: int, lease_ms: int, barrier_ms: int = 0) -> Window:
    """The next window of a worker id: behind the last one that was given for it."""
    first_ms = max(now_ms, barrier_ms, last.window.last_ms + 1 if last is not None else 0)  # guard: behind the last one
    return Window(first_ms, first_ms + lease_ms)
