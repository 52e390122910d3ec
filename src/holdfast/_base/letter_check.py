# SPDX-License-Identifier: Apache-2.0
"""The validator and the JSON Schema, both read off the specification's table.

A tolerant reader: fields it does not know are reported and kept, and a letter of a later version is read as far as this
version goes, so a fleet can be upgraded in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from .letter import BY_NAME, DEFAULT_PREFIX, ROWS, SPEC_VERSION, TIMESTAMP, Row
from .letter_text import ms_of, utf8

Kind = Literal["missing", "type", "size", "unknown", "version"]
Level = Literal["error", "warning", "info"]

_FORMS: Final[dict[str, str]] = {"integer": r"0|[1-9]\d{0,18}", "timestamp": TIMESTAMP}
_COMPILED: Final = {row.name: re.compile(row.pattern or _FORMS.get(row.type, "(?s:.*)"), re.ASCII) for row in ROWS}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``level`` error: breaks the specification; warning: readable, but of a later version or without a
    recommended field's value; info: worth knowing. ``text`` is for people."""

    field: str
    kind: Kind
    level: Level
    text: str


def check(metadata: Mapping[str, str]) -> list[Problem]:
    """Everything that is wrong or odd with a letter's metadata (names without prefix, as ``split`` gives them)."""
    later = _later(metadata)
    found = [*_version(metadata, later=later)]
    found += [_missing(row) for row in ROWS if not metadata.get(row.name) and row.need != "optional"]
    for name, value in metadata.items():
        row = BY_NAME.get(name)
        if row is None:
            found.append(Problem(name, "unknown", "info", f"{name} is not in version {SPEC_VERSION}; it is kept"))
        elif value:
            found += _value(row, value, later=later)
    return found


def conforms(problems: Sequence[Problem]) -> bool:
    """True when nothing found breaks the specification."""
    return not any(problem.level == "error" for problem in problems)


def _later(metadata: Mapping[str, str]) -> bool:
    version = metadata.get("spec-version", "")
    return bool(_COMPILED["spec-version"].fullmatch(version)) and int(version) > SPEC_VERSION


def _version(metadata: Mapping[str, str], *, later: bool) -> Iterator[Problem]:
    if later:
        yield Problem("spec-version", "version", "warning",
                      f"version {metadata['spec-version']} is later than {SPEC_VERSION}: read as far as that goes")
    elif metadata.get("spec-version") == "0":
        yield Problem("spec-version", "version", "error", "there was no version 0")


def _missing(row: Row) -> Problem:
    level: Level = "error" if row.need == "required" else "info"
    return Problem(row.name, "missing", level, f"{row.name} is {row.need}: {row.meaning}")


def _value(row: Row, value: str, *, later: bool) -> Iterator[Problem]:
    size = len(utf8(value))
    if size > row.max_bytes:
        yield Problem(row.name, "size", "error", f"{row.name} has {size} bytes, and {row.max_bytes} are allowed")
    elif complaint := _complaint(row, value):
        # A later version may know more reasons than we do; a malformed number is malformed in any version.
        level: Level = "warning" if later and row.type == "enum" else "error"
        yield Problem(row.name, "type", level, f"{row.name} {complaint}")


def _complaint(row: Row, value: str) -> str:
    if row.type == "enum":
        return "" if value in row.values else f"is {value[:40]!r}, not one of {', '.join(row.values)}"
    if not _COMPILED[row.name].fullmatch(value):
        return f"is {value[:40]!r}, not {_form(row)}"
    if row.type == "timestamp" and ms_of(value) is None:
        return f"is {value[:40]!r}, which is no time"
    return "is no JSON" if row.type == "json" and not _is_json(value) else ""


def _form(row: Row) -> str:
    if row.type == "integer":
        return "a decimal of at most 19 digits"
    return "UTC as in 2026-11-22T07:13:06.123Z" if row.type == "timestamp" else f"of the form {row.pattern}"


def _is_json(value: str) -> bool:
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def schema(prefix: str = DEFAULT_PREFIX) -> dict[str, Any]:
    """JSON Schema (2020-12) of a letter's metadata as one object of prefixed names. Other fields are allowed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:holdfast:letter:v{SPEC_VERSION}",
        "title": f"Dead-letter metadata, version {SPEC_VERSION}",
        "type": "object",
        "required": [prefix + row.name for row in ROWS if row.need == "required"],
        "properties": {prefix + row.name: _property(row) for row in ROWS},
        "additionalProperties": True,
    }


def _property(row: Row) -> dict[str, Any]:
    told: dict[str, Any] = {"type": "string", "description": row.meaning, "maxLength": row.max_bytes,
                            "examples": [row.example], "x-need": row.need, "x-privacy": row.privacy}
    if row.type == "enum":
        told["enum"] = list(row.values)
    elif row.pattern or row.type in _FORMS:
        told["pattern"] = f"^(?:{row.pattern or _FORMS[row.type]})$".replace(r"\d", "[0-9]")
    if row.type == "json":
        told["contentMediaType"] = "application/json"
    return told


def schema_text(prefix: str = DEFAULT_PREFIX) -> str:
    """``schema`` as indented JSON, as it stands in ``docs/reference/letter-v1.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(schema(prefix)), indent=2).decode() + "\n"
