# SPDX-License-Identifier: Apache-2.0
"""A node's journal as a file: a record a line, gathered in memory and written each second and at the end.

A node that is killed loses the last second of it, and may leave half a line, which readers skip.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from .. import journal

#: Lines gathered at most; then they are written, whatever the time.
LINES_MAX: Final = 1000


class Journal:
    """path: None: nothing is written down. node: whose. clock: seconds since 1970. seed: of the run that it is part of;
    0: of none."""

    def __init__(self, path: Path | None, node: str, clock: Callable[[], float] = time.time, *, seed: int = 0) -> None:
        self._node, self._clock, self.seed = node, clock, seed
        self._lines: list[bytes] = []
        self._file = None if path is None else path.open("ab")

    def note(self, kind: type[journal.Entry], fields: dict[str, object]) -> None:
        """One record, of now."""
        if self._file is None:
            return
        self._lines.append(msgspec.json.encode(kind(t=self._clock(), node=self._node, **fields)))  # type: ignore[arg-type]
        if len(self._lines) >= LINES_MAX:
            self.flush()

    def flush(self) -> None:
        """What was gathered is in the file. Raises OSError."""
        if self._file is not None and self._lines:
            lines, self._lines = self._lines, []
            self._file.write(b"\n".join(lines) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """The end."""
        if self._file is not None:
            self.flush()
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
