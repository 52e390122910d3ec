# SPDX-License-Identifier: Apache-2.0
"""What a member of a real cluster costs, ours and Serf's: ``python -m benchmarks.gossip_clusters WHO MEMBERS PROCESSES
WINDOW_S KILLS`` prints JSON. A child. WHO is ``ours`` or ``serf``.

All members are on this machine, encrypted with a key of 32 bytes, LAN profile, otherwise as they come: Serf's agents
compress what that makes smaller, ours do not. First a window in which nothing happens, then one with an event a second,
then one member after the other is killed, and it is seen when the others know.

CPU is what the kernel charged to the members' processes. Bytes and packets are counted by the loopback device, with all
headers, of datagrams and streams; who kills and asks sits beside the members, and asks nothing during a window but, of
Serf, for the event: some 500 bytes. The cluster has a network namespace of its own, so nothing else speaks there;
where the system grants none, ``alone`` is false, and what others said meanwhile is counted too.

Several members of ours share a process, as far as PROCESSES is less than MEMBERS; those that are killed never do.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

KEY = bytes(range(32))
EVENT, PAYLOAD = "tick", bytes(32)
#: Before the first window: news of who joined is told and told again until then.
SETTLE_S = 8.0
#: After a window with events, until each was heard; until a death is known to all.
HEARD_S, KNOWN_S = 10.0, 90.0
JOINED_S = 120.0
#: Our counters and the kernel's agree on datagrams up to this, where nobody else speaks.
AGREE = 0.02
#: In its own namespace already.
_INSIDE = "HOLDFAST_BENCH_NAMESPACE"


class Town(Protocol):
    """A cluster that runs. Where an answer is a mapping by name, it is by the members that live."""

    async def pids(self) -> Sequence[int]:
        """Of all processes that members run in."""

    async def seen(self) -> Mapping[str, int]:
        """How many members each takes for alive."""

    async def counts(self) -> Mapping[str, int]:
        """What members themselves have counted, in all; nothing where they do not tell."""

    async def event(self) -> None:
        """One tells everybody."""

    async def heard(self) -> int | None:
        """Events that members heard, in all; None where they do not tell."""

    async def kill(self) -> str:
        """Ends one as ``kill -9`` does; its name."""

    async def mourn(self, name: str, within_s: float) -> Mapping[str, float]:
        """When each learnt that it failed, of the monotonic clock; ends when all have."""


async def measure(opened: AbstractAsyncContextManager[Town], members: int, window_s: float, kills: int,
                  *, alone: bool) -> dict[str, Any]:
    """All figures of one cluster. Per node and second, unless they are named otherwise."""
    async with opened as town:
        began = time.monotonic()
        await _all_see(town, members)
        joined_s = time.monotonic() - began
        await asyncio.sleep(min(SETTLE_S, 2 * window_s))
        pids = await town.pids()
        idle = await _window(town, pids, members, window_s, events=False)
        busy = await _window(town, pids, members, window_s, events=True)
        memory = sum(map(_resident, pids)) / members
        await _all_see(town, members)
        deaths = [await _death(town) for _ in range(kills)]
        wrong = [f"a death was known to {one['known']} of {one['of']}" for one in deaths if one["known"] < one["of"]]
        for name, found in (("idle", idle), ("with events", busy)):
            wrong += _disagreements(name, found, alone=alone)
        return {"members": members, "processes": len(pids), "alone": alone, "window_s": window_s,
                "joined_s": joined_s, "memory_bytes": memory, "idle": idle, "events": busy, "deaths": deaths,
                "wrong": wrong}


async def _all_see(town: Town, members: int) -> None:
    async with asyncio.timeout(JOINED_S):
        while True:
            if set((await town.seen()).values()) == {members}:
                return
            await asyncio.sleep(0.25)


async def _window(town: Town, pids: Sequence[int], members: int, window_s: float, *, events: bool) -> dict[str, Any]:
    heard, own = await town.heard(), await town.counts()
    before, began = _charged(pids), time.monotonic()
    said = 0
    while (left := began + window_s - time.monotonic()) > 0:
        if events:
            await town.event()
            said += 1
        await asyncio.sleep(min(left, max(0.0, began + said - time.monotonic())) if events else left)
    after, took = _charged(pids), time.monotonic() - began
    told = await town.counts()
    each = {name: (after[name] - before[name]) / members / took for name in before}
    found: dict[str, Any] = {
        "cpu_ms": 1e3 * each["cpu_s"], "bytes": each["bytes"], "packets": each["packets"],
        "datagrams": each["datagrams"], "said": said,
        "counted": {name: (told[name] - own.get(name, 0)) / members / took for name in told}}
    if heard is not None:
        found["heard"], found["to_hear"] = await _heard(town, heard, said * members), said * members
    return found


async def _heard(town: Town, before: int, wanted: int) -> int:
    ends = time.monotonic() + HEARD_S
    while True:
        found = (await town.heard() or 0) - before
        if found >= wanted or time.monotonic() > ends:
            return found
        await asyncio.sleep(0.1)


async def _death(town: Town) -> dict[str, Any]:
    living = len(await town.seen()) - 1
    died = time.monotonic()
    name = await town.kill()
    known = sorted(when - died for when in (await town.mourn(name, KNOWN_S)).values())
    times = {"first_s": known[0], "half_s": statistics.median(known), "last_s": known[-1]} if known else {}
    return {"known": len(known), "of": living, **times}


def _disagreements(name: str, found: Mapping[str, Any], *, alone: bool) -> Iterator[str]:
    if found.get("heard") != found.get("to_hear"):
        yield f"{name}: {found['heard']} events were heard of {found['to_hear']}"
    own = found["counted"].get("packets_out")
    if alone and own is not None and abs(own - found["datagrams"]) > AGREE * own + 0.1:
        yield f"{name}: members count {own:.2f} datagrams a second, the kernel {found['datagrams']:.2f}"


def impossible() -> str:
    """Why nothing can be measured here; empty: it can."""
    return "" if Path("/proc/self/net/snmp").exists() else "what members cost is read from Linux's /proc"


# -- what the kernel knows --------------------------------------------------------------------------------------------

def _charged(pids: Sequence[int]) -> dict[str, float]:
    """CPU of these processes so far, and what went over loopback."""
    sent, packets = _loopback(Path("/proc/self/net/dev").read_text())
    return {"cpu_s": sum(map(cpu_s, pids)), "bytes": sent, "packets": packets,
            "datagrams": _datagrams(Path("/proc/self/net/snmp").read_text())}


def cpu_s(pid: int) -> float:
    """User and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _loopback(dev: str) -> tuple[int, int]:
    """Bytes and packets sent, which on this device are those received."""
    (line,) = (line for line in dev.splitlines() if line.strip().startswith("lo:"))
    fields = line.partition(":")[2].split()
    return int(fields[8]), int(fields[9])


