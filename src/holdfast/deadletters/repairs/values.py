# SPDX-License-Identifier: Apache-2.0
"""One value as another type: text that is a number, a date as people write it, the many ways to say yes. Pure.

Nothing is guessed. What is not plainly of the wanted type is refused, and what has it already stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from ...errors import RepairRefused

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,40}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,4})?")
#: What is yes and no unless a map says otherwise.
TRUTH: Final[Mapping[str, bool]] = {"true": True, "false": False, "1": True, "0": False}

Coercion = Callable[[Any], Any]


def integer(value: Any) -> Any:
    """A whole number; of text its digits, of 12.0 the 12."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float | Decimal) and value == int(value):
        return int(value)
    raise RepairRefused(f"{_kind(value)} is no whole number")


def number(value: Any) -> Any:
    """A number, with the digits that were written."""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return int(value) if _WHOLE.fullmatch(value.strip()) else Decimal(value.strip())
    raise RepairRefused(f"{_kind(value)} is no number")


def text(value: Any) -> Any:
    """Text; of a number its digits, of true and false their names."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    raise RepairRefused(f"{_kind(value)} has no text of its own")


def boolean(by: Mapping[str, Any]) -> Coercion:
    """True or false, by a map of texts, in any case of letters."""
    known = {name.lower(): bool(value) for name, value in (by or TRUTH).items()}

    def coerce(value: Any) -> Any:
        if isinstance(value, bool):
            return value
        said = str(value).strip().lower() if isinstance(value, str | int) else ""
        if said not in known:
            raise RepairRefused(f"{_kind(value)} is none of {', '.join(known)}")
        return known[said]

    return coerce


def moment(kind: str, forms: tuple[str, ...]) -> Coercion:
    """A ``date`` (2026-11-26) or a ``datetime`` in UTC (2026-11-26T08:00:00Z), of text in one of the forms
    (``strptime``), of what ISO 8601 says, or of seconds or milliseconds since 1970."""
    def coerce(value: Any) -> Any:
        found = _moment(value, forms)
        if kind == "date":
            return found.date().isoformat()
        whole = found.microsecond == 0
        return found.isoformat(timespec="seconds" if whole else "milliseconds").replace("+00:00", "Z")

    return coerce


def _moment(value: Any, forms: tuple[str, ...]) -> datetime:
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) >= 100_000_000_000 else value
        try:
            return datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            raise RepairRefused("the number is no time") from None
    for form in (*forms, ""):
        found = _read(value, form) if isinstance(value, str) else None
        if found is not None:
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    raise RepairRefused(f"{_kind(value)} is no time in any of the forms: {', '.join((*forms, 'ISO 8601'))}")


def _read(value: str, form: str) -> datetime | None:
    try:
        if form:
            return datetime.strptime(value.strip(), form)  # noqa: DTZ007 - without a zone it is UTC, as documented
        return datetime.fromisoformat(value.strip())
    except ValueError:
        return None


def coercion(to: str, by: Mapping[str, Any], forms: tuple[str, ...]) -> Coercion:
    """What makes values of this type."""
    plain: dict[str, Coercion] = {"integer": integer, "number": number, "string": text}
    if to in plain:
        return plain[to]
    return boolean(by) if to == "boolean" else moment(to, forms)


TYPES: Final = ("integer", "number", "string", "boolean", "date", "datetime")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "this text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "this number" if isinstance(value, int | float | Decimal) else "this value")

