# SPDX-License-Identifier: Apache-2.0
"""A process that takes locks and says what it does, a line of JSON each. Argument: a ``Task`` as JSON.

``pause``: takes it, and stops itself (SIGSTOP) before or behind its look at the clock; woken, it writes all the same.
``queue``: so many tasks wait in one queue, and each says when it was let in. ``fork``: forks while it holds. ``storm``:
takes locks of all kinds until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from holdfast._redis.open import open_server
from holdfast.errors import FenceRejected, LeaseLost
from holdfast.locks import Locks, LockSettings
from holdfast.locks.guards import Offer, RedisGuard
from holdfast.testing import wait_until_async
from tests.faults.locking import PERMITS, now, of, take


class Task(msgspec.Struct):
    """What to do. where: see ``pause``. count: waiting tasks. seed: of what a storm does."""

    url: str
    how: str
    name: str
    kind: str = "mutex"
    ttl_s: float = 0.6
    poll_s: float = 30.0
    where: str = "before"
    count: int = 1
    pause_s: float = 0.0
    seed: str = ""
    kinds: tuple[str, ...] = ()


def say(line: dict[str, Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


@contextlib.asynccontextmanager
async def opened(task: Task) -> AsyncIterator[Locks]:
    server = await open_server(task.url)
    locks = Locks(server, LockSettings(ttl_s=task.ttl_s, poll_s=task.poll_s))
    try:
        yield locks
    finally:
        await locks.close()
        await server.close()


class Holder:
    """One lock and what it guards. ``…:log`` takes every write, the guard none of a holder that was overtaken."""

    def __init__(self, locks: Locks, kind: str, name: str) -> None:
        self.kind, self.name, self.lock = kind, f"{name}-{kind}", of(locks, kind, f"{name}-{kind}")
        self.guard, self.link = RedisGuard(locks.server), locks.server.shared(self.name.encode())

    async def begin(self) -> None:
        self.held = await self.lock.acquire()
        say({"kind": self.kind, "token": self.held.fencing_token, "written": await self.write(),
             "until": self.held.deadline})

    def look(self) -> None:
        try:
            self.held.check()
            self.lost = False
        except LeaseLost:
            self.lost = True

    async def write(self) -> bool:
        token = self.held.fencing_token
        await self.link.call("RPUSH", f"{{{self.name}}}:log", json.dumps([token, now()]))
        try:
            await self.guard.write(f"{{{self.name}}}", Offer(token, self.held.acquisition),
                                   ("SET", f"{{{self.name}}}:kept", token))
        except FenceRejected:
            return False
        return True

    async def end(self) -> None:
        state = self.held.state.name
        say({"kind": self.kind, "lost": self.lost, "state": state, "written": await self.write(),
             "released": await self.lock.release(self.held)})


async def pause(task: Task) -> None:
    async with opened(task) as locks:
        holders = [Holder(locks, kind, task.name) for kind in task.kinds]
        for one in holders:
            await one.begin()
        say({"pauses": True})
        if task.where == "before":
            os.kill(os.getpid(), signal.SIGSTOP)
        for one in holders:
            one.look()
        if task.where == "behind":
            os.kill(os.getpid(), signal.SIGSTOP)
        for one in holders:
            await one.end()


async def queue(task: Task) -> None:
    async def wait(lock: Any, n: int) -> None:
        held = await lock.acquire()
        say({"in": n, "pid": os.getpid(), "token": held.fencing_token, "at": now()})
        await lock.release(held)

    async with opened(task) as locks:
        say({"ready": os.getpid()})
        link = locks.server.shared(task.name.encode())
        while not await link.call("EXISTS", f"{{{task.name}}}:go"):  # noqa: ASYNC110 - said through the server
            await asyncio.sleep(0.01)
        waiting = []
        for n in range(task.count):
            waiting.append(asyncio.create_task(wait(of(locks, task.kind, task.name), n), name=f"{n}"))
            await asyncio.sleep(task.pause_s)
        await asyncio.gather(*waiting)


async def fork(task: Task) -> None:
    async with opened(task) as locks:
        wanted = [of(locks, kind, task.name) for kind in task.kinds]
        taken = [await lock.acquire() for lock in wanted]
        await wait_until_async(lambda: locks.renewer.renewed >= len(taken), 10, "they are renewed")
        pid = os.fork()
        if pid == 0:
            states = [held.state.name for held in taken]
            time.sleep(task.ttl_s)  # noqa: ASYNC251 - no loop runs in the child
            say({"child": states, "commands": locks.renewer.commands,
                 "threads": [thread.name for thread in threading.enumerate() if thread.name == "holdfast-locks"]})
            os._exit(0)
        commands, began = locks.renewer.commands, now()
        while now() < began + task.ttl_s * 2:
            await asyncio.sleep(0.02)
            for held in taken:
                held.check()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])  # noqa: ASYNC222 - it has ended
        say({"parent": [held.state.name for held in taken], "renewals": locks.renewer.commands - commands, "code": code,
             "released": [await lock.release(held) for lock, held in zip(wanted, taken, strict=True)]})


async def storm(task: Task) -> None:
    """Two tasks a kind, without a pause. A killed one has said what it was about to do."""
    rng = random.Random(task.seed)

    async def again_and_again(locks: Locks, kind: str, who: int) -> None:
        for n in range(1_000_000):
            side = rng.choice(("read", "read", "write")) if kind == "rw" else ""
            lock = of(locks, {"rw": side, "permits": "permit"}.get(kind, kind), f"{task.name}-{kind}", PERMITS)
            about = {"side": side} if side else {}
            await take(lock, f"{kind}-{who}-{n}", say, wait_s=rng.choice((0.02, 0.3, 1.0)), work_s=rng.random() * 0.05,
                       kind=kind, **about)
            await asyncio.sleep(rng.random() * 0.05)

    async with opened(task) as locks:
        say({"ready": os.getpid()})
        taking = [asyncio.create_task(again_and_again(locks, kind, who)) for kind in task.kinds for who in range(2)]
        end = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set_result, None)
        await asyncio.wait([end, *taking], return_when=asyncio.FIRST_COMPLETED)
        for one in taking:
            one.cancel()
        found = await asyncio.gather(*taking, return_exceptions=True)
        say({"wrong": [repr(one) for one in found if not isinstance(one, asyncio.CancelledError)]})


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1], type=Task)
    asyncio.run({"pause": pause, "queue": queue, "fork": fork, "storm": storm}[told.how](told))