def _datagrams(snmp: str) -> int:
    names, values = (line.split() for line in snmp.splitlines() if line.startswith("Udp:"))
    return int(values[names.index("OutDatagrams")])


# -- a network of one's own -------------------------------------------------------------------------------------------

def _alone() -> bool:
    """Goes on in a network namespace, where the system grants one."""
    if os.environ.get(_INSIDE):
        _loopback_up()
        return True
    for flags in ("-n", "-rn"):
        command = ["unshare", flags]
        if shutil.which(command[0]) and subprocess.run([*command, "true"], capture_output=True, check=False
                                                       ).returncode == 0:
            os.environ[_INSIDE] = "1"
            os.execvp(command[0], [*command, sys.executable, "-m", "benchmarks.gossip_clusters", *sys.argv[1:]])
    return False


def _loopback_up() -> None:
    """``ip link set lo up``, where there is no ``ip``."""
    siocsifflags, up_and_running = 0x8914, 0x41
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sH14x", b"lo", up_and_running))


def main(who: str, members: int, processes: int, window_s: float, kills: int) -> dict[str, Any]:
    from . import gossip_clusters_ours, gossip_clusters_serf

    alone = _alone()
    towns: Mapping[str, Callable[[int, int, int], AbstractAsyncContextManager[Town]]] = {
        "ours": gossip_clusters_ours.town, "serf": gossip_clusters_serf.town}
    opened = towns[who](members, processes, kills)
    return {"who": who, **asyncio.run(measure(opened, members, window_s, kills, alone=alone))}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))))
