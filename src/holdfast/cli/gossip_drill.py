# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip drill``: how long it takes until a leaked key is of no use.

::

    members as processes ─ change the key ─ until all have it ─ expel one ─ until all others have the next key
                                             └ seconds           └ what it could record is tried with all it held

Without --rpc it is a cluster of its own on this machine, in which nothing is at stake. With it, a real one: the key is
changed and the named member expelled for good, so name one that was made for it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import BadPacket, GossipError, HoldfastError
from .context import token_option
from .gossip_ask import ask
from .output import json_option, print_fields, print_json, say
from .params import ADDRESS, DURATION

if TYPE_CHECKING:
    from ..gossip.agent import Cluster
    from ..gossip.trust import Credential, Identity
    from .plan import Address

LABEL: Final = "drill"
LEAD: Final = "lead"
LOOK_S: Final = 0.05
#: How long what is sent is recorded.
RECORD_S: Final = 1.0
DAY_MS: Final = 86_400_000


@click.command("drill")
@click.option("--members", "count", type=click.IntRange(3, 50), default=5, show_default=True,
              help="of the cluster that is made for it, each a process")
@click.option("--rpc", type=ADDRESS, envvar="HOLDFAST_GOSSIP_RPC", metavar="HOST:PORT",
              help="an agent of a real cluster, whose certificate has the roles rotate and revoke; then with --expel")
@click.option("--expel", metavar="NAME", help="the member of it that is expelled, for good")
@click.option("--also", multiple=True, type=ADDRESS, metavar="HOST:PORT",
              help="other agents of it, to be asked whether they have the new key; several if need be")
@click.option("--within", "within_s", type=DURATION, default="60s", show_default=True,
              help="how long each step may take")
@json_option
@token_option
def drill(*, count: int, rpc: Address | None, expel: str | None, also: Sequence[Address], within_s: float,
          as_json: bool) -> int:
    """Practise a leak: change the key, expel a member, and measure how long it takes everywhere.

    Exit code 1: a member did not get the key in time, or the expelled one could read something after it.
    """
    if (rpc is None) != (expel is None) or (also and rpc is None):
        raise click.UsageError("a drill in a real cluster wants --rpc and --expel; without them it makes its own")
    if rpc is not None and expel is not None:
        found = _real(rpc, expel, [rpc, *also], within_s)
    else:
        with tempfile.TemporaryDirectory(prefix="holdfast-drill-") as folder, asyncio.Runner() as runner:
            found = runner.run(_own(Path(folder), count, within_s))
    if as_json:
        print_json(found)
    else:
        print_fields([(name.removesuffix("_s").replace("_", " "), f"{value} s" if name.endswith("_s") else str(value))
                      for name, value in found.items()])
    return 0 if found["ok"] else 1


def _real(rpc: Address, expel: str, everybody: Sequence[Address], within_s: float) -> dict[str, Any]:
    """In a real cluster: by the agents that are named."""
    def epoch_of(where: Address) -> int:
        return int(ask(where, "/v1/native/epoch")["epoch"])

    def until(wanted: int, began: float) -> float | None:
        while any(epoch_of(where) < wanted for where in everybody):
            if time.monotonic() - began > within_s:
                return None
            time.sleep(LOOK_S)
        return round(time.monotonic() - began, 3)

    began = time.monotonic()
    rotated_s = until(ask(rpc, "/v1/native/rekey", {"within_s": within_s}, wait_s=within_s)["epoch"], began)
    say(f"the key was changed; {expel} is expelled now")
    began = time.monotonic()
    done = ask(rpc, "/v1/revoke", {"node": expel, "reason": "a drill"}, wait_s=90.0)
    rekeyed_s = until(done["epoch"], began)
    return {"ok": rotated_s is not None and rekeyed_s is not None, "agents_asked": len(everybody),
            "rotated_everywhere_s": rotated_s, "expelled": expel, "rekeyed_everywhere_s": rekeyed_s}


# -- a cluster of its own ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Node:
    """One member: who it is, and where its process says that it listens."""

    folder: Path
    name: str
    identity: Identity
    credential: Credential

    @property
    def state(self) -> Path:
        return self.folder / f"{self.name}.state"

    def started(self, issuer: bytes, join: str) -> subprocess.Popen[bytes]:
        words = ("gossip", "agent", "--name", self.name, "--bind", "127.0.0.1:0", "--rpc", "127.0.0.1:0",
                 "--join", join, "--profile", "local", "--native", "--label", LABEL,
                 "--identity", str(self.folder / f"{self.name}.id"), "--seal", str(self.folder / "seal"),
                 "--issuer-key", base64.b64encode(issuer).decode(), "--trust-state", str(self.state))
        with (self.folder / f"{self.name}.err").open("wb") as err:
            return subprocess.Popen([sys.executable, "-m", "holdfast.cli", *words], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=err)

    @property
    def rpc(self) -> Address | None:
        """Where its process serves its RPC; None: it has not joined yet."""
        said = (self.folder / f"{self.name}.err").read_text("utf-8", "replace")
        _, found, where = said.partition(", RPC at ")
        host, _, port = where.partition("\n")[0].rpartition(":")
        return (host, int(port)) if found and "\n" in where else None


