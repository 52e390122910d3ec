# SPDX-License-Identifier: Apache-2.0
"""A worker id in a file: one process holds it and keeps the file current, another one makes ids by it.

::

    store ◀─ claim, renew ─ holdfast id hold ── FILE, replaced at each renewal ──▶ FileTerm ──▶ Generator
                                                                                      │
                                                                       .FILE.reader ◀─┘ locked; how far it made ids

For programs in any language, and for containers of one pod. The file is JSON, in ms since 1970 by the store's clock::

    {"worker": 3, "window_start_ms": 1795715557000, "window_end_ms": 1795715587000, "store_ms": 1795715557000.0,
     "at_boottime_ms": 9071840.5, "boot_id": "0fc7158f-…", "workers": 1024, "inode": 5310782}

A reader counts the store's time on from ``store_ms`` by CLOCK_BOOTTIME, on the same boot, and makes ids whose time lies
in the window, under ``worker``: nothing else. When its holder is gone the window ends by itself, and whoever has the
worker id next begins behind it.

A file has one reader at a time, or two would make the same ids. One that starts again must leave out what the one
before it may have made: so a reader writes down how far it may go, before it goes there. It does so without fsync:
what a process wrote outlives that process, and behind a power failure there is another boot.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from .._base.boot import boot_id
from .._base.clock import Clock, SystemClock
from .._base.durable import replace, sync_folder
from .._base.typed import from_json
from ..errors import ConfigurationError, WorkerIdTaken
from .process_lock import ProcessLock
from .term import Held, Maker, Window

NOTHING = Held(-1, Window(0, -1))
#: A file is read again when a third of what is left of its window is gone, and not more often than this.
PARTS, READ_S = 3, 0.05


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    worker: int
    window_start_ms: int
    window_end_ms: int
    store_ms: float
    at_boottime_ms: float
    boot_id: str
    workers: int
    inode: int = 0

    @property
    def held(self) -> Held:
        """What may be used by it."""
        return Held(self.worker, Window(self.window_start_ms, self.window_end_ms))


class HoldFile:
    """The holder's side. Beside ``path`` lies ``.NAME.holder``, so that it has one holder at a time."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = ProcessLock(self.path.with_name(f".{self.path.name}.holder"))

    def lock(self) -> None:
        """Has it for this process. WorkerIdTaken when another holder has; ConfigurationError where no file can be."""
        try:
            locked = self._lock.try_alone()
        except OSError as error:
            raise ConfigurationError(f"{self._lock.path} cannot be opened: {error.strerror}") from error
        if not locked:  # guard: one holder a file
            raise WorkerIdTaken(f"{self.path} is kept by another holder: give each a file of its own")

    def write(self, hold: Hold) -> None:
        """Replaces what it says. Anybody of this machine may read it. OSError when it cannot be written."""
        replace(self.path, lambda stat: msgspec.json.encode(msgspec.structs.replace(hold, inode=stat.st_ino)) + b"\n",
                mode=0o644)

    def remove(self) -> None:
        """Nothing is held any more."""
        self.path.unlink(missing_ok=True)
        sync_folder(self.path)

    def close(self) -> None:
        """Lets go of it, and leaves what it says."""
        self._lock.release()


def read(path: Path, boot: str) -> Hold | str:
    """What the file says, or why nothing is made by it."""
    try:
        with path.open("rb") as file:
            inode, text = os.fstat(file.fileno()).st_ino, file.read()
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}): its holder has not begun, or has ended"
    try:
        hold = from_json(text, Hold)
    except msgspec.DecodeError as error:
        return f"{path} is no worker id of `holdfast id hold` ({error})"
    if not boot or hold.boot_id != boot:  # guard: boot id
        return f"{path} was written in another boot of this machine, or on another machine"
    if hold.inode != inode:
        return f"{path} is a copy: its reader and that of the first one would make the same ids"
    return hold


