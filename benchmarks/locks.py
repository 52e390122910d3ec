# SPDX-License-Identifier: Apache-2.0
"""What does a lock cost, how soon is it handed over, how soon is a dead holder's free again, what does holding cost?

::

    pair      one process takes a lock that nobody else wants and gives it back; the time of both together
    handover  from just before the holder gives it back to the first line that the next holder runs, while so many wait
    recovery  from SIGKILL of a holder to the first line of who waited; everybody has the same lease
    renewal   what a server is sent while one process holds so many locks

Contenders are spread over two processes, so that a lock has to change processes about every other time; each is a task,
or a thread where a library's calls block. A holder gives back only when all others wait, after a time anywhere between
20 and 120 ms: a poller is asleep then, at any point of its sleep. A hand-over to oneself cannot happen. Times of all
processes are of the machine's one monotonic clock, and two holders at once would show in them: they are counted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from holdfast.testing.binaries import ServerMissing
from holdfast.testing.processes import Worker
from holdfast.testing.zookeeper import ZooKeeperServer

from .board import Board
from .contestants import KNOWN
from .drain import in_turn
from .figures import percentile
from .job import Job
from .rig import PATIENCE_S, Rig, beside_server, ready

Tell = Callable[[str], None]
PROCESSES = 2
CROWDS, QUICK_CROWDS = (1, 8, 64, 512), (1, 8)
HELD, QUICK_HELD = (1, 100, 1_000, 10_000), (100,)
LEASE_MS = 10_000
#: Where recovery is measured. python-redis-lock knows whole seconds only.
DEATH_LEASE_MS = 2_000
#: Long enough for who waits to be settled.
SETTLE_S = 0.5
#: The first hand-overs still see contenders arrive.
WARM_S = 1.0


@dataclass(frozen=True)
class Effort:
    """How much: pairs a run, seconds of one hand-over run and of one renewal run, kills, rounds of all of them."""

    pairs: int = 3000
    seconds: float = 5.0
    renewal_s: float = 10.0
    runs: int = 3
    crowds: Sequence[int] = CROWDS
    held: Sequence[int] = HELD


QUICK = Effort(pairs=500, seconds=1.5, renewal_s=4.0, runs=1, crowds=QUICK_CROWDS, held=QUICK_HELD)


@dataclass
class Yard:
    """Where locks are measured: the rig, a ZooKeeper where there is one, a folder, and names that nobody had yet."""

    bench: Rig
    folder: Path
    zookeeper: str
    effort: Effort
    tell: Tell
    _names: int = 0

    def job(self, name: str, role: str, **more: Any) -> Job:
        """A job on the lock that ``fresh`` has named last."""
        return Job(**{"contestant": name, "verb": "work", "url": self.bench.url, "stream": f"lock-{self._names}",
                      "measure": role, "lease_ms": LEASE_MS, "fair": KNOWN[name].fair, "zookeeper": self.zookeeper,
                      "board": str(self._path), **more})

    def fresh(self) -> Board:
        """An empty database, a new name, a new board."""
        self.bench.admin.flushdb()
        self._names += 1
        return Board(self._path)

    @property
    def _path(self) -> Path:
        return self.folder / f"board-{self._names}"


@contextmanager
def yard(bench: Rig, names: Sequence[str], effort: Effort, tell: Tell) -> Iterator[tuple[Yard, list[str]]]:
    """For the length of the block; and who of ``names`` can take part."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-")))
        zookeeper, present = "", list(names)
        if any(KNOWN[name].zookeeper for name in names):
            try:
                with beside_server(bench):
                    zookeeper = stack.enter_context(ZooKeeperServer()).hosts
            except ServerMissing as error:
                tell(f"without ZooKeeper: {error}")
                present = [name for name in names if not KNOWN[name].zookeeper]
        yield Yard(bench, folder, zookeeper, effort, tell), present


def measure(bench: Rig, names: Sequence[str], effort: Effort, tell: Tell) -> dict[str, Any]:
    """All figures: question → contestant → runs; where a question has sizes, question → size → contestant → runs."""
    with yard(bench, names, effort, tell) as (place, present):
        renewing = {size: [n for n in present if KNOWN[n].renews and KNOWN[n].held_max >= size] for size in effort.held}
        return {
            "pair": _rounds(place, present, pair),
            "handover": {str(crowd): _rounds(place, present, lambda y, n, crowd=crowd: handover(y, n, crowd))
                         for crowd in effort.crowds},
            "recovery": _rounds(place, present, recovery),
            "renewal": {str(size): _rounds(place, renewing[size], lambda y, n, size=size: renewal(y, n, size))
                        for size in effort.held},
        }


