# SPDX-License-Identifier: Apache-2.0
"""The schemes of ``once`` side by side: is an effect applied twice, what does it cost, what does a crash take back?

::

    schemes            at-least-once  redis  multi-exec  lock+done  lock+done-later  outside
                       sql  sql-batches  state-machine
    scenarios          duplicate-storm   the same message several times, reordered, in two processes    applied_twice
                       kill              workers killed with SIGKILL while they hold messages           applied_twice
                       throughput        messages a second, and the ratio to at-least-once
                       cost              commands, round trips, SQL statements, processor time a message
                       storage           bytes of record a message
                       window            seconds that a crash of the server takes back, or repeats
                       consistency       do effect and acknowledgement lie in two stores?

``at-least-once`` has no protection at all and has to fail: a lab that cannot show the problem shows nothing. All
schemes stand behind the same consumer, so that only what makes them once differs. Who does not keep its promise is said
first, and the command answers 1.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .._base.chance import system_chance
from .._redis.doctor import examine
from ..errors import MissingExtra
from .cells import Cell, Cells, Report
from .crew import Crew
from .once_advice import Setting, advice, broken
from .once_hurt import AT_WORK, HIRED, Hurt
from .once_rates import Rates
from .once_schemes import REDIS_SCHEMES, Scheme
from .once_worker import Assignment

if TYPE_CHECKING:
    from .._redis.findings import Finding
    from .._redis.server import Server
    from ..app import Holdfast
    from .once_books import Books
    from .place import Place


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it.

    storm: messages, each published five times. kills: workers killed. rounds, n, box_s: of each scheme's throughput, so
    many rounds of so many messages, or of so many seconds if that is sooner. lease_ms, sweep_ms: of the workers that
    are killed: shorter than anybody's own, so that recovery can be waited for. work_s: how long a handler goes on after
    its effect: longer, and a death meets more of them.
    """

    storm: int = 200
    kills: int = 8
    rounds: int = 3
    n: int = 2_000
    box_s: float = 2.0
    lease_ms: int = 1_500
    sweep_ms: int = 400
    work_s: float = 0.08


FULL = Plan()
#: For a first look: shows what happens, and says little about how fast.
QUICK = Plan(storm=24, kills=3, rounds=1, n=400, box_s=0.3, lease_ms=1_200, sweep_ms=300)


def books_at(url: str, token: str) -> Books:
    """The lab's tables in a database. Raises MissingExtra without the extra ``sql``."""
    from .once_books import Books

    return Books(url, token)


def schemes_with(names: Sequence[str]) -> list[Scheme]:
    """The schemes of these names, in the lab's own order."""
    return [scheme for scheme in all_schemes(sql=any(n not in {s.name for s in REDIS_SCHEMES} for n in names))
            if scheme.name in names]


def all_schemes(*, sql: bool) -> list[Scheme]:
    """Every scheme; without a database those that need none. Raises MissingExtra."""
    if not sql:
        return list(REDIS_SCHEMES)
    from .once_sql_schemes import SQL_SCHEMES

    return [*REDIS_SCHEMES, *SQL_SCHEMES]


