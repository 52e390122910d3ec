# SPDX-License-Identifier: Apache-2.0
"""What holds of versions and labels in every scheme that has them, whoever keeps them and in what.

Each rule is asked before anything is written, with what is known then. Labels are a mapping from label to number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import ConfigurationError, SecretMoved, SecretNotFound
from .names import CURRENT, PREVIOUS


def check_latest(name: str, latest: int, expect: int | None) -> None:
    """May a version be written behind this one? Raises SecretMoved where another one was expected."""
    if expect is not None and expect != latest:
        raise SecretMoved(f"{name} is at version {latest}, and {expect} was expected")


def check_move(name: str, label: str, version: int | None, *, held: int, expect: int | None,
               live: Callable[[int], bool]) -> None:
    """May the label, which version ``held`` bears (0: none), be moved to a version, or taken away (None)?

    live: is there such a version, and can it be read? Raises SecretMoved, ConfigurationError, SecretNotFound.
    """
    if expect is not None and expect != held:
        raise SecretMoved(f"{label!r} of {name} is at version {held}, and {expect} was expected")
    if version is None and label == CURRENT:
        raise ConfigurationError(f"a version of {name} is always {CURRENT}: move the label, or delete it")
    if version is not None and not live(version):
        raise SecretNotFound(f"{name} has no version {version} that a label could be moved to")


def pointed(labels: Mapping[str, int], label: str, version: int) -> dict[str, int]:
    """Labels when one of them was moved: where it is ``current``, the version before becomes ``previous``."""
    before = labels.get(label)
    moved = {**labels, label: version}
    if label == CURRENT and before not in (None, version):
        moved[PREVIOUS] = before
    return moved


def of_version(labels: Mapping[str, int], number: int) -> tuple[str, ...]:
    """Those that a version bears, sorted."""
    return tuple(sorted(label for label, at in labels.items() if at == number))


def not_there(name: str, version: int | None, label: str) -> SecretNotFound:
    """There is no such version, or none that bears the label."""
    wanted = f"version {version}" if version is not None else f"version labelled {label!r}"
    return SecretNotFound(f"{name} has no {wanted}")
