# SPDX-License-Identifier: Apache-2.0
"""A file of lines that grows, counted from where the last run ended.

::

    state = grown("spans.jsonl", "spans.state")
    print(finished(state).report().operations)

The state file is replaced in one step, after its part is counted: a run that is killed is a run that was not made. A
file is known by its first bytes and by those before the place where counting ended. Another beginning is a new file
under the old name, as after a rotation: it is counted from its start. The same beginning but other bytes before that
place is a file that was written anew; nothing right could be said of it, so it is refused.

The part is read the exact way, in one pass: a megabyte at a time, at some tens of megabytes a second.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from ..._base.durable import replace
from ...errors import ConfigurationError
from ..formats import csv, detected
from ..paths.path import Mode
from ..reading.source import Source
from ..table import SpanTable
from .aggregate import Aggregate, Position, loaded, saved
from .increment import IDLE_S, counted

HEAD, TAIL = 1024, 1024
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


def grown(path: str, state_path: str, *, format: str | None = None, columns: Mapping[str, str] | None = None,
          mode: Mode = "sweep", idle_s: float = IDLE_S) -> Aggregate:
    """Counts what came to ``path`` since the state of ``state_path``, and writes that anew.

    format, columns: as in ``reading.read``. mode: of a new state; an old one keeps its own. idle_s: as in ``counted``.
    A last line without its end is left for the next run. Raises ConfigurationError for a file that cannot be resumed.
    """
    file = Path(state_path)
    state = loaded(file.read_bytes()) if file.exists() else Aggregate(mode=mode)
    name = str(Path(path).resolve())
    with _opened(path) as source:
        begin = _place(source, path, state.positions.get(name))
        end = _last_line(source, begin)
        if end > begin:
            with SpanTable.of([]) as table:
                part = _Part(source, begin, end, _header(source, path, format) if begin else b"")
                table.add(Source(path, stream=cast(BinaryIO, part)), format, columns)
                state = counted(table, state, idle_s=idle_s)
            state = msgspec.structs.replace(state, positions={**state.positions, name: _position(source, end)})
            text = saved(state)
            replace(file, lambda _: text)  # guard: what is not counted is not passed over
    return state


def _opened(path: str) -> BinaryIO:
    try:
        source = Path(path).open("rb")  # noqa: SIM115 - the caller's to close
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if source.read(4).startswith(_COMPRESSED):
        source.close()
        raise ConfigurationError(f"{path} is compressed and cannot grow: count it once, without a state")
    return source


def _place(source: BinaryIO, path: str, before: Position | None) -> int:
    """Where to begin: where the last run ended, or at the start of a file that is another one."""
    if before is None or _digest(source, 0, min(HEAD, before.offset)) != before.head:
        return 0
    if _digest(source, max(0, before.offset - TAIL), before.offset) != before.tail:
        raise ConfigurationError(f"{path} begins as it did, but was written anew before the place where it was counted "
                                 "to: remove the state and count from the beginning")
    return before.offset


def _position(source: BinaryIO, offset: int) -> Position:
    return Position(offset, _digest(source, 0, min(HEAD, offset)), _digest(source, max(0, offset - TAIL), offset))


def _digest(source: BinaryIO, begin: int, end: int) -> str:
    source.seek(begin)
    return hashlib.sha256(source.read(end - begin)).hexdigest()


def _last_line(source: BinaryIO, begin: int) -> int:
    """The end of the last whole line, looked for from the end."""
    at = source.seek(0, os.SEEK_END)
    while at > begin:
        start = max(begin, at - (1 << 16))
        source.seek(start)
        found = source.read(at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return begin


def _header(source: BinaryIO, path: str, format: str | None) -> bytes:
    """A CSV's first line, without which the rest says nothing."""
    source.seek(0)
    first = source.readline()
    return first if (format or detected(first, path).NAME) == csv.NAME else b""


class _Part(io.RawIOBase):
    """A stretch of a file, behind what is put ahead of it."""

    def __init__(self, source: BinaryIO, begin: int, end: int, ahead: bytes) -> None:
        self._source, self._at, self._end, self._ahead = source, begin, end, ahead

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        self._source.seek(self._at)
        found = self._source.read(max(0, self._end - self._at if size < 0 else min(size, self._end - self._at)))
        self._at += len(found)
        return found
