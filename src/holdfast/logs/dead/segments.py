# SPDX-License-Identifier: Apache-2.0
"""A folder of files that only grow, and where in them each dead line lies. Called with the folder's lock held.

The index is brought up to date from where it was read to last, since others write too. Of one id the last line counts,
and a line that says ``gone`` takes ids out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from ..._base.durable import sync_folder
from ...errors import LetterInvalid
from ..dead_lines import DeadLine
from ..sinks.append_file import AppendFile
from .form import of_builtins, read, written

_NAME: Final = re.compile(r"(\d{8})\.jsonl")
#: Dead wood is cleared away when it is more than what lives, and more than this.
WOOD_MIN: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dead line stands. ``length``: without its newline."""

    number: int
    offset: int
    length: int
    first_ms: int


@dataclass(slots=True)
class _Read:
    """How far a segment was read, and what was found there that is no dead line."""

    upto: int = 0
    damaged: int = 0


@dataclass(slots=True)
class Segments:
    """The files of ``folder``. ``places``: each dead line's, by id, in the order of their first coming."""

    folder: Path
    segment_bytes: int
    places: dict[str, Place] = field(default_factory=dict)
    _seen: dict[int, _Read] = field(default_factory=dict)
    _end: tuple[int, AppendFile] | None = None

    @property
    def damaged(self) -> int:
        """Lines that could not be read."""
        return sum(one.damaged for one in self._seen.values())

    @property
    def live_bytes(self) -> int:
        """Bytes of what is kept."""
        return sum(place.length + 1 for place in self.places.values())

    def open(self) -> None:
        """Cuts off what a crash left half written, and reads what is there."""
        self._appending().open()
        self.refresh()

    def close(self) -> None:
        """Closes the file that is written to."""
        if self._end is not None:
            self._end[1].close()
        self._end = None

    def refresh(self) -> None:
        """Reads what others have written since."""
        numbers = self._numbers()
        if not self._seen.keys() <= set(numbers):  # a segment was removed: what it held lies elsewhere by now
            self.places.clear()
            self._seen.clear()
        for number in numbers:
            self._read_on(number)

    def read(self, place: Place) -> DeadLine:
        """The dead line at this place."""
        with self._path(place.number).open("rb") as file:
            file.seek(place.offset)
            return read(file.read(place.length))

    def append(self, lines: Sequence[DeadLine]) -> None:
        """Writes them; on disk on return."""
        if lines:
            self._append([written(line) for line in lines])

    def gone(self, ids: Sequence[str], at_ms: int) -> None:
        """Writes that these are removed; on disk on return. Gives space back where that is worth it."""
        self._append([msgspec.json.encode({"gone": ids, "at": at_ms})])
        self._clear()

    # -- inside

    def _append(self, lines: list[bytes]) -> None:
        file = self._appending()
        if file.size >= self.segment_bytes:
            file = self._begun(max(self._numbers()) + 1)
        file.append(lines)
        self.refresh()

    def _appending(self) -> AppendFile:
        """The newest segment, which may be one that somebody else has begun."""
        number = max(self._numbers(), default=1)
        if self._end is None or self._end[0] != number:
            return self._begun(number)
        return self._end[1]

    def _begun(self, number: int) -> AppendFile:
        self.close()
        self._end = (number, AppendFile(self._path(number)))
        self._end[1].open()
        return self._end[1]

    def _numbers(self) -> list[int]:
        return sorted(int(match[1]) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name)))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.jsonl"

    def _read_on(self, number: int) -> None:
        seen = self._seen.setdefault(number, _Read())
        with self._path(number).open("rb") as file:
            file.seek(seen.upto)
            for text in file:
                if not text.endswith(b"\n"):
                    break  # torn: its writer is dead, or it is mended at the next write
                self._take(number, seen, text[:-1])
                seen.upto += len(text)

    def _take(self, number: int, seen: _Read, text: bytes) -> None:
        try:
            said: Any = msgspec.json.decode(text)
            if isinstance(said, dict) and "gone" in said:
                for one in said["gone"]:
                    self.places.pop(one, None)
                return
            line = of_builtins(said)
        except (LetterInvalid, msgspec.DecodeError, UnicodeDecodeError, TypeError):
            seen.damaged += 1
            return
        self.places[line.id] = Place(number, seen.upto, len(text), line.first_ms)

    def _clear(self) -> None:
        self._drop_front()
        total = sum(self._path(number).stat().st_size for number in self._numbers())
        if not self.damaged and total - self.live_bytes > max(self.live_bytes, WOOD_MIN):
            self._rewrite()

    def _drop_front(self) -> None:
        """From the oldest on, as long as nothing of a segment lives: what one says is gone lies in it or before it, so
        nothing that was removed comes back."""
        living = {place.number for place in self.places.values()}
        for number in self._numbers()[:-1]:
            if number in living or self._seen[number].damaged:
                return  # guard: only from the front
            self._path(number).unlink()
            sync_folder(self._path(number))
            del self._seen[number]

    def _rewrite(self) -> None:
        """What lives, in a new segment; then the old ones go. A crash in between leaves some lines twice, which is
        once."""
        old = self._numbers()
        living = list(self.places.values())
        file = self._begun(old[-1] + 1)
        for begin in range(0, len(living), 500):
            file.append([written(self.read(place)) for place in living[begin:begin + 500]])
        for number in old:
            self._path(number).unlink()
            sync_folder(self._path(number))
        self.refresh()

