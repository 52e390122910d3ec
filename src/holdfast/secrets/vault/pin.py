# SPDX-License-Identifier: Apache-2.0
"""How far a vault had come, kept apart from it: an older copy that is put back is seen.

A vault's file cannot tell by itself that it is old. The pin is a few bytes elsewhere, by default in the user's state
folder, written after each commit and before anybody is told of it. Whoever can write the pin as well as the vault can
put both back; keep it where only the vault's user writes, or on another machine (``Pin`` is a protocol).

A machine that sees a vault for the first time has no pin: it takes what it finds and pins that.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

import msgspec

from ..._base.durable import replace
from ..._base.typed import from_json
from ...errors import SecretsDamaged
from .form import Head


class Pin(Protocol):
    """Keeps a vault's head. Calls may come from several processes."""

    def read(self, store: bytes) -> Head | None:
        """None: this vault was never seen here. Raises SecretsDamaged, OSError."""
        ...

    def write(self, store: bytes, head: Head, *, adopt: bool = False) -> None:
        """Durable when it returns. An earlier head than the one that is there is let go, unless it is adopted. Raises
        OSError."""
        ...


class FilePin:
    """A folder with a file a vault."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, store: bytes) -> Path:
        """Where a vault's pin is."""
        return self._folder / f"{store.hex()}.pin"

    def read(self, store: bytes) -> Head | None:
        """See ``Pin``."""
        path = self.path(store)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return from_json(data, Head)
        except (msgspec.MsgspecError, ValueError):
            raise SecretsDamaged(f"the pin {path} is damaged: see by a backup that the vault is the newest, and take "
                                 "the pin away") from None

    def write(self, store: bytes, head: Head, *, adopt: bool = False) -> None:
        """See ``Pin``."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / f".{store.hex()}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = None if adopt else self.read(store)
            if there is None or there.generation < head.generation:
                replace(self.path(store), lambda _: msgspec.json.encode(head))
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # also for a child that was forked meanwhile, and has it too
            os.close(lock)
