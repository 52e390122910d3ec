# SPDX-License-Identifier: Apache-2.0
"""How DuckDB reads comma-separated spans, and which lines it is given. Pure.

Only lines without a quote, whose columns DuckDB counts itself: it is told to refuse a line with too few or too many.
What has quotes, other line ends, or a header that does not say what its times are, goes through the exact pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..formats.bad import Refused
from ..formats.csv import UNITS, found, split, unit_of
from ..formats.strict import BOM, text_of
from ..formats.words import FAILED, FINE, KINDS, NOBODY
from .counting import is_text
from .flat import Reader, whole, words

_POD = "^(.+?)-[0-9a-f]{6,10}-[0-9a-z]{5}$"


class Form:
    """Lines of this many columns. numpy: the module."""

    def __init__(self, numpy: Any, columns: int) -> None:
        self._np = numpy
        self._commas = columns - 1

    def fits_all(self, stretch: bytes) -> bool:
        """Whether every line of ``stretch``, which ends with a line feed, fits, if each of them has its columns."""
        a = self._np.frombuffer(stretch, dtype=self._np.uint8)
        count = self._np.count_nonzero
        lines = stretch.count(b"\n")
        return (b'"' not in stretch and count(a == 44) == self._commas * lines and count(a < 32) == lines
                and (stretch.isascii() or is_text(stretch)))

    def fits(self, line: bytes) -> bool:
        """The same of one line, without its line feed."""
        return self.fits_all(line + b"\n")

    def each(self, lines: list[bytes]) -> list[bool]:
        """The same of some lines, without their line feeds."""
        return list(map(self.fits, lines))

    def weight(self, stretch: bytes) -> tuple[int, int]:
        """The columns say everything."""
        return 0, 0


def reader(header: bytes, columns: Mapping[str, str] | None, longest: int) -> tuple[Reader, int] | None:
    """What reads lines below this header, and how many columns they have; nothing when it leaves anything open."""
    asked = dict(columns or {})
    unit = asked.pop("unit", "")
    try:
        names = split(text_of(header.removeprefix(BOM)))
    except Refused:
        return None
    places = found(names, asked)
    times: dict[str, int] = {field: unit_of(names[places[field]], unit) or (UNITS["us"] if field == "duration" else 0)
                             for field in ("start", "end", "duration") if field in places}
    if not {"trace_id", "span_id", "start"} <= places.keys() or not {"end", "duration"} & places.keys():
        return None
    if not all(times.values()) or len(names) < 2 or [name for name in asked.values() if name not in names]:
        return None
    said = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(names)))
    source = (f"read_csv(?, delim=',', quote='', escape='', header=false, auto_detect=false, columns={{{said}}}, "
              f"compression='none', filename=true, null_padding=false, ignore_errors=false, max_line_size={longest})")
    select, known = _select(places, times)
    return Reader(select, source, known), len(names)


def _select(places: Mapping[str, int], times: Mapping[str, int]) -> tuple[str, str]:
    """A span's columns, and what a row has to fulfil not to be in doubt."""
    column = {field: f"coalesce(c{place}, '')" for field, place in places.items()}
    trace_id, span_id, above = column["trace_id"], column["span_id"], column.get("parent_id", "''")
    sure = [f"{one} <> '' AND strlen({one}) = length({one})" for one in (trace_id, span_id)]
    sure.append(f"strlen({above}) = length({above})")

    def scaled(field: str) -> str:
        number = whole(column[field], sure)
        return number if times[field] == 1 else f"TRY_CAST(CAST({number} AS HUGEINT) * {times[field]} AS BIGINT)"

    start = scaled("start")
    end = scaled("end") if "end" in column else (
        f"TRY_CAST(CAST({start} AS HUGEINT) + {scaled('duration')} AS BIGINT)")
    sure.append(f"{end} >= {start}")
    kind = f"regexp_replace(lower({column.get('kind', chr(39) * 2)}), '^(spankind\\.)?(span_kind_)?', '')"
    sure.append(f"{kind} IN ({words(set(KINDS.values()))})")
    error = f"regexp_replace(lower({column.get('error', chr(39) * 2)}), '^(statuscode\\.)?(status_code_)?', '')"
    sure.append(f"{error} IN ({words(FAILED | FINE)})")
    pod = column.get("pod", "''")
    service = column.get("service", f"regexp_replace({pod}, '{_POD}', '\\1')")
    host = f"CASE WHEN {column.get('host', chr(39) * 2)} = '' THEN {pod} ELSE {column.get('host', chr(39) * 2)} END"
    columns = (f"lower({trace_id}), lower({span_id}), "
               f"CASE WHEN lower({above}) IN ({words(NOBODY)}) THEN '' ELSE lower({above}) END, {service}, "
               f"{column.get('operation', chr(39) * 2)}, {start}, {end}, {kind}, {error} IN ({words(FAILED)}), {host}, "
               "FALSE, ''")
    return columns, " AND ".join(sure)
