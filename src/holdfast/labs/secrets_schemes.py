# SPDX-License-Identifier: Apache-2.0
"""Ways to keep secrets, as the lab runs them: each with its disks, its processes, and what a thief finds.

::

    environment variables in a service's unit file: a baseline that everybody has
    dotenv      a .env file: another one
    mounted     a file a secret, as Kubernetes mounts them: a third
    vault       one encrypted file; its key file lies on the same machine
    served      the same behind HTTPS, with a standby; the key file lies on each of the two
    nodes 3/2   shares on three nodes, any two of them enough; each node a machine
    nodes 5/3   the same with five and three
    hybrid      an encrypted file whose key is in shares on three nodes, two of them enough

A scheme has ``machines``: folders, each all that lies on the disk of one. ``copy`` are the files that hold the secrets
and that a backup of one machine has, without keys that are kept beside them on purpose.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import msgspec

from .._base.clock import SystemClock
from .._base.secret import Secret
from ..errors import HoldfastError, SecretsDamaged
from ..secrets.access import Tokens, entries_in, verify
from ..secrets.adapters.dotenv import DotenvStore
from ..secrets.adapters.environment import EnvironmentStore
from ..secrets.adapters.mounted import MountedStore
from ..secrets.contract import SecretStore
from ..secrets.nodes import ACTIONS, Caller, Circle, Disk, Holder, Identity, Node, RootInShares, Serving, SharesStore
from ..secrets.nodes import Standing as NodeStanding
from ..secrets.nodes.ledger import CHAIN, examine
from ..secrets.own import AUDIT_KEY
from ..secrets.serve import ServerStore
from ..secrets.vault import FilePin, KeyFile, Seal, Shares, Vault
from ..testing.certificates import Authority
from ..testing.ports import free_port
from ..testing.processes import Worker
from ..testing.waiting import NotReached, wait_until
from .secrets_advice import BASELINES
from .secrets_worker import Assignment

#: Seconds that a process has to come up; and that a caller waits for one that is away.
PATIENCE_S, ANSWER_S = 30.0, 2.0
_WORKER = "holdfast.labs.secrets_worker"


class Scheme(ABC):
    """folder: its own, empty. depends: what it needs to be there."""

    name: ClassVar[str]
    depends: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.workers: list[Worker] = []
        #: Keys and passphrases that somebody had to make and has to look after.
        self.keys = 0

    @property
    def cheats(self) -> bool:
        """Is it what the others are compared with, and has to fail?"""
        return self.name in BASELINES

    @property
    def machines(self) -> Sequence[Path]:
        """Their disks; the first one is the reader's, and here the only one."""
        return [self.folder / "app"]

    @property
    @abstractmethod
    def copy(self) -> Sequence[Path]:
        """See above."""

    @abstractmethod
    def begin(self, values: Mapping[str, bytes]) -> None:
        """Makes it, with these secrets."""

    @abstractmethod
    def store(self) -> SecretStore:
        """As a process that has just started opens it. Raises HoldfastError or OSError."""

    @abstractmethod
    def opened(self, disks: Sequence[Path]) -> contextlib.AbstractContextManager[SecretStore]:
        """By somebody who has nothing but these disks, copies of some of ``machines``, and may write on them."""

    def environ(self) -> Mapping[str, str]:
        """Variables that an application is started with, for it to have its secrets."""
        return {}

    def read_by_app(self, disks: Sequence[Path]) -> Sequence[str]:
        """What the application read, one name for each time, as a record on these copies of all disks says. Raises
        SecretsDamaged where the record does not hold."""
        return ()

    def strike(self, disks: Sequence[Path]) -> bool:
        """Takes an entry out of the record on these copies. Is there any?"""
        return False

    def put(self, store: SecretStore, name: str, value: bytes) -> None:
        """As whoever runs it does it."""
        store.put(name, Secret(value))

    def fell(self, number: int) -> None:
        """``kill -9`` for so many of its processes; a scheme without any loses its disk."""
        for worker in self.workers[:number]:
            worker.close()
        if not self.workers and number:
            self.machines[0].rename(self.folder / "lost")

    def close(self) -> None:
        """Leaves no process behind."""
        for worker in self.workers:
            worker.close()

    def _fill(self, store: SecretStore, values: Mapping[str, bytes]) -> None:
        for name, value in values.items():
            self.put(store, name, value)

    def _hired(self, told: Assignment) -> None:
        path = self.folder / f"assignment-{len(self.workers)}"
        path.write_bytes(msgspec.json.encode(told))
        self.workers.append(Worker.module(_WORKER, str(path)))

    def _wait(self) -> None:
        for worker in self.workers:
            try:
                worker.wait_line(lambda line: line["event"] == "ready", PATIENCE_S)
            except NotReached as error:
                raise HoldfastError(f"not all of {self.name} came up: {error}") from None


