# SPDX-License-Identifier: Apache-2.0
"""``pause`` and ``crash``: a holder is stopped beyond its lease and goes on, or is killed. Real processes, all schemes.

Two workers (``locks_worker``) at a time: the first holds a lock of every scheme and writes, the second waits for them.

``pause``: the first is stopped with SIGSTOP, in the moment between looking and writing, until the second has written
under every lock; then it goes on. What it sends after that is late. A write was *let in* late when it stands in the
guarded list behind the second's first one: then two holders wrote, and ``double_grants`` counts it. ``late_writes`` are
all that were sent late, ``writes_refused`` those that the guard held off.

``crash``: the first is killed with SIGKILL. ``recovery_s`` is the time until the second holds the lock;
``double_grants`` would be a second holder before the first was dead.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import HoldfastError
from ..testing.processes import Worker
from ..testing.waiting import NotReached, wait_until_async
from .cells import Cell
from .locks_schemes import Scheme
from .locks_town import Town
from .locks_worker import THOUGHT_S, Assignment, everything, guarded, no_expiry

PAUSE, CRASH = "pause", "crash"
PATIENCE_S = 30.0
#: Writes of the second holder that show that it is at work.
AT_WORK = 1
#: Seconds after which the first holder is hurt, once the second one was told to wait.
MOMENT_S = (0.1, 0.25)
#: Parts of a lease for which a moment is looked for in which the first one is in thought under every lock.
AIM = 1.0
TRIES = 5
MODULE = "holdfast.labs.locks_worker"


class Hurts:
    """Counts what deaths and pauses do to each scheme."""

    def __init__(self, town: Town, schemes: Sequence[Scheme], ttl_s: float, rng: random.Random,
                 say: Callable[[str], None]) -> None:
        self._town, self._schemes, self._ttl_s = town, [scheme.name for scheme in schemes], ttl_s
        self._rng, self._say = rng, say
        self._folder = Path(tempfile.mkdtemp(prefix="holdfast-lab-"))
        self._number = 0
        self._crew: list[Worker] = []
        #: Is a key without expiry still there, so many seconds after its maker was killed?
        self.no_expiry_left, self.waited_s = False, 0.0
        #: (scenario, scheme, metric) → what each round found.
        self.found: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)

    async def pause(self) -> None:
        """One round."""
        task, first, second = await self._two(PAUSE)
        await self._all(second, "held")
        await self._until(lambda: all(self._wrote(everything(task, s), second, AT_WORK) for s in self._schemes),
                          "the next holder writes under every lock")
        first.resume()
        await self._all(first, "ended")
        for scheme in self._schemes:
            sent, let_in = (late(self._writers(where(task, scheme)), first.pid, second.pid)
                            for where in (everything, guarded))
            self._note(PAUSE, scheme, double_grants=int(let_in > 0), late_writes=sent, writes_refused=sent - let_in)
        self._say(f"pause: worker {first.pid} was stopped, worker {second.pid} went on in its place")
        self._dismiss()

    async def crash(self) -> None:
        """One round."""
        task, first, second = await self._two(CRASH)
        at = time.monotonic()
        first.kill9()
        await self._all(second, "held")
        for scheme, line in self._said(second, "held").items():
            self._note(CRASH, scheme, double_grants=int(line["at"] < at), recovery_s=line["at"] - at)
        self.no_expiry_left = bool(self._town.pair.master.admin.exists(no_expiry(task)))
        self.waited_s = time.monotonic() - at
        self._say(f"crash: worker {first.pid} was killed, worker {second.pid} went on in its place")
        self._dismiss()

    def cells(self) -> list[Cell]:
        """Sums of what is counted, the median of times, and the lease they are measured by."""
        found = []
        for (scenario, scheme, metric), values in self.found.items():
            if metric == "recovery_s":
                value: float = round(sorted(values)[len(values) // 2], 3)
            else:
                value = int(sum(values))
            found.append(Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit=_UNITS[metric]))
        return found

    def close(self) -> None:
        """Ends whoever is still there."""
        self._dismiss()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- one round ----------------------------------------------------------------------------------------------------

    async def _two(self, what: str) -> tuple[str, Worker, Worker]:
        """A first one that is stopped at work under every lock, and a second one that waits for everything.

        Tried anew where a machine was too busy: a lock that nobody renews may have ended by then.
        """
        for _ in range(TRIES):
            task, first, second = await self._try_two(what)
            if await self._stop_in_thought(first, task):
                break
            self._dismiss()
        else:
            raise HoldfastError(f"in {TRIES} tries no worker was met at work under every lock: too busy a machine")
        return task, first, second

    async def _try_two(self, what: str) -> tuple[str, Worker, Worker]:
        self._number += 1
        task = f"{what}-{self._number}"
        first, second = self._hire(task, 0), self._hire(task, 1)
        await self._all(first, "open")
        await self._all(second, "open")
        first.signal(signal.SIGUSR1)
        await self._all(first, "held")
        second.signal(signal.SIGUSR1)
        await self._until(lambda: all(self._wrote(everything(task, s), first, 1) for s in self._schemes),
                          "the first holder writes under every lock")
        await asyncio.sleep(self._rng.uniform(*MOMENT_S))
        return task, first, second

    async def _stop_in_thought(self, first: Worker, task: str) -> bool:
        """Stopped anywhere else it would look again before it writes. Whether it was met so."""
        until = time.monotonic() + AIM * self._ttl_s
        first.pause()  # it cannot move while it is looked at
        while not all(self._phases(task, 0).read_bytes()) and time.monotonic() < until:
            first.resume()
            await asyncio.sleep(self._rng.uniform(0.005, THOUGHT_S))
            first.pause()
        return all(self._phases(task, 0).read_bytes())

    def _phases(self, task: str, number: int) -> Path:
        return self._folder / f"{task}-{number}.phases"

    def _hire(self, task: str, number: int) -> Worker:
        phases, path = self._phases(task, number), self._folder / f"{task}-{number}.json"
        phases.write_bytes(bytes(len(self._schemes)))
        path.write_bytes(msgspec.json.encode(Assignment(
            addresses=self._town.addresses(), resource=self._town.resource.url, schemes=self._schemes,
            ttl_s=self._ttl_s, task=task, phases=str(phases))))
        self._crew.append(Worker.module(MODULE, str(path)))
        return self._crew[-1]

    def _dismiss(self) -> None:
        while self._crew:
            self._crew.pop().close()

    def _said(self, worker: Worker, event: str) -> dict[str, Any]:
        """Scheme → the line in which a worker says it."""
        lines = [line for line in worker.lines if isinstance(line, dict)]
        return {line["scheme"]: line for line in lines if line.get("event") == event}

    async def _all(self, worker: Worker, event: str) -> None:
        """A worker has said it of every scheme."""
        def all_said() -> bool:
            if not worker.alive:
                raise HoldfastError(f"worker {worker.pid} ended by itself: {worker.stderr.strip()[-400:]}")
            return self._said(worker, event).keys() == set(self._schemes)

        try:
            await wait_until_async(all_said, PATIENCE_S, event)
        except NotReached:
            missing = set(self._schemes) - self._said(worker, event).keys()
            raise HoldfastError(f"worker {worker.pid} did not say {event!r} of {', '.join(sorted(missing))} within "
                                f"{PATIENCE_S:g} s") from None

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        try:
            await wait_until_async(reached, PATIENCE_S, what)
        except NotReached as error:
            raise HoldfastError(str(error)) from error

    def _writers(self, target: str) -> list[int]:
        """Pids, in the order of their writes."""
        return [int(pid) for pid in self._town.resource.admin.lrange(target, 0, -1)]

    def _wrote(self, target: str, worker: Worker, count: int) -> bool:
        return self._writers(target).count(worker.pid) >= count

    def _note(self, scenario: str, scheme: str, **found: float) -> None:
        for metric, value in found.items():
            self.found[scenario, scheme, metric].append(value)


def late(writers: Iterable[int], first: int, second: int) -> int:
    """How many writes of ``first`` stand behind the first write of ``second``."""
    seen, count = False, 0
    for pid in writers:
        seen = seen or pid == second
        count += seen and pid == first
    return count


_UNITS = {"double_grants": "of rounds", "late_writes": "writes", "writes_refused": "writes", "recovery_s": "s"}
