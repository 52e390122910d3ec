# SPDX-License-Identifier: Apache-2.0
"""Which worker id is given, and for which window: the rules, for stores that keep records and run no scripts of ours.

The scripts for Redis (``lua/claim_worker.lua``) say the same; one battery of tests holds both to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import IdsRefused, WorkerIdsExhausted, WorkerIdTaken
from .scheme import Owner
from .term import Window


@dataclass(frozen=True)
class Record:
    """What a store keeps of one worker id. owner: of the hold; empty when it was given back. at_ms: what the clock of
    whoever wrote it said then; None where that is not kept."""

    worker: int
    owner: str
    name: str
    window: Window
    at_ms: int | None = None

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


def chosen(records: Sequence[Record], owner: Owner, now_ms: int, workers: int, pool: str, *,
           lot: int = 0) -> Record | int:
    """The record of the owner that asks again, or the worker id that it is to be given.

    The wanted one; else the one that its name had before; else one that nobody ever had; else the one that has been
    free for longest. lot: how many of those are left to others, for whoever chose the same one as they did and came too
    late, in a store without locks. Raises WorkerIdTaken, WorkerIdsExhausted.
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
    mine = [r.worker for r in free if owner.name and r.name == owner.name][:1]
    open_to_it = mine + [n for n in range(workers) if n not in by] + [r.worker for r in free]
    if open_to_it:
        return open_to_it[lot % len(open_to_it)]
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


def refuse_behind(records: Sequence[Record], now_ms: int, allowed_ms: int, pool: str) -> None:
    """Refuses a clock that is far behind those of the others, where the store has none: IdsRefused.

    Its ids would be as unique as any, and old on the day they are made. It is told by the windows that are held: most
    of them, and two at least, end more than ``allowed_ms`` from now. A single one may have a clock that is ahead, and
    that must not keep everybody else away. Where it is kept when they were written, that counts and not their ends: a
    window may be long.
    """
    held = [_said_ms(record) - now_ms for record in records if record.live(now_ms)]
    ahead = [left_ms for left_ms in held if left_ms > allowed_ms]
    if len(ahead) >= 2 and 2 * len(ahead) > len(held):  # guard: a clock that is far behind
        what = "end" if any(record.at_ms is None for record in records) else "were extended"
        raise IdsRefused(f"this machine's clock is behind: {len(ahead)} of the {len(held)} worker ids of pool {pool!r} "
                         f"that are held {what} {min(ahead) / 1000:.0f} s from now or later. Set it by NTP")


def _said_ms(record: Record) -> int:
    return record.window.last_ms if record.at_ms is None else record.at_ms


def window_behind(last: Record | None, now_ms: int, lease_ms: int, barrier_ms: int = 0) -> Window:
    """The next window of a worker id: behind the last one that was given for it."""
    first_ms = max(now_ms, barrier_ms, last.window.last_ms + 1 if last is not None else 0)  # guard: behind the last one
    return Window(first_ms, first_ms + lease_ms)
