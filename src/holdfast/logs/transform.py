# SPDX-License-Identifier: Apache-2.0
"""What is done to a record's fields between parser and sink. Pure; each step takes fields and gives fields.

``None`` leaves the record out: it counts as ok, its range stays accounted for, and it goes nowhere. A step that cannot
do what it is to do raises ``NotTransformed``, and so may a function of the user's; whatever else that raises is a
rejection too, with the error's type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..errors import ConfigurationError, HoldfastError
from .parse.times import time_ns

__all__ = ["CASTS", "NotTransformed", "Transform", "cast", "drop", "keep", "only", "rename"]

#: One step: fields in, fields out, None to leave the record out. It may change what it is given.
Transform = Callable[[dict[str, Any]], dict[str, Any] | None]


class NotTransformed(HoldfastError):
    """The record's fields are not what a transform needs. ``reason``: short and stable."""

    def __init__(self, reason: str, message: str | None = None) -> None:
        self.reason = reason
        super().__init__(message or reason)


def rename(names: Mapping[str, str]) -> Transform:
    """Fields get other names: ``{"msg": "message"}``. A field that is not there is no error; one that would take
    another's place is."""
    def step(fields: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in fields.items():
            new = names.get(name, name)
            if new in made:
                raise NotTransformed("name_taken", f"{name!r} cannot become {new!r}, which is there")
            made[new] = value
        return made

    return step


def drop(names: Sequence[str]) -> Transform:
    """Leaves fields out."""
    left_out = frozenset(names)
    return lambda fields: {name: value for name, value in fields.items() if name not in left_out}


def keep(names: Sequence[str]) -> Transform:
    """Leaves all other fields out."""
    kept = frozenset(names)
    return lambda fields: {name: value for name, value in fields.items() if name in kept}


def only(field: str, values: Sequence[Any] = (), *, inverted: bool = False) -> Transform:
    """Records in which ``field`` has one of ``values``, or is there at all when none are given; ``inverted``: the
    others. The rest is left out."""
    wanted = list(values)

    def step(fields: dict[str, Any]) -> dict[str, Any] | None:
        there = field in fields and (not wanted or fields[field] in wanted)
        return fields if there != inverted else None

    return step


def cast(kinds: Mapping[str, str]) -> Transform:
    """Fields become of a kind of ``CASTS``: ``{"status": "int"}``. What is not there, or null, stays so."""
    for name, kind in kinds.items():
        if kind not in CASTS:
            raise ConfigurationError(f"cast of {name!r} to {kind!r}: there are {', '.join(sorted(CASTS))}")

    def step(fields: dict[str, Any]) -> dict[str, Any]:
        for name, kind in kinds.items():
            if fields.get(name) is not None:
                try:
                    fields[name] = CASTS[kind](fields[name])
                except (ValueError, TypeError, OverflowError):
                    raise NotTransformed("not_castable", f"{name!r} is no {kind}") from None
        return fields

    return step


def _int(value: Any) -> int:
    if isinstance(value, str):
        value = int(value)
    elif isinstance(value, float):
        if not value.is_integer():
            raise ValueError
        value = int(value)
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError
    return int(value)


def _float(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _time(value: Any) -> int:
    found = time_ns(value)
    if found is None:
        raise ValueError
    return found


def _str(value: Any) -> str:
    if isinstance(value, dict | list):
        raise TypeError
    return str(value)


#: What a field can become. ``time``: ns since 1970.
CASTS: Final[dict[str, Callable[[Any], Any]]] = {"bool": _bool, "float": _float, "int": _int, "str": _str,
                                                 "time": _time}
