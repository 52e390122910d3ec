# SPDX-License-Identifier: Apache-2.0
"""Secrets that rotate, down to the process that uses them.

::

    from holdfast.secrets import Secrets, Vault

``Secrets`` reads from a cache and tells of changes (``client``); ``Vault`` keeps them in a file (needs the extra
``cryptography``); ``Keeper`` rotates what is due; ``Standing`` tells what is overdue and what ends.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .contract import Ability, Found, SecretStore, State, Version

if TYPE_CHECKING:
    from .client import Secrets
    from .rotation import Keeper, Rotation, Schedule
    from .standing import Standing
    from .vault import Leases, Vault
    from .watched import WatchedStore

__all__ = [
    "Ability", "Found", "Keeper", "Leases", "Rotation", "Schedule", "SecretStore", "Secrets", "Standing", "State",
    "Vault", "Version", "WatchedStore",
]

#: What is opened when it is first asked for: this room opens without cryptography, and without what rotates.
_LATE = {"Keeper": "rotation", "Leases": "vault", "Rotation": "rotation", "Schedule": "rotation", "Secrets": "client",
         "Standing": "standing", "Vault": "vault", "WatchedStore": "watched"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
