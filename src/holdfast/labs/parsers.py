# SPDX-License-Identifier: Apache-2.0
"""The old ways to read a log of calls, and those that came after: which are fast, which are right, and which one hangs.

::

    schemes      regex-naive regex re2 states split      a line of text (parsers_schemes)
                 json msgspec                            the same span as a line of JSON
                 duckdb                                  whole files of both
    scenarios    text, json   calls, errors and µs by service and operation   throughput line_us cpu_us memory differing
                 dirt         bad lines that were planted                     planted found differing
                 poison       a line that was cut off, longer and longer      ended growth short_us answer_us long_ms

Each scheme has a process of its own. For throughput they take turns, and the median of the rounds counts; all run on
one core. What is right is known from whoever made the lines, not from one of the schemes. No server is needed.

The poison is nothing exotic: a line that ends within its operation, as the last one does when a process is killed. The
naive regular expression doubles its time with every character of it, so it is asked for a few characters first, which
shows the growth, and then for ``HANGS``, for which it would need hours; its process is killed after ``bound_s``.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

from .cells import Cell, Cells, Report
from .parsers_advice import DIRT, GROWN, HANGS, LONG, POISON, advice, broken
from .parsers_child import Child
from .parsers_dirt import CHANGES, planted
from .parsers_lines import Answer, Tally, differing, json_of, spans, text_of
from .parsers_schemes import DUCKDB, SCHEMES, Kind
from .parsers_worker import Asked, Dirt, Round, dirt_of, file_of

KINDS: tuple[Kind, ...] = ("text", "json")
#: Characters of an operation that was cut off: from these to ``GROWN`` shows the growth. Fewer, and ``re`` sees at once
#: that the line is too short for the pattern.
SHORT = 16
#: Seconds that a process has for an answer that is not bounded otherwise, and for each line besides.
PATIENCE_S, LINE_S = 60.0, 200e-6
#: Lines that are made between two looks at whether the lab was interrupted.
_CHUNK = 2_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it.

    lines: of each file. rounds: in which every scheme reads it once. planted: lines that are bad or look odd, with as
    many ordinary ones. bound_s: after which a scheme that has not answered to the poison is killed.
    """

    lines: int = 200_000
    rounds: int = 5
    planted: int = 20 * CHANGES
    bound_s: float = 10.0


FULL = Plan()
#: For a first look.
QUICK = Plan(lines=20_000, rounds=3, planted=2 * CHANGES, bound_s=1.5)


