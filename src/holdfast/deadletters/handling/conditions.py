# SPDX-License-Identifier: Apache-2.0
"""What a rule asks of a letter: each condition is a name for people and a plain function of the facts. Pure.

::

    error_type: ConnectionError            # in full, or its last part; a list: one of them
    message: "connection (reset|refused)"  # found anywhere in it (RE2)
    attempts: {min: 3}
    payload: {order.total: {above: 1000}, /currency: {in: [EUR, USD]}}

All conditions of a rule have to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from ...errors import ConfigurationError, MissingExtra
from .facts import Facts
from .patterns import pattern
from .payload import ABSENT, path_of

T = TypeVar("T")
Holds = Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them. ``name``: where it stands in the rule."""

    name: str
    holds: Holds


#: Compared as they are, with one value or a list of them.
EQUAL: Final = ("reason", "stage", "stream", "broker", "group", "service", "producer", "handler", "code", "said",
                "fingerprint")
RANGED: Final = ("attempts", "replays", "tries")
NAMES: Final = (*EQUAL, *RANGED, "error_type", "chain", "message", "fresh", "payload")
_OF_FIELD: Final = ("equals", "in", "exists", "min", "max", "above", "below", "pattern")


def conditions_of(match: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a rule's ``match``. Raises ConfigurationError, which begins with where it stands."""
    found: list[Condition] = []
    for name, value in match.items():
        if name == "payload":
            found += _of_payload(value)
        else:
            found.append(Condition(name, _said(name, partial(_condition, name, value))))
    return tuple(found)


def _said(where: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except MissingExtra:
        raise
    except ConfigurationError as error:
        raise ConfigurationError(f"match.{where}: {error}") from None


def _condition(name: str, value: Any) -> Holds:
    if name in EQUAL:
        wanted = _texts(value)
        return lambda facts: getattr(facts, name) in wanted
    if name in RANGED:
        within = _range(value)
        return lambda facts: within(getattr(facts, name))
    if name == "error_type":
        types = _texts(value)
        return lambda facts: _is_type(facts.error_type, types)
    if name == "chain":
        types = _texts(value)
        return lambda facts: any(_is_type(one, types) for one in facts.chain)
    if name == "message":
        matches = pattern(_text(value))
        return lambda facts: matches(facts.error)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{value!r} is neither true nor false")
    return lambda facts: facts.fresh is value


def _is_type(error_type: str, wanted: frozenset[str]) -> bool:
    return error_type in wanted or error_type.rpartition(".")[2] in wanted


# -- the fields of a message


def _of_payload(value: Any) -> list[Condition]:
    if not isinstance(value, Mapping) or not value:
        raise ConfigurationError("match.payload: a table of paths is wanted, {order.total: {above: 1000}}")
    found = []
    for path, said in value.items():
        where = f"payload.{path}"
        steps = path_of(str(path))
        found.append(Condition(where, _at(steps, _said(where, partial(_field, said)))))
    return found


def _at(steps: tuple[str, ...], test: Callable[[Any], bool]) -> Holds:
    return lambda facts: test(facts.payload.at(steps))


def _field(said: Any) -> Callable[[Any], bool]:
    """A test of one value; a value in the place of a table is what it has to equal."""
    if not isinstance(said, Mapping):
        return lambda value: _equal(value, said)
    if not said:
        raise ConfigurationError(f"nothing is asked of it: one of {', '.join(_OF_FIELD)}")
    tests = [_field_test(name, wanted) for name, wanted in said.items()]
    return lambda value: all(test(value) for test in tests)


def _field_test(name: str, wanted: Any) -> Callable[[Any], bool]:
    if name == "equals":
        return lambda value: _equal(value, wanted)
    if name == "in":
        if not isinstance(wanted, list) or not wanted:
            raise ConfigurationError("`in` wants a list of values")
        return lambda value: any(_equal(value, one) for one in wanted)
    if name == "exists":
        if not isinstance(wanted, bool):
            raise ConfigurationError("`exists` is true or false")
        return lambda value: (value is not ABSENT) is wanted
    if name == "pattern":
        matches = pattern(_text(wanted))
        return lambda value: isinstance(value, str) and matches(value)
    if name not in _OF_FIELD:
        raise ConfigurationError(f"there is no {name!r}: one of {', '.join(_OF_FIELD)}")
    bound = _number(wanted)
    if name in ("min", "above"):
        return lambda value: _is_number(value) and (value >= bound if name == "min" else value > bound)
    return lambda value: _is_number(value) and (value <= bound if name == "max" else value < bound)


def _equal(value: Any, wanted: Any) -> bool:
    """As JSON has it: ``true`` is no 1."""
    return value is not ABSENT and isinstance(value, bool) is isinstance(wanted, bool) and bool(value == wanted)


# -- values of the file


def _range(value: Any) -> Callable[[int], bool]:
    """A number, or ``{min, max}``, both included."""
    if not isinstance(value, Mapping):
        exactly = _number(value)
        return lambda found: found == exactly
    if not value or set(value) - {"min", "max"}:
        raise ConfigurationError(f"{dict(value)!r}: a number is wanted, or {{min: 1, max: 5}}")
    low, high = _number(value.get("min", 0)), _number(value.get("max", float("inf")))
    return lambda found: low <= found <= high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float:
    if not _is_number(value):
        raise ConfigurationError(f"{value!r} is no number")
    number: float = value
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{value!r}: text is wanted")
    return value


def _texts(value: Any) -> frozenset[str]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ConfigurationError("an empty list matches nothing: name a value, or leave it out")
    return frozenset(map(_text, values))
