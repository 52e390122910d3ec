# SPDX-License-Identifier: Apache-2.0
"""``outage``: the store dies while ids are made, and comes back with nothing. A server of the lab's own, and a file.

Every family is asked at the same rate by a thread of its own. ``ids_for_s`` is how long ids still came after the
death, at that rate, and no longer than the store was away; ``back_s`` how long after its return they came again. Redis
is killed, without any persistence, and started empty: what a counter had given is nowhere but in its floor. The SQLite
file is locked by somebody who does not let go, and is not emptied: a database that forgets is restored from a copy, and
no counter in it can know. The id service is killed, and another one started in its place.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ..errors import ConfigurationError, HoldfastError
from ..testing.ports import free_port
from ..testing.processes import Worker
from ..testing.single import Single
from .cells import Cell
from .ids_count import counted, packed
from .ids_families import FAMILIES, At, Family

OUTAGE = "outage"
#: Families that a store takes part in, as far as they do not differ in what happens then.
HURT = ("snowflake", "redis-incr", "redis-segments", "redis-dated", "sql-auto", "sql-segments", "service", "incr-bare")
#: Ids of one turn, and the seconds between two.
TURN, TURN_S = 5, 0.004
#: Seconds of quiet before the death, and after the return; and those that are waited at most until all are back.
BEFORE_S, AFTER_S, BACK_S = 0.7, 1.0, 12.0
#: First segments: some seconds' worth, together with the next one. Whoever finds none waits for so many seconds.
SIZES, WAIT_S = 2_000, 0.3
PATIENCE_S = 30.0
SERVER = "holdfast.labs.ids_server"


@dataclass
class Story:
    """What befell one family. ids: with the time of each turn. errors: when, and in which words."""

    ids: list[int] = field(default_factory=list)
    came: list[float] = field(default_factory=list)
    errors: list[tuple[float, str]] = field(default_factory=list)

    def ids_for_s(self, died: float, back: float) -> float:
        """From the death until the last id before the return."""
        return max((at - died for at in self.came if died <= at < back), default=0.0)

    def back_s(self, back: float) -> float | None:
        """From the return until the first id; None: none came."""
        return min((at - back for at in self.came if at >= back), default=None)

    def error(self, died: float) -> str:
        """What was said first once it was away; empty: nothing was."""
        return next((words for at, words in self.errors if at >= died), "")


class Outage:
    """One death. away_s: for how long. stories: by family. missing: why a family took no part."""

    def __init__(self, folder: Path, token: str, families: Sequence[Family], away_s: float, window_s: float) -> None:
        self._folder, self._token, self._away_s, self._window_s = folder, token, away_s, window_s
        self._families = [family for family in families if family.name in HURT]
        self.stories: dict[str, Story] = {}
        self.missing: dict[str, str] = {}
        self._stop = threading.Event()
        self.died = self.back = 0.0

    def run(self) -> None:
        """All of it. Blocks for ``away_s`` and some seconds more."""
        with ExitStack() as stack:
            redis = stack.enter_context(Single())
            at = self._at(redis.url, stack)
            threads = [threading.Thread(target=self._live, args=(family, at), daemon=True)
                       for family in self._families if not family.needs or getattr(at, family.needs)]
            stack.callback(self._ended, threads)
            for one in threads:
                one.start()
            self._settled(len(threads))
            self._happens(redis, at)
            until = time.monotonic() + BACK_S
            while not self._are_back() and time.monotonic() < until and not self._stop.wait(0.05):
                pass
            self._stop.wait(AFTER_S)

    def close(self) -> None:
        """Ends it early."""
        self._stop.set()

    def cells(self) -> list[Cell]:
        """Of what was seen."""
        return [Cell(scheme=name, scenario=OUTAGE, metric=metric, value=value, unit=unit)
                for name, story in self.stories.items() if story.ids
                for metric, value, unit in self._figures(FAMILIES[name], story)]

    @property
    def errors(self) -> dict[str, str]:
        """Family → what it said while its store was away; empty where it said nothing."""
        return {name: story.error(self.died) for name, story in self.stories.items() if story.ids}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _figures(self, family: Family, story: Story) -> list[tuple[str, float, str]]:
        found: list[tuple[str, float, str]] = [
            ("duplicates", counted([packed(story.ids, family.width)], family.width).duplicates, "ids"),
            ("away_s", round(self.back - self.died, 2), "s"),
            ("ids_for_s", round(story.ids_for_s(self.died, self.back), 3), "s")]
        if (back := story.back_s(self.back)) is not None:
            found.append(("back_s", round(back, 3), "s"))
        return found

    def _at(self, url: str, stack: ExitStack) -> At:
        at = At(url=url, folder=str(self._folder), token=self._token, sizes=SIZES, window_s=self._window_s,
                wait_s=WAIT_S)
        if any(family.needs == "sql" for family in self._families):
            at = msgspec.structs.replace(at, sql=self._database(stack))
        if any(family.name == "service" for family in self._families):
            at = msgspec.structs.replace(at, service=self._service(at, stack))
        return at

    def _database(self, stack: ExitStack) -> str:
        from .ids_tables import LabTables

        url = f"sqlite:///{self._folder / 'outage.db'}"
        tables = LabTables(url, self._token)
        stack.callback(tables.close)
        tables.create()
        return url

    def _service(self, at: At, stack: ExitStack) -> str:
        self._port = free_port()
        self._place = self._folder / "outage.json"
        self._place.write_bytes(msgspec.json.encode(at))
        self._serving = self._served()
        stack.callback(self._end_service)
        return str(self._serving.wait_line(lambda line: line["event"] == "ready", PATIENCE_S)["url"])

    def _end_service(self) -> None:
        self._serving.close()

    def _served(self) -> Worker:
        return Worker.module(SERVER, str(self._place), str(self._port))

    def _settled(self, count: int) -> None:
        """All make ids, or have said why they do not."""
        until = time.monotonic() + PATIENCE_S
        while not self._stop.is_set() and len(self.missing) + sum(
                1 for story in self.stories.values() if story.ids) < count:
            if time.monotonic() > until:
                raise HoldfastError(f"not every family made ids within {PATIENCE_S:g} s")
            time.sleep(0.01)
        self._stop.wait(BEFORE_S)

    def _happens(self, redis: Single, at: At) -> None:
        """The death, the time without it, the return."""
        with ExitStack() as stack:
            if at.sql:
                lock = stack.enter_context(closing(sqlite3.connect(self._folder / "outage.db", isolation_level=None)))
                lock.execute("BEGIN EXCLUSIVE")
            redis.kill()
            if at.service:
                self._serving.close()
            self.died = time.monotonic()
            self._stop.wait(self._away_s)
            self.back = time.monotonic()
        redis.start()
        if at.service:
            self._serving = self._served()
            self._serving.wait_line(lambda line: line["event"] == "ready", PATIENCE_S)

    def _are_back(self) -> bool:
        """Those that made ids make some again."""
        return all(story.back_s(self.back) is not None for story in self.stories.values() if story.ids)

    def _live(self, family: Family, at: At) -> None:
        story = self.stories[family.name] = Story()
        try:
            with family.open(at, 0) as drawing:
                draw = drawing()
                while not self._stop.is_set():
                    self._turn(story, draw)
                    time.sleep(TURN_S)
        except HoldfastError as error:
            if not story.ids:
                self.missing[family.name] = str(error)

    @staticmethod
    def _turn(story: Story, draw: Callable[[], int]) -> None:
        try:
            for _ in range(TURN):
                story.ids.append(draw())
                story.came.append(time.monotonic())
        except ConfigurationError:
            raise
        except HoldfastError as error:
            story.errors.append((time.monotonic(), f"{type(error).__name__}: {error}"))

    def _ended(self, threads: Sequence[threading.Thread]) -> None:
        self._stop.set()
        for one in threads:
            one.join(PATIENCE_S)
