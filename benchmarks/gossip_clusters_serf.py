# SPDX-License-Identifier: Apache-2.0
"""Serf's agents, each in its process, asked over the RPC that ``serf`` itself asks by.

Source: hashicorp/serf, "RPC protocol" (serf.io/docs/agent/rpc.html): MessagePack maps, a head and mostly a body.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Self

import msgpack

from .gossip_clusters import EVENT, KEY, PAYLOAD

HOST = "127.0.0.1"
READY_S = 30.0
#: Between two looks of each agent at the dead.
LOOK_S = 0.1


class Rpc:
    """A connection to an agent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._unpacker, self._packer = msgpack.Unpacker(raw=True), msgpack.Packer(use_bin_type=False)
        self._seq = 0

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Tries until the agent listens."""
        async with asyncio.timeout(READY_S):
            while True:
                with suppress(OSError):
                    self = cls(*await asyncio.open_connection(HOST, port))
                    await self.ask("handshake", {"Version": 1}, answered=False)
                    return self
                await asyncio.sleep(0.05)

    async def ask(self, command: str, body: Mapping[str, object], *, answered: bool) -> dict[bytes, Any]:
        """answered: a body follows the head of the answer."""
        self._seq += 1
        self._writer.write(self._packer.pack({"Command": command, "Seq": self._seq}) + self._packer.pack(body))
        head = await self._next()
        if head[b"Error"]:
            raise OSError(f"serf does not {command}: {head[b'Error'].decode(errors='replace')}")
        return await self._next() if answered else {}

    async def _next(self) -> dict[bytes, Any]:
        async with asyncio.timeout(READY_S):
            while True:
                for found in self._unpacker:
                    return dict(found)
                data = await self._reader.read(65_536)
                if not data:
                    raise OSError("serf closed the connection")
                self._unpacker.feed(data)

    def close(self) -> None:
        self._writer.close()


class _Agent:
    def __init__(self, name: str, process: asyncio.subprocess.Process, rpc: Rpc) -> None:
        self.name, self.process, self.rpc = name, process, rpc

    async def members(self, status: str, name: str = "") -> int:
        body = {"Tags": {}, "Status": status, "Name": name}
        return len((await self.rpc.ask("members-filtered", body, answered=True))[b"Members"])


class Serf:
    """Agents; the last ones are killed first."""

    def __init__(self, agents: list[_Agent]) -> None:
        self._agents = agents

    async def pids(self) -> Sequence[int]:
        return [agent.process.pid for agent in self._agents]

    async def seen(self) -> Mapping[str, int]:
        return {agent.name: await agent.members("alive") for agent in self._agents}

    async def counts(self) -> Mapping[str, int]:
        return {}

    async def event(self) -> None:
        await self._agents[0].rpc.ask("event", {"Name": EVENT, "Payload": PAYLOAD, "Coalesce": False}, answered=False)

    async def heard(self) -> int | None:
        return None

    async def kill(self) -> str:
        victim = self._agents.pop()
        victim.process.kill()
        await victim.process.wait()
        return victim.name

    async def mourn(self, name: str, within_s: float) -> Mapping[str, float]:
        known: dict[str, float] = {}
        ends = time.monotonic() + within_s
        while len(known) < len(self._agents) and time.monotonic() < ends:
            for agent in self._agents:
                if agent.name not in known and await agent.members("failed", name):
                    known[agent.name] = time.monotonic()
            await asyncio.sleep(LOOK_S)
        return known


def missing() -> str:
    """Why there is no figure; empty: there is one."""
    return "" if shutil.which("serf") else "serf is not installed: apt-get install serf"


def version() -> str:
    """As it says itself."""
    said = subprocess.run(["serf", "version"], capture_output=True, text=True, check=True, timeout=READY_S).stdout
    return said.splitlines()[0].strip()


@asynccontextmanager
async def town(members: int, processes: int, kills: int) -> AsyncIterator[Serf]:
    """Agents, until the block ends. An agent is a process: ``processes`` is as many as there are members."""
    if processes != members or kills >= members:
        raise ValueError("a Serf agent is one process, and somebody has to see them die")
    agents: list[_Agent] = []
    async with AsyncExitStack() as stack:
        first = 0
        for number in range(members):
            port, rpc_port = free_port(), free_port()
            name = f"agent-{number:03d}"
            process = await asyncio.create_subprocess_exec(
                "serf", "agent", f"-node={name}", f"-bind={HOST}:{port}", f"-rpc-addr={HOST}:{rpc_port}",
                "-profile=lan", f"-encrypt={base64.b64encode(KEY).decode()}", "-log-level=err",
                *([f"-retry-join={HOST}:{first}", "-retry-interval=1s"] if first else []),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL)
            stack.push_async_callback(_ended, process)
            first = first or port
            rpc = await Rpc.connect(rpc_port)
            stack.callback(rpc.close)
            agents.append(_Agent(name, process, rpc))
        yield Serf(agents)


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def free_port() -> int:
    """Free for datagrams and streams just now."""
    for _ in range(64):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((HOST, 0))
            with suppress(OSError):
                udp.bind((HOST, tcp.getsockname()[1]))
                return int(tcp.getsockname()[1])
    raise OSError("no port is free for datagrams and streams both")
