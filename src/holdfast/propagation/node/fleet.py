# SPDX-License-Identifier: Apache-2.0
"""Many nodes, each in a process of its own, on this machine: for runs, comparisons and faults.

::

    async with Fleet() as fleet:
        nodes = [await fleet.start(plan) for plan in plans]
        await nodes[0].call([nodes[1].address])
        await nodes[0].submit(tx)

They listen on loopback, on ports that the system gives. Each is stopped by its process id, and only by the fleet that
started it; whatever happens to the fleet, its nodes end with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from ..._base.typed import from_json
from ...errors import HoldfastError
from ..mempool import Transaction
from ..peers.book import Address
from . import money
from .orders import Answer, Call, Done, Failed, Inspect, Order, Plan, Ready, State, Stop, Submit, Taken

A = TypeVar("A", Ready, Taken, State, Done)

#: A node that has not answered after this long does not.
PATIENCE_S: Final = 60.0


class FleetError(HoldfastError):
    """A node of a run did not start, or does not answer."""


class Remote:
    """A node of the fleet."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.id = ""
        self.address: Address = ("", 0)
        self.gone = False
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()

    async def ready(self) -> None:
        """It listens. Raises FleetError."""
        ready = await self._heard(Ready)
        self.id, self.address = ready.id, (ready.host, ready.port)

    async def call(self, addresses: list[Address]) -> None:
        """It calls these from now on."""
        await self._asked(Call(addresses), Done)

    async def submit(self, tx: Transaction) -> str:
        """Its user makes a transaction: why it was refused; empty: it was not."""
        return (await self._asked(Submit(money.encode(tx)), Taken)).why

    async def inspect(self, *, held: bool = False) -> State:
        """How it is. held: the ids in its mempool, too."""
        return await self._asked(Inspect(held), State)

    async def stop(self) -> None:
        """It ends in good order."""
        if self.gone:
            return
        self.signal(signal.SIGCONT)
        try:
            await self._asked(Stop(), Done)
        except FleetError:
            self.signal(signal.SIGKILL)
        self.leave()

    def leave(self) -> None:
        """Nothing more is said to it. A node that nobody talks to ends."""
        self.gone = True
        self._writer.close()

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL, SIGSTOP, SIGCONT: to this process only."""
        if not self.gone:
            os.kill(self.pid, number)
            self.gone = number == signal.SIGKILL

    async def _asked(self, order: Order, kind: type[A]) -> A:
        async with self._turn:
            try:
                self._writer.write(msgspec.json.encode(order) + b"\n")
                await self._writer.drain()
            except OSError as error:
                raise FleetError(f"node {self.id or self.pid} is gone: {error}") from error
            return await self._heard(kind)

    async def _heard(self, kind: type[A]) -> A:
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await self._reader.readline()
        except (TimeoutError, OSError) as error:
            raise FleetError(f"node {self.id or self.pid} does not answer: {error}") from error
        if not line:
            self.gone = True
            raise FleetError(f"node {self.id or self.pid} is gone")
        answer: Any = from_json(line, Answer)
        if isinstance(answer, Failed):
            raise FleetError(f"node {self.id or self.pid}: {answer.why}")
        if not isinstance(answer, kind):
            raise FleetError(f"node {self.id or self.pid} answered something else")
        return answer


class Fleet:
    """Nodes that this process started."""

    def __init__(self) -> None:
        self.nodes: list[Remote] = []
        self._maker: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._control = ours
        with theirs:
            self._maker = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "holdfast.propagation.node.worker", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes), return_exceptions=True)
        for node in self.nodes:
            node.leave()
        if self._control is not None:
            self._control.close()
        if self._maker is not None:
            await self._maker.wait()

    async def start(self, plan: Plan) -> Remote:
        """One node more; it listens when this returns. Raises FleetError."""
        node = await self.spawn(plan)
        await node.ready()
        return node

    async def spawn(self, plan: Plan) -> Remote:
        """The same, and it need not listen yet: many start sooner one beside the other."""
        if self._control is None:
            raise FleetError("a fleet starts nodes within `async with`")
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [msgspec.json.encode(plan)], [theirs.fileno()])
                async with asyncio.timeout(PATIENCE_S):
                    pid = int(await loop.sock_recv(self._control, 64) or b"0")
            except (OSError, TimeoutError, ValueError) as error:
                ours.close()
                raise FleetError(f"no node could be started: {error}") from error
        if not pid:
            ours.close()
            raise FleetError("no node could be started: the process that makes them has ended")
        node = Remote(pid, *await asyncio.open_connection(sock=ours, limit=64 << 20))
        self.nodes.append(node)
        return node
