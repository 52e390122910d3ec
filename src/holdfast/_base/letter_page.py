# SPDX-License-Identifier: Apache-2.0
"""The specification's reference page, written from its table."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from . import letter, letter_maps

_NOTE = "<!-- Written by docs/generate.py from src/holdfast/_base/letter.py. Change that, then run `make docs`. -->"
_PRIVACY = {
    "public": "says nothing about anybody; may go into metrics and alerts",
    "internal": "names of streams, hosts, handlers; for people of the house",
    "personal": "may name or describe a person; leaves the letter only where the payload may",
    "secret-bearing": "free text that has carried secrets elsewhere; masked by the redactor before it is written",
}


def page() -> str:
    """Markdown of ``docs/reference/letter-spec.md``."""
    title, _, essay = inspect.cleandoc(letter.__doc__ or "").partition("\n\n")
    parts = [f"# {title.rstrip('.')}", _NOTE, essay.replace("``", "`"),
             "As a JSON Schema: [letter-v1.schema.json](letter-v1.schema.json).", "## Fields"]
    for section, rows in letter.SECTIONS.items():
        parts += [f"### {section}", _table(("field", "type", "need", "bytes", "privacy", "meaning", "example"),
                                           [_cells(row) for row in rows])]
    parts += ["## Closed lists"]
    for name, values in (("failure-reason", letter.REASONS), ("error-stage", letter.STAGES),
                         ("error-category", letter.CATEGORIES), ("Privacy classes", _PRIVACY)):
        parts += [f"### {name}", _values(values)]
    example = {row.name: row.example for row in letter.ROWS} | {"original-offset": "42"}  # which Kafka can say, too
    parts += ["## The same fields elsewhere", letter_maps.page(example)]
    return "\n\n".join(parts) + "\n"


def _cells(row: letter.Row) -> tuple[str, ...]:
    form = f" `{row.pattern}`" if row.pattern else f" {', '.join(row.values)}" if row.values else ""
    cap = "" if row.name == "original-headers" else f"{row.max_bytes:,}"
    return (f"`{letter.DEFAULT_PREFIX}{row.name}`", row.type + form, row.need, cap, row.privacy, row.meaning,
            f"`{row.example}`")


def _values(values: Mapping[str, str]) -> str:
    return _table(("value", "means"), [(f"`{value}`", means) for value, means in values.items()])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|").replace("\n", "\\n")
