# SPDX-License-Identifier: Apache-2.0
"""The numbers of a consumer, from code or from a TOML file that may change while it runs.

::

    [limits]                      # every consumer of the process
    concurrency = 50

    [consumer.billing]            # this one; wins over [limits], which wins over code
    rate_per_s = 200
    timeout_s = "none"            # TOML has no null: "none" takes a limit away

A file that cannot be read or means nothing is refused as a whole, and the last good one stays in force: half of a file
would be a state that nobody wrote. Only numbers are read from it; what a consumer does stays in code.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._base.events import Event, Events
from ..errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a consumer may use. None: no limit.

    concurrency: attempts running at once. prefetch_s, prefetch_max: read ahead by so many seconds of work, and so many
        messages at most: more hides round trips, less leaves more to others.
    timeout_s: per attempt; an overdue async handler is cancelled, a plain one reported.
    rate_per_s, burst: attempts started a second, and how many of them at once after a pause.
    key_concurrency, key_rate_per_s: the same for each key. held_max: messages kept back by the order of their keys.
    batch_size, batch_wait_s: of a batch handler. drain_s: time to finish when stopping.
    retry_ratio, retry_min_per_s: the retry budget; without a ratio there is none.
    """

    concurrency: int = 100
    timeout_s: float | None = 60.0
    prefetch_s: float = 1.0
    prefetch_max: int = 1_000
    batch_size: int = 100
    batch_wait_s: float = 0.05
    rate_per_s: float | None = None
    burst: int | None = None
    key_concurrency: int | None = None
    key_rate_per_s: float | None = None
    held_max: int = 10_000
    retry_ratio: float | None = None
    retry_min_per_s: float = 10.0
    drain_s: float = 10.0

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            _check(each.name, str(each.type), getattr(self, each.name))


def _check(name: str, kind: str, value: Any) -> None:
    if value is None:
        if "None" in kind:
            return
        raise ConfigurationError(f"{name} cannot be none: give a number")
    whole = kind.startswith("int")
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ConfigurationError(f"{name}={value!r}: give a {'whole ' if whole else ''}number")
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationError(f"{name}={value!r}: give a number above 0"
                                 + (", or none for no limit" if "None" in kind else ""))


_NAMES = tuple(f.name for f in dataclasses.fields(Limits))


@dataclass(frozen=True, slots=True)
class LimitsFile:
    """A checked file: its ``[limits]`` and its ``[consumer.…]`` tables, each with only what it names."""

    common: Mapping[str, Any] = field(default_factory=dict)
    by_consumer: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def numbers(self, consumer: str) -> dict[str, Any]:
        """What the file says for a consumer: its own table over ``[limits]``."""
        return {**self.common, **self.by_consumer.get(consumer, {})}

    def over(self, base: Limits, consumer: str) -> Limits:
        """The limits of a consumer: the file over what code says."""
        return dataclasses.replace(base, **self.numbers(consumer))


def load_limits(path: Path, consumers: Collection[str] = ()) -> LimitsFile:
    """Reads and checks a file. consumers: the names there are, so that a table for none of them is an error too."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"limits file {path} cannot be read: {error}") from error
    return parse_limits(text, str(path), consumers)


def parse_limits(text: str, name: str = "limits", consumers: Collection[str] = ()) -> LimitsFile:
    """As ``load_limits``, from text. Raises ConfigurationError with the place and what to write instead."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is not TOML: {error}") from error
    for key in tables:
        _known(key, ("limits", "consumer"), name)
    found = LimitsFile(
        _numbers(tables.get("limits", {}), f"{name} [limits]"),
        {key: _numbers(table, f"{name} [consumer.{key}]") for key, table in _tables(tables, name).items()},
    )
    for key in found.by_consumer if consumers else ():
        _known(key, consumers, f"{name} [consumer]")
    return found


def _tables(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tables.get("consumer", {})
    if not isinstance(found, dict):
        raise ConfigurationError(f"{name}: `consumer` is not a table: write [consumer.NAME]")
    return found


def _numbers(table: Any, place: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigurationError(f"{place} is not a table: write it in brackets on a line of its own")
    numbers: dict[str, Any] = {}
    for key, value in table.items():
        _known(key, _NAMES, place)
        numbers[key] = None if value == "none" else value
    try:
        Limits(**numbers)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from error
    return numbers


def _known(key: str, names: Collection[str], place: str) -> None:
    if key in names:
        return
    near = difflib.get_close_matches(key, names, 1)
    advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
    raise ConfigurationError(f"{place}: there is no {key!r}: {advice}")


class LimitsReloaded(Event, frozen=True, kw_only=True):
    """The limits file changed and is in force."""

    path: str


class LimitsRejected(Event, frozen=True, kw_only=True):
    """The limits file changed and was refused; the numbers before it stay in force."""

    path: str
    error: str
    level: int = logging.ERROR


class LimitsReloader:
    """Keeps the last good version of a file. The first version must be good: a service does not start on a guess."""

    def __init__(self, path: Path, events: Events, consumers: Collection[str] = ()) -> None:
        self._path, self._events, self._consumers = path, events, consumers
        self._stamp = self._look()
        self.current = load_limits(path, consumers)

    def poll(self) -> bool:
        """Looks at the file; True when new numbers are in force. Call it now and then, for example each sweep."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.current = load_limits(self._path, self._consumers)
        except ConfigurationError as error:
            self._events.emit(LimitsRejected(path=str(self._path), error=str(error)))
            return False
        self._events.emit(LimitsReloaded(path=str(self._path)))
        return True

    def _look(self) -> tuple[int, int, int] | None:
        """What changes when the file does; its inode too, since editors and config maps replace files."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
