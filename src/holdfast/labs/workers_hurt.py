# SPDX-License-Identifier: Apache-2.0
"""What befalls pods: they come and go by the dozen, some end and some die, one is stopped and goes on.

``churn``: 3 pods, then 50, then 3, then 50, spread over nodes, which are processes. When they get fewer, half of the
nodes end in good order and half are killed; then all come again under their names. ``without_id`` are pods of the last
50 that have none, ``longest_wait_s`` is that of the last one of them that had one.

``restart``, ``crash``: the pods of those that ended, and of those that were killed. ``same_id``: what part of them has
the worker id that it had? ``first_id_s``: the time from a claim until its first id, the median of them.

``pause``: a pool with a single worker id. Its holder is stopped with SIGSTOP; another one has it then, and makes ids;
the first goes on. ``late_ids`` are those that it still made.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from ..testing.processes import Worker
from .cells import Cell
from .workers_nodes import Nodes, first_of, said
from .workers_schemes import Addresses, Pool, Scheme

CHURN, RESTART, CRASH, PAUSE = "churn", "restart", "crash", "pause"
#: Seconds for which ids are made by everybody at once.
STAY_S = 0.5
#: Pods of a node at most, while they are many.
ON_NODE = 12


class Hurts:
    """Does it to all ``schemes`` at once, so that each meets the same. rest: while pods are at work."""

    def __init__(self, folder: Path, at: Addresses, schemes: Sequence[Scheme], window_s: float,
                 *, rng: random.Random, rest: Callable[[float], None]) -> None:
        self._rest = rest
        self._folder, self._at, self._schemes, self._window_s, self._rng = folder, at, schemes, window_s, rng
        self._open: list[Nodes] = []
        self.cells: list[Cell] = []

    def churn(self, few: int, many: int, times: int) -> None:
        """So often from few to many and back."""
        nodes = self._nodes(CHURN)
        stays = nodes.hire(range(few))
        crowd = [nodes.hire(pods) for pods in _shared(range(few, many))]
        nodes.settled(stays, *crowd)
        for number in range(1, times):
            self._rest(STAY_S)
            later = [nodes.hire(pods, f"gate-{number}") for pods in _shared(range(few, many))]
            nodes.ready(*later)
            ended, killed = self._fewer(nodes, crowd)
            self._rest(STAY_S / 2)
            nodes.open(f"gate-{number}")
            nodes.settled(*later)
            self._again(RESTART, ended, later)
            self._again(CRASH, killed, later)
            crowd = later
        self._rest(STAY_S)
        for scheme in self._schemes:
            first = [line for node in (stays, *crowd) for line in said(node, "first", scheme.name)]
            self._note(scheme, CHURN, "without_id", many - len(first), "pods")
            self._note(scheme, CHURN, "longest_wait_s", round(max(line["waited_s"] for line in first), 3), "s")
        nodes.end(stays, *crowd)
        self._counted(nodes, CHURN)

    def pause(self) -> None:
        """Beyond the window."""
        nodes = self._nodes(PAUSE, workers=1)
        first = nodes.hire([0])
        nodes.settled(first)
        self._rest(self._rng.uniform(0.1, 0.3))
        first.pause()
        before = nodes.sizes()
        second = nodes.hire([0])  # as a pod that was deleted by force and is there all the same
        nodes.until(second, lambda: all(said(second, "first", scheme.name) for scheme in self._schemes),
                    "to have worker ids")
        self._rest(STAY_S / 2)
        first.resume()
        self._rest(STAY_S)
        after = nodes.sizes()
        for scheme in self._schemes:
            late = after[scheme.name, first.pid] - before[scheme.name, first.pid]
            self._note(scheme, PAUSE, "late_ids", late, "ids")
        nodes.end(second)
        self._counted(nodes, PAUSE)

    def close(self) -> None:
        """Leaves nobody behind."""
        while self._open:
            self._open.pop().close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _nodes(self, scenario: str, workers: int = 1024) -> Nodes:
        pool = Pool(name=scenario, workers=workers, window_s=self._window_s)
        self._open.append(Nodes(self._folder, self._at, self._schemes, pool))
        return self._open[-1]

    def _fewer(self, nodes: Nodes, crowd: Sequence[Worker]) -> tuple[list[Worker], list[Worker]]:
        """Half of the nodes end, the others die; which ones."""
        leaving = self._rng.sample(list(crowd), len(crowd))
        ended, killed = leaving[:len(leaving) // 2], leaving[len(leaving) // 2:]
        nodes.end(*ended)
        for node in killed:
            node.kill9()
        return ended, killed

    def _again(self, scenario: str, before: Sequence[Worker], after: Sequence[Worker]) -> None:
        """What became of their pods."""
        for scheme in self._schemes:
            had, has = (first_of(nodes, scheme.name) for nodes in (before, after))
            both = [(had[pod], line) for pod, line in has.items() if pod in had]
            if both:
                same = statistics.fmean(old["worker"] == new["worker"] for old, new in both)
                self._note(scheme, scenario, "same_id", round(same, 3), "of pods")
                self._note(scheme, scenario, "first_id_s",
                           round(statistics.median(new["waited_s"] for _, new in both), 3), "s")

    def _counted(self, nodes: Nodes, scenario: str) -> None:
        for scheme in self._schemes:
            found = nodes.made(scheme)
            self._note(scheme, scenario, "duplicates", found.duplicates, "ids")
            self._note(scheme, scenario, "ids", found.ids, "ids made")

    def _note(self, scheme: Scheme, scenario: str, metric: str, value: float, unit: str) -> None:
        self.cells.append(Cell(scheme=scheme.name, scenario=scenario, metric=metric, value=value, unit=unit))


def _shared(pods: Sequence[int]) -> list[Sequence[int]]:
    """Over nodes, two at least."""
    count = max(2, -(-len(pods) // ON_NODE))
    return [pods[number::count] for number in range(count)]
