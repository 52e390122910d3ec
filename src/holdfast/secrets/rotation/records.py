# SPDX-License-Identifier: Apache-2.0
"""Where the record of a rotation is kept: in the store itself, as the secret ``holdfast.rotation/NAME``.

What a rotation has come to is then as durable as what it changes, and moves, is backed up and is guarded with it. Each
stage is a version of it, ten a rotation, some 300 bytes each; they stay, as the history of what was done when. No value
is in them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, RotationFailed, SecretMoved, SecretNotFound, SecretsDamaged
from ..contract import Ability, SecretStore
from .machine import Record

__all__ = ["PREFIX", "Records"]

#: Of the names of records.
PREFIX: Final = "holdfast.rotation"


class Records:
    """The records in a store. Raises ConfigurationError for a store that cannot keep them."""

    def __init__(self, store: SecretStore) -> None:
        needed = Ability.WRITE | Ability.VERSIONS | Ability.COMPARE
        if needed & ~store.abilities:
            raise ConfigurationError(f"secrets in {store.scheme} cannot be rotated: it has no versions that are "
                                     "written by compare-and-set; move them to a store that has")
        self._store = store

    @staticmethod
    def name_of(name: str) -> str:
        """Of the record. Raises ConfigurationError for a record's own name."""
        if name == PREFIX or name.startswith(PREFIX + "/"):
            raise ConfigurationError(f"{name} is the record of a rotation, and no secret to rotate")
        return f"{PREFIX}/{name}"

    def read(self, name: str) -> tuple[Record | None, int]:
        """The latest record and its version; None and 0 when there was no rotation yet."""
        try:
            found = self._store.get(self.name_of(name))
        except SecretNotFound:
            return None, 0
        try:
            return from_json(found.value.reveal(), Record), found.version.number
        except msgspec.DecodeError:
            raise SecretsDamaged(f"{self.name_of(name)} is no record of a rotation: somebody else wrote it") from None

    def write(self, name: str, record: Record, at: int) -> int:
        """Writes it over version ``at``, and answers its own. Raises RotationFailed when somebody else has written
        one."""
        try:
            kept = self._store.put(self.name_of(name), Secret(msgspec.json.encode(record)), expect=at)  # guard: compare
        except SecretMoved:
            raise RotationFailed(f"another rotator goes on with {name}: this one stops") from None
        return kept.number
