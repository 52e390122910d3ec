# SPDX-License-Identifier: Apache-2.0
"""What a sink cannot take now, on disk, in order: segments of frames, and a mark of how far they are delivered.

::

    0000000000000001.spool    frames, appended and on disk before anybody is told
    0000000000000002.spool
    delivered                 segment and offset up to which they are in the sink; replaced as a whole

A segment is removed when the mark is past it. The last frame may have been written in part when a process died; that
part is cut off at the next start, since its lines were not told to be here and will be read again. A frame that is
damaged in any other way is a disk's doing: its segment is set aside and named, and the ones behind it go on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from .._base.clock import Clock, SystemClock
from .._base.durable import replace, sync_folder
from .._base.points import reached
from .._base.typed import from_json
from ..errors import ConfigurationError
from .frames import HEADER, Damaged, body_of, frame_of, records_of
from .record import Record

__all__ = ["Aside", "Spool"]

_SUFFIX: Final = ".spool"


class Aside(msgspec.Struct, frozen=True):
    """A segment that was set aside: what it is called now, and how many bytes of it were not delivered."""

    path: str
    bytes: int


class _Delivered(msgspec.Struct):
    segment: int = 1
    offset: int = 0


class Spool:
    """A spool in ``folder``; one process has it, for its pipeline's checkpoint is locked.

    bytes_max: more is not taken; the pipeline then stops advancing, and the files themselves are the buffer, for as
    long as they are kept. segment_bytes: so much space is given back at a time.
    """

    def __init__(self, folder: str | Path, *, bytes_max: int = 1 << 30, segment_bytes: int = 16 << 20,
                 clock: Clock | None = None) -> None:
        if bytes_max < 1 or segment_bytes < 1:
            raise ConfigurationError("spool: bytes_max and segment_bytes count from 1")
        self._folder, self._bytes_max, self._segment_bytes = Path(folder), bytes_max, segment_bytes
        self._clock = clock or SystemClock()
        self._mark = _Delivered()
        self._sizes: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        self._born: dict[int, int] = {}  # ns since 1970; of one that was there before, when it was written last
        self._taken = 0  # records of the first segment that were delivered
        self._next: tuple[int, int] | None = None  # end and count of the frame that was peeked
        self._tail: int | None = None
        self._lock = threading.Lock()
        #: Segments that were set aside since this was last emptied.
        self.aside: list[Aside] = []

    # -- what there is --------------------------------------------------------------------------------------------

    @property
    def bytes_held(self) -> int:
        """On disk, and not delivered."""
        return max(0, sum(self._sizes.values()) - self._mark.offset)

    @property
    def records(self) -> int:
        """Not delivered."""
        return sum(self._counts.values()) - self._taken

    @property
    def empty(self) -> bool:
        """Is there nothing to deliver?"""
        return self.bytes_held == 0

    def oldest_s(self) -> float:
        """For how long the oldest segment has been waiting, 0 when there is none."""
        if self.empty:
            return 0.0
        born_ns = self._born.get(self._mark.segment)
        return 0.0 if born_ns is None else max(0.0, self._clock.wall_ms() / 1000 - born_ns / 1e9)

    # -- its life -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Reads what is there and cuts off what was written in part. ConfigurationError where no folder can be."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the spool {self._folder} cannot be there: {error.strerror}") from error
        self._mark = self._read_mark()
        numbers = sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())
        for number in numbers:
            if number < self._mark.segment:
                self._path(number).unlink(missing_ok=True)
            else:
                self._born[number] = self._path(number).stat().st_mtime_ns
                self._sizes[number], self._counts[number] = self._measure(number, last=number == numbers[-1])
        if self._sizes and self._mark.segment not in self._sizes:
            self._mark = _Delivered(min(self._sizes), 0)
        self._taken = self._count_taken()

    def close(self) -> None:
        """Lets go of it, once a write that runs is over."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._tail is not None:
            os.close(self._tail)
            self._tail = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}{_SUFFIX}"

    def _read_mark(self) -> _Delivered:
        try:
            return from_json((self._folder / "delivered").read_bytes(), _Delivered)
        except (OSError, msgspec.DecodeError, ValueError):
            return _Delivered()  # delivered again from the start: twice rather than never

    def _measure(self, number: int, *, last: bool) -> tuple[int, int]:
        """Bytes and records of a segment. Of the last one, what was written in part is cut off."""
        path, count, at = self._path(number), 0, 0
        size = path.stat().st_size
        with path.open("rb") as file:
            while at < size:
                try:
                    header = file.read(HEADER.size)
                    length, records = body_of(header)
                    if last:
                        records_of(header, file.read(length))
                    elif at + HEADER.size + length > size:
                        break
                    else:
                        file.seek(length, os.SEEK_CUR)
                except Damaged:
                    break
                at, count = at + HEADER.size + length, count + records
        if last and at < size and not self._whole_behind(path, at):
            os.truncate(path, at)  # guard: what was written in part is not read
            return at, count
        return size, count

    @staticmethod
    def _whole_behind(path: Path, at: int) -> bool:
        """Is there a frame behind the one at ``at``? Then that is not the one at which somebody died."""
        with path.open("rb") as file:
            file.seek(at)
            header = file.read(HEADER.size)
            if len(header) < HEADER.size:
                return False
            file.seek(body_of(header)[0], os.SEEK_CUR)
            return bool(file.read(1))

    def _count_taken(self) -> int:
        if not self._mark.offset or self._mark.segment not in self._sizes:
            return 0
        taken = at = 0
        with self._path(self._mark.segment).open("rb") as file:
            while at < self._mark.offset and len(header := file.read(HEADER.size)) == HEADER.size:
                length, records = body_of(header)
                file.seek(length, os.SEEK_CUR)
                at, taken = at + HEADER.size + length, taken + records
        return taken

    # -- writing --------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[Record]) -> bool:
        """Puts records behind the others: on disk when it returns True. False: there is no room. OSError."""
        with self._lock:
            return self._append(records)

    def _append(self, records: Sequence[Record]) -> bool:
        frame = frame_of(records)
        if self.bytes_held + len(frame) > self._bytes_max and not self.empty:  # guard: bounded; one batch always fits
            return False
        number = self._writable()
        reached("logs.spool.before")
        self._write(number, frame)
        reached("logs.spool.after")
        self._sizes[number] += len(frame)
        self._counts[number] += len(records)
        return True

    def _writable(self) -> int:
        number = max(self._sizes, default=self._mark.segment)
        if number in self._sizes and self._sizes[number] >= self._segment_bytes:
            self._let_go()
            number += 1
        if self._tail is None:
            path = self._path(number)
            self._tail = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._sizes.setdefault(number, 0)
            self._counts.setdefault(number, 0)
            self._born.setdefault(number, self._clock.wall_ms() * 1_000_000)
            sync_folder(path)
        return number

    def _write(self, number: int, frame: bytes) -> None:
        """The whole frame, or none of it."""
        tail = self._tail
        if tail is None:
            raise OSError(0, "the spool is closed")
        try:
            rest = memoryview(frame)
            while rest:
                rest = rest[os.write(tail, rest):]
            os.fsync(tail)  # guard: on disk before the checkpoint moves
        except OSError:
            os.ftruncate(tail, self._sizes[number])
            raise

    # -- reading --------------------------------------------------------------------------------------------------

    def peek(self) -> list[Record]:
        """The records that come next, one frame of them; nothing when it is empty."""
        with self._lock:
            return self._peek()

    def _peek(self) -> list[Record]:
        while not self.empty:
            number, offset = self._mark.segment, self._mark.offset
            if offset >= self._sizes[number]:
                self._advance(number)
                continue
            try:
                with self._path(number).open("rb") as file:
                    file.seek(offset)
                    header = file.read(HEADER.size)
                    length, count = body_of(header)
                    records = records_of(header, file.read(length))
            except (Damaged, OSError, msgspec.DecodeError) as error:
                self._set_aside(number, error)
                continue
            self._next = offset + HEADER.size + length, count
            return records
        return []

    def delivered(self) -> None:
        """What ``peek`` gave is in the sink: on disk when it returns. OSError."""
        with self._lock:
            self._delivered()

    def _delivered(self) -> None:
        if self._next is None:
            return
        (end, count), self._next = self._next, None
        number = self._mark.segment
        reached("logs.spool.delivered")
        self._put_mark(_Delivered(number, end))
        self._taken += count
        if end >= self._sizes[number]:
            self._advance(number)

    def _put_mark(self, mark: _Delivered) -> None:
        replace(self._folder / "delivered", lambda _: msgspec.json.encode(mark))
        self._mark = mark

    def _advance(self, number: int) -> None:
        """Past the segment: the mark first, then the file."""
        if number == max(self._sizes):
            self._let_go()
        self._put_mark(_Delivered(number + 1, 0))
        self._path(number).unlink(missing_ok=True)
        self._drop(number)

    def _drop(self, number: int) -> None:
        del self._sizes[number], self._counts[number]
        self._born.pop(number, None)
        self._taken = 0

    def _set_aside(self, number: int, error: Exception) -> None:
        path, rest = self._path(number), self._sizes[number] - self._mark.offset
        if number == max(self._sizes):
            self._let_go()
        kept = path.with_suffix(".damaged")
        if path.exists():
            path.replace(kept)
        self.aside.append(Aside(f"{kept}: {error}", rest))
        self._put_mark(_Delivered(number + 1, 0))
        self._drop(number)