async def compare(place: Place, plan: Plan = FULL, *, sql: str | None = None, seed: int = 1,
                  say: Callable[[str], None] = lambda _: None, done: Callable[[int, int], None] = lambda *_: None
                  ) -> Report:
    """Runs it. sql: a database's URL; None: a SQLite file that is gone afterwards. seed: of orders and victims.

    ``done`` is told how many of how many steps are through. Removes what it wrote, whatever ends it. Raises
    ServerUnreachable, ConfigurationError, and HoldfastError when a worker ends that nobody has killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="holdfast-lab-"))
    try:
        async with place.holdfast() as hf, _books(place, folder, sql, say) as (books, setting):
            server = await hf.open()
            lab = _Lab(place=place, plan=plan, hf=hf, server=server, books=books, folder=folder, say=say, done=done,
                       rng=random.Random(seed))
            try:
                return await lab.run(setting)
            finally:
                await place.tidy_up(server)  # guard: nothing of ours stays on somebody else's server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _books(place: Place, folder: Path, sql: str | None, say: Callable[[str], None]
                 ) -> AsyncIterator[tuple[Books | None, Setting]]:
    """The tables, for as long as the block lasts."""
    url = sql or f"sqlite:///{folder / 'lab.db'}"
    try:
        books = books_at(url, place.token)
    except MissingExtra as error:
        if sql:
            raise
        yield None, Setting(no_sql_why=str(error))
        return
    if not sql:
        say("no --sql: SQL schemes run on a temporary SQLite file, and their figures are SQLite's")
    try:
        await books.create()
        try:
            yield books, Setting(sql=books.dialect, own_file=not sql)
        finally:
            await books.drop()  # guard: nor in somebody else's database
    finally:
        await books.close()


@dataclass(kw_only=True)
class _Lab:
    """One run."""

    place: Place
    plan: Plan
    hf: Holdfast
    server: Server
    books: Books | None
    folder: Path
    say: Callable[[str], None]
    done: Callable[[int, int], None]
    rng: random.Random
    _through: int = 0

    async def run(self, setting: Setting) -> Report:
        schemes = all_schemes(sql=self.books is not None)
        self._steps = self.plan.rounds * len(schemes) + 2
        persistence = await self._persistence()
        rates = Rates(hf=self.hf, server=self.server, place=self.place, books=self.books, schemes=schemes,
                      chance=system_chance(), n=self.plan.n, box_s=self.plan.box_s)
        measured = await rates.measure(self.plan.rounds, self._step)
        cells = [*await self._hurt(schemes), *measured, *windows(schemes, persistence), *consistency(schemes)]
        setting = replace(setting, persistence=persistence, rounds=self.plan.rounds)
        return Report(cells=cells, advice=advice(Cells(cells), schemes, setting))

    def _step(self) -> None:
        self._through += 1
        self.done(self._through, self._steps)

    async def _hurt(self, schemes: Sequence[Scheme]) -> list[Cell]:
        crew = Crew("holdfast.labs.once_worker", self._assignment(schemes))
        hurt = Hurt(hf=self.hf, server=self.server, place=self.place, books=self.books, schemes=schemes, crew=crew,
                    rng=self.rng, say=self.say)
        try:
            for _ in range(HIRED):
                crew.hire()
            await crew.ready(AT_WORK)
            cells = await hurt.storm(self.plan.storm)
            self._step()
            cells += await hurt.kill(self.plan.kills)
            self._step()
            await crew.dismiss()
        finally:
            crew.kill_all()
        return cells

    def _assignment(self, schemes: Sequence[Scheme]) -> Path:
        place, plan = self.place, self.plan
        path = self.folder / "assignment.json"  # the folder is ours alone: a URL may hold a password
        path.write_bytes(msgspec.json.encode(Assignment(
            url=place.url, data_dir=None if place.data_dir is None else str(place.data_dir.absolute()),
            prefix=place.prefix, token=place.token, sql=None if self.books is None else self.books.url,
            schemes=[s.name for s in schemes], lease_ms=plan.lease_ms, sweep_ms=plan.sweep_ms, work_s=plan.work_s)))
        return path

    async def _persistence(self) -> Finding | None:
        """The doctor's word on it: the worst node's, where there are several."""
        report = await examine(self.server)
        found = [f for node in report.nodes for f in node.findings if f.topic == "persistence"]
        return max(found, key=lambda f: float("inf") if f.window_s is None else f.window_s, default=None)


def windows(schemes: Sequence[Scheme], persistence: Finding | None) -> list[Cell]:
    """Seconds of effects that a crash of the server takes back, and of effects that it has asked for again. No cell
    where the settings give no number."""
    if persistence is None or persistence.window_s is None:
        return []
    seconds = persistence.window_s
    hits = (("taken_back_s", "redis"), ("asked_again_s", "outside"))
    return [Cell(scheme=scheme.name, scenario="window", metric=metric, value=seconds if scheme.where == where else 0.0,
                 unit="s") for scheme in schemes for metric, where in hits]


def consistency(schemes: Sequence[Scheme]) -> list[Cell]:
    """1: effect and acknowledgement lie in two stores, 0: in one."""
    return [Cell(scheme=scheme.name, scenario="consistency", metric="two_stores", value=int(scheme.spans_stores),
                 unit="spans stores") for scheme in schemes]


def failed(report: Report) -> bool:
    """Was a promise not kept, an effect missing, or the problem itself not to be seen?"""
    cells = Cells(report.cells)
    return bool(broken(cells, schemes_with(cells.schemes)))
