# SPDX-License-Identifier: Apache-2.0
"""A store that tells what it was asked, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .._base.events import Event, SecretAsked, SecretsDamageFound
from .._base.secret import Secret
from ..errors import HoldfastError, SecretsDamaged
from .contract import Ability, Found, SecretStore, Version
from .names import CURRENT
from .outcomes import OUTCOMES, outcome_of

__all__ = ["OUTCOMES", "WatchedStore"]

T = TypeVar("T")


class WatchedStore:
    """The store, and ``tell`` for each call: a sink, or an application's ``emit``. who: in whose name it is asked."""

    def __init__(self, store: SecretStore, tell: Callable[[Event], None], *, who: str = "",
                 stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._store, self._tell, self._who, self._stopwatch = store, tell, who, stopwatch

    @property
    def scheme(self) -> str:
        """See ``SecretStore``."""
        return self._store.scheme

    @property
    def abilities(self) -> Ability:
        """See ``SecretStore``."""
        return self._store.abilities

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        return self._told("read", name, lambda: self._store.get(name, version=version, label=label))

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``."""
        return self._told("write", name, lambda: self._store.put(name, value, label=label, expect=expect))

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        self._told("label", name, lambda: self._store.label(name, label, version, expect=expect))

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``."""
        return self._told("list", prefix, lambda: self._store.names(prefix))

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        return self._told("list", name, lambda: self._store.history(name))

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._told("delete", name, lambda: self._store.delete(name, version=version))

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._told("undelete", name, lambda: self._store.undelete(name, version=version))

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._told("destroy", name, lambda: self._store.destroy(name, version=version))

    def close(self) -> None:
        """See ``SecretStore``."""
        self._store.close()

    def _told(self, action: str, name: str, call: Callable[[], T]) -> T:
        began, outcome = self._stopwatch(), "done"
        try:
            return call()
        except HoldfastError as error:
            outcome = outcome_of(error) or "refused"
            if isinstance(error, SecretsDamaged):
                self._tell(SecretsDamageFound(scheme=self.scheme, what=str(error)))
            raise
        finally:
            self._tell(SecretAsked(scheme=self.scheme, action=action, outcome=outcome, secret=name, who=self._who,
                                   seconds=self._stopwatch() - began))
