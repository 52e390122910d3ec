# SPDX-License-Identifier: Apache-2.0
"""What a vault holds, and what a call makes of it: entries to be written, or a refusal.

Pure: ``apply`` is the only thing that changes it, and is told nothing but what stands in the file. So whoever reads the
records, in whichever process, comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from ..._base.clock import WallMs
from ...errors import SecretNotFound
from ..contract import State, Version
from ..labels import check_latest, check_move, not_there, of_version, pointed
from ..names import below, check_label, check_name, check_prefix
from .entries import Ended, Entry, Kept, Labelled, Leased, Named, Revoked, Turned, Written


@dataclass(slots=True)
class Item:
    """A version. key: its data key, wrapped; empty: destroyed. place: where its sealed value is, and its bytes."""

    number: int
    made: int
    size: int
    key: bytes
    epoch: int
    state: State
    place: tuple[int, int]


@dataclass(slots=True)
class Secrets:
    """The versions of a secret. made: how many there ever were."""

    items: dict[int, Item] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    made: int = 0


class Holding:
    """All secrets and leases of a vault, without any value."""

    __slots__ = ("leases", "secrets")

    def __init__(self) -> None:
        self.secrets: dict[str, Secrets] = {}
        self.leases: dict[str, Leased] = {}

    # -- asked

    def find(self, name: str, version: int | None, label: str) -> tuple[Item, Version]:
        """The version that is meant. Raises SecretNotFound."""
        kept = self._of(name)
        number = kept.labels.get(check_label(label)) if version is None else version
        item = kept.items.get(number) if number is not None else None
        if item is None:
            raise not_there(name, version, label)
        if item.state is not State.LIVE:
            raise SecretNotFound(f"version {item.number} of {name} was {item.state.value}")
        return item, _version(kept, item)

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of what can be read."""
        prefix = check_prefix(prefix)
        return tuple(sorted(name for name, kept in self.secrets.items() if below(name, prefix)
                            and any(item.state is State.LIVE for item in kept.items.values())))

    def version(self, name: str, number: int) -> Version:
        """Of what was just written."""
        kept = self.secrets[name]
        return _version(kept, kept.items[number])

    def history(self, name: str) -> tuple[Version, ...]:
        """The latest version first. Raises SecretNotFound."""
        kept = self._of(name)
        return tuple(_version(kept, item) for item in reversed(kept.items.values()))

    # -- what a call would make of it

    def next_number(self, name: str, expect: int | None) -> int:
        """Of the version that is to be written. Raises SecretMoved."""
        kept = self.secrets.get(name)
        made = kept.made if kept else 0
        check_latest(name, made, expect)
        return made + 1

    def labelling(self, name: str, label: str, version: int | None, expect: int | None) -> Labelled | None:
        """None: nothing is to be written. Raises SecretNotFound, SecretMoved, ConfigurationError."""
        check_label(label)
        kept = self._of(name)
        held = kept.labels.get(label, 0)
        check_move(name, label, version, held=held, expect=expect, live=lambda number: (
            number in kept.items and kept.items[number].state is State.LIVE))
        return Labelled(name, label, version or 0) if held != (version or 0) else None

    def turning(self, name: str, version: int | None, before: State, after: State) -> Turned | None:
        """None: nothing is to be written. Raises SecretNotFound."""
        kept = self._of(name)
        items = list(kept.items.values()) if version is None else [self._item(name, kept, version)]
        if version is not None and items[0].state is State.DESTROYED:
            raise SecretNotFound(f"version {version} of {name} was destroyed")
        numbers = tuple(item.number for item in items if item.state is before)
        return Turned(name, numbers, after) if numbers else None

    def destroying(self, name: str, version: int | None) -> tuple[int, ...]:
        """The versions that are to be destroyed and are not yet. Raises SecretNotFound."""
        kept = self._of(name)
        items = list(kept.items.values()) if version is None else [self._item(name, kept, version)]
        return tuple(item.number for item in items if item.state is not State.DESTROYED)

    # -- done

    def apply(self, entry: Entry, place: tuple[int, int]) -> None:
        """What a record says. place: of its sealed value."""
        match entry:
            case Written(name, number, made, size, key, epoch, label):
                kept = self.secrets.setdefault(name, Secrets())
                kept.items[number] = Item(number, made, size, key, epoch, State.LIVE, place)
                kept.made = number
                kept.labels = pointed(kept.labels, label, number)
            case Labelled(name, label, version):
                kept = self.secrets[name]
                if version:
                    kept.labels = pointed(kept.labels, label, version)
                else:
                    kept.labels.pop(label, None)
            case Turned(name, versions, state):
                for number in versions:
                    self.secrets[name].items[number].state = state
            case Kept(name, number, made, size, key, epoch, state):
                kept = self.secrets.setdefault(name, Secrets())
                kept.items[number] = Item(number, made, size, key, epoch, state, place)
            case Named(name, made, labels):
                kept = self.secrets.setdefault(name, Secrets())
                kept.made, kept.labels = made, dict(labels)
            case _:
                self._apply_lease(entry)

    def _apply_lease(self, entry: Leased | Ended | Revoked) -> None:
        match entry:
            case Leased():
                self.leases[entry.id] = entry
            case Ended(ids):
                for one in ids:
                    self.leases.pop(one, None)
            case Revoked(ids, now):
                for one in ids:
                    self.leases[one] = msgspec.structs.replace(self.leases[one], until=now, most=0)

    def entries(self, gone: frozenset[tuple[str, int]] = frozenset()) -> Iterator[tuple[Entry, Item | None]]:
        """All that a new file has to say, and whose sealed value goes with it. gone: versions to be destroyed."""
        for name, kept in self.secrets.items():
            lost: set[int] = set()
            for item in kept.items.values():
                if (name, item.number) in gone or item.state is State.DESTROYED:
                    lost.add(item.number)
                    yield Kept(name, item.number, item.made, item.size, b"", item.epoch, State.DESTROYED), None
                else:
                    yield Kept(name, item.number, item.made, item.size, item.key, item.epoch, item.state), item
            yield Named(name, kept.made, {label: at for label, at in kept.labels.items() if at not in lost}), None
        for lease in self.leases.values():
            yield lease, None

    def _of(self, name: str) -> Secrets:
        kept = self.secrets.get(check_name(name))
        if kept is None:
            raise SecretNotFound(f"there is no secret {name}")
        return kept

    @staticmethod
    def _item(name: str, kept: Secrets, version: int) -> Item:
        item = kept.items.get(version)
        if item is None:
            raise SecretNotFound(f"{name} has no version {version}")
        return item


def _version(kept: Secrets, item: Item) -> Version:
    return Version(item.number, WallMs(item.made), of_version(kept.labels, item.number), item.state, item.size)
