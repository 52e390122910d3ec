# SPDX-License-Identifier: Apache-2.0
"""``outage`` and ``amnesia``: the stores die while pods make ids. The lab's own, all at once.

``outage``: all stores are away. ``ids_for_s`` is how long ids still came after the death, no longer than they were
away; ``back_s`` how long after their return they came again. Redis comes back empty.

``amnesia``: Redis dies and is back, empty, before anybody's window has ended; another pod claims at that moment. A
Redis that keeps nothing on disk and is started by itself does that. Nothing in the store says then whose windows there
are. What schemes on it make twice is counted, and none of them promises anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..testing.processes import Worker
from .cells import Cell
from .workers_nodes import Nodes, said
from .workers_schemes import Pool, Scheme
from .workers_town import Town

OUTAGE, AMNESIA = "outage", "amnesia"
#: Seconds for which ids are made before, and after.
STAY_S = 0.5
#: Seconds after the return in which somebody has to be back.
BACK_S = 30.0


class Outages:
    """Kills what ``town`` has. errors: what a scheme said when it had no ids any more. rest: while pods are at work."""

    def __init__(self, folder: Path, town: Town, schemes: Sequence[Scheme], window_s: float,
                 rest: Callable[[float], None]) -> None:
        self._rest = rest
        self._folder, self._town, self._window_s = folder, town, window_s
        self._schemes = [scheme for scheme in schemes if scheme.name not in ("postgresql", "mariadb")]
        self._open: list[Nodes] = []
        self.cells: list[Cell] = []
        self.errors: dict[str, str] = {}

    def run(self, away_s: float) -> None:
        """Both, with the same two pods."""
        nodes = Nodes(self._folder, self._town.addresses, self._schemes, Pool(name=OUTAGE, window_s=self._window_s))
        self._open.append(nodes)
        node, later = nodes.hire([0]), nodes.hire([1], gate="empty")
        nodes.settled(node)
        nodes.ready(later)
        self._outage(nodes, node, away_s)
        self._amnesia(nodes, later)
        nodes.end(node, later)

    def _outage(self, nodes: Nodes, node: Worker, away_s: float) -> None:
        self._rest(STAY_S)
        revive, died = self._town.kill(), time.monotonic()
        self._rest(away_s)
        back = time.monotonic()
        revive()
        nodes.until(node, lambda: time.monotonic() > back + BACK_S or all(
            len(said(node, "again", s.name)) == len(said(node, "stopped", s.name)) for s in self._schemes),
            "to make ids again")
        self._rest(STAY_S)
        for scheme in self._schemes:
            self._lasted(scheme, node, died, back)
            self._note(scheme, OUTAGE, "duplicates", nodes.made(scheme).duplicates, "ids")

    def _lasted(self, scheme: Scheme, node: Worker, died: float, back: float) -> None:
        stopped, again = (said(node, event, scheme.name) for event in ("stopped", "again"))
        lasted = stopped[0]["at"] - died if stopped else back - died
        self._note(scheme, OUTAGE, "away_s", round(back - died, 2), "s")
        self._note(scheme, OUTAGE, "ids_for_s", round(min(max(lasted, 0.0), back - died), 3), "s")
        if again:
            self._note(scheme, OUTAGE, "back_s", round(max(again[-1]["at"] - back, 0.0), 3), "s")
        self.errors[scheme.name] = stopped[0]["error"] if stopped else ""

    def _amnesia(self, nodes: Nodes, later: Worker) -> None:
        """Before anybody has noticed."""
        before = nodes.sizes()
        self._town.pair.master.restart()
        nodes.open("empty")
        nodes.settled(later)
        self._rest(self._window_s)
        for scheme in self._schemes:
            if scheme.needs == "redis":
                self._note(scheme, AMNESIA, "duplicates", nodes.made_since(scheme, before).duplicates, "ids")

    def close(self) -> None:
        """Leaves nobody behind."""
        while self._open:
            self._open.pop().close()

    def _note(self, scheme: Scheme, scenario: str, metric: str, value: float, unit: str) -> None:
        self.cells.append(Cell(scheme=scheme.name, scenario=scenario, metric=metric, value=value, unit=unit))
