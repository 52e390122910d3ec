# SPDX-License-Identifier: Apache-2.0
"""Copies secrets from one scheme to another: variables to a file, a file to shares on nodes, anything to anything.

What was copied is read back and compared. Nothing is taken away from where it was, and what the other place has already
is not written over unless that is asked for, so it can be run again after it was cut short, and again until nothing is
left to do. Versions go along where both keep them, the oldest first; their numbers are those of the new place. Deleted
versions do not, nor do earlier ones and labels where only one place keeps them, or where a value is written over: each
is said (``Copied.left``).

::

    put, labelled migrating … put ─▶ other labels ─▶ previous ─▶ current: in force ─▶ migrating is taken away

Whoever is cut short before the last step is known by that label, and goes on where he was.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import Enum
from typing import Final

import msgspec

from .._base.secret import Secret
from ..errors import ConfigurationError, HoldfastError, SecretNotFound
from .contract import Ability, Found, SecretStore, State, Version
from .names import CURRENT, PREVIOUS
from .own import OWN

#: What the latest of them bears until all versions and labels are there.
MIGRATING: Final = "migrating"


class Outcome(Enum):
    """What became of one secret."""

    COPIED = "copied"
    SAME = "same"
    #: The other place has another value, and keeps it.
    DIFFERS = "differs"
    FAILED = "failed"


class Copied(msgspec.Struct, frozen=True):
    """versions: that are there now and came from the source. why: where it failed. left: what did not go along."""

    name: str
    outcome: Outcome
    versions: int = 0
    why: str = ""
    left: str = ""


def migrate(source: SecretStore, target: SecretStore, names: Iterable[str] | None = None, *, history: bool = True,
            overwrite: bool = False, dry_run: bool = False) -> Iterator[Copied]:
    """One secret after the other. names: None for all, where the source can list them. history: earlier versions and
    other labels too, where both keep them. dry_run: says what would be done; a failure to write is not foreseen.

    What Holdfast itself keeps in a store stays there: an audit is believed by the key that is beside it.

    Raises ConfigurationError before anything is done when the target cannot be written to, or names are wanted and
    cannot be listed, or one that is Holdfast's own is wanted.
    """
    if Ability.WRITE not in target.abilities:
        raise ConfigurationError(f"secrets in the scheme {target.scheme!r} are only read: copy them to another one")
    if names is None and Ability.LIST not in source.abilities:
        raise ConfigurationError(f"secrets in the scheme {source.scheme!r} cannot be listed: say their names")
    wanted = list(source.names() if names is None else names)
    own = [name for name in wanted if name.startswith(OWN)]
    if own and names is not None:
        raise ConfigurationError(f"{own[0]} is Holdfast's own, and stays where it is: leave it out")
    for name in wanted:
        if name.startswith(OWN):  # guard: keys of one vault stay in it
            continue
        try:
            yield _One(source, target, name).copied(history=history, overwrite=overwrite, dry_run=dry_run)
        except HoldfastError as error:
            yield Copied(name, Outcome.FAILED, why=str(error))


class _One:
    """One secret on its way."""

    def __init__(self, source: SecretStore, target: SecretStore, name: str) -> None:
        self._source, self._target, self._name = source, target, name
        self._from = source.history(name) if Ability.VERSIONS in source.abilities else ()
        self._there: tuple[Version, ...] = ()
        if Ability.VERSIONS in target.abilities:
            with suppress(SecretNotFound):
                self._there = target.history(name)

    def copied(self, *, history: bool, overwrite: bool, dry_run: bool) -> Copied:
        current, there = self._source.get(self._name), self._current()
        begun = any(MIGRATING in version.labels for version in self._there)
        same = there is not None and _equal(there.value, current.value)
        if same and not begun:  # guard: what was begun is finished
            return Copied(self._name, Outcome.SAME)
        if there is not None and not same and not overwrite:  # guard: nothing is written over unasked
            return Copied(self._name, Outcome.DIFFERS)
        both = self._source.abilities & self._target.abilities
        whole = history and (there is None or same) and Ability.VERSIONS in both
        wanted = self._live(self._source, self._from) if whole else [current]
        if not dry_run:
            if whole:
                self._put_all(wanted, current)
            else:
                self._target.put(self._name, current.value)
            if not _equal(self._target.get(self._name).value, current.value):  # guard: what was copied is read back
                return Copied(self._name, Outcome.FAILED, len(wanted), "what is read back is something else")
        return Copied(self._name, Outcome.COPIED, len(wanted), left=self._left(whole=whole))

    def _current(self) -> Found | None:
        try:
            return self._target.get(self._name)
        except SecretNotFound:
            return None

    def _live(self, store: SecretStore, history: tuple[Version, ...]) -> list[Found]:
        return [store.get(self._name, version=one.number) for one in reversed(history) if one.state is State.LIVE]

    def _put_all(self, wanted: list[Found], current: Found) -> None:
        """None of them is in force before all are there, with their labels."""
        numbers = self._numbers(wanted)
        held = {label: numbers[found.version.number] for found in wanted for label in found.version.labels
                if label != MIGRATING} | {CURRENT: numbers[current.version.number]}
        now = {label: one.number for one in self._there for label in one.labels}
        for label in sorted(held, key=lambda label: (label == CURRENT, label == PREVIOUS)):  # that in force the last
            if now.get(label) != held[label]:
                self._target.label(self._name, label, held[label])
        self._target.label(self._name, MIGRATING, None)

    def _numbers(self, wanted: list[Found]) -> dict[int, int]:
        """Each version's number at the target, by its number at the source: what is there already is not put again."""
        begun = self._live(self._target, self._there)
        numbers = {}
        for found in wanted:
            if begun and _equal(begun[0].value, found.value):  # guard: what is there is not put again
                numbers[found.version.number] = begun.pop(0).version.number
            else:
                begun = []
                numbers[found.version.number] = self._target.put(self._name, found.value, label=MIGRATING).number
        return numbers

    def _left(self, *, whole: bool) -> str:
        """What the source has, and the target will not."""
        gone = sum(one.state is not State.LIVE for one in self._from)
        earlier = 0 if whole else max(len(self._from) - gone - 1, 0)
        labels = [] if whole else sorted({label for one in self._from for label in one.labels} - {CURRENT, PREVIOUS,
                                                                                                   MIGRATING})
        parts = [f"{number} {what} version{'s' * (number > 1)}" for number, what in ((gone, "deleted"),
                                                                                    (earlier, "earlier")) if number]
        return ", ".join(parts + [f"label {label}" for label in labels])


def _equal(one: Secret[bytes], other: Secret[bytes]) -> bool:
    return hmac.compare_digest(one.reveal(), other.reveal())
