# SPDX-License-Identifier: Apache-2.0
"""A log, whoever writes and rotates it, and a pipeline's reading that dies: one process plays everybody, so that a
thousand crashes take seconds.

An act is a name and a number, which chooses among what is possible then; one that is not possible does nothing. So any
list of acts is a world, and a shorter list is a simpler one.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from holdfast._base.clock import SystemClock
from holdfast.logs.intake import Intake
from holdfast.logs.mark import State
from holdfast.logs.parse.parser import parser_called
from holdfast.logs.registry import Registry
from holdfast.logs.stages import Stages
from holdfast.logs.tail.settings import TailSettings

Act = tuple[str, int]
#: What happens, and how often in a hundred.
ACTS = {"write": 32, "rename": 6, "copy": 6, "gzip": 5, "copy_begins": 2, "copy_ends": 2, "pack": 4, "pack_begins": 2,
        "pack_ends": 2, "late": 3, "drop": 4, "look": 27, "die": 12}


def any_acts(chance: random.Random, count: int) -> list[Act]:
    """A world by chance."""
    names = chance.choices(list(ACTS), list(ACTS.values()), k=count)
    return [(name, chance.randrange(1000)) for name in names]


class World:
    """``banner``: each file begins with it. ``before``: so many rotated files lie there before the first look.
    ``read_bytes``: at once, of one file. ``close_s``: a file that was rotated is held open for so long."""

    def __init__(self, folder: Path, *, banner: bytes = b"", before: int = 0, read_bytes: int = 8192,
                 close_s: float = 0) -> None:
        self.log, self.banner = folder / "app.log", banner
        self._settings = TailSettings(scan_s=0, drain_s=0, close_s=close_s, still_s=0, read_bytes=read_bytes)
        self.written = 0
        self.sink: dict[str, bytes] = {}
        self.saved = State(epoch="w")
        self._being_packed: Path | None = None
        self._copying = False
        self._late: int | None = None  # inode of the file that was renamed last
        for number in range(before):
            self._append(self.log.with_name(f"app.log.{number + 1}"), b"old %d\n" % number)
            if number % 2:
                self._pack(self.log.with_name(f"app.log.{number + 1}"))
        self._begin()
        self.look(0)  # what lay there before is known from here on

    def _begin(self) -> None:
        self.registry = Registry(self.saved)
        self.intake = Intake("w", [str(self.log)], self.saved, Stages(parser_called("raw")), clock=SystemClock(),
                             tail=self._settings)

    def run(self, acts: Sequence[Act]) -> World:
        """All of it, and what is left is read."""
        for name, number in acts:
            getattr(self, name)(number)
        idle = 0
        while idle < 3:
            self.look(0)
            idle = idle + 1 if self.intake.idle else 0
        self.intake.close()
        return self

    # -- who writes and rotates -----------------------------------------------------------------------------------

    def write(self, number: int) -> None:
        for _ in range(1 + number % 5):
            self._append(self.log, b"line %d\n" % self.written)
            self.written += 1

    def _append(self, path: Path, line: bytes) -> None:
        with path.open("ab") as file:
            file.write(line if file.tell() else self.banner + line)

    def rename(self, _: int) -> None:
        if self.log.exists() and (first := self._first()):
            self.log.rename(first)
            self.log.touch()
            self._late = first.stat().st_ino

    def late(self, number: int) -> None:
        """Whoever writes has not noticed the renaming."""
        first = self.log.with_name("app.log.1")
        if first.exists() and first.stat().st_ino == self._late and not self._being_packed:
            self._append(first, b"line %d\n" % self.written)
            self.written += 1

    def drop(self, _: int) -> None:
        """The oldest one is deleted, if all of it is in the sink: its inode is given to the next file."""
        paths = {int(path.name.split(".")[2]): path for path in self.log.parent.glob("app.log.*")}
        if paths and not self._copying and not self._being_packed:
            oldest = paths[max(paths)]
            content = gzip.decompress(oldest.read_bytes()) if oldest.suffix == ".gz" else oldest.read_bytes()
            if set(content.splitlines(keepends=True)) <= set(self.sink.values()):
                oldest.unlink()

    def gzip(self, _: int) -> None:
        if self.log.exists() and (first := self._first()):
            self.log.rename(first)
            self.log.touch()
            self._pack(first)
            self._late = None

    def copy(self, number: int) -> None:
        self.copy_begins(10_000)
        self.copy_ends(number)

    def copy_begins(self, number: int) -> None:
        """A part is copied, so many thousandths of it."""
        if self.log.exists() and (first := self._first()):
            content = self.log.read_bytes()
            first.write_bytes(content[:len(content) * number // 1000])
            self._copying, self._late = True, None

    def copy_ends(self, _: int) -> None:
        if self._copying:
            shutil.copy(self.log, self.log.with_name("app.log.1"))
            os.truncate(self.log, 0)
            self._copying = False

    def _first(self) -> Path | None:
        """Where the next rotation goes; None while another one is under way, as whoever rotates does one at a time."""
        if self._copying or self._being_packed:
            return None
        paths = {int(path.name.split(".")[2]): path for path in self.log.parent.glob("app.log.*")}
        for number in sorted(paths, reverse=True):
            suffix = ".gz" if paths[number].suffix == ".gz" else ""
            paths[number].rename(self.log.with_name(f"app.log.{number + 1}{suffix}"))
        return self.log.with_name("app.log.1")

    def pack(self, number: int) -> None:
        self.pack_begins(number)
        self.pack_ends(number)

    def pack_begins(self, number: int) -> None:
        """An old one is compressed, as far as half of it."""
        plain = sorted(path for path in self.log.parent.glob("app.log.*") if path.suffix != ".gz")
        if plain and not self._copying and not self._being_packed:
            self._being_packed = path = plain[number % len(plain)]
            self._late = None
            whole = gzip.compress(path.read_bytes())
            path.with_name(path.name + ".gz").write_bytes(whole[:len(whole) * (number % 101) // 100])

    def pack_ends(self, _: int) -> None:
        if self._being_packed:
            self._pack(self._being_packed)
            self._being_packed = None

    @staticmethod
    def _pack(path: Path) -> None:
        found, packed = path.stat(), path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        os.utime(packed, ns=(found.st_atime_ns, found.st_mtime_ns))
        path.unlink()

    # -- who reads ------------------------------------------------------------------------------------------------

    def die(self, number: int) -> None:
        """In the middle of a batch; another process goes on from the checkpoint."""
        self._step(number % 5, number)
        self.intake.close()
        self._begin()

    def look(self, _: int) -> None:
        self._step(5, 0)

    def _step(self, places: int, number: int) -> None:
        """What ``Pipeline`` does with one batch, up to one of the places where it may die."""
        batch = self.intake.read(self._settings.read_bytes)
        if places > 0 and batch.tells:
            self.registry.know(batch.known, batch.next, batch.strangers)
            self.saved = self.registry.state()
        if places > 1:
            some = number // 5 % (1 + len(batch.records))
            taken = batch.records if places > 2 else batch.records[:some]
            self.sink |= {record.id: record.line.raw for record in taken}
        if places > 3:
            for mark in batch.marks.values():
                self.registry.advance(mark)
            for source_id in batch.forgotten:
                self.registry.forget(source_id)
        if places > 4 or (places == 4 and number % 2):
            self.saved = self.registry.state()

    # -- what came of it ------------------------------------------------------------------------------------------

    def lines(self) -> list[int]:
        """Numbers of all lines that are whole."""
        return sorted(int(raw[5:]) for raw in self.sink.values() if raw.startswith(b"line ") and raw.endswith(b"\n"))

    def old(self) -> list[bytes]:
        return [raw for raw in self.sink.values() if raw.startswith(b"old")]