def _rounds(place: Yard, names: Sequence[str], once: Callable[[Yard, str], dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(place.effort.runs if names else 0):
        for name in in_turn(names, number):
            figures[name].append(once(place, name))
            place.tell(f"run {number + 1} of {place.effort.runs}: {KNOWN[name].title}: {_told(figures[name][-1])}")
    return figures


def _told(figures: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in figures.items() if value is not None)


def pair(place: Yard, name: str) -> dict[str, Any]:
    """Uncontended."""
    place.fresh()
    n = max(1, round(place.effort.pairs * KNOWN[name].part))
    with place.bench.contestant(place.job(name, "pair", n=n)) as worker:
        ready(worker)
        before_s = place.bench.cpu_s()
        found = _report(worker)
        server_s = place.bench.cpu_s() - before_s
    return {"n": n, **{key: found[key] for key in ("p50_us", "p99_us", "client_cpu_us")},
            "server_cpu_us": None if KNOWN[name].zookeeper else server_s * 1e6 / n}


def handover(place: Yard, name: str, crowd: int) -> dict[str, Any]:
    """``crowd`` wait while one holds."""
    board = place.fresh()
    shares = [(crowd + 1 + place_) // PROCESSES for place_ in range(PROCESSES)]
    with ExitStack() as stack:
        workers = [stack.enter_context(place.bench.contestant(place.job(
            name, "crowd", n=share, crowd=crowd, place=number + 1))) for number, share in enumerate(shares)]
        for worker in workers:
            ready(worker)
        _until_settled(board, crowd)
        from_ns = time.monotonic_ns() + int(WARM_S * 1e9)
        before = _sent(place)
        time.sleep(WARM_S + place.effort.seconds)
        sent = _sent(place) - before
        board.add("stop", 1)
        grants = sorted(tuple(grant) for worker in workers for grant in _report(worker)["grants"])
    late_ms, twice = gaps(grants, from_ns)
    return {"handovers": len(late_ms), "p50_ms": percentile(late_ms, 50), "p99_ms": percentile(late_ms, 99),
            "overlaps": twice,
            "commands": None if KNOWN[name].zookeeper else sent / max(1, board.total("grants"))}


def gaps(grants: Sequence[tuple[int, int, int]], from_ns: int) -> tuple[list[float], int]:
    """Milliseconds between two holders, sorted, and how often there were two at once; of what ended after ``from_ns``.

    A grant: when it came, when it was given back, whose it was.
    """
    pairs = [(after[0] - before[1]) / 1e6 for before, after in pairwise(grants) if before[1] >= from_ns]
    return sorted(gap for gap in pairs if gap > 0), sum(1 for gap in pairs if gap <= 0)


def _until_settled(board: Board, crowd: int) -> None:
    """Everybody waits, but one."""
    until = time.monotonic() + PATIENCE_S
    while board.total("waiting") < crowd or not board.total("grants"):
        if time.monotonic() > until:
            raise RuntimeError(f"{board.total('waiting')} of {crowd} contenders wait after {PATIENCE_S:g} s")
        time.sleep(0.01)


def recovery(place: Yard, name: str) -> dict[str, Any]:
    """One kill, while one waits."""
    place.fresh()
    with place.bench.contestant(place.job(name, "wait", place=2, lease_ms=DEATH_LEASE_MS)) as waits:
        ready(waits)
        with place.bench.contestant(place.job(name, "hold", place=1, lease_ms=DEATH_LEASE_MS)) as dies:
            dies.wait_line(lambda line: line["event"] == "taken", PATIENCE_S)
            waits.wait_line(lambda line: line["event"] == "waiting", PATIENCE_S)
            time.sleep(SETTLE_S)
            killed_ns = time.monotonic_ns()
            dies.kill9()
            got = waits.wait_line(lambda line: line["event"] == "got", PATIENCE_S)
    return {"recovered_s": (got["at_ns"] - killed_ns) / 1e9}


def renewal(place: Yard, name: str, held: int) -> dict[str, Any]:
    """So many locks are held. What the server is sent, and what that costs both sides."""
    board = place.fresh()
    with place.bench.contestant(place.job(name, "keep", n=held)) as worker:
        ready(worker)
        began, cpu_s, before = time.monotonic(), place.bench.cpu_s(), _calls(place)
        time.sleep(place.effort.renewal_s)
        seconds, server_s = time.monotonic() - began, place.bench.cpu_s() - cpu_s
        calls = {key: value - before.get(key, 0) for key, value in _calls(place).items()}
        board.add("stop", 1)
        found = _report(worker)
    scripts = calls.get("evalsha", 0) + calls.get("eval", 0)
    # Once for each lock, in everybody's script; ours with a queue also extends the keys that belong to it.
    renewed = calls.get("zadd") or calls.get("pexpire", 0) + calls.get("expire", 0)
    return {"seconds": seconds, "commands_per_s": scripts / seconds,
            "locks_per_command": renewed / scripts if scripts else None,
            "server_cpu_percent": 100 * server_s / seconds, "client_cpu_percent": 100 * found["cpu_s"] / seconds,
            "threads": found["threads"], "lost": found["lost"]}


def _report(worker: Worker) -> dict[str, Any]:
    found: dict[str, Any] = worker.wait_line(lambda line: line["event"] == "report", PATIENCE_S)
    return found


def _sent(place: Yard) -> int:
    return int(place.bench.admin.info("stats")["total_commands_processed"])


def _calls(place: Yard) -> dict[str, int]:
    """Command → how often it was carried out, scripts' own included."""
    stats = place.bench.admin.info("commandstats")
    return {key.removeprefix("cmdstat_"): found["calls"] for key, found in stats.items()}


def overlaps(figures: dict[str, Any]) -> int:
    """Two of ours at once, and locks of ours that were lost, though nothing failed: neither may be."""
    found = 0
    for question, key in (("handover", "overlaps"), ("renewal", "lost")):
        found += sum(run[key] for runs in figures[question].values() for name, each in runs.items()
                     if KNOWN[name].is_ours for run in each)
    return found
