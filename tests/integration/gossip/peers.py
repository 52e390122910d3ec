# SPDX-License-Identifier: Apache-2.0
"""Real peers from Debian's packages, on free ports of loopback, and members of ours in processes of their own.

Each is started by a test and stopped by its process id. One that is not installed raises ServerMissing, which skips
the test, and fails it with ``CI=true``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from holdfast.gossip import LOCAL
from holdfast.testing.binaries import ServerMissing
from tests.unit.gossip.vectors.capture import free_port, key

#: Keys that are the same in each run.
FIRST, SECOND = (base64.b64encode(key(name)).decode() for name in ("first", "second"))
#: The local profile tells news twice in a small cluster, which now and then misses somebody for a whole interval of
#: exchanges; a test does not wait for 15 s.
QUICK = replace(LOCAL, push_pull_interval_s=1.0)
SRC = Path(__file__).parents[3] / "src"


def installed(binary: str, package: str) -> str:
    """Its path. Raises ServerMissing."""
    found = shutil.which(binary)
    if found is None:
        raise ServerMissing(binary, f"apt-get install {package}")
    return found


async def until(look: Callable[[], object], within_s: float = 15.0, every_s: float = 0.02) -> object:
    """What ``look`` gives, once it is something. It may be a coroutine function; another process does what it sees."""
    async with asyncio.timeout(within_s):
        while True:
            found = look()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(every_s)


class Process:
    """One that runs. out: the file of what it says."""

    def __init__(self, process: asyncio.subprocess.Process, out: Path) -> None:
        self.process, self.out = process, out

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def stop(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()

    def said(self) -> str:
        return self.out.read_text(errors="replace")


@contextlib.asynccontextmanager
async def running(command: list[str], out: Path) -> AsyncIterator[Process]:
    """A process, until the block ends."""
    with out.open("wb") as file:
        process = Process(await asyncio.create_subprocess_exec(
            *command, stdout=file, stderr=file, stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(SRC)}), out)
    try:
        yield process
    finally:
        await process.stop()


class Serf:
    """An agent that runs."""

    def __init__(self, name: str, port: int, rpc: int, process: Process) -> None:
        self.name, self.port, self.rpc, self.process = name, port, rpc, process

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def say(self, *words: str) -> tuple[int, str]:
        """``serf WORDS``, of this agent: exit code and what it says."""
        asked = await asyncio.create_subprocess_exec(
            "serf", words[0], f"-rpc-addr=127.0.0.1:{self.rpc}", *words[1:], stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT)
        said, _ = await asyncio.wait_for(asked.communicate(), 30)
        return asked.returncode or 0, said.decode()

    async def members(self) -> dict[str, dict[str, object]]:
        """By name; none while it does not answer yet."""
        code, said = await self.say("members", "-format=json")
        return {each["name"]: each for each in json.loads(said)["members"]} if code == 0 else {}

    async def statuses(self) -> dict[str, str]:
        return {name: str(member["status"]) for name, member in (await self.members()).items()}

    async def sees(self, wanted: dict[str, str], within_s: float = 15.0) -> None:
        """Waits until it lists these members with these statuses."""
        async def looked() -> bool:
            return await self.statuses() == wanted

        try:
            await until(looked, within_s, 0.1)
        except TimeoutError:
            raise AssertionError(f"{self.name} sees {await self.statuses()}, not {wanted}") from None


@contextlib.asynccontextmanager
async def serf(name: str, folder: Path, *words: str, profile: str = "local") -> AsyncIterator[Serf]:
    """An agent, ready for its first question."""
    binary = installed("serf", "serf")
    port, rpc = free_port(), free_port()
    command = [binary, "agent", f"-node={name}", f"-bind=127.0.0.1:{port}", f"-rpc-addr=127.0.0.1:{rpc}",
               f"-profile={profile}", *words]
    async with running(command, folder / f"{name}.log") as process:
        agent = Serf(name, port, rpc, process)
        await until(agent.members, 10, 0.05)
        yield agent


class Alertmanager:
    """One that runs, as a peer of a cluster."""

    def __init__(self, port: int, web: int, process: Process) -> None:
        self.port, self.web, self.process = port, web, process

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def peers(self) -> dict[str, str]:
        """Their addresses by name, itself among them; none while it does not answer yet."""
        def ask() -> dict[str, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.web}/api/v2/status", timeout=2) as answer:
                    found = json.load(answer)["cluster"]
            except OSError:
                return {}
            return {peer["name"]: peer["address"] for peer in found.get("peers", ())}

        return await asyncio.to_thread(ask)


@contextlib.asynccontextmanager
async def alertmanager(folder: Path) -> AsyncIterator[Alertmanager]:
    """A peer that is alone, ready for its first question."""
    binary = installed("prometheus-alertmanager", "prometheus-alertmanager")
    port, web = free_port(), free_port()
    config = folder / "am.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    command = [binary, f"--cluster.listen-address=127.0.0.1:{port}", f"--web.listen-address=127.0.0.1:{web}",
               f"--storage.path={folder}/am", f"--config.file={config}", "--cluster.pushpull-interval=2s"]
    async with running(command, folder / "alertmanager.log") as process:
        found = Alertmanager(port, web, process)
        await until(found.peers, 15, 0.1)
        yield found


@contextlib.asynccontextmanager
async def ours(name: str, folder: Path, **settings: object) -> AsyncIterator[Process]:
    """A member of ours in a process of its own: for those that are stopped and killed."""
    told = json.dumps({"name": name, **settings})
    async with running([sys.executable, str(Path(__file__).with_name("member.py")), told],
                       folder / f"{name}.log") as process:
        await until(lambda: "ready" in process.said(), 15)
        yield process
