# SPDX-License-Identifier: Apache-2.0
"""Ways to keep secrets, side by side, and hurt: how quick, what a thief reads, what goes on when machines are away.

``secrets_schemes`` says which ways there are, ``secrets_hurt`` what is done to them and how each figure is named. Every
server and node is a process of this machine, on loopback; whatever is stolen is copied to the lab's own folder.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from . import secrets_hurt as hurt
from .cells import Cell, Cells, Report
from .secrets_advice import Needs, Setting, advice, broken
from .secrets_schemes import SCHEMES, Scheme
from .silence import silenced
from .steps import Steps


@dataclass(frozen=True, kw_only=True)
class Plan:
    """numbers: of secrets. seconds: of each reading and each writing. flips: bits that are turned, one at a time.
    away: how many processes are killed at once, in turn. back_s: whoever goes on does so within."""

    numbers: tuple[int, ...] = (10, 100, 1_000)
    seconds: float = 2.0
    flips: int = 40
    away: tuple[int, ...] = (1, 2, 3)
    back_s: float = 5.0


FULL = Plan()
#: For a first look.
QUICK = Plan(numbers=(5, 25), seconds=0.2, flips=10, away=(1, 2), back_s=1.5)


async def compare(plan: Plan = FULL, *, needs: Needs | None = None, seed: int = 1,
                  say: Callable[[str], None] = lambda _: None,
                  done: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Runs it. seed: of values and of the bits that are flipped. needs: the advice answers these. ``done`` is told how
    many of how many steps are through. All processes have ended when it returns, and its files are gone.

    Raises MissingExtra without ``cryptography`` or a server for HTTPS, HoldfastError when a process ends by itself, or
    a value is read that was not put.
    """
    folder = Path(tempfile.mkdtemp(prefix="holdfast-lab-"))
    try:
        with silenced(logging.CRITICAL):
            return await _Lab(folder, plan, Random(seed), say, done).run(needs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class _Lab:
    folder: Path
    plan: Plan
    rng: Random
    say: Callable[[str], None]
    done: Callable[[int, int], None]
    cells: list[Cell] = field(default_factory=list)
    _at_work: Scheme | None = None

    async def run(self, needs: Needs | None) -> Report:
        steps = Steps(len(SCHEMES) * (len(self.plan.numbers) + len(self.plan.away)), self.done)
        for name in SCHEMES:
            for number in self.plan.numbers:
                await steps.do(partial(self._measured, name, number), self._end)
            for number in self.plan.away:
                await steps.do(partial(self._felled, name, number, steps.rest), self._end)
            self.say(f"{name}: read, written, robbed, and felled")
        return self._report(needs)

    def _report(self, needs: Needs | None) -> Report:
        numbers = [f"{number:,} secrets" for number in self.plan.numbers]
        order = [*numbers, "stolen", "altered", "put back", "beside", "record",
                 *(f"{number} away" for number in self.plan.away), "effort"]
        names = list(SCHEMES)
        found = Cells(sorted(self.cells, key=lambda cell: (order.index(cell.scenario), names.index(cell.scheme))))
        setting = Setting(numbers=self.plan.numbers, quick=self.plan == QUICK,
                          depends={name: kind.depends for name, kind in SCHEMES.items()})
        return Report(cells=found.all, advice=advice(found, setting, needs))

    def _measured(self, name: str, number: int) -> None:
        """Begun from nothing, with so many secrets; the first time also robbed."""
        values = hurt.planted(self.rng, number)
        began = time.perf_counter()
        with self._begun(name, values) as scheme:
            hurt.opens(scheme)
            begun_s = time.perf_counter() - began
            self.cells += hurt.speed(scheme, values, self.plan.seconds)
            if number != self.plan.numbers[0]:
                return
            theft = self.folder / "theft"
            self.cells += hurt.stolen(scheme, values, theft / "stolen")
            self.cells += hurt.altered(scheme, values, theft / "altered", self.rng, self.plan.flips)
            self.cells += hurt.put_back(scheme, values, theft / "back")
            self.cells += hurt.beside(scheme, values)
            self.cells += hurt.recorded(scheme, theft / "record")
            shutil.rmtree(theft)
            self.cells += [hurt.cell(scheme, "effort", *one) for one in (
                ("processes", len(scheme.workers), "processes"), ("keys", scheme.keys, "keys"),
                ("begun_s", begun_s, "s"))]

    def _felled(self, name: str, number: int, rest: Callable[[float], None]) -> None:
        with self._begun(name, hurt.planted(self.rng, len(hurt.NAMES))) as scheme:
            if number <= max(1, len(scheme.workers)):
                self.cells += hurt.away(scheme, number, self.plan.back_s, rest)

    @contextlib.contextmanager
    def _begun(self, name: str, values: dict[str, bytes]) -> Iterator[Scheme]:
        place = Path(tempfile.mkdtemp(dir=self.folder)) / "scheme"
        self._at_work = scheme = SCHEMES[name](place)
        try:
            scheme.begin(values)
            yield scheme
        finally:
            scheme.close()
            shutil.rmtree(place.parent)

    def _end(self) -> None:
        if self._at_work is not None:
            self._at_work.close()


def failed(report: Report) -> bool:
    """Did a scheme that promises it show a value, give another one, or not go on; or was a baseline not caught?"""
    return bool(broken(Cells(report.cells)))
