# SPDX-License-Identifier: Apache-2.0
"""A tailer, and what it has read, as tests ask for it."""

from __future__ import annotations

import itertools
from pathlib import Path

from holdfast._base.clock import Clock
from holdfast.logs.mark import Mark, State, Stranger
from holdfast.logs.tail.settings import TailSettings
from holdfast.logs.tail.tailer import Tailer
from holdfast.logs.tail.track import Began, Chunk, Ended, Item, Moved, Trouble

#: No waiting: each step looks, and what is still is over at once.
AT_ONCE = TailSettings(scan_s=0, drain_s=0, close_s=0, still_s=0)
#: The same, but what was rotated is held open.
HOLDING = TailSettings(scan_s=0, drain_s=0, close_s=60, still_s=0)


class Follow:
    """Follows files, keeps the marks that a pipeline would, and starts anew from them."""

    def __init__(self, *patterns: Path | str, settings: TailSettings = AT_ONCE,
                 clock: Clock | None = None) -> None:
        self.patterns, self.settings = [str(pattern) for pattern in patterns], settings
        self.clock = clock
        self.ids = itertools.count(1)
        self.marks: dict[str, Mark] = {}
        self.strangers: dict[str, tuple[Stranger, ...]] = {}
        self.items: list[Item] = []
        self.tailer: Tailer | None = None
        self.start()

    def start(self) -> None:
        """A process begins."""
        state = State(epoch="t", marks=tuple(self.marks.values()), strangers=self.strangers)
        self.tailer = Tailer(self.patterns, state, lambda: f"t-{next(self.ids)}", settings=self.settings,
                             clock=self.clock)
        self.trails = {}

    def restart(self) -> None:
        """The process died, and another one begins where everything that was read is durable."""
        self.tailer.close()
        self.start()

    def read(self, steps: int = 6) -> list[bytes]:
        """The lines that are new, in order."""
        lines = []
        for _ in range(steps):
            for item in self.tailer.step():
                self.items.append(item)
                lines += self._take(item)
        self.strangers = self.tailer.strangers
        return lines

    def _take(self, item: Item) -> list[bytes]:
        import msgspec

        if isinstance(item, Began):
            self.marks[item.mark.source.id] = item.mark
            self.trails[item.mark.source.id] = item.trail.copy()
        elif isinstance(item, Chunk):
            trail = self.trails[item.source.id]
            for line in item.lines:
                assert line.offset == trail.at, "ranges tile the source"
                trail.extend(line.raw)
            if item.lines:
                last = item.lines[-1]
                self.marks[item.source.id] = msgspec.structs.replace(
                    self.marks[item.source.id], print=trail.print(), source=item.source, number=last.number + 1,
                    done=False, seen=item.seen)
            return [line.raw for line in item.lines]
        elif isinstance(item, Moved):
            if item.source.id in self.marks:
                self.marks[item.source.id] = msgspec.structs.replace(
                    self.marks[item.source.id], source=item.source, family=item.family)
        elif isinstance(item, Ended) and item.source.id in self.marks:
            self.marks[item.source.id] = msgspec.structs.replace(self.marks[item.source.id], done=True)
        return []

    def how(self) -> list[str]:
        """What was told of sources, in order."""
        return [item.how for item in self.items if isinstance(item, Began | Moved)]

    def troubles(self) -> list[Trouble]:
        """Files that could not be read."""
        return [item for item in self.items if isinstance(item, Trouble)]


def write(path: Path, *lines: str, end: str = "\n") -> None:
    """Appends lines, as a program does that keeps its file open for appending."""
    with path.open("ab") as file:
        file.write("".join(line + end for line in lines).encode())
