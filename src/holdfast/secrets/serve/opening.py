# SPDX-License-Identifier: Apache-2.0
"""What a gate opens: a vault in a file, or the copies of a standby, each with its audit and the keys of both.

The keys of the audit and of terms are in the vault, so that a standby has them with its first copy, and a server that
is sealed has none. A standby without a copy asks its primary once before it says that it is open: otherwise a wrong
passphrase would be found out when the primary is dead. So whoever unseals one while the primary is away is told to try
again; a standby that begins with a key of its own goes on asking, or a machine could not start before another one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..._base.clock import Clock
from ..._base.events import Event
from ..._base.secret import Secret
from ..._base.unlock import Hkdf, Scrypt
from ...errors import SecretNotFound, SecretsDamaged, SecretsUnreachable
from ..access import AuditLog
from ..contract import SecretStore
from ..own import AUDIT_KEY, TERM_KEY, own_key
from ..standing import ends_of_leases
from ..vault import Leases, Pin, Seal, Vault
from .feed import Place
from .gate import Opened
from .standby import Follower, Replica
from .terms import Terms
from .vaulted import VaultFeed, vault_opener
from .wire import Wire

Tell = Callable[[Event], None]


def of_vault(path: Path, audit: Path, terms: Terms, *, pin: Pin | None, clock: Clock,
             entropy: Callable[[int], bytes], tell: Tell) -> Callable[[Seal], Opened]:
    """For the primary of a vault. audit: its folder. pin: None for the user's."""
    def opened(seal: Seal) -> Opened:
        vault = Vault.open(path, seal, pin=pin, clock=clock)
        try:
            log = AuditLog(audit, own_key(vault, AUDIT_KEY, entropy), clock.wall_ms, tell=tell)
            terms.know(own_key(vault, TERM_KEY, entropy))
        except BaseException:
            vault.close()
            raise

        def close() -> None:
            terms.know(None)
            vault.close()
            log.close()

        return Opened(vault, lambda: log, close, VaultFeed(vault), ends_of_leases(Leases(vault)))

    return opened


def of_copies(folder: Path, audit: Path, terms: Terms, wire: Callable[[], Wire], *, clock: Clock, tell: Tell,
              patient: bool = False) -> Callable[[Seal], Opened]:
    """For a standby. wire: makes one to the primary. patient: the first time it opens without a copy as well."""
    def opened(seal: Seal) -> Opened:
        nonlocal patient
        copies = _Copies(audit, terms, Remembered(seal), clock, tell)
        replica = Replica(folder, copies.open, tell)
        follower = Follower(replica, wire(), terms, clock=clock, tell=tell)

        def close() -> None:
            follower.stop()
            replica.close()
            copies.close()

        try:
            if replica.begun is None:
                borne = [SecretsUnreachable] if patient else []
                with suppress(*borne):  # guard: what was tried at nothing opens nothing
                    follower.look()
            patient = False
            follower.start()
        except BaseException:
            close()
            raise
        return Opened(replica, copies.audit, close)

    return opened


class _Copies:
    """Opens copies, and takes from them the keys that a server needs."""

    def __init__(self, folder: Path, terms: Terms, seal: Seal, clock: Clock, tell: Tell) -> None:
        self._folder, self._terms, self._clock, self._tell = folder, terms, clock, tell
        self._opener = vault_opener(seal, clock)
        self._log: AuditLog | None = None

    def open(self, path: Path, place: Place) -> SecretStore:
        """See ``Opener``."""
        store = self._opener(path, place)
        try:
            self._terms.know(store.get(TERM_KEY).value)
            if self._log is None:
                self._log = AuditLog(self._folder, store.get(AUDIT_KEY).value, self._clock.wall_ms, tell=self._tell)
        except SecretNotFound as error:
            store.close()
            raise SecretsDamaged(f"the copy is of a vault that was never served: {error}") from None
        except BaseException:
            store.close()
            raise
        return store

    def audit(self) -> AuditLog:
        """Raises SecretsUnreachable until there was a copy."""
        if self._log is None:
            raise SecretsUnreachable("this standby has no copy yet: it has to reach its primary once")
        return self._log

    def close(self) -> None:
        """Drops the keys."""
        self._terms.know(None)
        if self._log is not None:
            self._log.close()


class Remembered:
    """A seal that derives once: a standby opens a copy after each change, and scrypt takes a third of a second. Price:
    what was derived, which opens the vault as well, is in memory until the standby is sealed."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self.kind: Final = seal.kind
        self._last: tuple[Scrypt | Hkdf, Secret[bytes]] | None = None

    def derivation(self, salt: bytes) -> Scrypt | Hkdf:
        """See ``Seal``."""
        return self._seal.derivation(salt)

    def derived(self, how: Scrypt | Hkdf) -> bytes:
        """See ``Seal``."""
        if self._last is None or self._last[0] != how:
            self._last = how, Secret(self._seal.derived(how))
        return self._last[1].reveal()
