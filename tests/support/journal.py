# SPDX-License-Identifier: Apache-2.0
"""A store in one file that grows, and can be followed: the memory store, with each change in a chain on disk.

It stands for the vault where a test is about the server: as durable, and as open as a test may be.
"""

from __future__ import annotations

import base64
import os
import secrets
import threading
from pathlib import Path

import msgspec

from holdfast._base import points
from holdfast._base.chain import START, Chain, Head
from holdfast._base.clock import SystemClock
from holdfast._base.durable import replace
from holdfast._base.secret import Secret
from holdfast.errors import SecretsDamaged, SecretsSealed
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.serve.feed import PIECE_MAX, Piece, Place


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    what: str
    name: str
    value: str
    more: dict
    before: str
    hash: str = ""


class First(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    store: str
    file: str
    base: Head


CHAIN = Chain(Change, "journal of a test")


class JournalStore:
    """Fulfils ``SecretStore`` and ``Sealed``. place: it has to hold up to there, and no further."""

    scheme = "journal"
    abilities = MemoryStore.abilities

    def __init__(self, path: Path, place: Place | None = None):
        self._path, self._lock = path, threading.RLock()
        self.sealed = False
        if not path.exists():
            first = First(secrets.token_hex(8), secrets.token_hex(8), START)
            replace(path, lambda _: msgspec.json.encode(first) + b"\n")
        self._inner = MemoryStore(SystemClock().wall_ms)
        self._load(path.read_bytes().splitlines(keepends=True))
        if place is not None and place != self.place:
            raise SecretsDamaged(f"the file is at generation {self.place.generation}, and {place.generation} was told")

    def _load(self, lines):
        try:
            self._first = msgspec.json.decode(lines[0], type=First)
        except (msgspec.MsgspecError, ValueError, IndexError):
            raise SecretsDamaged("the file has no beginning") from None
        self._head, self._size = self._first.base, len(lines[0])
        for line in lines[1:]:
            change = CHAIN.follow(line, self._head) if line.endswith(b"\n") else "it is torn"
            if isinstance(change, str):
                raise SecretsDamaged(f"the file does not hold: {change}")
            self._head, self._size = Head(change.number, change.hash), self._size + len(line)
            self._do(change.what, change.name, change.value, change.more)

    def _do(self, what, name, value, more):
        call = getattr(self._inner, what)
        return call(name, Secret(base64.b64decode(value)), **more) if what == "put" else call(name, **more)

    def _changed(self, what, name, value="", /, **more):
        with self._lock:
            self._check()
            done = self._do(what, name, value, more)
            change = CHAIN.sealed(Change(self._head.number + 1, what, name, value, more, self._head.hash))
            line = CHAIN.line(change)
            points.reached("journal.append.before")
            with self._path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            points.reached("journal.append.after")
            self._head, self._size = Head(change.number, change.hash), self._size + len(line)
            return done

    def _check(self):
        if self.sealed:
            raise SecretsSealed("the store is sealed: unseal it")

    @property
    def place(self):
        return Place(self._first.store, self._first.file, self._head.number, self._head.hash, self._size)

    def piece(self, file, since):
        with self._lock:
            began = since if file == self._first.file and since <= self._size else 0
            return Piece(self.place, began, self._path.read_bytes()[began:self._size][:PIECE_MAX])

    def rewrite(self):
        """The file is written anew, with what is in force; the generation goes on."""
        with self._lock:
            first = First(self._first.store, secrets.token_hex(8), self._head)
            lines, head, kept = [msgspec.json.encode(first) + b"\n"], self._head, self._inner
            for name in kept.names():
                value = base64.b64encode(kept.get(name).value.reveal()).decode()
                change = CHAIN.sealed(Change(head.number + 1, "put", name, value, {}, head.hash))
                head = Head(change.number, change.hash)
                lines.append(CHAIN.line(change))
            replace(self._path, lambda _: b"".join(lines))
            self._inner = MemoryStore(SystemClock().wall_ms)
            self._load(lines)

    def get(self, name, **more):
        with self._lock:
            self._check()
            return self._inner.get(name, **more)

    def names(self, prefix=""):
        with self._lock:
            self._check()
            return self._inner.names(prefix)

    def history(self, name):
        with self._lock:
            self._check()
            return self._inner.history(name)

    def put(self, name, value, **more):
        return self._changed("put", name, base64.b64encode(value.reveal()).decode(), **more)

    def label(self, name, label, version, **more):
        self._changed("label", name, label=label, version=version, **more)

    def delete(self, name, **more):
        self._changed("delete", name, **more)

    def undelete(self, name, **more):
        self._changed("undelete", name, **more)

    def destroy(self, name, **more):
        self._changed("destroy", name, **more)

    def close(self):
        """Nothing is held."""


def open_copy(path, place):
    return JournalStore(path, place)


