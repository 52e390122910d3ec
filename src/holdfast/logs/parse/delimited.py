# SPDX-License-Identifier: Apache-2.0
"""CSV, one record a line: named columns, or those that a source's first line names.

Flaws: ``nul``, ``bad_utf8``, ``unclosed_quote`` (a quoted field that goes on in the next line is not read: one line is
one record here), ``not_csv``, ``wrong_columns``, ``no_header``. A header holds no record; it counts as blank.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

from ...errors import ConfigurationError
from ..line import Line
from .flaw import BOM, Flaw, readable_text

__all__ = ["Delimited"]

csv.field_size_limit(1 << 30)  # lines are bounded already


class Delimited:
    """Decodes lines of CSV. Without ``columns`` a source's first line names them."""

    def __init__(self, *, columns: Sequence[str] = (), delimiter: str = ",") -> None:
        if len(delimiter) != 1:
            raise ConfigurationError(f"delimiter {delimiter!r}: give one character")
        if len(set(columns)) != len(columns):
            raise ConfigurationError("columns: a name stands there twice")
        self._columns, self._delimiter = tuple(columns), delimiter
        self._of: dict[str, tuple[str, ...] | Flaw] = {}
        self.wants_first = not columns

    def begin(self, source_id: str, first: bytes) -> None:
        """The first line of a source names its columns."""
        if self.wants_first and first:
            self._of[source_id] = self._names(first.removeprefix(BOM).removesuffix(b"\r"))

    def decode(self, line: Line, content: bytes) -> dict[str, Any] | Flaw | None:
        """See ``Decoder``."""
        columns: tuple[str, ...] | Flaw | None = self._columns
        if self.wants_first:
            if line.offset == 0:
                named = self._of[line.source.id] = self._names(content)
                return named if isinstance(named, Flaw) else None
            columns = self._of.get(line.source.id)
        if columns is None or isinstance(columns, Flaw):
            return Flaw(reason="no_header", detail="the file's first line, which names the columns, is not known")
        values = self._values(content)
        if isinstance(values, Flaw):
            return values
        if len(values) != len(columns):
            return Flaw(reason="wrong_columns", detail=f"{len(values)} fields, and {len(columns)} columns")
        return dict(zip(columns, values, strict=True))

    def _names(self, content: bytes) -> tuple[str, ...] | Flaw:
        values = self._values(content)
        if isinstance(values, Flaw):
            return values
        if len(set(values)) != len(values):
            return Flaw(reason="not_csv", detail="a column's name stands twice in the header")
        return tuple(values)

    def _values(self, content: bytes) -> list[str] | Flaw:
        text = readable_text(content)
        if isinstance(text, Flaw):
            return text
        try:
            rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            open_ = "unexpected end" in str(error)
            return Flaw(reason="unclosed_quote" if open_ else "not_csv", detail=str(error))
        return rows[0] if len(rows) == 1 else Flaw(reason="not_csv", detail="a line break within a field")
