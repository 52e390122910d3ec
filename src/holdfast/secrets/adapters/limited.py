# SPDX-License-Identifier: Apache-2.0
"""What a scheme that keeps one value a name, and no versions, has in common with its like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ..._base.clock import WallMs
from ..._base.secret import Secret
from ...errors import ConfigurationError, SecretNotFound
from ..contract import Ability, Found, Version
from ..names import CURRENT, VALUE_MAX, check_name


class LimitedStore(ABC):
    """One value a name. Its version is 0 and in force. Fulfils ``SecretStore``: subclasses read, and override what
    else they can do."""

    scheme: ClassVar[str]
    abilities: Ability = Ability.NONE

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        check_name(name)
        if version is not None or label != CURRENT:
            raise self._cannot(f"keep versions: {name} has the one that is in force")
        value, made = self._read(name)
        if not 0 < len(value) <= VALUE_MAX:
            raise SecretNotFound(f"{name} has {len(value):,} bytes {self._where(name)}, and a secret has 1 to "
                                 f"{VALUE_MAX:,}")
        return Found(name, Version(0, made, (CURRENT,), size=len(value)), Secret(value))

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """Refused where it is not overridden."""
        raise self._cannot("be written to")

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """Refused."""
        raise self._cannot("keep versions, and so no labels")

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """Refused where it is not overridden."""
        raise self._cannot("be listed")

    def history(self, name: str) -> tuple[Version, ...]:
        """The one version there is."""
        return (self.get(name).version,)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """Refused."""
        raise self._cannot("delete what could come back")

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """Refused."""
        raise self._cannot("bring back what was deleted")

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """Refused where it is not overridden."""
        raise self._cannot("be written to")

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Nothing is held."""

    @abstractmethod
    def _read(self, name: str) -> tuple[bytes, WallMs]:
        """The value, and when it was made as far as that is known (0 if not). Raises a SecretUnavailable."""

    @abstractmethod
    def _where(self, name: str) -> str:
        """For errors: ``in the variable X``."""

    def _cannot(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"secrets in the scheme {self.scheme!r} cannot {what}: use a store that can, "
                                  "`holdfast secrets init` makes one in a file")
