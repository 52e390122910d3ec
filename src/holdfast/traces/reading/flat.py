# SPDX-License-Identifier: Apache-2.0
"""How DuckDB reads flat lines of one shape, and how to know that it read a line rightly. Pure.

DuckDB is quick and lenient: it takes the first of two equal keys, a comma before the end, NaN, a number for a text and
a text for a number, and says NULL for what it cannot read. Rather than to check each line again, it is *counted*. Take
a shape of ``keys`` keys, ``texts`` of them with texts for values, and a line with

- one opening bracket, so that nothing is nested, and ``}`` at its end with a value right before it,
- no backslash, so that every quote opens or closes a text,
- no space behind a quote, so that every key's quote has its colon beside it: a *mark*, ``":``
- as many marks as the shape has keys, and as many quotes as these keys and texts need,

for which DuckDB found a value for each of the shape's keys. Each key has a mark at least, so none is there twice and
none besides. What was read as a number has no quotes (its text is looked at), so each of the other values has two:
they are texts. Whatever is not known like this is *in doubt*, and goes through the exact pass; that is slow, never
wrong.

A stretch of lines is counted as a whole: each line has one bracket, a mark for each key, and so on, *at least*; where
the sums are what they have to be, every line is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..formats.bad import Refused
from ..formats.spans import FIELDS, pairs, span_of, unit_of
from ..formats.words import FAILED, FINE, KINDS, NOBODY
from .stretches import Weight

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KINDS = tuple(sorted(set(KINDS.values())))
_PREFIXES = ("", "span_kind_", "spankind.")


class Flat(msgspec.Struct, frozen=True):
    """A shape: its keys with DuckDB's types for them, and how many of them have texts. inner: the key under which there
    is an object, if any; such lines cannot be known by counting, see ``stencil``. lines: those that have it."""

    columns: dict[str, str]
    texts: int
    select: str
    known: str
    inner: str = ""
    lines: list[bytes] = []

    @property
    def keys(self) -> int:
        """How many keys a line has."""
        return len(self.columns)


def shape_of(lines: Iterable[bytes]) -> Flat | None:
    """The shape that most of these lines have; nothing when none of them can be read quickly."""
    seen: Counter[tuple[tuple[str, type], ...]] = Counter()
    examples: dict[tuple[tuple[str, type], ...], dict[str, Any]] = {}
    alike: dict[tuple[tuple[str, type], ...], list[bytes]] = defaultdict(list)
    for line in lines:
        try:
            record = pairs(line)
            span_of(record)
        except Refused:
            continue
        kinds = tuple((key, type(value)) for key, value in record.items())
        seen[kinds] += 1
        examples.setdefault(kinds, record)
        alike[kinds].append(line)
    if not seen:
        return None
    most = max(seen, key=lambda kinds: seen[kinds])
    record = examples[most]
    lower = {key.lower() for key in (*record, "filename")}  # DuckDB's columns are the same in letters of any size
    inner = next((name for name in FIELDS["attributes"] if isinstance(record.get(name), dict)), "")
    if len(lower) <= len(record) or any(isinstance(value, (dict, list, type(None))) and key != inner
                                        for key, value in record.items()):
        return None
    columns = {key: "VARCHAR" if isinstance(value, str) else "JSON" for key, value in record.items()}
    return Flat(columns, sum(kind == "VARCHAR" for kind in columns.values()), *_select(record, inner),
                inner, alike[most])


def source(shape: Flat, longest: int) -> str:
    """The lines of files of this shape, as a table."""
    said = ", ".join(f"'{key.replace(chr(39), chr(39) * 2)}': '{kind}'" for key, kind in shape.columns.items())
    return ("read_json(?, format='newline_delimited', records=true, ignore_errors=true, "
            f"columns={{{said}}}, compression='none', filename=true, maximum_object_size={longest})")


class Reader:
    """Has DuckDB read lines of which each is a span. See quick.Read.

    select: a span's columns. source: a table, with ``?`` for the files. known: what rows have to fulfil.
    """

    def __init__(self, select: str, source: str, known: str) -> None:
        self.insert = f"INSERT INTO span SELECT {select} FROM {source} WHERE {known}"  # noqa: S608
        self.doubt = f"SELECT DISTINCT filename FROM {source} WHERE NOT coalesce({known}, FALSE)"  # noqa: S608

    def __call__(self, cursor: DuckDBPyConnection, paths: list[str],
                 expected: Callable[[], Mapping[str, Weight] | None]) -> tuple[int, list[str]]:
        """The number of rows, and the files with rows in doubt."""
        (rows,), = cursor.execute(self.insert, [paths]).fetchall()
        wanted = expected()
        if wanted is not None and rows == sum(weight.lines for weight in wanted.values()):
            return rows, []  # guard: a row for each line, each one sure
        if wanted is None or len(paths) == 1:
            return 0, paths
        return 0, [path for path, in cursor.execute(self.doubt, [paths]).fetchall()] or paths


def _select(record: Mapping[str, Any], inner: str) -> tuple[str, str]:
    """A span's columns, and what a row has to fulfil not to be in doubt."""
    said = {field: next((name for name in names if name in record), "") for field, names in FIELDS.items()}
    sure = [f"{name(key)} IS NOT NULL" for key in record]
    used = set(said.values())
    sure += [_plain(key) for key, value in record.items() if key not in used and not isinstance(value, str)]
    trace_id, span_id = name(said["trace_id"]), name(said["span_id"])
    sure += [f"{one} <> '' AND strlen({one}) = length({one})" for one in (trace_id, span_id)]
    start, end = _times(said, sure)
    kind = _kind(said["kind"], record, sure)
    error = " OR ".join(_failed(said[field], record, sure) for field in ("error", "status") if said[field]) or "FALSE"
    above = "''"
    if said["parent_id"]:
        parent = name(said["parent_id"])
        sure.append(f"strlen({parent}) = length({parent})")
        above = f"CASE WHEN lower({parent}) IN ({words(NOBODY)}) THEN '' ELSE lower({parent}) END"
    follows = "FALSE"
    if said["follows"]:
        follows = f"{name(said['follows'])} = 'true'"
        sure.append(_truth(said["follows"]))

    def text(field: str) -> str:
        return name(said[field]) if said[field] else "''"

    attributes = "''"
    if inner:
        attributes = f"coalesce(nullif(CAST(json({name(inner)}) AS VARCHAR), '{{}}'), '')"
    columns = (f"lower({trace_id}), lower({span_id}), {above}, {text('service')}, {text('operation')}, {start}, {end}, "
               f"{kind}, {error}, {text('host')}, {follows}, {attributes}")
    return columns, " AND ".join(sure)


