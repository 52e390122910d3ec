# SPDX-License-Identifier: Apache-2.0
"""``uniqueness`` and ``order``: several processes, with several threads each, ask one family for ids at the same time.

Every id that was made is compared with every other one of its family. The order is that of the calls: one that began
when another had ended ought to have the larger id, and ``thread_swapped``, ``process_swapped`` and ``all_swapped`` are
the part of ids for which that is not so, among those of one thread, of one process, of all.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import msgspec

from ..errors import HoldfastError
from ..testing.processes import Worker
from .cells import Cell
from .ids_count import Call, counted, out_of_order, packed, shuffled_together, unpacked
from .ids_families import Family
from .ids_worker import Assignment, calls_in, gate, made, timed

UNIQUE, ORDER = "uniqueness", "order"
#: (process, thread) → what it asked for.
Calls = Mapping[tuple[int, int], Sequence[Call]]
PATIENCE_S = 120.0
_LOOK_S = 0.005
MODULE = "holdfast.labs.ids_worker"


class Crowd:
    """``processes`` of them. kept: of each family, so many ids as several writers would bring them, for what comes
    after. failed: why a family has no figures."""

    def __init__(self, folder: Path, assignment: Assignment, processes: int, kept: int) -> None:
        self.folder, self._a, self._processes, self._kept = folder, assignment, processes, kept
        self._workers: list[Worker] = []
        self.failed: dict[str, str] = {}
        self.streams: dict[str, list[int]] = {}
        self.cells: list[Cell] = []
        self.ids = 0

    def hire(self) -> None:
        """Starts them."""
        path = self.folder / "assignment.json"  # the folder is ours alone: a URL may hold a password
        path.write_bytes(msgspec.json.encode(self._a))
        self._workers = [Worker.module(MODULE, str(path), str(number)) for number in range(self._processes)]

    def ask(self, family: Family) -> None:
        """One family, from the opening to the counting. Blocks."""
        self._all(family, "open")
        gate(self.folder, family.name).touch()
        self._all(family, "done")
        if family.name not in self.failed:
            self._count(family)

    def close(self) -> None:
        """Leaves nobody behind."""
        while self._workers:
            self._workers.pop().close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _all(self, family: Family, event: str) -> None:
        """Every worker has said it, or that it cannot."""
        until = time.monotonic() + PATIENCE_S
        while not all(self._said(worker, family, event) for worker in self._workers):
            for worker in self._workers:
                if not worker.alive and not self._said(worker, family, event):
                    raise HoldfastError(f"worker {worker.pid} ended by itself: {worker.stderr.strip()[-400:]}")
            if time.monotonic() > until:
                raise HoldfastError(f"the workers did not say {event!r} of {family.name} within {PATIENCE_S:g} s")
            time.sleep(_LOOK_S)

    def _said(self, worker: Worker, family: Family, event: str) -> bool:
        """Has it? One that cannot open the family has said all that it will."""
        said = {line["event"]: line for line in list(worker.lines) if line["family"] == family.name}
        if "failed" in said:
            self.failed[family.name] = said["failed"]["why"]
        return event in said or (event == "open" and "failed" in said)

    def _count(self, family: Family) -> None:
        places = [(number, thread) for number in range(self._processes) for thread in range(self._a.threads)]
        paths = [made(self.folder, family.name, *place) for place in places]
        raw = [path.read_bytes() for path in paths]
        calls = {place: calls_in(timed(self.folder, family.name, *place), family.width) for place in places}
        self._unique(family, raw, calls)
        self._ordered(family, calls)
        lot = random.Random(f"{self._a.seed}-{family.name}")
        self.streams[family.name] = shuffled_together(
            [unpacked(each[:self._kept * family.width], family.width) for each in raw], lot.randrange, self._kept)
        for path in (*paths, *(timed(self.folder, family.name, *place) for place in places)):
            path.unlink()

    def _unique(self, family: Family, raw: Sequence[bytes], calls: Calls) -> None:
        found = counted([*raw, *(_ids(each, family.width) for each in calls.values())], family.width)
        self.ids += found.ids
        self._note(family, UNIQUE, "duplicates", found.duplicates, "ids")
        self._note(family, UNIQUE, "ids", found.ids, "ids made")

    def _ordered(self, family: Family, calls: Calls) -> None:
        groups: dict[str, list[Sequence[Call]]] = {"thread_swapped": list(calls.values()),
                  "process_swapped": [[one for (of, _), each in calls.items() if of == number for one in each]
                                      for number in range(self._processes)],
                  "all_swapped": [[one for each in calls.values() for one in each]]}
        for metric, group in groups.items():
            self._note(family, ORDER, metric, round(fmean(map(out_of_order, group)), 4), "of ids")
        timed_ids = counted([_ids(each, family.width) for each in calls.values()], family.width)
        self._note(family, ORDER, "duplicates", timed_ids.duplicates, "ids")

    def _note(self, family: Family, scenario: str, metric: str, value: float, unit: str) -> None:
        self.cells.append(Cell(scheme=family.name, scenario=scenario, metric=metric, value=value, unit=unit))


def _ids(calls: Sequence[Call], width: int) -> bytes:
    return packed([call.id for call in calls], width)
