# SPDX-License-Identifier: Apache-2.0
"""Older formats of a message, brought up to date before a handler sees them.

An upcaster turns the plain body of one version into that of a later one. They chain: with 1 → 2 and 2 → 3 registered,
a handler of version 3 still reads what was published, parked or buried as version 1. Upcasters are kept for as long as
such messages may exist, which with dead letters is long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError, UnknownVersion, ValidationFailed

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Upcasters:
    """Upcasters by message type and the version they start from."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str | None, int], tuple[int, Upcaster]] = {}

    def register(
        self, type: str | None, from_version: int, to_version: int | None = None
    ) -> Callable[[Upcaster], Upcaster]:
        """Decorator: the function brings bodies of ``from_version`` to ``to_version`` (default: the next one).

        type None: for consumers that do not route by type. Raises ConfigurationError on a second one for a version.
        """
        target = from_version + 1 if to_version is None else to_version
        if target <= from_version:
            raise ConfigurationError(f"an upcaster of {_shown(type)} from version {from_version} to {target} goes back")

        def keep(upcaster: Upcaster) -> Upcaster:
            if (type, from_version) in self._steps:
                raise ConfigurationError(f"{_shown(type)} has two upcasters from version {from_version}: keep one")
            self._steps[type, from_version] = (target, upcaster)
            return upcaster

        return keep

    def path(self, type: str | None, version: int, to: int) -> list[Upcaster]:
        """The steps from ``version`` to ``to``; UnknownVersion names the one that is missing."""
        steps = []
        while version < to:
            found = self._steps.get((type, version))
            if found is None or found[0] > to:
                raise UnknownVersion(
                    f"{_shown(type)} version {version} cannot be brought to version {to}, which this consumer reads: "
                    f"register an upcaster with from_version={version}; until then the message is parked")
            version, upcaster = found
            steps.append(upcaster)
        return steps

    def upcast(self, type: str | None, version: int, to: int, body: Any) -> dict[str, Any]:
        """The body at version ``to``. What an upcaster raises is left as it is: it is the user's code."""
        steps = self.path(type, version, to)
        if not isinstance(body, dict):
            raise ValidationFailed(f"the body of {_shown(type)} version {version} is no object, and upcasters take one")
        brought: dict[str, Any] = body
        for step in steps:
            brought = step(brought)
        return brought


def _shown(type: str | None) -> str:
    return "a message without type" if type is None else f"{type!r}"
