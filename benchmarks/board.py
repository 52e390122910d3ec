# SPDX-License-Identifier: Apache-2.0
"""What processes of one run see of one another, without a server: a row of numbers in a file that all have mapped.

Each process writes its own slot only, so that no number needs a lock between processes.
"""

from __future__ import annotations

import mmap
import threading
from pathlib import Path

#: Processes at most. Slot 0 is the parent's.
PLACES = 64
_WORD = 8
_ROWS = ("stop", "waiting", "grants")


class Board:
    """A mapped file. ``place``: whose slots this process writes."""

    def __init__(self, path: Path, place: int = 0) -> None:
        if not path.exists():
            path.write_bytes(bytes(_WORD * PLACES * len(_ROWS)))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._map).cast("q")
        self._place, self._guard = place, threading.Lock()

    def add(self, row: str, number: int) -> None:
        """To this process's own slot."""
        with self._guard:
            self._words[_ROWS.index(row) * PLACES + self._place] += number

    def total(self, row: str) -> int:
        """Of all processes."""
        at = _ROWS.index(row) * PLACES
        return sum(self._words[at:at + PLACES])

    @property
    def stopped(self) -> bool:
        """Has the parent said so?"""
        return self.total("stop") > 0
