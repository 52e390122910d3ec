# SPDX-License-Identifier: Apache-2.0
"""What every contestant's handler does: nothing, and the counting that shows it was done once.

The cost is the same for all: one clock look at the first message, and one increment of a byte per message.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .job import Job


def say(**what: Any) -> None:
    """One line of JSON for the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Tally:
    """Counts by message id, so that what is missing and what came twice both show."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._seen = bytearray(job.n)
        self.first_ns = 0
        self._cpu_ns = 0
        self.late_ns: list[int] = []
        self.take: Callable[[Any], None] = {"count": self._count, "late": self._late, "shout": self._shout}[job.measure]

    def _count(self, order: Any) -> None:
        if not self.first_ns:
            self.first_ns, self._cpu_ns = time.monotonic_ns(), time.process_time_ns()
        self._seen[order.id] += 1

    def _late(self, order: Any) -> None:
        self.late_ns.append(time.monotonic_ns() - order.sent_ns)
        self._count(order)

    def _shout(self, order: Any) -> None:
        say(event="started", id=order.id, at_ns=time.monotonic_ns())
        self._count(order)

    async def hang(self) -> None:
        """A handler that never returns, where the job asks for one."""
        if self._job.hang:
            await asyncio.Event().wait()

    def ready(self) -> None:
        """This process is up. Its own pid: a supervisor may stand between it and the parent."""
        say(event="ready", pid=os.getpid())

    def report(self) -> None:
        """The last word, at an orderly end."""
        calls = sum(self._seen)
        say(event="report", first_ns=self.first_ns, calls=calls, unique=len(self._seen) - self._seen.count(0),
            cpu_s=(time.process_time_ns() - self._cpu_ns) / 1e9, late_ns=self.late_ns)


async def paced(n: int, rate: float, publish: Callable[[int, int], Coroutine[Any, Any, Any]]) -> None:
    """Calls ``publish(number, now_ns)`` n times, at fixed moments: a late one does not delay those after it."""
    start = time.monotonic()
    for number in range(n):
        wait_s = start + number / rate - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await publish(number, time.monotonic_ns())