async def compare(plan: Plan = FULL, *, seed: int = 1, say: Callable[[str], None] = lambda _: None,
                  done: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Runs it. ``done`` is told how many of how many steps are through. Leaves neither files nor processes.

    A scheme whose library is not installed has no cells, and the advice names the extra. Raises HoldfastError when a
    process ends that nobody has killed.
    """
    with ExitStack() as left:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-lab-"))
        left.callback(shutil.rmtree, folder, ignore_errors=True)
        return await _Lab(plan=plan, folder=folder, seed=seed, say=say, done=done, left=left).run()


@dataclass(kw_only=True)
class _Lab:
    """One run. left: what is to be ended whatever happens. children: a process a scheme. right: what is to be answered.
    missing: why schemes are not there."""

    plan: Plan
    folder: Path
    seed: int
    say: Callable[[str], None]
    done: Callable[[int, int], None]
    left: ExitStack
    children: dict[str, Child] = field(default_factory=dict)
    right: Answer = field(default_factory=lambda: Answer(0, []))
    missing: dict[str, str] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    _through: int = 0

    async def run(self) -> Report:
        for name in (*SCHEMES, DUCKDB):
            self.children[name] = child = Child(self.folder, name)
            self.left.callback(child.close)
        await self._make_files()
        await self._all_there()
        self.done(0, self._steps)
        rounds = await self._rounds()
        for kind in KINDS:
            for name in self._of(kind):
                self._read_cells(name, kind, rounds[name, kind])
        for name in list(self.children):
            await self._dirt(name)
        for name in self._of("text"):
            if name != DUCKDB:
                await self._poison(name)
        found = Cells(self.cells)
        return Report(cells=found.all, advice=advice(found, self.plan.lines, self.missing))

    # -- setting the scene ------------------------------------------------------------------------------------------

    async def _make_files(self) -> None:
        """The same spans as text and as JSON; and what is planted, with what is right."""
        rng, tally = random.Random(self.seed), Tally()
        with file_of(self.folder, "text").open("wb") as text, file_of(self.folder, "json").open("wb") as json:
            made = spans(rng.randrange, self.plan.lines)
            while some := list(itertools.islice(made, _CHUNK)):
                tally.add(some)
                text.write(b"".join(text_of(span) + b"\n" for span in some))
                json.write(b"".join(json_of(span) + b"\n" for span in some))
                await asyncio.sleep(0)  # Ctrl-C gets in here
        self.right = tally.answer()
        for kind in KINDS:
            lines = planted(kind, rng.randrange, self.plan.planted)
            dirt_of(self.folder, kind).write_bytes(msgspec.msgpack.encode(lines))

    async def _all_there(self) -> None:
        """Until all processes are up. Those of schemes that are not installed have ended."""
        for name, child in list(self.children.items()):
            why = await child.missing(self._patience_s)
            if why:
                self.missing[name] = why
                del self.children[name]

    def _of(self, kind: Kind) -> list[str]:
        """The schemes that are there for files of that kind."""
        return [name for name in self.children if name == DUCKDB or SCHEMES[name].kind == kind]

    @property
    def _patience_s(self) -> float:
        return PATIENCE_S + LINE_S * self.plan.lines

    @property
    def _steps(self) -> int:
        files = sum(len(self._of(kind)) for kind in KINDS)
        return files * self.plan.rounds + len(self.children) + len(set(self._of("text")) - {DUCKDB})

    def _step(self) -> None:
        self._through += 1
        self.done(self._through, self._steps)

    def _cell(self, scheme: str, scenario: str, metric: str, value: float, unit: str) -> None:
        self.cells.append(Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit=unit))

    # -- reading files ----------------------------------------------------------------------------------------------

    async def _rounds(self) -> dict[tuple[str, Kind], list[Round]]:
        """All schemes read, one after the other; and again."""
        found: dict[tuple[str, Kind], list[Round]] = {}
        for number in range(self.plan.rounds):
            for name, kind in self._turns():
                one = await self.children[name].answer(Asked("round", kind), Round, self._patience_s)
                found.setdefault((name, kind), []).append(one)
                self._step()
            self.say(f"round {number + 1} of {self.plan.rounds}: {self.plan.lines} lines, every scheme once")
        return found

    def _turns(self) -> Iterator[tuple[str, Kind]]:
        for kind in KINDS:
            yield from ((name, kind) for name in self._of(kind))

    def _read_cells(self, name: str, kind: Kind, rounds: list[Round]) -> None:
        size, lines = file_of(self.folder, kind).stat().st_size, self.plan.lines
        wall = median(one.wall_s for one in rounds)
        self._cell(name, kind, "throughput", round(size / wall / 1e6, 1), "MB/s")
        self._cell(name, kind, "line_us", round(1e6 * wall / lines, 3), "µs")
        self._cell(name, kind, "cpu_us", round(1e6 * median(one.cpu_s for one in rounds) / lines, 3), "µs")
        peaks = [one.peak for one in rounds if one.peak is not None]
        if len(peaks) == len(rounds):
            self._cell(name, kind, "memory", round(max(peaks) / 1e6, 1), "MB")
        self._cell(name, kind, "differing", max(differing(one.answer, self.right) for one in rounds), "groups")

    # -- what is bad ------------------------------------------------------------------------------------------------

    async def _dirt(self, name: str) -> None:
        """DuckDB is asked for JSON alone: reading lines as a column ends at the first NUL."""
        kind = SCHEMES[name].kind if name in SCHEMES else "json"
        found = await self.children[name].answer(Asked("dirt", kind), Dirt, self._patience_s)
        self._cell(name, DIRT, "planted", found.planted, "lines")
        self._cell(name, DIRT, "found", found.bad, "lines")
        if found.differing is not None:
            self._cell(name, DIRT, "differing", found.differing, "lines")
        if found.differing:
            self.say(f"{name} is wrong about {found.differing} lines, first about one with {found.first}")
        self._step()

    async def _poison(self, name: str) -> None:
        child, bound_s = self.children[name], self.plan.bound_s
        self.say(f"{name} gets lines that were cut off, and {bound_s:g} s for each")
        took: dict[int, float] = {}
        for length in (SHORT, GROWN, HANGS, LONG):
            answer = await child.ask(Asked("poison", length=length), float, bound_s)
            if answer is None:  # its process is gone
                break
            took[length] = answer
        self._cell(name, POISON, "bound_s", bound_s, "s")
        self._cell(name, POISON, "ended", int(len(took) == 4), "ended")
        if GROWN in took:
            self._cell(name, POISON, "growth", round((took[GROWN] / took[SHORT]) ** (1 / (GROWN - SHORT)), 3), "×")
            self._cell(name, POISON, "short_us", round(1e6 * took[GROWN], 3), "µs")
        if HANGS in took:
            self._cell(name, POISON, "answer_us", round(1e6 * took[HANGS], 3), "µs")
        if LONG in took:
            self._cell(name, POISON, "long_ms", round(1e3 * took[LONG], 3), "ms")
        self._step()


def failed(report: Report) -> bool:
    """Did two schemes differ, or a linear one hang? Or did the naive one not?"""
    return bool(broken(Cells(report.cells)))