async def _own(folder: Path, count: int, within_s: float) -> dict[str, Any]:
    from ..gossip import LOCAL, Cluster
    from ..gossip.native import Native
    from ..gossip.trust import Identity, Policy

    (folder / "seal").write_bytes(os.urandom(32))
    (folder / "seal").chmod(0o600)
    issuer = Identity.generate(os.urandom)
    nodes = [_made(folder, f"m{number}", issuer) for number in range(1, count)]
    lead = _made(folder, LEAD, issuer, "rotate", "revoke")
    native = Native(label=LABEL, identity=lead.identity, certificate=lead.credential, issuers=[issuer.signing],
                    policy=Policy(grace_s=1.0))
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(Cluster(LEAD, native=native, leave_on_exit=False,
                                                          profile=replace(LOCAL, push_pull_interval_s=2.0)))
        for node in nodes:
            process = node.started(issuer.signing, cluster.address)
            stack.push_async_callback(asyncio.to_thread, _ended, process)
        say(f"{count} members start")
        await _until(lambda: sum(one.status == "alive" for one in cluster.members()) == count
                     and all(node.rpc for node in nodes), within_s, "all members know each other")
        return await _drilled(cluster, lead, nodes, issuer, within_s)


async def _drilled(cluster: Cluster, lead: _Node, nodes: list[_Node], issuer: Identity, within_s: float
                   ) -> dict[str, Any]:
    thief, rest = nodes[-1], nodes[:-1]
    began = time.monotonic()
    changed = await cluster.rotate(within_s=within_s)
    rotated_s = await _everywhere(nodes, changed, began, within_s)
    say(f"the key was changed; {thief.name} is expelled now")
    began = time.monotonic()
    changed = await cluster.revoke(thief.name, reason="a drill", within_s=within_s)
    rekeyed_s = await _everywhere(rest, changed, began, within_s)
    recorded: list[bytes] = []
    if cluster._transport is not None:  # noqa: SLF001 - what others could record is shown nowhere else
        cluster._transport.tap = recorded.append  # noqa: SLF001 - as above
    await cluster.event("drill", b"not for everybody")
    await asyncio.sleep(RECORD_S)
    unlock = _unlock(lead.folder)
    by_thief = await asyncio.to_thread(_read, thief, thief.state, unlock, issuer, recorded)
    by_member = await asyncio.to_thread(_read, rest[0], rest[0].state, unlock, issuer, recorded)
    ok = rotated_s is not None and rekeyed_s is not None and not by_thief and by_member == len(recorded) > 0
    return {"ok": ok, "members": len(nodes) + 1, "rotated_everywhere_s": rotated_s, "expelled": thief.name,
            "rekeyed_everywhere_s": rekeyed_s, "packets_recorded": len(recorded), "read_by_expelled": by_thief,
            "read_by_a_member": by_member}


def _made(folder: Path, name: str, issuer: Identity, *roles: str) -> _Node:
    from .._base.clock import WallMs
    from ..gossip.trust import Credential, Identity, issue
    from ..gossip.trust.kept import write_identity

    identity, now_ms = Identity.generate(os.urandom), time.time_ns() // 1_000_000
    signed = issue(issuer, LABEL.encode(), name, identity.signing, identity.sealing, serial=os.urandom(16),
                   not_before_ms=WallMs(now_ms - 1000), not_after_ms=WallMs(now_ms + DAY_MS), roles=roles)
    node = _Node(folder, name, identity, Credential(signed, None))
    write_identity(folder / f"{name}.id", identity, node.credential, _unlock(folder), os.urandom)
    return node


def _unlock(folder: Path) -> Any:
    from ..gossip.keys import KeyFile

    return KeyFile(folder / "seal")


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def _until(done: Callable[[], bool], within_s: float, what: str) -> None:
    ends = time.monotonic() + within_s
    while not done():
        if time.monotonic() > ends:
            raise GossipError(f"the drill waited {within_s:g} s until {what}, and they do not")
        await asyncio.sleep(LOOK_S)


async def _everywhere(nodes: Sequence[_Node], epoch: int, began: float, within_s: float) -> float | None:
    """Seconds until all of them seal with it; None: not in time."""
    lacking, context = list(nodes), click.get_current_context()
    while lacking:
        if time.monotonic() - began > within_s:
            return None
        there = await asyncio.gather(*(asyncio.to_thread(_epoch_of, node, context) for node in lacking))
        lacking = [node for node, has in zip(lacking, there, strict=True) if has < epoch]
        await asyncio.sleep(LOOK_S if lacking else 0)
    return round(time.monotonic() - began, 3)


def _epoch_of(node: _Node, context: click.Context) -> int:
    if node.rpc is None:
        return 0
    try:
        with context.scope(cleanup=False):  # click's own is the other thread's
            return int(ask(node.rpc, "/v1/native/epoch")["epoch"])
    except HoldfastError:
        return 0


def _read(node: _Node, state: Path, unlock: Any, issuer: Identity, packets: Sequence[bytes]) -> int:
    """How many of these packets whoever has all that the node kept can read."""
    from .._base.clock import WallMs
    from ..gossip.trust import Anchor, Opener, Trust
    from ..gossip.trust.kept import read_state
    from ..gossip.wire import label as labels

    trust = Trust(Anchor(LABEL, [issuer.signing]), node.identity, node.credential, os.urandom)
    trust.restore(read_state(state, unlock), WallMs(time.time_ns() // 1_000_000))
    opener, read = Opener(LABEL.encode()), 0
    for data in packets:
        try:
            opener.open(trust.epochs, labels.take(LABEL.encode(), data))
            read += 1
        except BadPacket:
            continue
    return read
