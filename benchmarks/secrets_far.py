# SPDX-License-Identifier: Apache-2.0
"""Secrets elsewhere: ``python -m benchmarks.secrets_far FOLDER ROUNDS BOX_S`` prints JSON. A child.

A vault that is served over HTTPS, and circles of nodes that hold shares, each node and the server a process on this
machine. One caller, one value of 32 bytes at a time; then four callers beside one another. In each round everybody has
a turn. Nodes sync what they write; so does the vault behind the server.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.secrets.access import Tokens
from holdfast.secrets.contract import SecretStore
from holdfast.secrets.serve import ServerStore
from holdfast.testing.certificates import Authority
from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.support.secret_circle import Town
from tests.support.secret_server import Settings

#: (n, k) of circles.
CIRCLES = ((3, 2), (5, 3), (9, 5))
CALLERS, BYTES = 4, 32
NAMES = [f"team/secret{n}" for n in range(20)]


class Served:
    """A vault behind HTTPS."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "vault.key").write_bytes(os.urandom(32))
        tokens = Tokens(folder / "tokens.json", SystemClock().wall_ms, secrets.token_bytes)
        authority, port = Authority(folder / "authority", "Bench"), free_port()
        self._token, self._ca = tokens.issue("bench", frozenset({"all"}))[1], authority.ca
        self._address = f"https://127.0.0.1:{port}"
        settings = folder / "settings"
        settings.write_bytes(msgspec.json.encode(Settings(
            folder=folder, common=folder, port=port, certificate=authority.issue("server", server=True),
            ca=authority.ca, token=self._token.reveal()), enc_hook=str))
        with (folder / "said").open("wb") as said:
            self._process = subprocess.Popen([sys.executable, "-m", "tests.support.secret_server", str(settings)],
                                             stdout=said, stderr=said)
        wait_until(lambda: (folder / "started").exists() or self._process.poll() is not None, 30, "it listens")

    def store(self) -> SecretStore:
        return ServerStore([self._address], token=self._token, ca=self._ca)

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


def measured(folder: Path, rounds: int, box_s: float) -> dict[str, Any]:
    """Calls a second of each question, by who is asked; and whose values were not what was put."""
    wrong: list[str] = []
    with ExitStack() as stack:
        served = Served(folder / "served")
        stack.callback(served.close)
        makers: dict[str, Callable[[], SecretStore]] = {"served": served.store}
        for n, k in CIRCLES:
            town = Town(folder / f"{n}-{k}", n, k, processes=True)
            stack.callback(town.close)
            makers[f"nodes {n}, k {k}"] = town.store
        callers = {who: [make() for _ in range(CALLERS)] for who, make in makers.items()}
        for stores in callers.values():
            for store in stores:
                stack.callback(store.close)
        latest: dict[str, dict[str, bytes]] = {who: {} for who in callers}
        for who, stores in callers.items():
            for name in NAMES:
                _put(stores[0], latest[who], name)
        runs: dict[str, dict[str, list[float]]] = {
            what: {who: [] for who in callers} for what in ("read", "write", f"read, {CALLERS} callers")}
        for number in range(rounds):
            for what, found in runs.items():
                for who in list(found)[::-1 if number % 2 else 1]:
                    found[who].append(_rate(what, callers[who], latest[who], box_s))
        for who, stores in callers.items():
            wrong += [f"{who}: {name}" for name, value in latest[who].items()
                      if stores[-1].get(name).value.reveal() != value]
    return {"wrong": wrong, "per_s": {what: {who: {"median": median(rates), "lowest": min(rates), "highest": max(rates)}
                                             for who, rates in found.items()} for what, found in runs.items()}}


def _put(store: SecretStore, latest: dict[str, bytes], name: str) -> None:
    latest[name] = os.urandom(BYTES)
    store.put(name, Secret(latest[name]))


def _rate(what: str, stores: Sequence[SecretStore], latest: dict[str, bytes], box_s: float) -> float:
    if what == "write":
        return _turns(lambda name: _put(stores[0], latest, name), box_s)
    if what == "read":
        return _turns(_checked(stores[0], latest), box_s)
    with ThreadPoolExecutor(CALLERS) as pool:
        return sum(pool.map(lambda store: _turns(_checked(store, latest), box_s), stores))


def _checked(store: SecretStore, latest: Mapping[str, bytes]) -> Callable[[str], None]:
    def read(name: str) -> None:
        if store.get(name).value.reveal() != latest[name]:
            raise SystemExit(f"{name} was not read as it was put")

    return read


def _turns(call: Callable[[str], object], box_s: float) -> float:
    turns, began = 0, time.perf_counter()
    while time.perf_counter() - began < box_s:
        call(NAMES[turns % len(NAMES)])
        turns += 1
    return turns / (time.perf_counter() - began)


def main(argv: Sequence[str]) -> None:
    folder = Path(argv[0])
    folder.mkdir(parents=True)
    found: Mapping[str, Any] = measured(folder, int(argv[1]), float(argv[2]))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
