# SPDX-License-Identifier: Apache-2.0
"""One scheme in a process of its own: ``python -m holdfast.labs.parsers_worker FOLDER SCHEME``.

It is asked by lines of JSON on stdin and answers each with one on stdout. Why a process: a regular expression that
hangs cannot be interrupted, neither by a thread nor by a signal's handler; it can only be killed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from .._base.typed import from_json, from_msgpack
from ..errors import HoldfastError, MissingExtra
from .parsers_dirt import Line
from .parsers_duckdb import Files
from .parsers_lines import Answer, cut_off, tallied
from .parsers_schemes import DUCKDB, SCHEMES, Kind, Parse

#: Bytes that are read at once.
BUFFER = 1 << 20
#: So often, and for so many seconds, a line is parsed again whose time is measured alone.
AGAIN, AGAIN_S = 3, 0.005


class Asked(msgspec.Struct, frozen=True):
    """what: ``dirt``, ``round`` or ``poison``. kind: of file, for the first two. length: of what was cut off."""

    what: str
    kind: Kind = "text"
    length: int = 0


class Dirt(msgspec.Struct, frozen=True):
    """Of planted lines. bad: found to be no lines. differing: where it said something else than what is right; of the
    first of these, ``first`` says what made it so."""

    planted: int
    bad: int
    differing: int | None = None
    first: str = ""


class Round(msgspec.Struct, frozen=True):
    """One reading of a file. peak: bytes by which memory grew for it; None: not known here."""

    wall_s: float
    cpu_s: float
    peak: int | None
    answer: Answer


def file_of(folder: Path, kind: Kind) -> Path:
    """The file that is read again and again."""
    return folder / f"{kind}.log"


def dirt_of(folder: Path, kind: Kind) -> Path:
    """The planted lines, with what is right."""
    return folder / f"{kind}.dirt"


class Loop:
    """A scheme that takes one line at a time."""

    def __init__(self, folder: Path, parse: Parse) -> None:
        self.folder, self.parse = folder, parse

    def dirt(self, kind: Kind) -> Dirt:
        """Line by line against what is right."""
        lines = from_msgpack(dirt_of(self.folder, kind).read_bytes(), list[Line])
        found = [self.parse(line.raw) for line in lines]
        wrong = [line for line, one in zip(lines, found, strict=True) if one != line.right]
        return Dirt(sum(line.right is None for line in lines), sum(one is None for one in found), len(wrong),
                    wrong[0].change if wrong else "")

    def answer(self, kind: Kind) -> Answer:
        """Of the file, as a stream."""
        with file_of(self.folder, kind).open("rb", BUFFER) as file:
            return tallied(map(self.parse, without_feeds(file)))

    def poison(self, length: int) -> float:
        """Seconds for one line that was cut off; the best of some."""
        line, until, took = cut_off(length), time.perf_counter() + AGAIN_S, list[float]()
        while len(took) < AGAIN or time.perf_counter() < until:
            began = time.perf_counter()
            if self.parse(line) is not None:
                raise HoldfastError("a line that was cut off was taken for a whole one")
            took.append(time.perf_counter() - began)
        return min(took)


class Whole:
    """DuckDB, which takes files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, Files()

    def dirt(self, kind: Kind) -> Dirt:
        """Rows without a name: which line they were is not to be had."""
        lines = from_msgpack(dirt_of(self.folder, kind).read_bytes(), list[Line])
        lines = [line for line in lines if b"\n" not in line.raw]  # in a file they would be two
        path = self.folder / f"{kind}.{DUCKDB}"
        path.write_bytes(b"".join(line.raw + b"\n" for line in lines))
        return Dirt(sum(line.right is None for line in lines), self.files.answer(kind, path).bad)

    def answer(self, kind: Kind) -> Answer:
        """Of the file."""
        return self.files.answer(kind, file_of(self.folder, kind))


def without_feeds(file: IO[bytes]) -> Iterator[bytes]:
    """Lines without the line feed; the last one may have none."""
    for line in file:
        yield line[:-1] if line[-1] == 10 else line


def timed(work: Callable[[], Answer]) -> Round:
    """Runs it, and says what it took."""
    before = _memory(reset=True)
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work()
    took = time.perf_counter() - wall, time.process_time() - cpu
    after = _memory()
    return Round(*took, None if before is None or after is None else max(0, after - before), answer)


def _memory(*, reset: bool = False) -> int | None:
    """The most bytes this process has held in memory; reset: from now on. None where the system does not tell.

    ``getrusage`` would do on more systems, but a child inherits its parent's figure there.
    """
    own = Path("/proc/self")
    try:
        if reset:
            (own / "clear_refs").write_text("5")
        for line in (own / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def work(folder: Path, scheme: str, questions: IO[bytes], say: Callable[[bytes], object]) -> None:
    """Until there are no more questions. Says first whether the scheme is there, and if not, why."""
    try:
        able: Loop | Whole = Whole(folder) if scheme == DUCKDB else Loop(folder, SCHEMES[scheme].open())
    except MissingExtra as error:
        say(msgspec.json.encode({"missing": str(error)}))
        return
    say(b'{"missing":""}')
    for line in questions:
        say(msgspec.json.encode(_answered(able, from_json(line, Asked))))


def _answered(able: Loop | Whole, asked: Asked) -> Any:
    if asked.what == "dirt":
        return able.dirt(asked.kind)
    if asked.what == "round":
        return timed(lambda: able.answer(asked.kind))
    if asked.what == "poison" and isinstance(able, Loop):
        return able.poison(asked.length)
    raise ValueError(f"{asked.what!r} is not a question for {able}")


def _say(raw: bytes) -> None:
    sys.stdout.buffer.write(raw + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], sys.stdin.buffer, _say)
