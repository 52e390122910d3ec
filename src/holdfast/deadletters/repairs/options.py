# SPDX-License-Identifier: Apache-2.0
"""What a repair is told, read strictly: a name it does not know is a mistake, and is named. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from ...errors import ConfigurationError, RepairRefused
from .pointer import Steps, steps_of


class Options:
    """The options of one repair, or of something else that is called ``whose``. Take what you know, then ``done``."""

    def __init__(self, name: str, given: Mapping[str, Any], whose: str = "") -> None:
        self.name = name
        self._whose = whose or f"the repair {name}"
        self._given = given
        self._known: list[str] = []

    def __contains__(self, option: str) -> bool:
        return option in self._given

    def take(self, option: str, default: Any = None) -> Any:
        """Any value."""
        self._known.append(option)
        return self._given.get(option, default)

    def need(self, option: str, what: str) -> Any:
        """One that has to be there."""
        self._known.append(option)
        if option not in self._given:
            raise ConfigurationError(f"{self._whose} wants `{option}`: {what}")
        return self._given[option]

    def text(self, option: str, what: str, default: str | None = None) -> str:
        """Text; without a default it has to be there."""
        value = self.need(option, what) if default is None else self.take(option, default)
        if not isinstance(value, str):
            raise ConfigurationError(f"{self._whose}: `{option}` is text: {what}")
        return value

    def one_of(self, option: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of few words."""
        value = self.text(option, " or ".join(choices), default)
        if value not in choices:
            raise ConfigurationError(f"{self._whose}: `{option}` is {value!r}: one of {', '.join(choices)} is "
                                     "wanted")
        return value

    def table(self, option: str, what: str) -> Mapping[str, Any]:
        """A table; an empty one when it is not there."""
        value = self.take(option, {})
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{self._whose}: `{option}` is a table: {what}")
        return value

    def path(self, option: str = "path") -> Steps:
        """A place in the body."""
        return place(self.text(option, "a place in the body, such as /order/currency"), self.name)

    def paths(self) -> tuple[Steps, ...]:
        """Several: ``path``, or ``paths``."""
        if "paths" not in self._given:
            return (self.path(),)
        several = self.take("paths")
        if not isinstance(several, list) or not several or not all(isinstance(one, str) for one in several):
            raise ConfigurationError(f"{self._whose}: `paths` is a list of places in the body")
        return tuple(place(one, self.name) for one in several)

    def all(self) -> dict[str, Any]:
        """All of them, whatever they are."""
        self._known += self._given
        return dict(self._given)

    def done(self) -> None:
        """Raises ConfigurationError for options that nobody took."""
        for option in self._given:
            if option not in self._known:
                near = difflib.get_close_matches(option, self._known, 1)
                advice = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(sorted(set(self._known)))}"
                raise ConfigurationError(f"{self._whose} knows no `{option}`: {advice}")


def place(text: str, repair: str) -> Steps:
    """A JSON pointer, or a dotted path."""
    try:
        return tuple(text.split(".")) if text and not text.startswith("/") else steps_of(text)
    except RepairRefused as error:
        raise ConfigurationError(f"the repair {repair}: {error}") from None
