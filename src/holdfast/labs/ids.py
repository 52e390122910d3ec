# SPDX-License-Identifier: Apache-2.0
"""Families of ids side by side: how fast, how unique, in which order, how they suit a table, what they give away.

::

    schemes      see ``ids_families``: snowflakes, UUIDs, counters of SQL and Redis, the id service; and two that cheat
    scenarios    throughput   one thread                        ids_per_s p50_us p99_us p999_us
                 start        opened anew                       first_id_ms
                 uniqueness   processes and threads at once     ids duplicates
                 order        the same, timed                   thread_swapped process_swapped all_swapped
                 locality     as the key of a table             inserts_per_s pages_written bytes_per_row
                 size         what a column or a URL has to hold    bits decimal base32 base62
                 guessing     what a stranger can tell          next_guessed hit_in_1000 volume_told
                 outage       the store dies                    ids_for_s back_s away_s

``duplicates`` is counted wherever ids are made, and has to be nought but for those that cheat: ``shared-worker`` has to
be caught under ``uniqueness``, ``incr-bare`` under ``outage``. The server and the database that you name are asked for
ids and hold a table for a while; what is killed is the lab's own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .._base.aside import aside
from ..errors import ConfigurationError, MissingExtra
from ..testing.processes import Worker
from . import ids_locality
from .cells import Cell, Cells, Report
from .ids_advice import Needs, Setting, advice, broken
from .ids_count import library
from .ids_crowd import Crowd
from .ids_families import FAMILIES, At, Family, present
from .ids_outage import PATIENCE_S, SERVER, Outage
from .ids_rates import Rates
from .ids_worker import Assignment
from .silence import silenced
from .steps import Steps

if TYPE_CHECKING:
    from .ids_tables import LabTables
    from .place import Place


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of it.

    rounds, box_s: of each family's throughput, so many times so many seconds, twice. processes, threads, count,
    crowd_s: how many make ids at the same time, and how many each thread makes, or for how long if that is sooner.
    timed: ids of each thread whose order is looked at. guessed: ids a stranger sees. rows: of the tables. away_s: the
    store's death. window_s: of worker ids in it.
    """

    rounds: int = 3
    box_s: float = 0.5
    processes: int = 4
    threads: int = 2
    count: int = 250_000
    crowd_s: float = 6.0
    timed: int = 1_000
    guessed: int = 400
    rows: int = 80_000
    away_s: float = 8.0
    window_s: float = 4.0


FULL = Plan()
#: For a first look.
QUICK = Plan(rounds=1, box_s=0.1, processes=2, count=40_000, crowd_s=0.4, timed=200, guessed=60, rows=8_000,
             away_s=2.5, window_s=1.5)
#: Without NumPy a set holds what is compared.
PLAIN_COUNT = 50_000


async def compare(place: Place, plan: Plan = FULL, *, sql: str | None = None, needs: Needs | None = None,
                  seed: int = 1, say: Callable[[str], None] = lambda _: None,
                  done: Callable[[int, int], None] = lambda *_: None) -> Report:
    """Runs it. sql: a database's URL; None: a SQLite file that is gone afterwards. seed: of pauses and turns. needs:
    the advice answers these.

    ``done`` is told how many of how many steps are through. Removes what it wrote, whatever ends it. Raises
    ServerUnreachable, ConfigurationError, ServerMissing without a server that the lab could kill, and HoldfastError
    when a worker ends by itself.
    """
    folder = Path(tempfile.mkdtemp(prefix="holdfast-lab-"))
    try:
        async with place.holdfast() as hf:
            server = await hf.open()
            try:
                async with _tables(place, folder, sql, say) as (tables, url, why):
                    lab = _Lab(place=place, plan=plan, folder=folder, tables=tables, sql=url, own_file=not sql, why=why,
                               needs=needs, rng=random.Random(seed), seed=seed, say=say, done=done)
                    with silenced(logging.CRITICAL):  # stores that do not answer: the lab's doing
                        return await lab.run()
            finally:
                await place.tidy_up(server)  # guard: nothing of ours stays on somebody else's server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _tables(place: Place, folder: Path, sql: str | None, say: Callable[[str], None]
                  ) -> AsyncIterator[tuple[LabTables | None, str, str]]:
    """The lab's tables, for as long as the block lasts; their database; or why there are none."""
    url = sql or f"sqlite:///{folder / 'lab.db'}"
    try:
        from .ids_tables import LabTables

        tables = LabTables(url, place.token)
    except (ImportError, MissingExtra) as error:
        if sql:
            raise MissingExtra("sql", "a database") from error
        yield None, "", "install the extra sql"
        return
    if not sql:
        say("no --sql: SQL families run on a temporary SQLite file, and their figures are SQLite's")
    try:
        await aside(tables.create)
        try:
            yield tables, url, ""
        finally:
            tables.drop()  # guard: nor in somebody else's database
    finally:
        tables.close()


