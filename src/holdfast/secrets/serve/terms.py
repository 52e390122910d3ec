# SPDX-License-Identifier: Apache-2.0
"""Who is the primary: a number that only grows, and a person who decides.

::

    primary, term 1 ── dies                                   comes back, term 1 ── hears of term 2 ─▶ superseded
    standby, term 1 ──────── promoted by hand ─▶ primary, term 2

Each server keeps a term on disk. A standby that is promoted takes the next one. Every request and every answer bears
the highest term that its sender knows: a primary that hears of a higher one than its own is superseded, on disk, and
writes no more; a client that knows a higher one takes nothing from it. What is told is a number and its HMAC under a
key that the servers of one store share: clients hand it on, and cannot make up one that ends a primary.

Nothing is promoted by itself, since two servers alone cannot tell a dead primary from one that they do not reach. What
is left is a client that never heard of the new primary and reaches only the old one: before a promotion, see that the
old one is down.
"""

from __future__ import annotations

import fcntl
import hmac
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from ..._base.durable import Unsettled, replace
from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, SecretsDamaged
from .words import NotPrimary, term_number

log = logging.getLogger("holdfast")

#: Bytes of the key that servers share.
KEY_SIZE: Final = 32


class Role(Enum):
    """What a server is."""

    PRIMARY = "primary"
    STANDBY = "standby"
    SUPERSEDED = "superseded"


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As it is kept."""

    term: int
    role: Role


class Terms:
    """What this server is, kept in a file. key: 32 bytes that the servers of one store share; None: not known yet, as
    while the store is sealed that keeps it. role: what it is where there is no file yet; the first term is 1. From
    several threads."""

    def __init__(self, path: Path, key: Secret[bytes] | None = None, role: Role = Role.PRIMARY) -> None:
        self._path, self._lock = path, threading.Lock()
        self._unkept = False
        self.know(key)
        try:
            if path.exists():
                self._now = from_json(path.read_bytes(), Standing)
            else:
                self._keep(Standing(1, role))
        except (msgspec.MsgspecError, ValueError):
            raise SecretsDamaged(f"{path} does not say which term this server is in: put it back, or make the server "
                                 "a standby anew") from None
        except OSError as error:
            raise ConfigurationError(f"{path}, which says what term this server is in, cannot be read or written: "
                                     f"{error.strerror or error}") from error

    def know(self, key: Secret[bytes] | None) -> None:
        """The key, or none any more: terms are then told without a proof, and those of others not believed."""
        if key is not None and len(key.reveal()) != KEY_SIZE:
            raise ConfigurationError(f"the key that servers share has {KEY_SIZE} bytes, and this one "
                                     f"{len(key.reveal())}")
        self._key = key

    @property
    def standing(self) -> Standing:
        """What this server is now."""
        return self._now

    @property
    def told(self) -> str:
        """The term as it is told to others."""
        key = self._key
        return str(self._now.term) if key is None else _text(key, self._now.term)

    def heard(self, said: str) -> None:
        """Somebody told a term. What no server of this store said is passed over. It counts though it cannot be kept;
        that is tried again with the next word of it."""
        term = term_number(said)
        key = self._key
        if key is None or term is None or term < self._now.term or (term == self._now.term and not self._unkept):
            return
        if not hmac.compare_digest(_text(key, term).encode(), said.encode("utf-8", "replace")):
            return  # guard: nobody makes up a term
        with self._lock:
            if term > self._now.term and self._now.role is Role.STANDBY:
                self._now = Standing(term, Role.STANDBY)
            elif term > self._now.term and self._now.role is Role.PRIMARY:
                self._now = Standing(self._now.term, Role.SUPERSEDED)  # guard: who was replaced writes no more
            elif not self._unkept:
                return
            try:
                self._keep(self._now)
            except OSError as error:
                if not self._unkept:
                    log.error("%s cannot be written, and says what was before: %s", self._path, error)  # noqa: TRY400
                self._unkept = True

    def check_writes(self) -> None:
        """Raises NotPrimary unless this server may write."""
        if self._now.role is Role.SUPERSEDED:
            raise NotPrimary(f"this server was the primary of term {self._now.term} and was replaced: ask the new one, "
                             "and make this one its standby")
        if self._now.role is Role.STANDBY:  # guard: a standby never writes
            raise NotPrimary("this server is a standby and never writes: ask the primary, or promote this one by hand "
                             "when the primary is gone")

    def check_standby(self) -> None:
        """Raises ConfigurationError for what is none."""
        if self._now.role is not Role.STANDBY:
            raise ConfigurationError(f"this server is {self._now.role.value}: a standby is promoted, and nothing else")

    def next(self) -> Standing:
        """What this standby is once it was promoted."""
        return Standing(self._now.term + 1, Role.PRIMARY)

    def promote(self) -> int:
        """A standby is the primary of a new term, which is said. Raises ConfigurationError for what is none."""
        with self._lock:
            self.check_standby()
            new = self.next()
            self._keep(new)
            return new.term

    def _keep(self, standing: Standing) -> None:
        try:
            replace(self._path, lambda _: msgspec.json.encode(standing))
        except Unsettled:
            self._now = standing
            raise
        self._now, self._unkept = standing, False


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """One process at a time has these terms: two would not hear what the other one was told. path: as of ``Terms``.

    Raises ConfigurationError while another one has them, or where no file can be.
    """
    try:
        held = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path}.lock cannot be opened: {error.strerror}") from None
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # guard: one process has a server's terms
        except OSError:
            raise ConfigurationError(f"a server runs with {path} already: stop it first") from None
        yield
    finally:
        fcntl.flock(held, fcntl.LOCK_UN)  # also for a child that was forked meanwhile, and has it too
        os.close(held)


def _text(key: Secret[bytes], term: int) -> str:
    return f"{term}.{hmac.digest(key.reveal(), b'holdfast secrets term 1 %d' % term, 'sha256').hex()}"
