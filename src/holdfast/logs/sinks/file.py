# SPDX-License-Identifier: Apache-2.0
"""Records as JSON lines at the end of a file, on disk before they are answered for.

Of the records written last the ids are remembered, and looked up in the file when it is opened, so that a batch that
comes again after a crash adds nothing. That is a window, not a promise: of what lies further back nobody knows any
more. ``sql``, ``duckdb`` and ``parquet`` keep once whatever dies when.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from ..._base.typed import from_json
from ...errors import ConfigurationError
from ..record import Record
from ..sink import Refused, SinkDown
from .append_file import AppendFile
from .document import Encoded, encoded

__all__ = ["FileSink"]

#: Ids that are remembered.
REMEMBERED: Final = 20_000
#: Bytes at the end of the file that are looked through for them.
_LOOKED_THROUGH: Final = 32 << 20


class _Id(msgspec.Struct):
    id: str = ""


class FileSink:
    """A sink that appends to ``path``. Others may append too, and log rotation may move it away.

    remembered: ids known for a second coming. More: a longer window, and ``open`` reads up to 32 MiB for them.
    """

    keeps_once = False

    def __init__(self, path: Path | str, *, remembered: int = REMEMBERED) -> None:
        self.name = "file"
        self._file = AppendFile(Path(path), mode=0o640)
        self._order: deque[str] = deque(maxlen=max(1, remembered))
        self._known: set[str] = set()

    async def open(self) -> None:
        folder = self._file.path.parent
        if not folder.is_dir():
            raise ConfigurationError(f"{self._file.path}: there is no folder {folder}")
        try:
            await asyncio.to_thread(self._open)
        except PermissionError as error:
            raise ConfigurationError(f"{self._file.path} cannot be written to: {error.strerror}") from error
        except OSError as error:
            raise SinkDown(f"{self._file.path} cannot be opened: {error.strerror or error}") from error

    def _open(self) -> None:
        self._file.open()
        for line in _tail(self._file.path):
            try:
                self._remember(from_json(line, _Id).id)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # a line of somebody else's

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        good, refused = encoded(batch)
        fresh = self._fresh(good)
        if fresh:
            try:
                await asyncio.to_thread(self._file.append, [one.body for one in fresh])
            except OSError as error:
                raise SinkDown(f"{self._file.path} cannot be written to: {error.strerror or error}") from error
        for one in fresh:
            self._remember(one.record.id)
        return refused

    async def close(self) -> None:
        self._file.close()

    def _fresh(self, good: list[Encoded]) -> list[Encoded]:
        seen: set[str] = set()
        found = []
        for one in good:
            if one.record.id not in self._known and one.record.id not in seen:  # guard: a batch that comes again
                seen.add(one.record.id)
                found.append(one)
        return found

    def _remember(self, record_id: str) -> None:
        if not record_id or record_id in self._known:
            return
        if len(self._order) == self._order.maxlen:
            self._known.discard(self._order[0])
        self._order.append(record_id)
        self._known.add(record_id)


def _tail(path: Path) -> list[bytes]:
    """Whole lines at the end of the file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(0, size - _LOOKED_THROUGH)
        file.seek(begin)
        lines = file.read().split(b"\n")
    return lines[1:] if begin else lines
