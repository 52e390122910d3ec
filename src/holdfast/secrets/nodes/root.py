# SPDX-License-Identifier: Apache-2.0
"""The hybrid: a central file whose root key is in shares on nodes. The nodes are asked when the file is unsealed, and
not for each read: fast, and as safe as the process in which it is unsealed."""

from __future__ import annotations

from typing import Final, Protocol

from ..._base.secret import Secret
from ..contract import SecretStore


class RootKey(Protocol):
    """What a vault's seal asks for."""

    def rebuild(self) -> Secret[bytes]:
        """The root key. Raises SecretUnavailable."""
        ...


class RootInShares:
    """A root key that is kept on nodes, under a name of its own: each rebuilding is k nodes' decision, and in their
    ledgers. Re-share and refresh leave it what it is."""

    def __init__(self, store: SecretStore, name: str = "holdfast/root") -> None:
        self._store: Final = store
        self._name: Final = name

    def keep(self, root: Secret[bytes]) -> None:
        """Once, when the file is made, or when its root is replaced. Raises SecretMoved when another one is kept."""
        self._store.put(self._name, root, expect=0)

    def rebuild(self) -> Secret[bytes]:
        """See ``RootKey``."""
        return self._store.get(self._name).value
