# SPDX-License-Identifier: Apache-2.0
"""The audit in a folder: lines of JSON, on disk before anybody is given anything.

::

    audit/00000000000000000001.jsonl      its first entry's number; the chain goes on from file to file
    audit/00000000000000012001.jsonl
    audit/mark                            how far the chain had come, under the audit's key
    audit/lock                            one writer at a time, whichever process it is in

An entry counts when it is on disk. Callers who come at once share one fsync: whoever has the lock writes for all that
wait. A line without its end is of a process that was killed before anybody had been told, and goes.

The mark is written after each ``every`` entries, at each new file and at the end. Fewer entries than that can be cut
off unseen; ``every=1`` leaves none, for two more fsyncs an entry. Who can put back the mark as well, with what it
marked, is seen only by a head that was kept on another machine: ``head``.

Files that are old enough may be taken away, the oldest first. ``verify`` then wants what the first one left follows on.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from ..._base import points
from ..._base.chain import START, Broken, Head
from ..._base.clock import WallMs
from ..._base.durable import replace, sync_folder
from ..._base.events import Event, SecretsAuditFailed
from ..._base.secret import Secret
from ...errors import ConfigurationError, SecretsDamaged, SecretUnavailable
from .audit import CHAIN, Entry, Keys, Said, entry

#: Bytes of a file after which the next one begins.
SIZE_MAX: Final = 64 << 20
EVERY: Final = 16


@dataclass(frozen=True)
class Checked:
    """What ``verify`` found. entries: that hold. head: where they end. broken: None when all is well; file: in which
    it is, empty for the end."""

    entries: int
    head: Head
    broken: Broken | None = None
    file: str = ""


class _Waiting:
    """Somebody who waits for an entry to be on disk."""

    __slots__ = ("entry", "error", "said")

    def __init__(self, said: Said) -> None:
        self.said = said
        self.entry: Entry | None = None
        self.error: Exception | None = None


class AuditLog:
    """Appends to a folder, which is made where there is none. From several threads and processes at once.

    key: 32 random bytes, kept elsewhere. wall: the time that entries bear. size_max: of a file. tell: hears of entries
    that could not be written. Raises SecretsDamaged when what is there does not hold, or was cut; ConfigurationError
    when it cannot be read.
    """

    def __init__(self, folder: Path, key: Secret[bytes], wall: Callable[[], WallMs], *, every: int = EVERY,
                 size_max: int = SIZE_MAX, tell: Callable[[Event], None] = lambda _: None) -> None:
        if every < 1 or size_max < 1:
            raise ConfigurationError("an audit is marked after one entry at least, and its files have a size")
        self.keys: Final = Keys(key)
        self._folder, self._wall, self._every, self._size_max, self._tell = folder, wall, every, size_max, tell
        self._turn, self._queue_lock = threading.Lock(), threading.Lock()
        self._queue: list[_Waiting] = []
        self._head, self._was, self._marked, self._size = START, START, 0, 0
        self._file: Path | None = None
        self._lame = self._closed = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                self._begin()
        except OSError as error:
            raise ConfigurationError(f"the audit in {folder} cannot be opened: {error.strerror or error}") from error

    @property
    def head(self) -> Head:
        """Where the chain ends, as far as this process wrote or read it: to be kept on another machine."""
        return self._head

    def write(self, said: Said) -> Entry:
        """Returns once it is on disk. Raises SecretUnavailable when it cannot be: what was asked is refused then."""
        waiting = _Waiting(said)
        with self._queue_lock:
            self._queue.append(waiting)
        with self._turn:
            if waiting.entry is None and waiting.error is None:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                self._append(batch)
        if waiting.entry is None:
            raise SecretUnavailable(f"the access to {said.name or 'secrets'} cannot be recorded, and so it is refused: "
                                    f"{waiting.error}") from None
        return waiting.entry

    def close(self) -> None:
        """Marks where the chain ends. Calling it twice is harmless."""
        with self._turn:
            if not self._closed and not self._lame:
                self._closed = True
                with suppress(OSError, SecretsDamaged), self._locked():
                    self._catch_up()
                    self._mark()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, batch: list[_Waiting]) -> None:
        try:
            if self._closed or self._lame:
                raise OSError("the audit was closed" if self._closed else "an entry may be on disk in part: open it "
                              "anew")
            with self._locked():
                self._catch_up()
                made = self._written(batch)
        except (OSError, SecretsDamaged) as error:
            for waiting in batch:
                waiting.error = error
            self._tell(SecretsAuditFailed(scheme="audit", error=str(error)))
            return
        for waiting, one in zip(batch, made, strict=True):
            waiting.entry = one

    def _written(self, batch: list[_Waiting]) -> list[Entry]:
        path = self._file
        if path is None or self._size >= self._size_max:
            path = self._next_file()
        head, made = self._head, list[Entry]()
        for waiting in batch:
            made.append(entry(head, self._wall(), waiting.said))
            head = Head(made[-1].number, made[-1].hash)
        lines = b"".join(map(CHAIN.line, made))
        points.reached("secrets.audit.append.before")
        self._on_disk(path, lines)
        points.reached("secrets.audit.append.after")
        self._head, self._size = head, self._size + len(lines)
        if head.number - self._marked >= self._every:
            self._mark()
        return made

    def _on_disk(self, path: Path, lines: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(descriptor, rest):]
            os.fsync(descriptor)  # guard: nothing is given away before its entry is on disk
        except OSError:
            try:
                os.ftruncate(descriptor, self._size)
                os.fsync(descriptor)
            except OSError:
                self._lame = True
            raise
        finally:
            os.close(descriptor)

    def _next_file(self) -> Path:
        self._mark()
        path = self._folder / f"{self._head.number + 1:020}.jsonl"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(path)
        self._file, self._size = path, 0
        return path

    def _mark(self) -> None:
        mark = self.keys.mark(self._head, self._wall())
        replace(self._folder / "mark", lambda _: msgspec.json.encode(mark))
        self._marked = self._head.number

    def _begin(self) -> None:
        """Reads the last file, and sees that the chain comes as far as it was marked."""
        files = files_in(self._folder)
        if not (self._folder / "mark").exists():
            if files:
                raise SecretsDamaged(f"the audit in {self._folder} has entries, and its mark is gone: somebody took it "
                                     "away; put back the newest that was kept elsewhere")
            self._mark()
        mark = self._was = self._marked_to()
        if files:
            self._head = _before(files[-1])
            self._file = files[-1]
            self._catch_up()
        if self._head.number < mark.number:  # guard: an end that was cut off is seen
            raise SecretsDamaged(f"the audit in {self._folder} ends at entry {self._head.number}, and was marked at "
                                 f"{mark.number}: its end was cut off")
        self._marked = mark.number

    def _marked_to(self) -> Head:
        path = self._folder / "mark"
        return self.keys.read_mark(path.read_bytes(), str(path)).head

    def _catch_up(self) -> None:
        """Reads what other processes wrote meanwhile, and takes away what one that was killed wrote in part."""
        files = files_in(self._folder)
        if self._file is None and not files:
            return
        if self._file not in files:
            if self._file is not None or not files:
                raise SecretsDamaged(f"{self._file} is gone: somebody took the audit away while it was written")
            self._file, self._size = files[0], 0
        for path in files[files.index(self._file):]:
            if path != self._file:
                self._file, self._size = path, 0
            self._read_on(path)

    def _read_on(self, path: Path) -> None:
        size = path.stat().st_size
        if size == self._size:
            return
        if size < self._size:
            raise SecretsDamaged(f"{path} became shorter: somebody cut the audit while it was written")
        with path.open("r+b") as file:
            file.seek(self._size)
            for at, line in enumerate(file.read().splitlines(keepends=True), 1):
                if not line.endswith(b"\n"):
                    file.truncate(self._size)
                    os.fsync(file.fileno())
                    return
                found = CHAIN.follow(line, self._head)
                if isinstance(found, str):
                    raise SecretsDamaged(f"the audit does not hold in {path}, line {at} of what is new: {found}")
                self._head, self._size = Head(found.number, found.hash), self._size + len(line)
                if self._head.number == self._was.number and self._head != self._was:
                    raise SecretsDamaged(f"entry {found.number} in {path} is another one than that which was marked: "
                                         "the audit was written anew")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a child that was forked meanwhile, and has it too
            os.close(descriptor)


def files_in(folder: Path) -> list[Path]:
    """Those of an audit, in the order of their entries."""
    return sorted(path for path in folder.glob("*.jsonl") if len(path.stem) == 20 and path.stem.isdigit())


def entries_in(folder: Path) -> Iterator[Entry]:
    """What an audit says, the oldest first; lines that are no entries are left out, ``verify`` names them."""
    for path in files_in(folder):
        with path.open("rb") as file:
            for line in file:
                found = CHAIN.read(line)
                if not isinstance(found, str):
                    yield found


def verify(folder: Path, key: Secret[bytes] | None = None, *, head: Head | None = None,
           since: Head | None = None) -> Checked:
    """Whether the audit holds from its beginning to its end. key: for the mark, which shows an end that was cut off.
    head: one that was kept elsewhere; the chain has to come through it. since: what the first file follows on, when
    older ones were taken away.

    Raises SecretsDamaged for a mark that is none. One that cannot be read, and no mark, are OSErrors.
    """
    wanted = [one for one in (head, Keys(key).read_mark((folder / "mark").read_bytes(), str(folder / "mark")).head
                              if key is not None else None) if one is not None]
    end, count = since or START, 0
    for path in files_in(folder):
        with path.open("rb") as file:
            for at, line in enumerate(file, 1):
                found = CHAIN.follow(line, end) if line.endswith(b"\n") else "the line has no end"
                if isinstance(found, str):
                    return Checked(count, end, Broken(at, found), path.name)
                end, count = Head(found.number, found.hash), count + 1
                for one in wanted:
                    if one.number == end.number and one != end:
                        return Checked(count, end, Broken(at, "from here on, at the latest, the chain is another one "
                                                              "than that which was marked"), path.name)
    for one in wanted:
        if one.number > end.number:  # guard: an end that was cut off shows against a mark
            return Checked(count, end, Broken(0, f"the chain ends at entry {end.number}, and had come to "
                                                 f"{one.number}: its end was cut off"))
    return Checked(count, end)


def _before(path: Path) -> Head:
    """What the first entry of a file follows on, by what it says itself; ``verify`` looks at all files."""
    number = int(path.stem) - 1
    with path.open("rb") as file:
        first = CHAIN.read(file.readline())
    if isinstance(first, str):
        return _end_before(path.parent, number)
    return Head(number, first.before)


def _end_before(folder: Path, number: int) -> Head:
    """The last entry of the file before one that was begun and has none."""
    files = [path for path in files_in(folder) if int(path.stem) <= number]
    if not files:
        return START
    lines = files[-1].read_bytes().splitlines(keepends=True)
    return CHAIN.head_of(lines)
