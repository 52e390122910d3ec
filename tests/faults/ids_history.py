# SPDX-License-Identifier: Apache-2.0
"""Who had which worker id, and when: histories of windows, and of the ids made in them, looked at as a whole.

Owners say a line for each thing they were told (``recorded``), before they act on it; so one that was killed has said
all that it could use. A window that was extended counts to its latest end, one that was given back to the last moment
that its owner said it used: from then on it makes no id.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.ids import Layout
from holdfast.ids.scheme import Grant, Holding, Owner, Scheme

Say = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Span:
    """One hold: its worker id, from the beginning of its window to its end, both within, in ms of store time. by: who
    makes ids in it, in one hold after another.
    """

    worker: int
    owner: str
    first_ms: int
    last_ms: int
    by: str = ""

    def meets(self, other: Span) -> bool:
        """Whether both could make an id of one moment."""
        return (self.worker == other.worker and self.owner != other.owner
                and max(self.first_ms, other.first_ms) <= min(self.last_ms, other.last_ms))


class Recorded:
    """A scheme that says what it was answered: ``{"window": "claimed" | "renewed" | "released", …}``. by: who
    makes ids in it."""

    def __init__(self, scheme: Scheme, say: Say, by: str = "") -> None:
        self.scheme, self._say, self.by = scheme, say, by
        self.name, self.workers = scheme.name, scheme.workers

    def _told(self, what: str, owner: Owner, worker: int, first_ms: int, last_ms: int) -> None:
        self._say({"window": what, "by": self.by, "owner": owner.id, "worker": worker, "first_ms": first_ms,
                   "last_ms": last_ms})

    async def claim(self, owner: Owner, lease_ms: int) -> Grant:
        grant = await self.scheme.claim(owner, lease_ms)
        self._told("claimed", owner, grant.worker, grant.window.first_ms, grant.window.last_ms)
        return grant

    async def renew(self, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        grant = await self.scheme.renew(owner, grant, lease_ms)
        self._told("renewed", owner, grant.worker, grant.window.first_ms, grant.window.last_ms)
        return grant

    async def release(self, owner: Owner, grant: Grant, last_ms: int) -> None:
        self._told("released", owner, grant.worker, grant.window.first_ms, last_ms)
        await self.scheme.release(owner, grant, last_ms)

    async def holders(self) -> list[Holding]:
        return await self.scheme.holders()

    async def close(self) -> None:
        await self.scheme.close()


def spans(lines: Iterable[Any]) -> list[Span]:
    """Of each hold in these lines its whole window; ValueError when one was told of two beginnings, or went back."""
    found: dict[tuple[str, int], Span] = {}
    for line in lines:
        if not isinstance(line, dict) or "window" not in line:
            continue
        said = Span(line["worker"], line["owner"], line["first_ms"], line["last_ms"], line.get("by", ""))
        before = found.setdefault((said.owner, said.worker), said)
        if said.first_ms != before.first_ms or (line["window"] == "renewed" and said.last_ms < before.last_ms):
            raise ValueError(f"the window of one hold only grows at its end: {before}, and then {said}")
        last_ms = min(said.last_ms, before.last_ms) if line["window"] == "released" else said.last_ms
        found[said.owner, said.worker] = dataclasses.replace(before, last_ms=last_ms)
    return list(found.values())


def overlaps(holds: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Pairs of owners who had one worker id at one moment: at least one of each crowd, none when there is none."""
    ordered = sorted((hold for hold in holds if hold.first_ms <= hold.last_ms), key=lambda h: (h.worker, h.first_ms))
    found, furthest = [], None
    for hold in ordered:
        if furthest is not None and furthest.meets(hold):
            found.append((furthest, hold))
        if furthest is None or hold.worker != furthest.worker or hold.last_ms > furthest.last_ms:
            furthest = hold
    return found


def judge_windows(lines: Iterable[Any]) -> list[Span]:
    """All holds, of which no two overlap."""
    holds = spans(lines)
    assert not overlaps(holds), f"guard: two owners of one worker id at one time: {overlaps(holds)[:3]}"
    return holds


# -- ids


def kept(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """What each thread made, in its order: files ``BY.THREAD``, of 64-bit numbers one after another."""
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size // 8
        yield path.name.partition(".")[0], np.fromfile(path, np.int64, size)


def judge_ids(made: Iterable[tuple[str, np.ndarray]], holds: Sequence[Span], layout: Layout) -> int:
    """How many ids there are: none twice, those of a thread growing, each within a window of whoever made it.

    made: by whom, and what one thread of theirs made. layout: with the sequence in the lowest bits.
    """
    parts = []
    for by, ids in made:
        assert bool(np.all(np.diff(ids) > 0)), f"guard: ids of one thread grow ({by})"
        workers = (ids >> layout.sequence_bits) & (layout.workers - 1)
        times = (ids >> (layout.worker_bits + layout.sequence_bits)) * layout.unit_ms + layout.epoch_ms
        for worker in np.unique(workers):
            mine = [hold for hold in holds if hold.by == by and hold.worker == worker]
            assert mine, f"guard: ids bear a worker id that {by} had, and not {worker}"
            _within(times[workers == worker], mine, layout.unit_ms, by)
        parts.append(ids)
    return apart(parts)


def _within(times: np.ndarray, holds: Sequence[Span], unit_ms: int, by: str) -> None:
    holds = sorted(holds, key=lambda hold: hold.first_ms)
    at = np.searchsorted([hold.first_ms for hold in holds], times, side="right") - 1
    early = times[at < 0]
    assert not len(early), f"guard: no id before its window: by {holds[0].first_ms - early[:3]} ms ({by})"
    over = times + unit_ms - 1 - np.array([hold.last_ms for hold in holds])[at]
    assert not np.any(over > 0), f"guard: not_after: an id {over.max()} ms behind its window ({by})"


def apart(parts: Sequence[np.ndarray]) -> int:
    """How many ids there are in all; fails when one is there twice."""
    every = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
    twice = every[1:][every[1:] == every[:-1]]
    assert not len(twice), f"guard: no id twice: {len(twice)} of {len(every)} were, such as {twice[:3].tolist()}"
    return len(every)


def waits_ms(holds: Iterable[Span]) -> list[int]:
    """Between two holds of one worker id, how long it was nobody's."""
    ordered = sorted(holds, key=lambda h: (h.worker, h.first_ms))
    return [after.first_ms - before.last_ms for before, after in pairwise(ordered) if before.worker == after.worker]
