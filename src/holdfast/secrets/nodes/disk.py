# SPDX-License-Identifier: Apache-2.0
"""A node's folder: which circle it is of, one file for each secret's slot, and its ledger.

::

    identity      the seed of its keys, 0600
    circle        the circle in force, the next one, whether it takes writes
    slots/EPOCH/  SHA-256 of the name: promise and record, replaced as a whole
    ledger        a line for each access, on disk before the access is answered

A file that was replaced is old or new after a kill; a line of the ledger that was torn was never answered, and is cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..._base import durable
from ..._base.chain import Head
from ..._base.points import reached
from ..._base.secret import Secret
from ..._base.typed import msgpack_decoder
from ...errors import ConfigurationError, SecretsDamaged
from .circle import Circle
from .ledger import CHAIN, Line
from .slot import Slot


class Standing(msgspec.Struct, frozen=True):
    """circle: in force. next: that is being made. writes: are they taken? Not between a re-share's last two steps."""

    circle: Circle
    next: Circle | None = None
    writes: bool = True


_STANDINGS: Final = msgpack_decoder(Standing)
_SLOTS: Final = msgpack_decoder(Slot)


class Disk:
    """Opens a folder; one process at a time. Raises ConfigurationError for one that was not made for a node, or is in
    use, SecretsDamaged for one that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._ledger = os.open(folder / "ledger", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{folder} is no node's folder: {error.strerror}") from None
        try:
            fcntl.flock(self._ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.seed = Secret((folder / "identity").read_bytes())
            self.standing = _STANDINGS.decode((folder / "circle").read_bytes())
        except BlockingIOError:
            os.close(self._ledger)
            raise ConfigurationError(f"another process serves {folder}") from None
        except (OSError, msgspec.MsgspecError):
            os.close(self._ledger)
            raise SecretsDamaged(f"{folder} holds no identity or no circle that can be read") from None
        self._forget_older()
        lines = self._cut_torn()
        self.end = CHAIN.head_of(lines)
        if CHAIN.verify(lines):
            os.close(self._ledger)
            raise SecretsDamaged(f"the ledger in {folder} was changed: verify it, and keep it")

    @staticmethod
    def make(folder: Path, seed: Secret[bytes], standing: Standing) -> None:
        """A new node's folder."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        durable.replace(folder / "identity", lambda _: seed.reveal())
        durable.replace(folder / "circle", lambda _: msgspec.msgpack.encode(standing))

    def stand(self, standing: Standing) -> None:
        """Another standing; what is older than its circle is forgotten."""
        reached("secrets.shares.node.stand.before")
        try:
            durable.replace(self._folder / "circle", lambda _: msgspec.msgpack.encode(standing))
        except durable.Unsettled:
            self.standing = standing  # as the file says
            raise
        reached("secrets.shares.node.stand.after")
        self.standing = standing
        self._forget_older()

    def slots(self, epoch: int) -> Iterator[tuple[str, Slot]]:
        """All of an epoch, by name, that hold a record."""
        with contextlib.suppress(FileNotFoundError):
            for path in sorted((self._folder / "slots" / str(epoch)).iterdir()):
                if not path.name.startswith("."):
                    slot = self._slot(path)
                    if slot.accepted is not None:
                        yield slot.accepted.record.name, slot

    def slot(self, epoch: int, name: str) -> Slot:
        """Of one secret. Raises SecretsDamaged."""
        slot = self._slot(self._path(epoch, name))
        if slot.accepted is not None and slot.accepted.record.name != name:
            raise SecretsDamaged(f"the node's file for {name} holds another secret's record")
        return slot

    def keep(self, epoch: int, name: str, slot: Slot) -> None:
        """It is on disk when this returns."""
        path = self._path(epoch, name)
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
            durable.sync_folder(path.parent)
            durable.sync_folder(path.parent.parent)
        reached("secrets.shares.node.keep.before")
        durable.replace(path, lambda _: msgspec.msgpack.encode(slot))
        reached("secrets.shares.node.keep.after")

    def forget(self, epoch: int) -> None:
        """All slots of an epoch."""
        shutil.rmtree(self._folder / "slots" / str(epoch), ignore_errors=True)

    def write_down(self, line: Line) -> None:
        """On disk when this returns."""
        reached("secrets.shares.node.ledger.before")
        os.write(self._ledger, CHAIN.line(line))
        os.fdatasync(self._ledger)
        reached("secrets.shares.node.ledger.after")
        self.end = Head(line.number, line.hash)

    def lines(self, since: int = 1, most: int | None = None) -> list[bytes]:
        """Of the ledger."""
        with (self._folder / "ledger").open("rb") as file:
            every = file.read().splitlines(keepends=True)
        return every[since - 1:None if most is None else since - 1 + most]

    def close(self) -> None:
        """Another process may serve the folder."""
        if self._ledger >= 0:
            os.close(self._ledger)
            self._ledger = -1

    def _forget_older(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            for path in (self._folder / "slots").iterdir():
                old = path.name.isdigit() and int(path.name) < self.standing.circle.epoch
                if old:  # guard: old shares are forgotten
                    shutil.rmtree(path, ignore_errors=True)

    def _cut_torn(self) -> list[bytes]:
        lines = self.lines()
        if lines and not lines[-1].endswith(b"\n"):
            os.ftruncate(self._ledger, sum(map(len, lines[:-1])))
            lines.pop()
        return lines

    def _path(self, epoch: int, name: str) -> Path:
        return self._folder / "slots" / str(epoch) / hashlib.sha256(name.encode()).hexdigest()

    def _slot(self, path: Path) -> Slot:
        try:
            return _SLOTS.decode(path.read_bytes())
        except FileNotFoundError:
            return Slot()
        except (OSError, msgspec.MsgspecError):
            raise SecretsDamaged("the node's file for this secret cannot be read") from None
