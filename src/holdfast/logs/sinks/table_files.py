# SPDX-License-Identifier: Apache-2.0
"""What the ``parquet`` and the ``duckdb`` sink share: a batch as lists, a list a column.

One statement takes lists for any number of rows; a statement a row takes a thousand times as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...errors import MissingExtra
from ..record import Record
from ..sink import Refused
from .columns import OWN, Kind, values_of
from .document import encoded, fields_only, place_of

_TYPES: Final = {"text": "VARCHAR", "integer": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN"}
_OWN_TYPES: Final = dict(zip(OWN, ("VARCHAR", "BIGINT", "VARCHAR", "VARCHAR", "BIGINT", "BIGINT", "VARCHAR"),
                             strict=True))

#: A batch's rows: id, and a value a column in the order of ``types_of``.
Rows = list[tuple[str, list[Any]]]


def library(needed_for: str) -> Any:
    """The library DuckDB. Raises MissingExtra."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("traces", needed_for) from error
    return duckdb


def types_of(columns: Mapping[str, Kind]) -> dict[str, str]:
    """Columns and their types, in order."""
    return {**_OWN_TYPES, **{name: _TYPES[kind] for name, kind in columns.items()}}


def rows_of(batch: Sequence[Record], columns: Mapping[str, Kind]) -> tuple[list[tuple[int, list[Any]]], list[Refused]]:
    """A row a record, with its index in the batch; and the records that fit into none."""
    good, refused = encoded(batch, fields_only)
    rows = []
    for index, record, body in good:
        try:
            more = values_of(record.fields, columns)
        except ValueError as error:
            refused.append(Refused(index=index, reason="column_type", detail=str(error)))
            continue
        line = record.line
        rows.append((index, [record.id, record.timestamp_ns, place_of(record), line.source.id, line.offset, line.length,
                             body.decode(), *more.values()]))
    return rows, refused


def selected(types: Mapping[str, str]) -> str:
    """``SELECT`` of the lists that are handed in, one a column, as rows."""
    return "SELECT " + ", ".join(f'unnest(${n}::{kind}[]) AS "{name}"' for n, (name, kind)
                                 in enumerate(types.items(), 1))


def lists(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as lists, one a column."""
    return [list(column) for column in zip(*rows, strict=True)]
