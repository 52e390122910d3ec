# SPDX-License-Identifier: Apache-2.0
"""A process that makes nodes by forking itself: fifty of them start in a second or two, and share what they imported.

::

    fleet ──plan + one end of a pair──▶ this process ──fork──▶ node, which talks to the fleet through that end

This process has no loop, no thread and no socket but the one it is told by, so a fork of it is a clean start. When the
fleet goes away, each node reads the end of its pair and stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec

from ..._base.typed import from_json
from ...consume.backoff import Exponential
from ...errors import BadPacket, HoldfastError
from ...gossip.trust.identity import Identity
from ..mempool import Account
from ..relay.named import named
from . import money
from .node import Node
from .orders import Answer, Call, Done, Failed, Inspect, Order, Plan, Ready, State, Stop, Submit, Taken
from .settings import Links, Settings
from .writing import Journal

#: Bytes of a plan, and of an order.
PLAN_MAX: Final = 1 << 20
#: Kinds of messages by which something spreads: who drops, says none of them.
_SPREADING: Final = frozenset({"body", "stem", "announce", "sketch", "headers", "compact", "parts", "block", "absent"})


def serve(control: socket.socket) -> None:
    """Forks a node for each plan that comes, and says its process id; ends when nobody asks any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: the system buries them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: whoever started us tells us to end
    gc.collect()
    gc.freeze()  # what was imported is never looked at by the collector, so its pages stay shared
    while True:
        data, fds, _, _ = socket.recv_fds(control, PLAN_MAX, 1)
        if not data or not fds:
            return
        child = os.fork()
        if child == 0:
            control.close()
            _become(data, fds[0])
        os.close(fds[0])
        control.send(str(child).encode())


def _become(data: bytes, fd: int) -> None:
    """The child: a node, and never anything else."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with socket.socket(fileno=fd) as pair:
            asyncio.run(_live(from_json(data, Plan), pair))
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must not run on as a second parent
        sys.stderr.write(f"a node ended: {type(error).__name__}: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _live(plan: Plan, pair: socket.socket) -> None:
    identity = Identity.revealed(plan.keys)
    accounts = {bytes.fromhex(sender): Account(balance, 0) for sender, balance in plan.balances.items()}
    journal = Journal(Path(plan.journal) if plan.journal else None, identity.id, seed=plan.seed)
    node = Node(
        Settings(network=plan.network, links=Links(outbound=plan.outbound, inbound=plan.inbound),
                 makers=tuple(bytes.fromhex(maker) for maker in plan.makers), make_every_s=plan.make_every_s,
                 latencies_s=plan.latencies_s, ping_s=plan.ping_s, dead_s=plan.dead_s,
                 retry=Exponential(0.2, 2.0)),
        identity, named(plan.policy, plan.pace), accounts, journal=journal,
        chance=random.Random(f"{plan.seed} {identity.id}"),
        drops=(lambda message: message.kind in _SPREADING) if plan.drops else (lambda _: False))
    reader, writer = await asyncio.open_connection(sock=pair, limit=PLAN_MAX)

    def say(answer: Answer) -> None:
        writer.write(msgspec.json.encode(answer) + b"\n")

    try:
        await node.start()
        say(Ready(identity.id, *(node.listens or ("", 0)), os.getpid()))
        while True:
            line = await reader.readline()
            order = from_json(line, Order) if line else Stop()
            if isinstance(order, Stop):
                break
            say(_done(node, order))
            await writer.drain()
    except (HoldfastError, OSError, ValueError) as error:
        say(Failed(f"{type(error).__name__}: {error}"))
    await node.stop()
    say(Done())
    with contextlib.suppress(OSError):
        await writer.drain()
    writer.close()


def _done(node: Node, order: Order) -> Answer:
    if isinstance(order, Call):
        for host, port in order.addresses:
            node.call((host, port))
        return Done()
    if isinstance(order, Submit):
        try:
            return Taken(node.submit(money.decode(order.tx)).why)
        except BadPacket as bad:
            return Taken(f"malformed: {bad}")
    if isinstance(order, Inspect):
        now = node.inspect()
        held = sorted(tx.id for tx in node.carrier.full.pool.transactions()) if order.held else []
        return State(now.peers, now.mempool, now.known, now.height, now.head, now.counted, _own_kb(), held)
    return Failed("that is no order")


def _own_kb() -> int:
    """Memory that is this process's alone, from /proc; 0 where there is none."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as told:
        serve(told)
