# SPDX-License-Identifier: Apache-2.0
"""The register in a folder: for the processes of one machine and one user.

A file for each process and secret, replaced as a whole; it names the secret by a digest only. Leases are instants of
this machine's clock, which all its processes share. A file of another boot is of before this one, or of another machine
that has the folder as well: it counts for its lease since it was written, by the time of day, and is then of the dead.
Nothing is synced to disk: whoever loses a file to a power cut is gone as well.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from pathlib import Path

import msgspec

from ..._base.boot import boot_id
from ..._base.clock import Clock, SystemClock
from ..._base.typed import from_json
from ...errors import SecretsUnreachable
from .machine import Subscriber

__all__ = ["FolderRegistry"]

#: Who has been dead for so long is not shown any more. Its file stays, if it is of this boot: to remove it would race
#: with its waking up.
FORGOTTEN_S = 3600.0


class _Entry(msgspec.Struct):
    """What a file holds."""

    who: str
    version: int
    beat: float
    until: float
    boot: str


class FolderRegistry:
    """Fulfils ``Registry``. folder: made when it is not there, for its owner alone. boot: of this machine."""

    def __init__(self, folder: str | Path, *, clock: Clock | None = None, boot: str | None = None) -> None:
        self._folder = Path(folder)
        self._clock = clock or SystemClock()
        self._boot = boot_id() if boot is None else boot
        self._spare = itertools.count()
        self._lock = threading.Lock()

    def beat(self, name: str, who: str, version: int, lease_s: float) -> None:
        """See ``Registry``."""
        now = self._clock.now()
        path = self._path(name, who)
        entry = msgspec.json.encode(_Entry(who, version, now, now + lease_s, self._boot))
        spare = path.with_name(f".{path.name}.{os.getpid()}.{next(self._spare)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock:
                spare.write_bytes(entry)
                spare.replace(path)
        except OSError as error:
            raise self._away(error) from error

    def leave(self, name: str, who: str) -> None:
        """See ``Registry``."""
        try:
            self._path(name, who).unlink(missing_ok=True)
        except OSError as error:
            raise self._away(error) from error

    def present(self, name: str) -> tuple[Subscriber, ...]:
        """See ``Registry``. A file that cannot be understood counts as somebody who is live and has acknowledged
        nothing: better a rotation that waits than one that cuts somebody off."""
        now = self._clock.now()
        found = []
        try:
            paths = sorted(self._of(name).glob("[!.]*.json"))
            for path in paths:
                try:
                    entry = from_json(path.read_bytes(), _Entry)
                    age_s = max(0.0, now - entry.beat if entry.boot == self._boot else self._age_s(path))
                except FileNotFoundError:
                    continue  # it left meanwhile
                except msgspec.DecodeError:
                    found.append(Subscriber(f"unreadable file {path.name}", 0, True))
                    continue
                lease_s = entry.until - entry.beat
                if age_s <= lease_s + FORGOTTEN_S:
                    found.append(Subscriber(entry.who, entry.version, age_s < lease_s, age_s))
                elif entry.boot != self._boot:
                    path.unlink(missing_ok=True)  # of a boot that is over, or it would have been written again
        except OSError as error:
            raise self._away(error) from error
        return tuple(sorted(found, key=lambda one: one.who))

    def close(self) -> None:
        """See ``Registry``."""

    def _age_s(self, path: Path) -> float:
        return self._clock.wall_ms() / 1000 - path.stat().st_mtime

    def _of(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:32]

    def _path(self, name: str, who: str) -> Path:
        return self._of(name) / f"{hashlib.sha256(who.encode()).hexdigest()[:32]}.json"

    def _away(self, error: OSError) -> SecretsUnreachable:
        return SecretsUnreachable(f"the register of who uses secrets, {self._folder}, cannot be used: "
                                  f"{error.strerror or type(error).__name__}")
