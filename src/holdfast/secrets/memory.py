# SPDX-License-Identifier: Apache-2.0
"""Secrets in memory: for tests, and the plainest reading of the contract."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from .._base.clock import WallMs
from .._base.secret import Secret
from ..errors import SecretNotFound
from .contract import Ability, Found, State, Version
from .labels import check_latest, check_move, not_there, of_version, pointed
from .names import CURRENT, below, check_label, check_name, check_prefix, check_value


@dataclass
class _Kept:
    """Of one secret. made: how many versions there ever were."""

    versions: dict[int, tuple[Version, Secret[bytes] | None]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    made: int = 0


class MemoryStore:
    """Keeps secrets as long as the process lives. wall: the time that versions bear."""

    scheme: Final = "memory"
    abilities: Final = ~Ability.NONE

    def __init__(self, wall: Callable[[], WallMs]) -> None:
        self._wall = wall
        self._lock = threading.RLock()
        self._kept: dict[str, _Kept] = {}

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        with self._lock:
            kept = self._of(name)
            number = kept.labels.get(check_label(label)) if version is None else version
            if number is None or number not in kept.versions:
                raise not_there(name, version, label)
            found, value = kept.versions[number]
            if found.state is not State.LIVE or value is None:
                raise SecretNotFound(f"version {number} of {name} was {found.state.value}")
            return Found(name, self._labelled(kept, found), value)

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``."""
        check_name(name), check_label(label), check_value(value.reveal())
        with self._lock:
            kept = self._kept.get(name) or _Kept()
            check_latest(name, kept.made, expect)
            self._kept[name] = kept
            kept.made += 1
            made = Version(kept.made, self._wall(), size=len(value.reveal()))
            kept.versions[kept.made] = made, Secret(value.reveal())
            kept.labels = pointed(kept.labels, label, kept.made)
            return self._labelled(kept, made)

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        check_label(label)
        with self._lock:
            kept = self._of(name)
            check_move(name, label, version, held=kept.labels.get(label, 0), expect=expect, live=lambda number: (
                number in kept.versions and kept.versions[number][0].state is State.LIVE))
            if version is None:
                kept.labels.pop(label, None)
            else:
                kept.labels = pointed(kept.labels, label, version)

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``."""
        prefix = check_prefix(prefix)
        with self._lock:
            return tuple(sorted(name for name, kept in self._kept.items() if below(name, prefix) and any(
                version.state is State.LIVE for version, _ in kept.versions.values())))

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        with self._lock:
            kept = self._of(name)
            return tuple(self._labelled(kept, version) for version, _ in reversed(kept.versions.values()))

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._turn(name, version, State.LIVE, State.DELETED)

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._turn(name, version, State.DELETED, State.LIVE)

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        with self._lock:
            kept = self._of(name)
            for number in self._numbers(name, kept, version):
                found, _ = kept.versions[number]
                kept.versions[number] = msgspec.structs.replace(found, state=State.DESTROYED), None
            kept.labels = {label: at for label, at in kept.labels.items()
                           if kept.versions[at][0].state is not State.DESTROYED}

    def close(self) -> None:
        """See ``SecretStore``."""

    def _of(self, name: str) -> _Kept:
        kept = self._kept.get(check_name(name))
        if kept is None:
            raise SecretNotFound(f"there is no secret {name}")
        return kept

    def _turn(self, name: str, version: int | None, before: State, after: State) -> None:
        with self._lock:
            kept = self._of(name)
            for number in self._numbers(name, kept, version):
                found, value = kept.versions[number]
                if found.state is before:
                    kept.versions[number] = msgspec.structs.replace(found, state=after), value
                elif version is not None and found.state is State.DESTROYED:
                    raise SecretNotFound(f"version {number} of {name} was destroyed")

    @staticmethod
    def _numbers(name: str, kept: _Kept, version: int | None) -> Iterable[int]:
        if version is not None and version not in kept.versions:
            raise SecretNotFound(f"{name} has no version {version}")
        return list(kept.versions) if version is None else [version]

    @staticmethod
    def _labelled(kept: _Kept, version: Version) -> Version:
        return msgspec.structs.replace(version, labels=of_version(kept.labels, version.number))
