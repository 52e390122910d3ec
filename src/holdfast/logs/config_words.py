# SPDX-License-Identifier: Apache-2.0
"""Words of a configuration file, taken key by key. What is wrong is kept with its key, and all of it is told. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ..errors import ConfigurationError

T = TypeVar("T")

_UNITS: Final = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
                 "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kKMGT]?i?B)")
MISSING: Final[Any] = object()


def size(value: Any) -> int:
    """A number of bytes. ConfigurationError."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _UNITS or not float(match[1]):
        raise ConfigurationError(f"{value!r} is no size: write 64MiB, 1GB, or a number of bytes")
    return round(float(match[1]) * _UNITS[match[2]])


def number(value: Any) -> int:
    """A whole number, 0 or more. ConfigurationError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(f"{value!r} is no whole number")
    return value


def ratio(value: Any) -> float:
    """A number above 0. ConfigurationError."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        raise ConfigurationError(f"{value!r} is no number above 0")
    return float(value)


def text(value: Any) -> str:
    """Text that is not empty. ConfigurationError."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{kind_of(value)} stands here, and text is wanted")
    return value


def flag(value: Any) -> bool:
    """True or false. ConfigurationError."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{kind_of(value)} stands here, and true or false is wanted")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or one. ConfigurationError."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise ConfigurationError(f"{kind_of(value)} stands here, and a list of texts is wanted")
    return tuple(map(text, found))


def words(value: Any) -> dict[str, str]:
    """A table of texts. ConfigurationError."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{kind_of(value)} stands here, and a table is wanted")
    return {text(name): text(one) for name, one in value.items()}


def kind_of(value: Any) -> str:
    """What a value is, for people."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table",
             type(None): "nothing"}
    return "an empty text" if value == "" else names.get(type(value), type(value).__name__)


class Faults:
    """Collects what is wrong, a line each."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.found: list[str] = []

    def add(self, place: str, what: object) -> None:
        """One more."""
        self.found.append(f"{self.origin}: {place}: {what}" if place else f"{self.origin}: {what}")

    def trying(self, place: str, make: Callable[[], T], instead: T) -> T:
        """What ``make`` answers; ``instead`` where it raises ConfigurationError, which is kept."""
        try:
            return make()
        except ConfigurationError as error:
            self.add(place, error)
            return instead


class Section:
    """A table, taken key by key. ``done`` says which keys were not asked for."""

    def __init__(self, said: Any, place: str, faults: Faults) -> None:
        self.place, self.faults = place, faults
        if not isinstance(said, Mapping):
            faults.add(place, f"{kind_of(said)} stands here, and a table is wanted")
        self._is_table = isinstance(said, Mapping)
        self.said: Mapping[Any, Any] = said if isinstance(said, Mapping) else {}
        self._asked: set[str] = set()

    def at(self, key: str) -> str:
        """The key with the way to it."""
        return f"{self.place}.{key}" if self.place else key

    def take(self, key: str, read: Callable[[Any], Any], default: Any = MISSING) -> Any:
        """The value of ``key`` as ``read`` has it; ``default`` where it is absent or wrong. Without one it has to be
        there."""
        self._asked.add(key)
        if key not in self.said:
            if default is MISSING and self._is_table:
                self.faults.add(self.at(key), "is missing")
            return default
        return self.faults.trying(self.at(key), lambda: read(self.said[key]), default)

    def section(self, key: str) -> Section:
        """A table in it; an empty one where it is absent."""
        self._asked.add(key)
        return Section(self.said.get(key, {}), self.at(key), self.faults)

    def __contains__(self, key: str) -> bool:
        self._asked.add(key)
        return key in self.said

    def one_of(self, key: str, choices: Sequence[str], default: Any = MISSING) -> Any:
        """One of ``choices``."""
        def read(value: Any) -> str:
            if value not in choices:
                raise ConfigurationError(f"{value!r}: there are {', '.join(sorted(choices))}")
            return str(value)

        return self.take(key, read, default)

    def done(self) -> None:
        """What was not asked for is a slip of the hand, and is not passed over."""
        known = sorted(self._asked)
        for key in self.said:
            if key not in self._asked:
                near = difflib.get_close_matches(str(key), known, 1)
                meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                self.faults.add(self.at(str(key)), f"nobody knows this key: {meant}")
