# SPDX-License-Identifier: Apache-2.0
"""Secrets in files: ``python -m benchmarks.secrets_files FOLDER ROUNDS BOX_S NUMBERS SIZES`` prints JSON. A child.

``warm``   one value, from a store that is open, again and again; names in turn
``cold``   a store is opened, and one value is read; its files are in the page cache
``write``  one value is put, durably: the call returns when it is on disk

``vault`` is ours; ``client`` the cache that an application reads from, above it. ``fernet`` is what one writes by hand
with the recipe of `cryptography`: a MultiFernet of two keys, tokens in one JSON file that is replaced as a whole;
``fernet each``: a file for each token. Both keep names in plain, know no versions, and take an old file for a new one.
``aead`` is the limit: AES-256-GCM of one key over the value alone, a dict for the names, and for writes one append and
one fsync. In each round everybody has a turn, in the other order every second time; all reads come before all writes,
since the vault keeps what was written over and grows. Every value that is read is compared with what was put.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, Protocol, Self

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast._base.durable import replace
from holdfast._base.secret import Secret
from holdfast.secrets.client import Secrets
from holdfast.secrets.vault import FilePin, KeyFile, Vault

#: Nobody writes for longer before it is somebody else's turn, and nobody less often than this.
TURNS_MIN = 5


class Kept(Protocol):
    """One way of keeping secrets in a folder of its own."""

    def get(self, name: str) -> bytes: ...

    def put(self, name: str, value: bytes) -> None: ...

    def again(self) -> Self:
        """As a process finds it that has just started."""
        ...

    def close(self) -> None: ...


class Ours:
    """The vault. Its keys lie in a key file: a passphrase would cost its scrypt at each opening, which is meant to be
    slow."""

    def __init__(self, folder: Path, values: Mapping[str, bytes]) -> None:
        key = folder / "vault.key"
        if not key.exists():
            key.write_bytes(os.urandom(32))
        self.folder, self._seal, self._pin = folder, KeyFile(key), FilePin(folder / "pins")
        path = folder / "vault"
        self.vault = (Vault.open if path.exists() else Vault.create)(path, self._seal, pin=self._pin)
        for name, value in values.items():
            self.put(name, value)

    def get(self, name: str) -> bytes:
        return self.vault.get(name).value.reveal()

    def put(self, name: str, value: bytes) -> None:
        self.vault.put(name, Secret(value))

    def again(self) -> Self:
        return type(self)(self.folder, {})

    def close(self) -> None:
        self.vault.close()


class Cached(Ours):
    """What an application reads from."""

    def __init__(self, folder: Path, values: Mapping[str, bytes]) -> None:
        super().__init__(folder, values)
        self.client = Secrets(self.vault, fresh_s=3600)

    def get(self, name: str) -> bytes:
        return self.client.get(name).value.reveal()

    def close(self) -> None:
        self.client.close()
        super().close()


class FernetFile:
    """Tokens in one JSON file."""

    def __init__(self, folder: Path, values: Mapping[str, bytes], keys: Sequence[bytes] = ()) -> None:
        self.folder, self.path = folder, folder / "secrets.json"
        self.keys = keys or [Fernet.generate_key(), Fernet.generate_key()]
        self.fernet = MultiFernet([Fernet(key) for key in self.keys])
        if values:
            self.tokens = {name: self.fernet.encrypt(value).decode() for name, value in values.items()}
            self._write()
        else:
            self.tokens = json.loads(self.path.read_text())

    def get(self, name: str) -> bytes:
        return self.fernet.decrypt(self.tokens[name])

    def put(self, name: str, value: bytes) -> None:
        self.tokens[name] = self.fernet.encrypt(value).decode()
        self._write()

    def _write(self) -> None:
        replace(self.path, lambda _: json.dumps(self.tokens).encode())

    def again(self) -> Self:
        return type(self)(self.folder, {}, self.keys)

    def close(self) -> None:
        pass


class FernetEach:
    """A file for each token; slashes of a name are folders."""

    def __init__(self, folder: Path, values: Mapping[str, bytes], keys: Sequence[bytes] = ()) -> None:
        self.folder = folder
        self.keys = keys or [Fernet.generate_key(), Fernet.generate_key()]
        self.fernet = MultiFernet([Fernet(key) for key in self.keys])
        for name, value in values.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.fernet.encrypt(value))

    def get(self, name: str) -> bytes:
        return self.fernet.decrypt((self.folder / name).read_bytes())

    def put(self, name: str, value: bytes) -> None:
        token = self.fernet.encrypt(value)
        replace(self.folder / name, lambda _: token)

    def again(self) -> Self:
        return type(self)(self.folder, {}, self.keys)

    def close(self) -> None:
        pass


class Aead:
    """The cipher alone. What it appended is not read again."""

    def __init__(self, folder: Path, values: Mapping[str, bytes]) -> None:
        self.cipher, self.kept = AESGCM(AESGCM.generate_key(256)), {}
        self.file = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name, value in values.items():
            self.kept[name] = self._sealed(value)

    def _sealed(self, value: bytes) -> tuple[bytes, bytes]:
        nonce = os.urandom(12)
        return nonce, self.cipher.encrypt(nonce, value, b"")

    def get(self, name: str) -> bytes:
        nonce, sealed = self.kept[name]
        return self.cipher.decrypt(nonce, sealed, b"")

    def put(self, name: str, value: bytes) -> None:
        self.kept[name] = nonce, sealed = self._sealed(value)
        os.write(self.file, nonce + sealed)
        os.fsync(self.file)

    def again(self) -> Self:
        return self

    def close(self) -> None:
        """It is the same one after ``again``."""


KINDS: Mapping[str, Callable[[Path, Mapping[str, bytes]], Kept]] = {
    "vault": Ours, "client": Cached, "fernet": FernetFile, "fernet each": FernetEach, "aead": Aead}
#: Who has nothing of its own to say about a question.
NOT = {"cold": ("client", "aead"), "warm": (), "write": ("client",)}


def cases(numbers: Sequence[int], sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(how many, of how many bytes): each number with the first size, each size with the first number."""
    yield from ((number, sizes[0]) for number in numbers)
    yield from ((numbers[0], size) for size in sizes[1:])


