# SPDX-License-Identifier: Apache-2.0
"""One contract for whatever keeps secrets: a file, a server, shares on nodes, a cloud's service, mounted files.

A secret has versions, numbered from 1, and labels that point at them. One of them is in force: ``current``. A rotation
writes a version with the label ``pending`` and moves ``current`` to it when all is well; the version before becomes
``previous``.

::

    put ──▶ version 4 [current]      version 3 [previous]      version 2: deleted      version 1: destroyed
                                                                  can come back         nobody has its key any more

Calls block and may come from several threads at once: secrets are read at starts and at rotations, from a cache else
(``Secrets``), and the clients of most services block. What a scheme cannot do it refuses by name (``abilities``).
"""

from __future__ import annotations

from enum import Enum, Flag, auto
from typing import Protocol, runtime_checkable

import msgspec

from .._base.clock import WallMs
from .._base.secret import Secret


class Ability(Flag):
    """What a scheme can do besides ``get``."""

    NONE = 0
    WRITE = auto()
    LIST = auto()
    #: Earlier versions can be read, and have labels.
    VERSIONS = auto()
    #: ``put`` and ``label`` with ``expect`` are one step: of two at once, one is refused.
    COMPARE = auto()
    #: What was deleted comes back.
    UNDELETE = auto()
    #: What was destroyed does not, whoever has the keys and older copies excepted.
    DESTROY = auto()


class State(Enum):
    """Of a version."""

    LIVE = "live"
    DELETED = "deleted"
    DESTROYED = "destroyed"


class Version(msgspec.Struct, frozen=True):
    """number: from 1; 0 where a scheme counts none. made: when, in ms since 1970. labels: sorted. size: bytes of the
    value; −1: not known without reading it."""

    number: int
    made: WallMs
    labels: tuple[str, ...] = ()
    state: State = State.LIVE
    size: int = -1


class Found(msgspec.Struct, frozen=True):
    """A secret as it was read."""

    name: str
    version: Version
    value: Secret[bytes]


@runtime_checkable
class SecretStore(Protocol):
    """Keeps secrets. Every call raises a ``SecretUnavailable`` (SecretNotFound, SecretDenied, SecretsSealed,
    SecretsDamaged, SecretsUnreachable, …) that names the secret and never a value, ConfigurationError for a name that
    cannot be one and for what the scheme cannot do."""

    @property
    def scheme(self) -> str:
        """What it is, for metrics and screens: ``file``, ``server``, ``shares``, ``environment``, …"""
        ...

    @property
    def abilities(self) -> Ability:
        """What it can do."""
        ...

    def get(self, name: str, *, version: int | None = None, label: str = "current") -> Found:
        """A version by its number, or the one that bears the label. Raises SecretNotFound, also for what was
        deleted."""
        ...

    def put(self, name: str, value: Secret[bytes], *, label: str = "current", expect: int | None = None) -> Version:
        """Writes a new version, which bears the label; it is durable when the call returns. Where the label is
        ``current``, the version before becomes ``previous``. expect: the latest version's number as the caller knows
        it, 0 for none; SecretMoved when it is another one."""
        ...

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """Moves a label to a version; None takes it away (not ``current``). expect: the version that bears it now, 0
        for none; SecretMoved when it is another one. Moving ``current`` makes the version before ``previous``, in the
        same step."""
        ...

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """Names at or below a path, sorted; not of secrets all of whose versions are gone."""
        ...

    def history(self, name: str) -> tuple[Version, ...]:
        """All versions, the latest first. Raises SecretNotFound."""
        ...

    def delete(self, name: str, *, version: int | None = None) -> None:
        """A version, or all of them, is not read any more. It can come back."""
        ...

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """It comes back."""
        ...

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """It does not come back. All of them: the name is gone as well, and numbers go on from where they were."""
        ...

    def close(self) -> None:
        """Gives back what it holds. Calling it twice is once too much, and harmless."""
        ...