@dataclass(kw_only=True)
class _Lab:
    """One run."""

    place: Place
    plan: Plan
    folder: Path
    tables: LabTables | None
    sql: str
    own_file: bool
    why: str
    needs: Needs | None
    rng: random.Random
    seed: int
    say: Callable[[str], None]
    done: Callable[[int, int], None]

    async def run(self) -> Report:
        """Rates first, while nobody else is at work; the crowd brings the ids for the tables."""
        self._missing: dict[str, str] = {}
        self._cells: list[Cell] = []
        with ExitStack() as stack:
            at = await self._at(stack)
            families = present(at)
            honest = [family for family in families if not family.cheats]
            self._note_missing(families)
            self._steps = Steps(len(honest) * (self.plan.rounds + 2) + len(families) + 1, self.done)
            rates = await self._rates(at, honest)
            crowd = await self._crowd(at, families, stack)
            await self._locality(honest, crowd.streams)
            outage, _ = await asyncio.gather(self._outage(families, stack), self._guesses(rates, honest))
        self._cells += rates.cells()
        self._missing |= rates.failed
        self._missing |= {**crowd.failed, **outage.missing}
        self._cells += outage.cells()
        names = list(FAMILIES)
        self._cells.sort(key=lambda cell: (_ORDER.index(cell.scenario.partition(" ")[0]), names.index(cell.scheme)))
        found = Cells(self._cells)
        said = advice(found, list(FAMILIES.values()), self._setting(crowd, outage), self.needs)
        return Report(cells=found.all, advice=said)

    def _setting(self, crowd: Crowd, outage: Outage) -> Setting:
        plan = self.plan
        return Setting(missing=self._missing, errors=outage.errors, ids=crowd.ids, processes=plan.processes,
                       threads=plan.threads, sql=self.tables.dialect if self.tables else "", rounds=plan.rounds,
                       own_file=self.own_file and self.tables is not None, own_url=self.place.url is None,
                       numpy=library() is not None)

    def _note_missing(self, families: Sequence[Family]) -> None:
        for family in FAMILIES.values():
            if family not in families:
                self._missing.setdefault(family.name, self.why if family.needs == "sql" else "it is not there")

    # -- each scenario ------------------------------------------------------------------------------------------------

    async def _at(self, stack: ExitStack) -> At:
        place = self.place
        at = At(url=place.url, data_dir=None if place.data_dir is None else str(place.data_dir.absolute()),
                prefix=place.own, folder=str(self.folder), sql=self.sql, token=place.token)
        try:
            return msgspec.structs.replace(at, service=await self._service(at, stack))
        except ConfigurationError as error:
            self._missing["service"] = str(error)
            return at

    async def _service(self, at: At, stack: ExitStack) -> str:
        """Starts it; its address. ConfigurationError where what it needs is not installed."""
        for module, extra in (("fastapi", "serve"), ("uvicorn", "serve"), ("httpx2", "http")):
            _known(module, extra)
        path = self.folder / "at.json"
        path.write_bytes(msgspec.json.encode(at))
        serving = Worker.module(SERVER, str(path), "0")
        stack.callback(serving.close)
        await aside(lambda: serving.wait_line(lambda line: line["event"] == "ready", PATIENCE_S))
        return str(next(line["url"] for line in serving.lines if line.get("event") == "ready"))

    async def _rates(self, at: At, families: Sequence[Family]) -> Rates:
        rates = Rates(at, families, self.rng, self.plan.box_s)
        for number in range(self.plan.rounds):
            for step in rates.round(number):
                await self._steps.do(step)
        rates.sizes()
        return rates

    async def _guesses(self, rates: Rates, families: Sequence[Family]) -> None:
        """While the store is dead that is the lab's own: whoever is not in a hurry disturbs nobody."""
        for family in families:
            await self._steps.do(partial(rates.guesses, family, self.plan.guessed))

    async def _crowd(self, at: At, families: Sequence[Family], stack: ExitStack) -> Crowd:
        count = self.plan.count if library() is not None else min(self.plan.count, PLAIN_COUNT)
        crowd = Crowd(self.folder, Assignment(
            at=at, families=[family.name for family in families], threads=self.plan.threads, count=count,
            box_s=self.plan.crowd_s, timed=self.plan.timed, seed=self.seed), self.plan.processes, self.plan.rows)
        stack.callback(crowd.close)
        crowd.hire()
        for family in families:
            await self._steps.do(partial(crowd.ask, family), crowd.close)
        self.say(f"uniqueness: {crowd.ids:,} ids were compared")
        self._cells += crowd.cells
        return crowd

    async def _locality(self, families: Sequence[Family], streams: dict[str, list[int]]) -> None:
        for family in families:
            ids = streams.get(family.name, [])
            if len(ids) >= MIN_ROWS:
                await self._steps.do(partial(self._inserted, family, ids))

    def _inserted(self, family: Family, ids: Sequence[int]) -> None:
        twice = len(ids) - len(set(ids))
        self._cells.append(Cell(scheme=family.name, scenario="locality", metric="duplicates", value=twice, unit="ids"))
        if twice:
            return
        self._keyed(family, "locality", {"rows": len(ids),
                                         **ids_locality.inserted(self.folder, ids, family.width)})
        if self.tables is not None and self.tables.dialect != "sqlite":
            found = self.tables.inserted(family.name, ids, family.width, int(len(ids) * ids_locality.FILLED))
            self._keyed(family, f"locality in {self.tables.dialect}", found)

    def _keyed(self, family: Family, scenario: str, found: dict[str, float]) -> None:
        self._cells += [Cell(scheme=family.name, scenario=scenario, metric=metric, value=round(value, 3),
                             unit=_KEY_UNITS[metric]) for metric, value in found.items()]

    async def _outage(self, families: Sequence[Family], stack: ExitStack) -> Outage:
        outage = Outage(self.folder, self.place.token, families, self.plan.away_s, self.plan.window_s)
        stack.callback(outage.close)
        await self._steps.do(outage.run, outage.close)
        self.say(f"outage: the lab's own servers were dead for {outage.back - outage.died:.1f} s")
        return outage


#: With fewer rows a tree has no depth.
MIN_ROWS = 200
_ORDER = ("throughput", "start", "uniqueness", "order", "locality", "size", "guessing", "outage")
_KEY_UNITS = {"inserts_per_s": "1/s", "pages_written": "pages an insert", "bytes_per_row": "bytes", "rows": "rows",
              "log_bytes": "bytes an insert", "index_bytes": "bytes a row"}


def _known(module: str, extra: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise MissingExtra(extra, "the id service")


def failed(report: Report) -> bool:
    """Was an id made twice, an order broken that was promised, or a scheme that cheats not caught?"""
    return bool(broken(Cells(report.cells), FAMILIES.values()))



