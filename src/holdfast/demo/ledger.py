# SPDX-License-Identifier: Apache-2.0
"""The demo's ledger, counted independently: from the input file and the database alone.

Nothing here is shared with the pipeline it judges: it reads the file itself, has its own rules of what a good line is,
and asks the database in its own SQL over a plain driver connection. A mistake made once would otherwise be made twice,
and the books would balance.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Tally:
    """One operation: what the input asks for, which of it has rows, and what its numbers in the database say.

    expected, expected_us: good lines of the input and their sum. lines, lines_us: those of them that have a row, each
    once. extra: rows beyond the first of a line. counted, counted_us: the row of ``operations``.
    """

    expected: int = 0
    expected_us: int = 0
    lines: int = 0
    lines_us: int = 0
    extra: int = 0
    counted: int = 0
    counted_us: int = 0

    @property
    def _numbers_agree(self) -> bool:
        numbers = self.counted, self.counted_us
        return numbers in ((self.expected, self.expected_us), (self.lines, self.lines_us))

    @property
    def lost(self) -> int:
        """Lines without a row, and rows whose number is missing."""
        absent = self.expected - self.lines
        if self._numbers_agree:
            return absent
        return absent + max(self.lines - self.counted, int(self.counted_us < self.lines_us), 0)

    @property
    def doubled(self) -> int:
        """By how much rows or numbers, whichever tells of more, exceed what is there once."""
        if self._numbers_agree:
            return self.extra
        return max(self.extra, self.counted - self.lines, int(self.counted_us > self.lines_us))


@dataclass(frozen=True)
class Ledger:
    """What became of the lines of a file.

    published: lines there were. good, bad: of them, by the ledger's own rules. applied: good lines found in ``spans``.
    lost: good lines without a row, or whose operation's numbers lack them. applied_twice: rows beyond one a line, or
    numbers higher than the input's. stray: rows of lines that are bad, unknown or altered.
    """

    published: int
    good: int
    bad: int
    applied: int
    lost: int
    applied_twice: int
    stray: int
    operations: Mapping[str, Tally] = field(repr=False)

    @property
    def balanced(self) -> bool:
        """Is every good line there once, and nothing else?"""
        return not (self.lost or self.applied_twice or self.stray)


def reckon(path: Path, connection: Any, charset: str = "") -> Ledger:
    """Compares the file with the database behind ``connection`` (of ``sqlite3``, ``psycopg`` or the like).

    charset: of lines that are not UTF-8, when they were mended meanwhile; without it they are bad ones.
    """
    with path.open("rb") as file:
        published, good = read_input(file, charset)
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    for operation, duration in good.values():
        tallies[operation].expected += 1
        tallies[operation].expected_us += duration
    stray = _read_rows(good, tallies, connection)
    _read_operations(tallies, connection)
    each = tallies.values()
    return Ledger(published, len(good), published - len(good), sum(t.lines for t in each), sum(t.lost for t in each),
                  sum(t.doubled for t in each), stray, dict(tallies))


def open_database(url: str) -> Any:
    """A driver's own connection to ``sqlite:///file`` or ``postgresql://…``, whatever SQLAlchemy driver it names."""
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] == "sqlite":
        import sqlite3

        return sqlite3.connect(rest.removeprefix("/"))
    import psycopg

    return psycopg.connect(f"postgresql://{rest}")


# -- the database ----------------------------------------------------------------------------------------------------

Good = Mapping[int, tuple[str, int]]


def _ask(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _read_rows(good: Good, tallies: Mapping[str, Tally], connection: Any) -> int:
    """Enters the rows of ``spans``; returns how many of them should not be there."""
    seen: set[int] = set()
    stray = 0
    for line, operation, duration in _ask(connection, "SELECT line_id, operation_name, duration_us FROM spans"):
        match = re.fullmatch(r"line-([0-9]{6,})", line)
        number = int(match[1]) if match else -1
        if good.get(number) != (operation, duration):
            stray += 1
        elif number in seen:
            tallies[operation].extra += 1
        else:
            seen.add(number)
            tallies[operation].lines += 1
            tallies[operation].lines_us += duration
    return stray


def _read_operations(tallies: defaultdict[str, Tally], connection: Any) -> None:
    for name, count, sum_us in _ask(connection, "SELECT name, count, sum_us FROM operations"):
        tallies[name].counted = int(count)
        tallies[name].counted_us = int(sum_us)


# -- the input -------------------------------------------------------------------------------------------------------

_CSV_NAMES = ("TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "EndTimeUnixNano",
              "Duration")
_JSON_NAMES = ("trace_id", "span_id", "parent_id", "pod_name", "operation_name", "start_time_unix_nano",
               "end_time_unix_nano", "duration_us")
_HEX = "0123456789abcdef"


def read_input(lines: Iterable[bytes], charset: str = "") -> tuple[int, dict[int, tuple[str, int]]]:
    """How many lines there are, and operation and duration of each good one by its number."""
    header: list[str] | None = None
    published, good = 0, {}
    for number, line in enumerate(lines, 1):
        while line[-1:] in (b"\n", b"\r"):
            line = line[:-1]  # noqa: PLW2901
        if not line.strip():
            continue
        if header is None and not published and not line.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t").startswith(b"{"):
            header = next(csv.reader([line.decode("utf-8-sig")]))
            continue
        published += 1
        line = _in_utf8(line, charset)  # noqa: PLW2901
        cells = _csv_cells(line, header) if header else _json_cells(line)
        if cells is not None and _is_good(cells):
            good[number] = (cells[4], cells[7])
    return published, good


def _in_utf8(line: bytes, charset: str) -> bytes:
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode(charset, "replace").encode() if charset else line
    return line


def _csv_cells(line: bytes, header: list[str]) -> list[Any] | None:
    try:
        [row] = csv.reader([line.decode()], strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        return None
    if len(row) != len(header):
        return None
    cells: list[Any] = [row[header.index(name)] for name in _CSV_NAMES]
    for place in (5, 6, 7):
        cells[place] = int(cells[place]) if re.fullmatch("-?[0-9]{1,30}", cells[place]) else None
    return cells


def _json_cells(line: bytes) -> list[Any] | None:
    try:
        found = json.loads(line.decode(), parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or any(name not in found for name in _JSON_NAMES):
        return None
    cells = [found[name] for name in _JSON_NAMES]
    cells[2] = "root" if cells[2] is None else cells[2]
    return cells


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_good(cells: list[Any]) -> bool:
    trace, span, parent, pod, operation, start, end, duration = cells
    return (
        _hex(trace, 32) and _hex(span, 16) and (parent == "root" or _hex(parent, 16))
        and all(isinstance(name, str) and 0 < len(name) <= 500 and "\0" not in name for name in (pod, operation))
        and all(type(number) is int for number in (start, end, duration))
        and 0 <= start <= end < 2**63 and 0 <= duration <= 10**15
    )


def _hex(value: Any, length: int) -> bool:
    return isinstance(value, str) and len(value) == length and set(value) <= set(_HEX)
