# SPDX-License-Identifier: Apache-2.0
"""What Holdfast itself keeps in a store: the key of its audit, that of its servers' terms, records of rotations.

Whoever serves a store needs the keys, and gives them to nobody: who has the audit's key finds out by it what values an
audit speaks of, and who has that of terms ends a primary by a word.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from .._base.secret import Secret
from ..errors import SecretMoved, SecretNotFound
from .contract import SecretStore
from .names import below

__all__ = ["AUDIT_KEY", "OWN", "TERM_KEY", "is_server_own", "own_key"]

#: Names that begin so are Holdfast's own. Not listed to people.
OWN: Final = "holdfast."
AUDIT_KEY: Final = "holdfast.audit/key"
TERM_KEY: Final = "holdfast.term/key"
#: What no server gives to anybody, or has changed by anybody, whatever a policy says.
SERVERS: Final = ("holdfast.audit", "holdfast.term")
_SIZE: Final = 32


def own_key(store: SecretStore, name: str, entropy: Callable[[int], bytes]) -> Secret[bytes]:
    """The key of that name, 32 random bytes. It is made where there is none; of several that make it at once all have
    the same one."""
    try:
        return store.get(name).value
    except SecretNotFound:
        with suppress(SecretMoved):  # somebody was quicker
            store.put(name, Secret(entropy(_SIZE)), expect=0)
        return store.get(name).value


def is_server_own(name: str) -> bool:
    """Is it one of those that a server keeps to itself?"""
    return any(below(name, prefix) for prefix in SERVERS)
