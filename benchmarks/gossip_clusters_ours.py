# SPDX-License-Identifier: Apache-2.0
"""A cluster of ours over several processes, and one of these: ``python -m benchmarks.gossip_clusters_ours`` runs the
members that its first line names, does what the following ones say, and tells as JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from .gossip_clusters import EVENT, KEY, PAYLOAD
from .rig import ROOT

READY_S = 60.0


# -- beside the members -----------------------------------------------------------------------------------------------

class _Process:
    """Some members. answers: to what it was asked; failed: (who saw it, who failed) → when."""

    def __init__(self, process: asyncio.subprocess.Process, failed: dict[tuple[str, str], float]) -> None:
        self.process, self._failed = process, failed
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            said = json.loads(line)
            if said["what"] == "failed":
                self._failed[said["by"], said["name"]] = said["at"]
            else:
                self._answers.put_nowait(said)

    def tell(self, **what: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")

    async def answer(self, within_s: float = READY_S) -> dict[str, Any]:
        async with asyncio.timeout(within_s):
            return await self._answers.get()

    async def ask(self, what: str) -> dict[str, Any]:
        self.tell(what=what)
        return await self.answer()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading


class Ours:
    """Processes with members; the last ones have one member each, to be killed."""

    def __init__(self, processes: list[_Process], failed: dict[tuple[str, str], float]) -> None:
        self._processes, self._failed = processes, failed

    async def _looks(self) -> Sequence[dict[str, Any]]:
        return await asyncio.gather(*(one.ask("look") for one in self._processes))

    async def pids(self) -> Sequence[int]:
        return [one.process.pid for one in self._processes]

    async def seen(self) -> Mapping[str, int]:
        return {name: alive for look in await self._looks() for name, alive in look["alive"].items()}

    async def counts(self) -> Mapping[str, int]:
        return sum((Counter(look["counts"]) for look in await self._looks()), Counter())

    async def event(self) -> None:
        self._processes[0].tell(what="event")

    async def heard(self) -> int | None:
        return sum(look["heard"] for look in await self._looks())

    async def kill(self) -> str:
        victim = self._processes.pop()
        (name,) = (await victim.ask("look"))["alive"]
        await victim.end()
        return str(name)

    async def mourn(self, name: str, within_s: float) -> Mapping[str, float]:
        living, ends = set(await self.seen()), time.monotonic() + within_s
        while True:
            known = {by: at for (by, failed), at in self._failed.items() if failed == name and by in living}
            if known.keys() == living or time.monotonic() > ends:
                return known
            await asyncio.sleep(0.05)


def groups(members: int, processes: int, alone: int) -> list[int]:
    """How many members each process has: the last ``alone`` one each, the others as evenly as can be."""
    shared, left = max(1, processes - alone), members - alone
    return [*(left // shared + (at < left % shared) for at in range(min(shared, left))), *[1] * alone]


@asynccontextmanager
async def town(members: int, processes: int, kills: int) -> AsyncIterator[Ours]:
    """Members in so many processes, until the block ends."""
    failed: dict[tuple[str, str], float] = {}
    started: list[_Process] = []
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    async with AsyncExitStack() as stack:
        seed, first = "", 0
        for count in groups(members, processes, kills):
            process = _Process(await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.gossip_clusters_ours", stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=env), failed)
            stack.push_async_callback(process.end)
            process.tell(names=[f"member-{number:03d}" for number in range(first, first + count)], join=seed)
            first += count
            started.append(process)
            if not seed:
                seed = (await process.answer())["address"]
        for process in started[1:]:
            await process.answer()
        yield Ours(started, failed)


# -- a process of members ---------------------------------------------------------------------------------------------

def _say(what: str, **more: object) -> None:
    print(json.dumps({"what": what, **more}), flush=True)


async def _run() -> None:
    from holdfast.gossip import Cluster

    lines = await _lines()
    told = json.loads(await lines.readline())
    heard: Counter[str] = Counter()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as watching:
        clusters: list[Cluster] = []
        for name in told["names"]:
            join = [told["join"]] if told["join"] else [clusters[0].address] if clusters else []
            clusters.append(cluster := Cluster(name, join=join, key=KEY, leave_on_exit=False, join_within_s=30.0))
            watching.create_task(_deaths(cluster))
            watching.create_task(_events(cluster, heard))
            await stack.enter_async_context(cluster)
        _say("ready", address=clusters[0].address)
        while line := await lines.readline():
            if json.loads(line)["what"] == "event":
                await clusters[0].event(EVENT, PAYLOAD, coalesce=False)
                continue
            looks = [cluster.inspect() for cluster in clusters]
            _say("look", alive={one.name: one.members.get("alive", 0) for one in looks}, heard=heard.total(),
                 counts=sum((Counter(one.counts) for one in looks), Counter()))


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _deaths(cluster: Any) -> None:
    async for change in cluster.changes():
        if getattr(change, "what", "") == "failed":
            _say("failed", name=change.member.name, by=cluster.name, at=time.monotonic())


async def _events(cluster: Any, heard: Counter[str]) -> None:
    async for event in cluster.events():
        heard[cluster.name] += getattr(event, "name", "") == EVENT


if __name__ == "__main__":
    asyncio.run(_run())
