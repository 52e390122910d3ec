# SPDX-License-Identifier: Apache-2.0
"""The fence beside a file, on a file system whose ``flock`` works across all who write (local; NFS from version 4).

::

    enter   compare, raise the fence ─▶ a spare file, the holder writes ─▶ fsync
    leave   flock ─▶ compare again ─▶ rename over the file ─▶ fsync of the folder ─▶ unlock

    report.json   .report.json.fence   .report.json.fence-lock   .report.json.<random>.spare

Readers see the old file or the new one, never a part. The lock is held for the last step alone: a holder that is paused
while it writes holds nobody up, and is compared after it wakes. One that is paused between compare and rename holds
the lock, and whoever comes next waits for it, up to ``wait_s``, rather than being overwritten.

The lock is a file of its own, since a rename would take a lock on the fence itself out from under who waits for it. A
process that is killed while it writes leaves its spare file behind. All writers are one user of the machine, who alone
may open the lock; who writes without the guard is not held off.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..._base.events import Events
from ..._redis.filelock import FileLock
from ...errors import ConfigurationError
from .header import parse, text_of
from .offer import Fenced, Offer, offer_of
from .refusal import Refusals

#: Seconds between two looks at a lock that somebody has.
LOOK_S = 0.01
_OURS = (".fence", ".fence-lock", ".fence-new", ".spare")


class FileGuard:
    """Guards files. Fulfils ``Guard``: a resource is a path.

    root: a folder that every path is relative to and cannot leave; for names that strangers choose. None: paths as they
    are. wait_s: longest wait for another writer's last step; longer than a disk needs to sync. events: told of each
    refusal (``FenceRejection``).
    """

    def __init__(self, root: str | Path | None = None, *, wait_s: float = 10.0, events: Events | None = None) -> None:
        if sys.platform == "win32":
            raise ConfigurationError("the file guard needs flock, which Windows has not: use another guard there")
        self._root = None if root is None else Path(root).resolve()
        self._wait_s = wait_s
        self._refusals = Refusals("file", events)

    @contextmanager
    def writing(self, path: str | Path, held: Fenced) -> Iterator[BinaryIO]:
        """A new binary file for the block, which takes the place of ``path`` when the block ends well.

        Raises FenceRejected on the way in or out when a later holder was here, or another one with the same token;
        TimeoutError when somebody kept the lock for ``wait_s``. The file is then what it was.
        """
        target, offered = self._place(path), offer_of(held)
        self._compare(target, offered)
        spare = _beside(target, f".{secrets.token_hex(8)}.spare")
        try:
            with _create(spare, target) as file:
                yield file
                _sync(file)
            with self._locked(target):
                self._judge(target, offered)  # guard: whoever was paused while it wrote is compared once more
                spare.replace(target)
                _sync_folder(target)
        except BaseException:
            spare.unlink(missing_ok=True)
            raise

    async def check(self, resource: str, held: Fenced) -> None:
        """Compares and remembers, in a thread, and writes nothing else. See ``writing`` for what it raises."""
        await asyncio.to_thread(self._compare, self._place(resource), offer_of(held))

    def last(self, path: str | Path) -> Offer | None:
        """Who wrote last; None: nobody has."""
        return _read(self._place(path))

    def _compare(self, target: Path, offered: Offer) -> None:
        with self._locked(target):
            self._judge(target, offered)

    def _judge(self, target: Path, offered: Offer) -> None:
        """Only while locked."""
        if self._refusals.judge(str(target), _read(target), offered):
            _store(target, offered)

    @contextmanager
    def _locked(self, target: Path) -> Iterator[None]:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock, ends = FileLock(_beside(target, ".fence-lock")), time.monotonic() + self._wait_s
        while not lock.try_alone():
            if time.monotonic() > ends:
                raise TimeoutError(f"{lock.path} stayed locked for {self._wait_s:g} s: see who has it open (fuser)")
            time.sleep(LOOK_S)
        try:
            yield
        finally:
            lock.release()

    def _place(self, path: str | Path) -> Path:
        """The file itself: by its links' names it would have several fences."""
        inside = path if self._root is None else self._root / str(path).lstrip("/")
        target = Path(inside).resolve()
        if self._root is not None and self._root not in target.parents:
            raise ConfigurationError(f"{str(path)!r} is not inside of {self._root}")
        if not target.name or (target.name.startswith(".") and target.name.endswith(_OURS)):
            raise ConfigurationError(f"{str(path)!r} is no file that can be guarded: names like it are the guard's own")
        return target


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}{ending}")


def _create(spare: Path, target: Path) -> BinaryIO:
    """With the rights of the file whose place it takes, or those of any new file."""
    file = os.fdopen(os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")
    if target.exists():
        os.fchmod(file.fileno(), target.stat().st_mode & 0o7777)
    return file


def _read(target: Path) -> Offer | None:
    fence = _beside(target, ".fence")
    try:
        return parse(fence.read_text("ascii").removesuffix("\n"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigurationError(f"{fence} is not a fence ({error}): restore it, or delete it when no earlier holder "
                                 f"can be left") from error


def _store(target: Path, offered: Offer) -> None:
    """On disk before what it guards is: a crash in between costs a holder a retry, the other order a lost write."""
    new = _beside(target, ".fence-new")
    with new.open("wb") as file:
        file.write(f"{text_of(offered)}\n".encode())
        _sync(file)
    new.replace(_beside(target, ".fence"))
    _sync_folder(target)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(target: Path) -> None:
    """A rename is on disk when its folder is."""
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
