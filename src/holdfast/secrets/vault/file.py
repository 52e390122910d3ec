# SPDX-License-Identifier: Apache-2.0
"""A vault's file on disk: locked, read, appended to, written anew.

::

    append     write behind the last record ─▶ fsync ─▶ pin ─▶ the caller is told
    rewrite    a file beside it ─▶ fsync ─▶ rename over it ─▶ pin ─▶ the caller is told

One writer at a time, whichever process it is in, by a lock on a file beside it. Who reads takes the lock as well while
it reads what is new, so it never sees half a record of a writer that lives. Whether there is something new is asked of
the folder at each call (``stat``).

What a writer that was killed left behind the last record was told to nobody; the next writer cuts it off.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from ..._base import points
from ..._base.durable import Unsettled, replace
from ..._base.events import log
from ...errors import SecretRefused, SecretsDamaged, SecretsSealed, SecretsUnreachable
from . import entries
from .form import (
    ENTRY_LEAST,
    ENTRY_MAX,
    HEADER_MAX,
    NONCE,
    Head,
    Header,
    Unfit,
    fill,
    first_link,
    genuine,
    lengths,
    next_link,
    read_header,
    whole_record,
    write_header,
    write_record,
)
from .keys import Keys, header_key
from .pin import Pin
from .replay import End, Tail, head_of, replay, unfit
from .state import Holding, Item

#: Bytes of a file. It is read into memory once, as it is opened and written anew.
FILE_MAX: Final = 1 << 30
#: Seconds that a call waits for another process's lock.
WAIT_S: Final = 30.0
TAG: Final = 16

Entropy = Callable[[int], bytes]
_Seen = tuple[int, int, int, int]


class Loaded:
    """What was read of a file: gone as a whole when the vault is sealed."""

    __slots__ = ("end", "header", "holding", "keys", "root", "seen")

    def __init__(self, root: bytes, header: Header, raw: bytes) -> None:
        self.root = bytearray(root)
        self.header, self.keys, self.holding = header, Keys(root, header), Holding()
        self.end = End(len(raw), 0, first_link(raw))
        self.seen: _Seen = (0, 0, 0, 0)

    @property
    def head(self) -> Head:
        """Where the vault stood then."""
        return head_of(self.header, self.end)


class VaultFile:
    """path: of the vault. Not thread-safe: the vault is."""

    def __init__(self, path: Path, pin: Pin, entropy: Entropy) -> None:
        self.path: Final = Path(os.path.realpath(path))  # a circle of links is told as it is opened
        self._pin, self._entropy = pin, entropy
        self._loaded: Loaded | None = None
        self._descriptor = -1

    @property
    def loaded(self) -> Loaded:
        """What is known of it. Raises SecretsSealed."""
        if self._loaded is None:
            raise SecretsSealed(f"the vault {self.path} is sealed: unseal it first")
        return self._loaded

    @property
    def sealed(self) -> bool:
        """Nothing is known of it."""
        return self._loaded is None

    @contextmanager
    def locked(self, *, alone: bool) -> Iterator[None]:
        """Holds the lock, with other readers or alone. Raises SecretsUnreachable, SecretRefused."""
        lock, until = self._lock_file("lock", alone=alone), time.monotonic() + WAIT_S
        if lock < 0:
            yield
            return
        try:
            turn = self._lock_file("turn", alone=alone)
            try:
                if turn >= 0:
                    self._wait(turn, fcntl.LOCK_EX, until)
                self._wait(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, until)  # guard: one writer
            finally:
                _unlocked(turn)
            yield
        finally:
            _unlocked(lock)

    def head_bytes(self) -> tuple[Header, bytes]:
        """The header as it stands there. Raises SecretsDamaged, SecretsUnreachable."""
        descriptor = self._open()
        try:
            with self._reading():
                return read_header(_pread(descriptor, HEADER_MAX + 128, 0))  # guard: no more than a header has
        except Unfit as error:
            raise self._damaged(str(error)) from None
        finally:
            os.close(descriptor)

    def store_there(self) -> bytes | None:
        """Which vault is in this place; None: none, or none that can be told any more."""
        try:
            return self.head_bytes()[0].store
        except (SecretsDamaged, SecretsUnreachable):
            return None

    def load(self, root: bytes) -> None:
        """Reads all of it; the lock is held. Raises SecretsDamaged."""
        before, descriptor = self._loaded, self._open()
        try:
            loaded = self._read(descriptor, root, before)
        except BaseException:
            os.close(descriptor)
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._loaded = descriptor, loaded

    def refresh(self, *, locked: bool = False) -> Loaded:
        """What is known, with what others wrote meanwhile. Raises SecretsSealed, SecretsDamaged, SecretsUnreachable."""
        loaded = self.loaded
        if self._stat() == loaded.seen:
            return loaded
        if locked:
            self._catch_up(loaded)
        else:
            with self.locked(alone=False):
                self._catch_up(loaded)
        return self.loaded

    def append(self, entry: entries.Entry, blob: bytes = b"") -> None:
        """One more record; the lock is held alone. It is on disk, and pinned, when the call returns.

        Raises SecretRefused, SecretsDamaged; the file is then what it was.
        """
        loaded = self.loaded
        end, number = loaded.end, loaded.end.number + 1
        raw = self._record(loaded.keys, entry, blob, number, end.link)
        if end.offset + len(raw) > FILE_MAX:
            raise SecretRefused(f"the vault {self.path} would have more than {FILE_MAX >> 20} MiB: destroy what is not "
                                "needed any more, or keep large values elsewhere and their keys here")
        record = whole_record(raw, end.offset)
        after = End(record.end, number, next_link(end.link, record))
        points.reached("secrets.vault.append.before")
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._written(descriptor, raw, end.offset)
            self._pinned(loaded, head_of(loaded.header, after))
            found = os.fstat(descriptor)
        except (OSError, SecretsDamaged) as error:  # guard: what is refused is not in the file
            with suppress(OSError):
                os.ftruncate(descriptor, end.offset)
                os.fsync(descriptor)
            if isinstance(error, OSError):
                raise self._refused(error) from error
            raise
        finally:
            os.close(descriptor)
        loaded.holding.apply(entry, (record.offset, record.size))
        loaded.end = after
        loaded.seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def rewrite(self, header: Header, root: bytes, said: Iterable[tuple[entries.Entry, bytes]]) -> None:
        """Another file in its place; the lock is held alone. ``header`` lacks only what follows from the old file.

        Raises SecretRefused; the file is then the old one, unless the error says that it was written anew.
        """
        loaded = self._loaded
        follows = loaded.head if loaded else Head(0, bytes(32))
        listed = list(said)
        header = msgspec.structs.replace(header, follows=follows, base=follows.generation + 1, least=len(listed),
                                         file_salt=self._entropy(32))
        raw = write_header(header, header_key(root, header.store))
        keys, link, parts = Keys(root, header), first_link(raw), [raw]
        for number, (entry, blob) in enumerate(listed, 1):
            parts.append(self._record(keys, entry, blob, number, link))
            link = next_link(link, whole_record(parts[-1], 0))
        self._pin_of(header.store)  # guard: one that cannot be read is said before anything is done
        points.reached("secrets.vault.rewrite.before")
        unsettled: Unsettled | None = None
        try:
            replace(self.path, lambda _: self._spare(parts))
        except Unsettled as error:
            unsettled = error
        except OSError as error:
            raise self._refused(error) from error
        points.reached("secrets.vault.rewrite.replaced")
        self.load(root)
        if unsettled is not None:  # guard: no pin is ahead of what a power cut may leave
            raise SecretRefused(f"the vault {self.path} was written anew, and a power cut may bring the file before it "
                                f"back ({unsettled.strerror}): mend that and compact it") from unsettled
        try:
            self._pin.write(header.store, self.loaded.head)
        except OSError as error:
            raise SecretRefused(f"the vault {self.path} was written anew, and its pin cannot be ({error.strerror}): an "
                                "older copy would be taken; mend that and compact it") from error
        points.reached("secrets.vault.rewrite.pinned")

    def blob(self, item: Item) -> bytes:
        """A sealed value. Raises SecretsDamaged, SecretsUnreachable."""
        offset, size = item.place
        with self._reading():
            return os.pread(self._descriptor, size, offset)

    def content(self) -> bytes:
        """The file as it is known, to its last record; the lock is held."""
        with self._reading():
            return _pread(self._descriptor, self.loaded.end.offset, 0)

    def forget(self) -> None:
        """Lets go of everything; the root key's bytes are overwritten where Python lets us."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.root[:] = bytes(len(loaded.root))
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # -- reading

    def _read(self, descriptor: int, root: bytes, before: Loaded | None) -> Loaded:
        with self._reading():
            found = os.fstat(descriptor)
            if found.st_size > FILE_MAX:
                raise self._damaged(f"it has more than {FILE_MAX >> 20} MiB")
            data = _pread(descriptor, found.st_size, 0)
        try:
            header, raw = read_header(data)
        except Unfit as error:
            raise self._damaged(str(error)) from None
        if before is not None and before.header.store != header.store:  # not secret: a vault's id
            raise self._damaged("another vault was put in its place")
        if not genuine(raw, header_key(root, header.store)):
            raise self._damaged("its header was changed, or it was given another root key: open it anew")
        loaded = Loaded(root, header, raw)
        pinned = self._pin_of(header.store)
        if before is not None and (pinned is None or pinned.generation < before.head.generation):
            pinned = before.head
        loaded.end = replay(memoryview(data)[len(raw):], header, loaded.keys, loaded.holding, loaded.end,
                            watch=-1 if pinned is None else pinned.generation)
        why = unfit(header, loaded.end, pinned)
        if why:
            raise self._damaged(why)
        if before is None and (pinned is None or pinned.generation < loaded.head.generation):
            self._pin_later(header.store, loaded.head)
        loaded.seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        return loaded

    def _catch_up(self, loaded: Loaded) -> None:
        """The lock is held."""
        seen = self._stat()
        same, more = seen[:2] == loaded.seen[:2], seen[2] > loaded.seen[2]
        if not (same and more):
            self.load(bytes(loaded.root))
            return
        with self._reading():
            data = _pread(self._descriptor, seen[2] - loaded.end.offset, loaded.end.offset)
        end = replay(memoryview(data), loaded.header, loaded.keys, loaded.holding, loaded.end)
        head, pinned = head_of(loaded.header, end), self._pin_of(loaded.header.store)
        known = pinned is None or pinned.generation < head.generation or pinned.same(head)
        if end.tail is not Tail.NONE or not known:  # guard: of what was told and is not there, the pin tells
            loaded.seen = (0, 0, 0, 0)  # if that fails, the next call reads all of it, too
            self.load(bytes(loaded.root))
            return
        loaded.end, loaded.seen = end, seen

    def _stat(self) -> _Seen:
        try:
            found = os.stat(self.path)  # noqa: PTH116 - a path object costs as much as the rest of a reading
        except OSError as error:
            raise SecretsUnreachable(f"the vault {self.path} cannot be read: {error.strerror}") from error
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    # -- writing

    def _record(self, keys: Keys, entry: entries.Entry, blob: bytes, number: int, link: bytes) -> bytes:
        content = fill(entries.encode(entry), ENTRY_LEAST)
        if len(content) + TAG > ENTRY_MAX:  # guard: what is written can be read
            raise SecretRefused(f"this says too much for one record of the vault {self.path}: do it in several steps")
        covered = lengths(len(content) + TAG, len(blob)) + hashlib.sha256(blob).digest()
        nonce = self._entropy(NONCE)
        return write_record(nonce, keys.seal_entry(nonce, content, number, link, covered), blob)

    @staticmethod
    def _written(descriptor: int, raw: bytes, offset: int) -> None:
        if os.fstat(descriptor).st_size > offset:
            os.ftruncate(descriptor, offset)  # guard: torn tail. What nobody was told of goes
        half = len(raw) // 2
        _pwrite(descriptor, raw[:half], offset)
        points.reached("secrets.vault.append.half")
        _pwrite(descriptor, raw[half:], offset + half)
        points.reached("secrets.vault.append.written")
        os.fsync(descriptor)
        points.reached("secrets.vault.append.synced")

    def _pinned(self, loaded: Loaded, head: Head) -> None:
        """Raises OSError only when the pin is not there; SecretsDamaged when it is another one."""
        failed: OSError | None = None
        try:
            self._pin.write(loaded.header.store, head)
        except OSError as error:
            failed = error
        there = self._pin.read(loaded.header.store)
        if there is None or not there.same(head):  # guard: nobody is told of what is not pinned
            raise failed or self._damaged("its pin is of another history, or of a later state")
        points.reached("secrets.vault.append.pinned")

    def _pin_later(self, store: bytes, head: Head) -> None:
        """Whoever only reads may not be able to; the next writer has to."""
        try:
            self._pin.write(store, head)
        except OSError as error:
            log.warning("secrets: the pin of the vault %s cannot be written: %s", self.path, error.strerror)

    def _spare(self, parts: list[bytes]) -> bytes:
        points.reached("secrets.vault.rewrite.spare")
        return b"".join(parts)

    def _pin_of(self, store: bytes) -> Head | None:
        try:
            return self._pin.read(store)
        except OSError as error:
            raise SecretsUnreachable(f"the pin of the vault {self.path} cannot be read: {error.strerror}") from error

    # -- locking, and what is said

    def _lock_file(self, what: str, *, alone: bool) -> int:
        """lock: whoever has it reads or writes. turn: whoever has it is the next to have the lock, so that nobody who
        writes without a pause keeps the others from it. −1: it can be had by nobody."""
        path = self.path.with_name(f".{self.path.name}.{what}")
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if alone:
                raise self._refused(error) from error
            with suppress(OSError):
                return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            return -1  # a folder that nobody can write to has no writers

    def _wait(self, lock: int, how: int, until: float) -> None:
        pause_s = 0.0001
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise SecretsUnreachable(f"the vault {self.path} cannot be locked: {error.strerror}") from error
            else:
                return
            if time.monotonic() > until:
                raise SecretsUnreachable(f"the vault {self.path} has been locked by another process for {WAIT_S:.0f} "
                                         "s: see what it does, and try again")
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.002)

    def _open(self) -> int:
        """For reading. Raises SecretsUnreachable, also for what is no file: nobody waits at a pipe."""
        with self._reading():
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SecretsUnreachable(f"{self.path} is no file, and so no vault")
        return descriptor

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise SecretsUnreachable(f"there is no vault {self.path}: make one with `holdfast secrets init`") from None
        except OSError as error:
            raise SecretsUnreachable(f"the vault {self.path} cannot be read: {error.strerror}") from error

    def _damaged(self, why: str) -> SecretsDamaged:
        return SecretsDamaged(f"the vault {self.path} is not used: {why}; put back the newest backup with restore")

    def _refused(self, error: OSError) -> SecretRefused:
        return SecretRefused(f"the vault {self.path} cannot be written ({error.strerror}), and is what it was")


def _unlocked(lock: int) -> None:
    """Also for a child that was forked meanwhile, and has it too."""
    if lock >= 0:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _pwrite(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count


def _pread(descriptor: int, size: int, offset: int) -> bytes:
    parts = []
    while size > 0 and (part := os.pread(descriptor, size, offset)):
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts)
