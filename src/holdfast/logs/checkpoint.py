# SPDX-License-Identifier: Apache-2.0
"""The checkpoint: a file that says how far each source is durable, replaced as a whole, with the one before it kept.

::

    checkpoint        SHA-256 of the rest, a line; then the state as JSON
    checkpoint.before the one before it
    checkpoint.lock   locked by the pipeline whose it is

It is written after what it covers is durable, and before anything of a source that it does not know is handed on: so
a source keeps its id through any crash, and with it the ids of its records.

A damaged one is told by its hash. Then the one before it counts, and what came since is read again; ids that might have
been given out since are not given again, so that no record is taken for another one. When both are damaged, or only
damaged ones are left, nothing is known: reading begins as for new files, under another epoch.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from pathlib import Path
from typing import Literal

import msgspec

from .._base.chance import Chance, new_id, system_chance
from .._base.durable import replace
from .._base.points import reached
from .._base.typed import from_json
from ..errors import ConfigurationError
from .mark import State

__all__ = ["Checkpoint", "Found"]

#: What was there: the latest, the one before it because the latest is damaged, nothing yet, or nothing that is whole.
Found = Literal["latest", "before", "none", "lost"]

#: After a damage: so many ids may have been given out since.
_SKIPPED_IDS = 1_000_000


class Checkpoint:
    """A checkpoint file. One pipeline at a time has it."""

    def __init__(self, path: str | Path, *, chance: Chance | None = None) -> None:
        self.path = Path(path)
        self.before = self.path.with_name(f"{self.path.name}.before")
        self._chance = chance or system_chance()
        self._lock: int | None = None
        self._guard = threading.Lock()
        self._sound = False  # what lies there was written by us

    def open(self) -> tuple[State, Found]:
        """Has it for this process, and reads it. ConfigurationError: another one has it, or no file can be there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._take()
        latest, before = _read(self.path), _read(self.before)
        if isinstance(latest, State):
            return latest, "latest"
        if isinstance(before, State):
            if latest is None:  # it was being replaced: nothing was told yet of the new one
                return before, "latest"
            state = msgspec.structs.replace(before, next=before.next + _SKIPPED_IDS)  # guard: ids are given out once
            return state, "before"
        damaged = latest is not None or before is not None
        return State(epoch=new_id(self._chance)[:10]), "lost" if damaged else "none"

    def _take(self) -> None:
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{lock} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise ConfigurationError(f"{self.path} belongs to another pipeline that runs: give each one its own"
                                     ) from error
        self._lock = descriptor

    def write(self, state: State) -> None:
        """Replaces what it says: on disk when this returns. OSError; the one that was there stays then."""
        with self._guard:
            self._write(state)

    def _write(self, state: State) -> None:
        body = msgspec.json.encode(state)
        text = hashlib.sha256(body).hexdigest().encode() + b"\n" + body + b"\n"
        reached("logs.checkpoint.before")
        with contextlib.suppress(FileNotFoundError):
            self._keep()
        reached("logs.checkpoint.between")
        replace(self.path, lambda _: text)
        self._sound = True
        reached("logs.checkpoint.after")

    def _keep(self) -> None:
        """The latest becomes the one before it, unless it is damaged: then the older one is worth more."""
        if self._sound or isinstance(_read(self.path), State):
            self.path.replace(self.before)

    def close(self) -> None:
        """Lets go of it, once a write that runs is over."""
        with self._guard:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def _read(path: Path) -> State | str | None:
    """What it says; None when there is none; a text when it is damaged."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return str(error)
    told, _, body = text.partition(b"\n")
    body = body.removesuffix(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != told:  # guard: a damaged checkpoint is not believed
        return "damaged"
    try:
        return from_json(body, State)
    except (msgspec.DecodeError, ValueError) as error:
        return str(error)
