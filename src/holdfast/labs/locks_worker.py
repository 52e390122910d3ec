# SPDX-License-Identifier: Apache-2.0
"""One worker process of the lab: ``python -m holdfast.labs.locks_worker ASSIGNMENT.json``. All schemes at once.

On SIGUSR1 it waits for one lock of each scheme, and works in a thread for as long as it has it, as plain code does:
look whether it is still held, think for a moment, write. Whatever stops the process in that moment, the write comes
late: no lock can hold it back, only what is written to can. Each write is sent twice: to a list that takes everything,
and to a list behind a guard, which compares the fencing token where the lock has one and lets everything in otherwise.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .._base.typed import from_json
from .._redis.open import open_server
from ..errors import FenceRejected, LeaseLost
from ..locks.guards import RedisGuard
from .locks_schemes import Addresses, Scheme, named, token_of

if TYPE_CHECKING:
    from .._redis.server import Server
    from ..locks import Acquisition

#: Seconds of thought between the look and the write.
THOUGHT_S = 0.15
#: A lock that nobody renews is taken for so many leases of the others: it has to outlast the work.
UNRENEWED_LEASES = 3
ANSWER_S = 5.0


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker needs to know. task: the name of what is locked, of one round. phases: a file with a byte a scheme,
    1 while it is in thought."""

    addresses: Addresses
    resource: str
    schemes: list[str]
    ttl_s: float
    task: str
    phases: str


def everything(task: str, scheme: str) -> str:
    """The list that takes everything."""
    return f"lab:{task}:{scheme}:everything"


def guarded(task: str, scheme: str) -> str:
    """The list behind the guard."""
    return f"lab:{task}:{scheme}:guarded"


def no_expiry(task: str) -> str:
    """A key that its maker wanted to delete: the lock of long ago."""
    return f"lab:{task}:no-expiry"


class Worker:
    """Waits, holds and writes."""

    def __init__(self, assignment: Assignment, resource: Server, told: asyncio.Event) -> None:
        self._a, self._resource, self._guard, self._told = assignment, resource, RedisGuard(resource), told
        self._loop = asyncio.get_running_loop()
        with Path(assignment.phases).open("r+b") as file:
            self._phases = mmap.mmap(file.fileno(), len(assignment.schemes))

    async def work(self, scheme: Scheme) -> None:
        """One scheme, until the lock is lost."""
        leases = 1 if scheme.renewed else UNRENEWED_LEASES
        async with scheme.open(self._a.addresses, leases * self._a.ttl_s) as door:
            async with door.lock(f"{self._a.task}-{os.getpid()}-{scheme.name}").hold():
                say(event="open", scheme=scheme.name)  # whatever is made at first use, is made
            await self._told.wait()
            held = await door.lock(f"{self._a.task}-{scheme.name}").acquire()  # some schemes share keys
            say(event="held", scheme=scheme.name, at=time.monotonic())
            ended: asyncio.Future[str] = self._loop.create_future()
            threading.Thread(target=self._write_on, args=(scheme.name, held, ended), daemon=True).start()
            say(event="ended", scheme=scheme.name, how=await ended)
            await asyncio.Event().wait()  # the lab ends this process

    def _write_on(self, scheme: str, held: Acquisition, ended: asyncio.Future[str]) -> None:
        """Plain code in a thread."""
        how, place = "", self._a.schemes.index(scheme)
        while not how:
            try:
                held.check()
                self._phases[place] = 1
                time.sleep(THOUGHT_S)
                self._phases[place] = 0
                asyncio.run_coroutine_threadsafe(self._written(scheme, held), self._loop).result(ANSWER_S)
            except LeaseLost:
                how = "lost"
            except FenceRejected:
                how = "refused"
        self._loop.call_soon_threadsafe(ended.set_result, how)

    async def _written(self, scheme: str, held: Acquisition) -> None:
        await self._append(everything(self._a.task, scheme))
        target = guarded(self._a.task, scheme)
        if token_of(held):
            await self._guard.write(target, held, ("RPUSH", target, os.getpid()))
        else:
            await self._append(target)

    async def _append(self, target: str) -> None:
        await self._resource.shared(target.encode()).call("RPUSH", target, os.getpid())


def say(**what: Any) -> None:
    """One line of JSON for the lab."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def work(assignment: Assignment) -> None:
    """Works until it is killed."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    resource, main = await open_server(assignment.resource), await open_server(assignment.addresses.main)
    key = no_expiry(assignment.task)
    await main.shared(key.encode()).call("SETNX", key, os.getpid())
    worker = Worker(assignment, resource, told)
    async with asyncio.TaskGroup() as group:
        for scheme in named(assignment.schemes):
            group.create_task(worker.work(scheme))


def main(path: str) -> None:
    """Reads the assignment and works."""
    asyncio.run(work(from_json(Path(path).read_bytes(), Assignment)))


if __name__ == "__main__":
    main(sys.argv[1])
