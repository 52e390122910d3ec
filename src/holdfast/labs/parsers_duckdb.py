# SPDX-License-Identifier: Apache-2.0
"""Whole files by DuckDB, tuned as well as we know: columns are named and nothing is guessed. One thread, as all others.

Text is read line by line as one column (a delimiter that does not occur, no quotes), and taken apart by RE2, which is
DuckDB's engine of regular expressions. JSON is read with ``records=true`` and typed columns. With ``ignore_errors`` a
line that cannot be read does not end the query; it becomes a row of NULLs, and that is all one hears of it.

Source: DuckDB's pages on ``read_csv``, ``read_json`` and ``regexp_extract``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ..errors import MissingExtra
from .parsers_lines import Answer
from .parsers_schemes import CLEAR, Kind, pattern_of

_SUMS: Final = "count(*), count(*) FILTER (error), coalesce(sum(took_us), 0)::BIGINT"
_TEXT: Final = f"""
    SELECT service, operation, {_SUMS}
    FROM (SELECT found.service, found.operation, found.status = 'ERROR' AS error,
                 TRY_CAST(found.took AS BIGINT) AS took_us
          FROM (SELECT regexp_extract(line, ?, ['at', 'level', 'service', 'trace', 'span', 'parent', 'operation',
                                                'took', 'status']) AS found
                FROM read_csv(?, columns = {{'line': 'VARCHAR'}}, auto_detect = false, header = false,
                              delim = '\x01', quote = '', escape = '', new_line = '\\n')))
    GROUP BY ALL"""  # noqa: S608 - of our own words
_JSON: Final = f"""
    SELECT service, operation, {_SUMS}
    FROM read_json(?, format = 'newline_delimited', records = true, ignore_errors = true, columns = {{
        'at': 'VARCHAR', 'level': 'VARCHAR', 'service': 'VARCHAR', 'trace': 'VARCHAR', 'span': 'VARCHAR',
        'parent': 'VARCHAR', 'operation': 'VARCHAR', 'took_us': 'BIGINT', 'error': 'BOOLEAN'}})
    GROUP BY ALL"""  # noqa: S608 - of our own words


class Files:
    """A connection that answers of files. Raises MissingExtra."""

    def __init__(self) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtra("traces", "the scheme duckdb") from error
        self._connection: Any = duckdb.connect(":memory:", config={"threads": 1})

    def answer(self, kind: Kind, path: Path) -> Answer:
        """Of one file. bad: rows without a service or an operation."""
        asked = [rf"\A{pattern_of(CLEAR)}\z", str(path)] if kind == "text" else [str(path)]
        rows = self._connection.execute(_TEXT if kind == "text" else _JSON, asked).fetchall()
        groups = sorted(tuple(row) for row in rows if row[0] and row[1])
        return Answer(sum(row[2] for row in rows if not (row[0] and row[1])), groups)