class FileTerm:
    """Fulfils ``Term`` by a file. For one ``Generator``: its threads share it.

    ahead_ms: so far ahead of the time ids may be made; not less than the generator's own ``Pace.ahead_ms``, or bursts
    are refused. Price: a reader that starts again after a crash waits for so long, and a quarter of it.
    """

    def __init__(self, path: str | Path, *, ahead_ms: int = 2_000, clock: Clock | None = None,
                 boot: Callable[[], str] = boot_id, sleep: Callable[[float], object] = time.sleep) -> None:
        self.path, self.cause = Path(path), ""
        self._ahead_ms, self._clock, self._sleep = ahead_ms, clock or SystemClock(), sleep
        self._boot = boot()
        self._lock = ProcessLock(self.path.with_name(f".{self.path.name}.reader"))
        self._guard = threading.Lock()
        self._hold: Hold | None = None
        self._held = NOTHING
        self._first_ms = self._mark_ms = 0
        self._read_at = self._mark_at = 0.0
        self._maker: Maker | None = None
        self._why = ""

    # -- Term -----------------------------------------------------------------------------------------------------

    @property
    def held(self) -> Held:
        """See ``Term``. Looks at the file when that is due."""
        now_s = self._clock.now()
        if now_s >= self._read_at or now_s >= self._mark_at:
            with self._guard:
                self._look(now_s)
        return self._held

    def made_by(self, maker: Maker) -> None:
        """See ``Term``. ConfigurationError for a second one: both would make the same ids."""
        if self._maker is not None:
            raise ConfigurationError(f"{self.path} has a generator: its threads share one")
        self._maker = maker

    def now_ms(self) -> float:
        """See ``Term``."""
        hold = self._hold
        return 0.0 if hold is None else hold.store_ms + self._clock.now() * 1000 - hold.at_boottime_ms

    # -- its life -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether an id can be made now: for a readiness probe."""
        window = self.held.window
        return window.first_ms <= self.now_ms() <= window.last_ms

    def open(self, *, wait_s: float = 60.0) -> Self:
        """Waits until there is a file whose window is open. TimeoutError, with the reason, when there is none in time.

        Raises WorkerIdTaken when another process reads it, ConfigurationError where nothing can be written beside it.
        """
        self._begin()
        ends = self._clock.now() + wait_s
        while not self.ready:
            if self._clock.now() >= ends:
                self.close()
                raise TimeoutError(f"no worker id in {self.path} within {wait_s:g} s: "
                                   f"{self._why or 'its window is not open'}")
            self._sleep(READ_S)
        return self

    def close(self) -> None:
        """Makes nothing any more. Whoever reads it next begins behind the last id that was made here."""
        with self._guard:
            self.cause, self._held, self._read_at, self._mark_at = "its file was closed", NOTHING, math.inf, math.inf
        if self._maker is not None:
            self._maker.drop()
        if self._lock.intact():
            last_ms = 0 if self._maker is None else self._maker.last_ms()
            with contextlib.suppress(OSError):
                self._write_mark(max(last_ms, self._first_ms - 1))
        self._lock.release()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the two files --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            locked = self._lock.try_alone()
        except OSError as error:
            raise ConfigurationError(f"{self._lock.path} cannot be opened ({error.strerror}): whoever reads a worker "
                                     "id has to be able to write beside it") from error
        if not locked:  # guard: one reader
            raise WorkerIdTaken(f"{self.path} is read by another process: both would make the same ids")
        text = os.pread(self._lock.descriptor, 32, 0).decode("ascii", "replace").strip()
        if text and not text.isdigit():
            raise ConfigurationError(f"{self._lock.path} is not ours: it says {text!r}")
        self._first_ms = int(text or 0) + 1  # guard: behind what the reader before may have made
        self._mark_ms = self._first_ms - 1

    def _look(self, now_s: float) -> None:
        if now_s >= self._read_at:
            self._read(now_s)
        self._mark_at = now_s + READ_S
        hold = self._hold
        if not self._lock.intact():  # of a parent, or deleted: another process can be its reader by now
            self._held, self._why = NOTHING, f"{self._lock.path} is not ours any more"
        elif hold is not None:
            try:
                until_ms = min(hold.window_end_ms, int(self.now_ms()) + self._ahead_ms + self._ahead_ms // 4)
                self._write_mark(max(self._mark_ms, until_ms))  # guard: noted before it is used
            except OSError as error:
                self._why = f"{self._lock.path} cannot be written: {error.strerror}"
                return
            self._mark_at = now_s + self._ahead_ms / 4_000
            first_ms = max(hold.window_start_ms, self._first_ms)
            self._held = Held(hold.worker, Window(first_ms, min(hold.window_end_ms, self._mark_ms)))

    def _read(self, now_s: float) -> None:
        """What cannot be read leaves the window that was read before; it ends by itself."""
        found = read(self.path, self._boot)
        if isinstance(found, str):
            self._why = found
        else:
            self._hold, self._why = found, ""
        left_ms = 0.0 if self._hold is None else self._hold.window_end_ms - self.now_ms()
        self._read_at = now_s + max(left_ms / 1000 / PARTS, READ_S)

    def _write_mark(self, ms: int) -> None:
        os.pwrite(self._lock.descriptor, b"%020d\n" % ms, 0)
        self._mark_ms = ms