class Dotenv(Scheme):
    """See above."""

    name, depends = "dotenv", "a file"
    line: ClassVar[str] = "{}='{}'\n"
    file: ClassVar[str] = ".env"

    @property
    def copy(self) -> Sequence[Path]:
        return [self.folder / "app" / self.file]

    def begin(self, values: Mapping[str, bytes]) -> None:
        self.machines[0].mkdir()
        self._lines = {_variable(name): value.decode() for name, value in values.items()}
        self._write()

    def _write(self) -> None:
        self.copy[0].write_text("".join(self.line.format(*one) for one in self._lines.items()))

    def store(self) -> SecretStore:
        return DotenvStore(self.copy[0])

    def put(self, store: SecretStore, name: str, value: bytes) -> None:
        self._lines[_variable(name)] = value.decode()
        self._write()

    @contextlib.contextmanager
    def opened(self, disks: Sequence[Path]) -> Iterator[SecretStore]:
        yield DotenvStore(disks[0] / self.file)


class Environment(Dotenv):
    """See above."""

    name, depends = "environment", "a service's unit file, and a restart for each change"
    line: ClassVar[str] = 'Environment="{}={}"\n'
    file: ClassVar[str] = "app.service"

    def environ(self) -> Mapping[str, str]:
        return _variables(self.copy[0])

    def store(self) -> SecretStore:
        return EnvironmentStore(environ=self.environ())

    @contextlib.contextmanager
    def opened(self, disks: Sequence[Path]) -> Iterator[SecretStore]:
        yield EnvironmentStore(environ=_variables(disks[0] / self.file))


class Mounted(Scheme):
    """See above."""

    name, depends = "mounted", "a platform that mounts files"

    @property
    def copy(self) -> Sequence[Path]:
        return self.machines

    def begin(self, values: Mapping[str, bytes]) -> None:
        self._fill(self.store(), values)

    def store(self) -> SecretStore:
        return MountedStore(self.machines[0])

    def put(self, store: SecretStore, name: str, value: bytes) -> None:
        path = self.machines[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)

    @contextlib.contextmanager
    def opened(self, disks: Sequence[Path]) -> Iterator[SecretStore]:
        yield MountedStore(disks[0])


class InFile(Scheme):
    """The vault."""

    name, depends = "vault", "a file, and its key file"

    @property
    def copy(self) -> Sequence[Path]:
        return [self.folder / "app" / "vault"]

    def begin(self, values: Mapping[str, bytes]) -> None:
        app = self.machines[0]
        app.mkdir()
        (app / "key").write_bytes(os.urandom(32))
        self.keys = 1
        with _vault(app, KeyFile(app / "key"), Vault.create) as vault:
            self._fill(vault, values)

    def store(self) -> SecretStore:
        return _vault(self.machines[0], KeyFile(self.machines[0] / "key"))

    @contextlib.contextmanager
    def opened(self, disks: Sequence[Path]) -> Iterator[SecretStore]:
        with _vault(disks[0], KeyFile(disks[0] / "key")) as vault:
            yield vault


