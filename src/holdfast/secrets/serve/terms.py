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

import hmac
import threading
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from ..._base.durable import replace
from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, SecretsDamaged
from .words import NotPrimary, term_number

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
        self.know(key)
        try:
            self._now = from_json(path.read_bytes(), Standing)
        except FileNotFoundError:
            self._now = Standing(1, role)
            self._keep(self._now)
        except (msgspec.MsgspecError, ValueError):
            raise SecretsDamaged(f"{path} does not say which term this server is in: put it back, or make the server "
                                 "a standby anew") from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error

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
        """Somebody told a term. What no server of this store said is passed over."""
        term = term_number(said)
        key = self._key
        if key is None or term is None or term <= self._now.term:
            return
        if not hmac.compare_digest(_text(key, term).encode(), said.encode("utf-8", "replace")):
            return  # guard: nobody makes up a term
        with self._lock:
            if term > self._now.term and self._now.role is Role.STANDBY:
                self._keep(Standing(term, Role.STANDBY))
            elif term > self._now.term and self._now.role is Role.PRIMARY:
                self._keep(Standing(self._now.term, Role.SUPERSEDED))  # guard: who was replaced writes no more

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

    def promote(self, also: Path | None = None) -> int:
        """A standby is the primary of a new term, which is said. also: where that is kept as well, first. Raises
        ConfigurationError for what is none."""
        with self._lock:
            self.check_standby()
            new = Standing(self._now.term + 1, Role.PRIMARY)
            if also is not None:
                replace(also, lambda _: msgspec.json.encode(new))
            self._keep(new)
            return new.term

    def _keep(self, standing: Standing) -> None:
        replace(self._path, lambda _: msgspec.json.encode(standing))
        self._now = standing


def _text(key: Secret[bytes], term: int) -> str:
    return f"{term}.{hmac.digest(key.reveal(), b'holdfast secrets term 1 %d' % term, 'sha256').hex()}"
