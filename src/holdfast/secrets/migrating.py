# SPDX-License-Identifier: Apache-2.0
"""Copies secrets from one scheme to another: variables to a file, a file to shares on nodes, anything to anything.

What was copied is read back and compared. Nothing is taken away from where it was, and what the other place has already
is not written over unless that is asked for, so it can be run again after it was cut short, and again until nothing is
left to do. Versions go along where both keep them, the oldest first; their numbers are those of the new place.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

import msgspec

from .._base.secret import Secret
from ..errors import ConfigurationError, HoldfastError, SecretNotFound
from .contract import Ability, Found, SecretStore, State
from .names import CURRENT, PREVIOUS

#: What versions bear until all of them are there.
MIGRATING: Final = "migrating"


class Outcome(Enum):
    """What became of one secret."""

    COPIED = "copied"
    SAME = "same"
    #: The other place has another value, and keeps it.
    DIFFERS = "differs"
    FAILED = "failed"


class Copied(msgspec.Struct, frozen=True):
    """versions: that were written. why: where it failed."""

    name: str
    outcome: Outcome
    versions: int = 0
    why: str = ""


def migrate(source: SecretStore, target: SecretStore, names: Iterable[str] | None = None, *, history: bool = True,
            overwrite: bool = False, dry_run: bool = False) -> Iterator[Copied]:
    """One secret after the other. names: None for all, where the source can list them. history: earlier versions and
    other labels too, where both keep them. dry_run: says what would be done; a failure to write is not foreseen.

    Raises ConfigurationError before anything is done when the target cannot be written to, or names are wanted and
    cannot be listed.
    """
    if Ability.WRITE not in target.abilities:
        raise ConfigurationError(f"secrets in the scheme {target.scheme!r} are only read: copy them to another one")
    if names is None and Ability.LIST not in source.abilities:
        raise ConfigurationError(f"secrets in the scheme {source.scheme!r} cannot be listed: say their names")
    both = Ability.VERSIONS in source.abilities & target.abilities
    for name in source.names() if names is None else names:
        try:
            yield _copied(source, target, name, history=history and both, overwrite=overwrite, dry_run=dry_run)
        except HoldfastError as error:
            yield Copied(name, Outcome.FAILED, why=str(error))


def _copied(source: SecretStore, target: SecretStore, name: str, *, history: bool, overwrite: bool,
            dry_run: bool) -> Copied:
    current, there = source.get(name), _there(target, name)
    if there is not None and _equal(there.value, current.value):
        return Copied(name, Outcome.SAME)
    if there is not None and not overwrite:  # guard: nothing is written over unasked
        return Copied(name, Outcome.DIFFERS)
    wanted = _history(source, name) if history and there is None else [current]
    if not dry_run:
        if history and there is None:
            _copy_history(target, name, wanted, current)
        else:
            target.put(name, current.value)
        if not _equal(target.get(name).value, current.value):  # guard: what was copied is read back
            return Copied(name, Outcome.FAILED, len(wanted), "what was written is read back as something else")
    return Copied(name, Outcome.COPIED, len(wanted))


def _there(target: SecretStore, name: str) -> Found | None:
    try:
        return target.get(name)
    except SecretNotFound:
        return None


def _history(source: SecretStore, name: str) -> list[Found]:
    return [source.get(name, version=one.number) for one in reversed(source.history(name)) if one.state is State.LIVE]


def _copy_history(target: SecretStore, name: str, wanted: list[Found], current: Found) -> None:
    """None of them is in force before all are there: whoever is cut short begins anew."""
    numbers = {found.version.number: target.put(name, found.value, label=MIGRATING).number for found in wanted}
    held = {label: numbers[found.version.number] for found in wanted for label in found.version.labels}
    for label, number in held.items():
        if label not in (CURRENT, PREVIOUS):
            target.label(name, label, number)
    target.label(name, CURRENT, numbers[current.version.number])
    if held.get(PREVIOUS) is not None:
        target.label(name, PREVIOUS, held[PREVIOUS])
    target.label(name, MIGRATING, None)


def _equal(one: Secret[bytes], other: Secret[bytes]) -> bool:
    return hmac.compare_digest(one.reveal(), other.reveal())