class Served(Scheme):
    """The same behind HTTPS."""

    name, depends = "served", "two servers, and HTTPS"

    @property
    def machines(self) -> Sequence[Path]:
        """The reader's has a token and no key. What servers have in common lies on the disk of each."""
        return [self.folder / "app", self.folder / "primary", self.folder / "standby"]

    @property
    def copy(self) -> Sequence[Path]:
        return [self.folder / "primary" / "vault"]

    def begin(self, values: Mapping[str, bytes]) -> None:
        app, primary, standby = self.machines
        for machine in self.machines:
            machine.mkdir()
        common = primary / "common"
        authority = Authority(common / "authority", "Lab")
        authority.issue("server", server=True)
        (common / "key").write_bytes(os.urandom(32))
        tokens = Tokens(common / "tokens", SystemClock().wall_ms, secrets.token_bytes)
        _, token = tokens.issue("app", frozenset({"all"}))
        (app / "token").write_text(token.reveal())
        shutil.copy(authority.ca, app / "ca.pem")
        shutil.copytree(common, standby / "common")
        self.keys = 4  # of the vault, of the authority, of the server, and the token
        self._ports = [free_port(), free_port()]
        primary_at = f"https://127.0.0.1:{self._ports[0]}"
        self._hired(Assignment(role="server", folder=str(primary), common=str(common), port=self._ports[0]))
        self._wait()
        self._hired(Assignment(role="standby", folder=str(standby), common=str(standby / "common"), port=self._ports[1],
                               follows=primary_at, token=token.reveal()))
        self._wait()
        with contextlib.closing(self.store()) as store:
            self._fill(store, values)
        self._followed(values)

    def _followed(self, values: Mapping[str, bytes]) -> None:
        last = list(values)[-1]
        with contextlib.closing(self._of(self._ports[1:])) as standby:
            wait_until(lambda: standby.get(last).value.reveal() == values[last], PATIENCE_S, "the standby has them",
                       errors=(HoldfastError,))

    def store(self) -> SecretStore:
        return self._of(self._ports)

    def _of(self, ports: Sequence[int]) -> SecretStore:
        app = self.machines[0]
        return ServerStore([f"https://127.0.0.1:{port}" for port in ports], token=Secret((app / "token").read_text()),
                           ca=app / "ca.pem", timeout_s=ANSWER_S)

    @contextlib.contextmanager
    def opened(self, disks: Sequence[Path]) -> Iterator[SecretStore]:
        """A server's disk has all that a vault needs, and a standby's a copy of it; the reader's has an address that
        does not answer a thief."""
        server = next((disk for disk in disks if disk.name != "app"), None)
        if server is None:
            raise HoldfastError("no disk of a server is among them")
        if not (server / "vault").exists():
            shutil.copy(max((server / "copies").glob("copy-*"), key=lambda path: path.stat().st_mtime_ns),
                        server / "vault")
        with _vault(server, KeyFile(server / "common" / "key")) as vault:
            yield vault

    def read_by_app(self, disks: Sequence[Path]) -> Sequence[str]:
        audit = disks[1] / "audit"
        with self.opened(disks) as vault:
            checked = verify(audit, vault.get(AUDIT_KEY).value)
        if checked.broken is not None:
            raise SecretsDamaged(f"the audit does not hold: {checked.broken.why}")
        return [entry.name for entry in entries_in(audit) if (entry.who, entry.action) == ("app", "read")]

    def strike(self, disks: Sequence[Path]) -> bool:
        return _struck(max((disks[1] / "audit").glob("*.jsonl")))


class OnNodes(Scheme):
    """n: nodes. k: of them are enough."""

    depends = "as many machines as nodes"
    n: ClassVar[int]
    k: ClassVar[int]

    @property
    def machines(self) -> Sequence[Path]:
        return [self.folder / "app", *self._disks]

    @property
    def _disks(self) -> list[Path]:
        return [self.folder / f"node{index}" for index in range(1, self.n + 1)]

    @property
    def copy(self) -> Sequence[Path]:
        return self._disks[:1]

    def begin(self, values: Mapping[str, bytes]) -> None:
        app = self.machines[0]
        app.mkdir()
        seed = secrets.token_bytes(32)
        (app / "identity").write_bytes(seed)
        seeds = [secrets.token_bytes(32) for _ in self._disks]
        self.keys = 1 + self.n
        holders = tuple(_holder(index, Secret(one), free_port()) for index, one in enumerate(seeds, 1))
        self._circle = Circle(secrets.token_bytes(16), 1, self.k, holders,
                              (Caller("app", Identity(Secret(seed)).sign_key, ACTIONS),))
        for holder, one, disk in zip(holders, seeds, self._disks, strict=True):
            Disk.make(disk, Secret(one), NodeStanding(self._circle))
            self._hired(Assignment(role="node", folder=str(disk), name=holder.name, port=_port(holder)))
        self._wait()
        with contextlib.closing(self.nodes()) as store:
            self._fill(store, values)

    def nodes(self) -> SecretStore:
        """As the application asks them."""
        return self._as("app", Secret((self.machines[0] / "identity").read_bytes()), self._circle)

    def store(self) -> SecretStore:
        return self.nodes()

    @staticmethod
    def _as(name: str, seed: Secret[bytes], circle: Circle) -> SharesStore:
        return SharesStore(circle, name, seed, SystemClock(), os.urandom, timeout_s=ANSWER_S)

    @contextlib.contextmanager
    def opened(self, disks: Sequence[Path]) -> Iterator[SecretStore]:
        """The thief writes itself into the circles on the disks that it has, starts their nodes, and asks them."""
        seed = Secret(secrets.token_bytes(32))
        thief = Caller("thief", Identity(seed).sign_key, ACTIONS)
        holders = tuple(msgspec.structs.replace(one, address=f"127.0.0.1:{free_port()}")
                        for one in self._circle.holders)
        circle = msgspec.structs.replace(self._circle, holders=holders, callers=(*self._circle.callers, thief))
        with contextlib.ExitStack() as stack:
            closing = stack.enter_context(ThreadPoolExecutor(self.n))
            for disk in disks:
                if disk.name.startswith("node"):
                    holder = holders[int(disk.name.removeprefix("node")) - 1]
                    Disk.make(disk, Secret((disk / "identity").read_bytes()), NodeStanding(circle))
                    serving = Serving(Node(disk, holder.name, SystemClock(), os.urandom), port=_port(holder))
                    stack.callback(closing.submit, serving.close)
            yield stack.enter_context(contextlib.closing(self._as("thief", seed, circle)))

    def read_by_app(self, disks: Sequence[Path]) -> Sequence[str]:
        """An access stands on each node that was asked, and counts once."""
        raw = {holder.name: (disk / "ledger").read_bytes().splitlines(keepends=True)
               for holder, disk in zip(self._circle.holders, disks[1:], strict=True)}
        for fault in examine(raw, self._circle.holders):
            raise SecretsDamaged(f"the ledger of {fault.node} does not hold: {fault.why}")
        lines = [line for ledger in raw.values() for line in map(CHAIN.read, ledger) if not isinstance(line, str)]
        return [name for _, name in {(line.access, line.name) for line in lines
                                     if (line.caller, line.action) == ("app", "read")}]

    def strike(self, disks: Sequence[Path]) -> bool:
        return _struck(disks[1] / "ledger")


