# SPDX-License-Identifier: Apache-2.0
"""A vault that is followed, and copies of it that are opened.

What is new is taken from the vault once after each change and in one moment: a copy of the whole file in memory, some
ms a MB, and no lock that a reader would notice. None is on disk: it would outlive what is destroyed in the vault.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from ..._base.clock import Clock
from ...errors import SecretsDamaged
from ..contract import SecretStore
from ..vault import Head, Seal, Vault
from ..vault.form import Unfit, read_header
from .feed import PIECE_MAX, Piece, Place


class VaultFeed:
    """Fulfils ``Sealed``."""

    def __init__(self, vault: Vault) -> None:
        self._vault, self._lock = vault, threading.Lock()
        self._place: Place | None = None
        self._content = b""

    def piece(self, file: str, since: int) -> Piece:
        """See ``Sealed``."""
        with self._lock:
            place = self._place
            if place is None or place.generation != self._vault.generation:
                place = self._place = self._look()
            began = since if file == place.file and 0 <= since <= place.size else 0
            return Piece(place, began, self._content[began:began + PIECE_MAX])

    def _look(self) -> Place:
        head, self._content = self._vault.whole()
        try:
            header, raw = read_header(self._content)
        except Unfit as error:
            raise SecretsDamaged(f"the vault was changed: {error}") from None
        return Place(header.store.hex(), hashlib.sha256(raw).hexdigest()[:32], head.generation, head.link.hex(),
                     len(self._content))


class _Told:
    """A pin that says what the primary said."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def read(self, store: bytes) -> Head | None:
        """See ``Pin``."""
        if store.hex() != self._place.store:
            raise SecretsDamaged("the copy is of another vault than the one that was told")
        return Head(self._place.generation, bytes.fromhex(self._place.link))

    def write(self, store: bytes, head: Head, *, adopt: bool = False) -> None:
        """Nothing is ahead of what was told: see ``vault_opener``."""


def vault_opener(seal: Seal, clock: Clock | None = None) -> Callable[[Path, Place], SecretStore]:
    """An ``Opener``. seal: opens the primary's vault; with a key file that takes µs, with a passphrase the time of its
    scrypt after each change."""
    def opened(path: Path, place: Place) -> SecretStore:
        vault = Vault.open(path, seal, pin=_Told(place), clock=clock)
        if vault.generation != place.generation:
            vault.close()
            raise SecretsDamaged("the copy is at another generation than the one that was told")
        return vault

    return opened
