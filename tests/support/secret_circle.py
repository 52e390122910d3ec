# SPDX-License-Identifier: Apache-2.0
"""Nodes that hold shares, in this process or in processes of their own, and callers who ask them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.secrets.nodes import ACTIONS, Caller, Circle, Disk, Holder, Identity, Node, Serving, SharesStore, Standing
from holdfast.testing.ports import free_port

WORKER = Path(__file__).parents[1] / "faults" / "workers" / "secret_node.py"
ID = b"circle-of-tests!"


def seed(name: str) -> Secret[bytes]:
    return Secret(name.encode().ljust(32, b".")[:32])


def holder(index: int, port: int) -> Holder:
    identity = Identity(seed(f"node {index}"))
    return Holder(index, f"n{index}", f"127.0.0.1:{port}", identity.box_key, identity.sign_key)


def caller(name: str, *may: str, under: tuple[str, ...] = ("",)) -> Caller:
    return Caller(name, Identity(seed(name)).sign_key, may or ACTIONS, under)


class Town:
    """A circle of nodes. processes: each in one of its own; else all in this one. decide: a node's own rule, by its
    name. points: what a node's process does where (``HOLDFAST_POINTS``), by its name."""

    def __init__(self, folder: Path, n: int = 5, k: int = 3, *, processes: bool = False, spare: int = 0,
                 callers: tuple[Caller, ...] = (), decide: dict[str, Any] | None = None,
                 points: dict[str, str] | None = None) -> None:
        self.folder, self.processes, self.decide, self.points = folder, processes, decide or {}, points or {}
        ports = [free_port() for _ in range(n + spare)]
        self.known = [holder(index, port) for index, port in enumerate(ports, 1)]
        self.circle = Circle(ID, 1, k, tuple(self.known[:n]), callers or (caller("admin"),))
        self.running: dict[str, Any] = {}
        self.stores: list[SharesStore] = []
        for one in self.circle.holders:
            self.make(one, Standing(self.circle))
            self.start(one.name)

    def make(self, one: Holder, standing: Standing) -> None:
        Disk.make(self.folder / one.name, seed(f"node {one.index}"), standing)

    def start(self, name: str) -> None:
        port = int(next(one for one in self.known if one.name == name).address.rpartition(":")[2])
        if not self.processes:
            node = Node(self.folder / name, name, SystemClock(), os.urandom, self.decide.get(name, lambda *_: None))
            self.running[name] = Serving(node, port=port)
            return
        born = subprocess.Popen([sys.executable, WORKER, str(self.folder / name), name, str(port)],
                                stdout=subprocess.PIPE, env=os.environ | {"HOLDFAST_POINTS": self.points.pop(name, "")})
        assert born.stdout is not None
        assert born.stdout.readline() == b"serving\n"
        self.running[name] = born

    def kill(self, name: str) -> None:
        """As ``kill -9`` does it; a node in this process is closed."""
        one = self.running.pop(name)
        if not self.processes:
            one.close()
            return
        one.send_signal(signal.SIGKILL)
        self.buried(one)

    @staticmethod
    def buried(one: Any) -> None:
        one.wait(10)
        one.stdout.close()

    def store(self, name: str = "admin", **more: Any) -> SharesStore:
        made = SharesStore(more.pop("circle", self.circle), name, more.pop("seed", seed(name)), SystemClock(),
                           os.urandom, **more)
        self.stores.append(made)
        return made

    def next(self, k: int, *indices: int, **change: Any) -> Circle:
        """The circle that follows, not signed yet."""
        holders = tuple(one for one in self.known if one.index in indices)
        return msgspec.structs.replace(self.circle, epoch=self.circle.epoch + 1, k=k, holders=holders, **change)

    def join(self, new: Circle) -> None:
        """Nodes that are new are made and started."""
        for one in new.holders:
            if one.name not in self.running:
                self.make(one, Standing(new, writes=False))
                self.start(one.name)

    def close(self) -> None:
        for store in self.stores:
            store.close()
        for name in list(self.running):
            self.kill(name)