class Nodes32(OnNodes):
    """See above."""

    name, n, k = "nodes 3/2", 3, 2


class Nodes53(OnNodes):
    """See above."""

    name, n, k = "nodes 5/3", 5, 3


class Hybrid(Nodes32):
    """The nodes hold one key; the file the rest. They write down that it was opened, and no read."""

    name, depends = "hybrid", "a file, and three machines more when it is opened"

    @property
    def copy(self) -> Sequence[Path]:
        return [self.folder / "app" / "vault"]

    def begin(self, values: Mapping[str, bytes]) -> None:
        super().begin({})
        app = self.machines[0]
        with contextlib.closing(self.nodes()) as nodes:
            RootInShares(nodes).keep(Secret(os.urandom(32)))
            with _vault(app, Shares(RootInShares(nodes).rebuild), Vault.create) as vault:
                self._fill(vault, values)

    def store(self) -> SecretStore:
        with contextlib.closing(self.nodes()) as nodes:
            return _vault(self.machines[0], Shares(RootInShares(nodes).rebuild))

    @contextlib.contextmanager
    def opened(self, disks: Sequence[Path]) -> Iterator[SecretStore]:
        app = next((disk for disk in disks if disk.name == "app"), None)
        if app is None:
            raise HoldfastError("no disk with the file is among them")
        with super().opened(disks) as nodes, _vault(app, Shares(RootInShares(nodes).rebuild)) as vault:
            yield vault


#: All of them, in the order of the tables.
SCHEMES: Mapping[str, type[Scheme]] = {
    kind.name: kind for kind in (Environment, Dotenv, Mounted, InFile, Served, Nodes32, Nodes53, Hybrid)}


def _vault(disk: Path, seal: Seal, how: Callable[..., Vault] = Vault.open) -> Vault:
    """Of a machine's disk, and its pin beside it. how: opened, or made."""
    return how(disk / "vault", seal, pin=FilePin(disk / "pins"))


def _holder(index: int, seed: Secret[bytes], port: int) -> Holder:
    identity = Identity(seed)
    return Holder(index, f"n{index}", f"127.0.0.1:{port}", identity.box_key, identity.sign_key)


def _port(holder: Holder) -> int:
    return int(holder.address.rpartition(":")[2])


def _struck(record: Path) -> bool:
    """The entry in the middle."""
    lines = record.read_bytes().splitlines(keepends=True)
    del lines[len(lines) // 2]
    record.write_bytes(b"".join(lines))
    return True


def _variables(unit: Path) -> dict[str, str]:
    """Those of a service's unit file."""
    lines = unit.read_text(errors="surrogateescape").splitlines()
    return {name: value for line in lines if line.startswith('Environment="')
            for name, _, value in [line.removeprefix('Environment="').removesuffix('"').partition("=")]}


def _variable(name: str) -> str:
    return name.replace("/", "_").replace("-", "_").upper()
