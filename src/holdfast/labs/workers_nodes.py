# SPDX-License-Identifier: Apache-2.0
"""Nodes of the lab of worker ids, hired and hurt, and what they said and made. Everything here blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from signal import SIGTERM
from typing import Any

import msgspec

from ..errors import HoldfastError
from ..testing.processes import Worker
from ..testing.waiting import NotReached, wait_until
from .ids_count import SHORT, Count, counted
from .workers_schemes import Addresses, Pool, Scheme
from .workers_worker import Assignment, file_of

PATIENCE_S = 90.0
MODULE = "holdfast.labs.workers_worker"


class Nodes:
    """Those of one scenario. pool: of its worker ids; its name is the scenario's."""

    def __init__(self, folder: Path, at: Addresses, schemes: Sequence[Scheme], pool: Pool) -> None:
        self._folder, self._at, self._schemes, self.pool = folder / pool.name, at, list(schemes), pool
        self._folder.mkdir()
        self._closed = False
        self._all: list[Worker] = []
        self._pods: dict[int, int] = {}

    def hire(self, pods: Iterable[int], gate: str = "") -> Worker:
        """Starts a node with these pods."""
        if self._closed:
            raise HoldfastError("the lab was interrupted")
        path = self._folder / f"{len(self._all)}.json"  # the folder is ours alone: a URL may hold a password
        numbers = list(pods)
        path.write_bytes(msgspec.json.encode(Assignment(
            at=self._at, schemes=[scheme.name for scheme in self._schemes], pool=self.pool, pods=numbers,
            out=str(self._folder), gate=str(self._folder / gate) if gate else "")))
        node = Worker.module(MODULE, str(path))
        self._all.append(node)
        self._pods[node.pid] = len(numbers)
        return node

    def open(self, gate: str) -> None:
        """Lets those claim that wait for it."""
        (self._folder / gate).touch()

    def ready(self, *nodes: Worker) -> None:
        """They are about to claim, or wait for their gate."""
        for node in nodes:
            self.until(node, lambda node=node: bool(said(node, "ready")), "to be ready")  # type: ignore[misc]

    def settled(self, *nodes: Worker) -> None:
        """Each of their pods has a worker id, or was refused one that its template wants."""
        for node in nodes:
            self.until(node, lambda node=node: all(self._settled(node, s) for s in self._schemes),  # type: ignore[misc]
                       "to have worker ids")

    def _settled(self, node: Worker, scheme: Scheme) -> bool:
        done = {line["pod"] for line in said(node, "first", scheme.name)}
        if scheme.wants == "template":
            done |= {line["pod"] for line in said(node, "taken", scheme.name)}
        return len(done) == self._pods[node.pid]

    def until(self, node: Worker, reached: Callable[[], bool], what: str) -> None:
        """HoldfastError when it ends by itself, or is not there in time."""
        def look() -> bool:
            if not node.alive:
                raise HoldfastError(f"node {node.pid} ended by itself: {node.stderr.strip()[-600:]}")
            return reached()

        try:
            wait_until(look, PATIENCE_S, what)
        except NotReached:
            raise HoldfastError(f"node {node.pid} was {what}, and that is not so after {PATIENCE_S:g} s: "
                                f"{self._why(node)}") from None

    def _why(self, node: Worker) -> str:
        """Whose pods have no worker id, and what they were told last."""
        missing = [scheme.name for scheme in self._schemes if not self._settled(node, scheme)]
        told = {name: lines[-1]["error"] for name in missing if (lines := said(node, "taken", name))}
        return "; ".join(f"{name} ({told.get(name, 'no answer')})" for name in missing) or "all have worker ids"

    def end(self, *nodes: Worker) -> None:
        """SIGTERM, and waits for their orderly end."""
        for node in nodes:
            node.signal(SIGTERM)
        for node in nodes:
            try:
                node.wait(PATIENCE_S)
            except NotReached as error:
                raise HoldfastError(f"node {node.pid} did not end: {error}") from error

    def made(self, scheme: Scheme, *nodes: Worker) -> Count:
        """By these nodes, or by all that ever were."""
        return counted([self._raw(scheme, node) for node in nodes or self._all], SHORT)

    def made_since(self, scheme: Scheme, sizes: Mapping[tuple[str, int], int]) -> Count:
        """By all, behind what ``sizes`` said then."""
        return counted([self._raw(scheme, node)[sizes.get((scheme.name, node.pid), 0) * SHORT:] for node in self._all],
                       SHORT)

    def sizes(self) -> dict[tuple[str, int], int]:
        """(scheme, pid) → how many ids there are so far."""
        return {(scheme.name, node.pid): len(self._raw(scheme, node)) // SHORT
                for scheme in self._schemes for node in self._all}

    def _raw(self, scheme: Scheme, node: Worker) -> bytes:
        path = file_of(self._folder, scheme.name, node.pid)
        return path.read_bytes() if path.exists() else b""

    def close(self) -> None:
        """Ends whoever is still there."""
        self._closed = True
        while self._all:
            self._all.pop().close()


def said(node: Worker, event: str, scheme: str = "") -> list[dict[str, Any]]:
    """Lines in which a node says it."""
    return [line for line in list(node.lines) if isinstance(line, dict) and line.get("event") == event
            and scheme in ("", line.get("scheme"))]


def first_of(nodes: Iterable[Worker], scheme: str) -> dict[int, dict[str, Any]]:
    """Pod → the line in which it says its first id."""
    return {line["pod"]: line for node in nodes for line in said(node, "first", scheme)}