def measured(folder: Path, rounds: int, box_s: float, number: int, size: int) -> dict[str, Any]:
    """µs a call of each question, by contestant; and whose values were not what was put."""
    values = {f"team{n % 100}/secret{n}": os.urandom(size) for n in range(number)}
    here = {kind: make(_folder(folder / kind), values) for kind, make in KINDS.items()}
    runs: dict[str, dict[str, list[float]]] = {
        what: {kind: [] for kind in KINDS if kind not in left_out} for what, left_out in NOT.items()}
    names, latest, wrong = cycle(values), {kind: dict(values) for kind in KINDS}, []
    for what, found in runs.items():
        for number_of in range(rounds):
            for kind in list(found)[::-1 if number_of % 2 else 1]:
                found[kind].append(_asked(what, here[kind], latest[kind], names, size, box_s))
    for kind, one in here.items():
        one.close()
        fresh = one.again()
        wrong += [f"{kind}: {name}" for name, value in latest[kind].items() if fresh.get(name) != value]
        fresh.close()
    shutil.rmtree(folder)
    return {"number": number, "size": size, "wrong": wrong,
            "us": {what: {kind: {"median": median(times), "lowest": min(times), "highest": max(times)}
                          for kind, times in found.items()} for what, found in runs.items()}}


def _asked(  # noqa: PLR0917 - all of a turn
        what: str, one: Kept, latest: dict[str, bytes], names: Iterator[str], size: int, box_s: float) -> float:
    """µs a call."""
    turns, began = 0, time.perf_counter()
    while turns < TURNS_MIN or time.perf_counter() - began < box_s:
        name = next(names)
        if what == "warm":
            _same(one.get(name), latest[name], name)
        elif what == "write":
            latest[name] = os.urandom(size)
            one.put(name, latest[name])
        else:
            fresh = one.again()
            _same(fresh.get(name), latest[name], name)
            fresh.close()
        turns += 1
    return (time.perf_counter() - began) / turns * 1e6


def _same(read: bytes, put: bytes, name: str) -> None:
    if read != put:
        raise SystemExit(f"{name} was not read as it was put")


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def main(argv: Sequence[str]) -> None:
    folder, rounds, box_s = Path(argv[0]), int(argv[1]), float(argv[2])
    numbers, sizes = ([int(one) for one in said.split(",")] for said in argv[3:5])
    print(json.dumps([measured(folder / f"{number}-{size}", rounds, box_s, number, size)
                      for number, size in cases(numbers, sizes)]))


if __name__ == "__main__":
    main(sys.argv[1:])