def name(key: str) -> str:
    """A key as a column's name."""
    return '"' + key.replace('"', '""') + '"'


def words(some: Iterable[str]) -> str:
    """Texts as a list."""
    return ", ".join("'" + word.replace("'", "''") + "'" for word in sorted(some))


def whole(column: str, sure: list[str]) -> str:
    """A number, from digits: those that it would be written in."""
    number = f"TRY_CAST({column} AS BIGINT)"
    sure.append(f"{column} = CAST({number} AS VARCHAR)")  # guard: DuckDB rounds 1.5, and takes 1e3 and a text of digits
    return number


def _times(said: Mapping[str, str], sure: list[str]) -> tuple[str, str]:
    def scaled(key: str) -> str:
        number = whole(name(key), sure)
        unit = unit_of(key)
        return number if unit == 1 else f"TRY_CAST(CAST({number} AS HUGEINT) * {unit} AS BIGINT)"

    start = scaled(said["start"])
    if said["end"]:
        end = scaled(said["end"])
    else:
        end = f"TRY_CAST(CAST({start} AS HUGEINT) + {scaled(said['duration'])} AS BIGINT)"
    sure.append(f"{end} >= {start}")
    return start, end


def _kind(key: str, record: Mapping[str, Any], sure: list[str]) -> str:
    if not key:
        return "''"
    value = record[key]
    if not isinstance(value, str):
        number = whole(name(key), sure)
        sure.append(f"{number} BETWEEN 0 AND 5")
        return f"['', 'internal', 'server', 'client', 'producer', 'consumer'][{number} + 1]"
    prefix = next(prefix for prefix in reversed(_PREFIXES) if value.lower().startswith(prefix))
    word = f"lower({name(key)})"
    if prefix:
        sure.append(f"starts_with({word}, '{prefix}')")
        word = f"substr({word}, {len(prefix) + 1})"
    sure.append(f"{word} IN ({words(_KINDS)})")
    return word


def _failed(key: str, record: Mapping[str, Any], sure: list[str]) -> str:
    value = record[key]
    if isinstance(value, bool):
        sure.append(_truth(key))
        return f"{name(key)} = 'true'"
    word = f"lower({name(key)})" if isinstance(value, str) else f"CAST({name(key)} AS VARCHAR)"
    failed = {prefix + said for prefix in ("", "statuscode.", "status_code_") for said in FAILED}
    fine = {prefix + said for prefix in ("", "statuscode.", "status_code_") for said in FINE}
    sure.append(f"{word} IN ({words(failed | fine)})")
    return f"{word} IN ({words(failed)})"


def _truth(key: str) -> str:
    return f"{name(key)} IN ('true', 'false')"


def _plain(key: str) -> str:
    """A value that is no text: DuckDB takes NaN and Infinity for numbers, JSON does not."""
    return f"({_truth(key)} OR right({name(key)}, 1) BETWEEN '0' AND '9')"
