# SPDX-License-Identifier: Apache-2.0
"""Fields of a record as columns of a table. Pure.

::

    columns = {status = "integer", path = "text"}

A field that is absent or null is NULL. One of another kind is not bent into shape: its record is refused
(``column_type``), and can be replayed once the table or the transform is right. All fields stand in the column
``fields`` besides, as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from ...errors import ConfigurationError

Kind = Literal["text", "integer", "float", "boolean"]
KINDS: Final = ("text", "integer", "float", "boolean")
#: Columns that every table of records has.
OWN: Final = ("id", "time_ns", "source", "source_id", "position", "length", "fields")
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_INT64: Final = range(-(2**63), 2**63)


def checked_name(name: str, what: str) -> str:
    """A name that every engine takes without quotes. ConfigurationError."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{what} {name!r}: write it in lower-case letters, digits and _, 63 at most")
    return name


def checked(columns: Mapping[str, str], kinds: tuple[str, ...] = KINDS) -> dict[str, Kind]:
    """The columns as they were asked for. ConfigurationError names the first that cannot be."""
    for name, kind in columns.items():
        checked_name(name, "column")
        if name in OWN:
            raise ConfigurationError(f"column {name!r}: every table of records has one of this name already")
        if kind not in kinds:
            raise ConfigurationError(f"column {name!r} is {kind!r}, and can be one of {', '.join(kinds)}")
    return dict(columns)  # type: ignore[arg-type]


def values_of(fields: Mapping[str, Any], columns: Mapping[str, Kind]) -> dict[str, Any]:
    """The values for the columns. ValueError names the first field that does not fit its column."""
    found = {}
    for name, kind in columns.items():
        value = fields.get(name)
        if value is not None and not _fits(value, kind):
            raise ValueError(f"field {name!r} is {type(value).__name__} and its column {kind}")
        found[name] = float(value) if kind == "float" and value is not None else value
    return found


def _fits(value: Any, kind: Kind) -> bool:
    if kind == "text":
        return isinstance(value, str) and "\0" not in value  # PostgreSQL has no NUL in text
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int) and value in _INT64
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= 2**53)
