# SPDX-License-Identifier: Apache-2.0
"""Dead lines in files: a folder of segments that only grow, readable by people and by ``jq``.

::

    folder/00000001.jsonl     {"id": …, "raw": …}            a dead line; of one id the last one counts
    folder/00000002.jsonl     {"gone": ["9f86…"], "at": …}   these are removed
    folder/lock               whoever writes, or reads, holds it meanwhile

Nothing is changed in place, so a crash can hurt the last line alone, which nobody was told of. A pipeline and any
number of tools may be at it at once, on one machine: they take turns by ``flock``. Segments of which nothing is left
are removed from the front; when most of the rest is dead wood, what lives is written to a new segment first.

A line that cannot be read (a disk that rots, an editor's slip) stays where it is: it is counted (``damaged``), its
segment is never removed, and its neighbours are read all the same.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from ...errors import ConfigurationError
from ..dead_lines import DeadChoice, DeadLine, DeadStock
from ..sink import SinkDown
from ..sinks.append_file import TURN_S, turn
from .lookup import the_one
from .merge import folded, merged
from .segments import Segments

__all__ = ["FileDeadLines"]

T = TypeVar("T")
_Ids = list[str]
_Lines = list[DeadLine]

#: Dead lines that are read while the lock is held once.
_CHUNK: Final = 500


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class FileDeadLines:
    """Keeps dead lines in ``folder``, which is made when it is not there.

    segment_bytes: of one file; when it is full the next one is begun. Smaller: space is given back sooner; larger:
    fewer files. turn_s: for which another process may have them, then SinkDown.
    """

    def __init__(self, folder: Path | str, *, segment_bytes: int = 16 << 20, turn_s: float = TURN_S,
                 now_ms: Callable[[], int] = _now_ms) -> None:
        if segment_bytes < 1:
            raise ConfigurationError(f"segment_bytes={segment_bytes}: give a number above 0")
        self.name = "file"
        self._segments = Segments(Path(folder), segment_bytes)
        self._now_ms, self._turn_s = now_ms, turn_s
        self._threads = threading.Lock()
        self._lock = -1

    @property
    def damaged(self) -> int:
        """Lines that could not be read."""
        return self._segments.damaged

    async def open(self) -> None:
        await self._done(self._open)

    def _open(self) -> None:
        folder = self._segments.folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        if self._lock < 0:
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._turn(refresh=False):
            self._segments.open()

    async def put(self, lines: Sequence[DeadLine]) -> None:
        def put() -> None:
            with self._turn() as segments:
                new = []
                for line in folded(lines).values():
                    place = segments.places.get(line.id)
                    old = segments.read(place) if place is not None else None
                    now = line if old is None else merged(old, line)
                    if now != old:
                        new.append(now)
                segments.append(new)

        await self._done(put)

    async def list(self, choice: DeadChoice | None = None) -> AsyncIterator[DeadLine]:
        wanted = choice or DeadChoice()
        ids = await self._done(lambda: self._in_order(frozenset(wanted.ids)))
        for begin in range(0, len(ids), _CHUNK):
            for line in await self._some(ids[begin:begin + _CHUNK]):
                if wanted.takes(line):
                    yield line

    def _in_order(self, asked: frozenset[str]) -> _Ids:
        with self._turn() as segments:
            there = [one for one in segments.places if not asked or one in asked]
            return sorted(there, key=lambda one: segments.places[one].first_ms)

    async def _some(self, ids: Sequence[str]) -> _Lines:
        def some() -> _Lines:
            with self._turn() as segments:
                return [segments.read(segments.places[one]) for one in ids if one in segments.places]

        return await self._done(some)

    async def get(self, line_id: str) -> DeadLine:
        def got() -> DeadLine:
            with self._turn() as segments:
                whole = the_one(line_id, [one for one in segments.places if one.startswith(line_id)])
                return segments.read(segments.places[whole])

        return await self._done(got)

    async def remove(self, ids: Sequence[str]) -> int:
        def remove() -> int:
            with self._turn() as segments:
                there = [one for one in dict.fromkeys(ids) if one in segments.places]
                if there:
                    segments.gone(there, self._now_ms())
                return len(there)

        return await self._done(remove)

    async def stock(self) -> DeadStock:
        def counted() -> DeadStock:
            with self._turn() as segments:
                oldest = min((place.first_ms for place in segments.places.values()), default=0)
                return DeadStock(count=len(segments.places), bytes=segments.live_bytes, oldest_ms=oldest)

        return await self._done(counted)

    async def close(self) -> None:
        self._segments.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @contextmanager
    def _turn(self, *, refresh: bool = True) -> Iterator[Segments]:
        """This one's turn: among the threads of this process, and among processes."""
        with self._threads:
            if self._lock < 0:
                raise SinkDown(f"the dead lines of {self._segments.folder} are not open")
            with turn(self._lock, self._turn_s):  # guard: one at a time
                if refresh:
                    self._segments.refresh()
                yield self._segments

    async def _done(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except PermissionError as error:
            raise ConfigurationError(f"{self._segments.folder}: {error.strerror}") from error
        except OSError as error:
            raise SinkDown(f"the dead lines of {self._segments.folder}: {error.strerror or error}") from error
