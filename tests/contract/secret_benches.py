# SPDX-License-Identifier: Apache-2.0
"""Each store of secrets, on a bench: how a value gets there, and how it is broken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.secrets import SecretStore
from holdfast.secrets.adapters import (
    AppRole,
    AwsStore,
    DotenvStore,
    EnvironmentStore,
    KeyringStore,
    Kv2Store,
    MountedStore,
)
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.vault import FilePin, Passphrase, Vault
from holdfast.secrets.watched import WatchedStore
from tests.support.kv2 import Kv2, serving
from tests.support.secret_circle import Town


@dataclass
class Bench:
    """plant: puts a value there, by whatever way its people do. break_: from now on it cannot be read. binary, unicode:
    bytes that are no text, and names that are not of ASCII, can be kept. by_version: one version can be deleted and
    destroyed, and numbers outlive their name; else all go, or none."""

    store: SecretStore
    plant: Callable[[str, bytes], Any]
    break_: Callable[[], Any]
    binary: bool = True
    unicode: bool = True
    by_version: bool = True


BENCHES: dict[str, Callable[..., contextlib.AbstractContextManager[Bench]]] = {}


def bench(name: str) -> Callable[[Callable[..., Iterator[Bench]]], Any]:
    def put(made: Callable[..., Iterator[Bench]]) -> Any:
        BENCHES[name] = contextlib.contextmanager(made)
        return made

    return put


def planted(store: SecretStore) -> Callable[[str, bytes], Any]:
    return lambda name, value: store.put(name, Secret(value))


@bench("memory")
def _memory(request: Any, tmp_path: Path) -> Iterator[Bench]:
    store = MemoryStore(SystemClock().wall_ms)
    yield Bench(store, planted(store), lambda: store.destroy("db/password"))


@bench("vault")
def _vault(request: Any, tmp_path: Path) -> Iterator[Bench]:
    path = tmp_path / "vault"
    with Vault.create(path, Passphrase(Secret("passphrase"), n=2), pin=FilePin(tmp_path / "pins")) as store:
        yield Bench(store, planted(store), lambda: path.write_bytes(path.read_bytes()[:-100]))


@bench("environment")
def _environment(request: Any, tmp_path: Path) -> Iterator[Bench]:
    there: dict[str, str] = {}

    def plant(name: str, value: bytes) -> None:
        there["HF_" + name.upper().replace("/", "_")] = os.fsdecode(value)

    yield Bench(EnvironmentStore("HF_", there), plant, there.clear, binary=False, unicode=False)


@bench("dotenv")
def _dotenv(request: Any, tmp_path: Path) -> Iterator[Bench]:
    path = tmp_path / ".env"
    path.write_text("# nothing yet\n")

    def plant(name: str, value: bytes) -> None:
        quoted = value.decode().replace("\\", "\\\\").replace("'", "\\'")
        with path.open("a") as file:
            file.write(f"export {name.upper().replace('/', '_')}='{quoted}'  # a remark\n")

    yield Bench(DotenvStore(path), plant, path.unlink, binary=False, unicode=False)


@bench("mounted")
def _mounted(request: Any, tmp_path: Path) -> Iterator[Bench]:
    """As Kubernetes does it: each name is a link through ``..data``, which is turned as a whole."""
    turns = 0

    def plant(name: str, value: bytes) -> None:
        nonlocal turns
        before, turns = tmp_path / f"..turn{turns}", turns + 1
        new = tmp_path / f"..turn{turns}"
        new.mkdir()
        if before.exists():
            for old in filter(Path.is_file, before.rglob("*")):
                (new / old.relative_to(before)).parent.mkdir(parents=True, exist_ok=True)
                (new / old.relative_to(before)).write_bytes(old.read_bytes())
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_bytes(value + b"\n")
        (tmp_path / "..data_tmp").symlink_to(new.name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        first = name.split("/", maxsplit=1)[0]
        if not (tmp_path / first).is_symlink():
            (tmp_path / first).symlink_to(Path("..data") / first)

    yield Bench(MountedStore(tmp_path), plant, (tmp_path / "..data").unlink)


class _Keyring:
    """A back end of the library."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.broken = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.broken:
            raise RuntimeError("no key, planted-4711-value was the last one")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@bench("keyring")
def _keyring(request: Any, tmp_path: Path) -> Iterator[Bench]:
    backend = _Keyring()
    store = KeyringStore("holdfast tests", backend)
    yield Bench(store, planted(store), lambda: setattr(backend, "broken", True), binary=False)


@contextlib.contextmanager
def aws_server() -> Iterator[str]:
    """AWS's Secrets Manager on this machine, and its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def aws_client(address: str) -> Any:
    import boto3

    return boto3.client("secretsmanager", region_name="eu-central-1", endpoint_url=address, aws_access_key_id="one",
                        aws_secret_access_key="two")


@bench("aws")
def _aws(request: Any, tmp_path: Path) -> Iterator[Bench]:
    from moto.backends import get_backend

    get_backend("secretsmanager").reset()
    store = AwsStore(aws_client(request.getfixturevalue("aws_address")), prefix="app")
    yield Bench(store, planted(store), lambda: store.delete("db/password"), unicode=False, by_version=False)


@bench("kv2")
def _kv2(request: Any, tmp_path: Path) -> Iterator[Bench]:
    there = Kv2()
    with serving(there) as address:
        store = Kv2Store(address, AppRole("app", Secret("planted-secret-id")))
        yield Bench(store, planted(store), lambda: setattr(there, "sealed", True))
        store.close()


@bench("watched")
def _watched(request: Any, tmp_path: Path) -> Iterator[Bench]:
    store = WatchedStore(MemoryStore(SystemClock().wall_ms), lambda _: None)
    yield Bench(store, planted(store), lambda: store.destroy("db/password"))


@bench("shares")
def _shares(request: Any, tmp_path: Path) -> Iterator[Bench]:
    """On three nodes, of which two are killed when it is broken."""
    town = Town(tmp_path, 3, 2)
    try:
        store = town.store()
        yield Bench(store, planted(store), lambda: (town.kill("n1"), town.kill("n2")))
    finally:
        town.close()

