# SPDX-License-Identifier: Apache-2.0
"""How DuckDB reads OTLP's lines, and how to know that it read them rightly. Pure.

As for flat lines (see ``flat``) keys are counted, not looked at. DuckDB says how many keys of OTLP it found a value
for, in every object. Attributes have keys of their own, and are counted by how they begin: an attribute is
``{"key":"…","value":{"…``, so each of these two beginnings stands for marks (``":``) of its own: one for the key, and
two for the value and the first key inside. A line has these marks *at least*; where the sums are equal it has no
others, so no key is there twice, none is unknown, and DuckDB has swallowed nothing. It takes ``5`` and ``[]`` for
objects without keys; so objects are counted too, against opening brackets, and empty ones stand only where an object
is expected. What is richer than that (nested lists, keys nobody knows) does not add up, and goes through the exact
pass.

All of a span's fields are taken as JSON text, so that a number is never taken for a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..formats.words import FAILED, FINE, KINDS, NOBODY
from .counting import is_text
from .flat import words
from .stretches import Weight

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SPAN = ("traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes",
         "traceState", "flags", "droppedAttributesCount", "droppedEventsCount", "droppedLinksCount")
_EVENT = ("timeUnixNano", "name", "attributes", "droppedAttributesCount")
_LINK = ("traceId", "spanId", "traceState", "attributes", "droppedAttributesCount", "flags")
_SCOPE = ("name", "version", "attributes", "droppedAttributesCount")
_HOSTS = ("host.name", "k8s.pod.name", "host.id")


#: Of no line: what cannot be weighed does not add up, whatever its company.
_NEVER = -(1 << 60)
#: An attribute without a value.
_BARE = re.compile(rb'\{"key":"[^"]*"\}')
#: Bytes of the longest line that DuckDB reads; each of its threads takes twice as much at once.
LONGEST = 8 << 20


def read(cursor: DuckDBPyConnection, paths: list[str],
         expected: Callable[[], Mapping[str, Weight] | None]) -> tuple[int, list[str]]:
    """The number of spans, and the files that do not add up. See quick.Read."""
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE incoming AS {select(LONGEST)}", [paths])
    counted = cursor.execute(
        "SELECT file, bool_and(sure), sum(lines), sum(keys), sum(objects) FROM incoming GROUP BY file")
    found = {path: counts for path, sure, *counts in counted.fetchall() if sure}
    wanted = expected()
    if wanted is None:
        return 0, paths
    doubtful = [path for path in paths if found.get(path) != [*wanted[path]]]  # guard: every key was found, once
    (spans,), = cursor.execute(
        "INSERT INTO span SELECT COLUMNS(* EXCLUDE (file, sure, keys, objects, lines)) FROM incoming WHERE ?",
        [not doubtful]).fetchall()
    cursor.execute("DROP TABLE incoming")
    return spans, doubtful


class Form:
    """What lines of OTLP are to be like. numpy: the module."""

    def __init__(self, numpy: Any) -> None:
        self._np = numpy

    def fits_all(self, stretch: bytes) -> bool:
        """Whether nothing in ``stretch`` is of a kind that DuckDB is lenient about, or that cannot be counted."""
        np = self._np
        count = np.count_nonzero
        a = np.frombuffer(stretch, dtype=np.uint8)
        lines = stretch.count(b"\n")
        before, behind = a[:-1], a[1:]
        space = a <= 32
        closes = (a | 32) == 125
        if count(closes) != count((a | 32) == 123) or count((before == 125) & (behind == 10)) != lines:
            return False
        if count(a < 32) != lines or count((before == 34) & space[1:]) or b"\\" in stretch:
            return False
        if count((space[:-1] | (before == 44)) & closes[1:]):  # guard: no comma before an end
            return False
        empty = count((before == 123) & (behind == 125))
        if empty and empty != sum(stretch.count(b'"%s":{}' % name) for name in (b"status", b"scope", b"resource")):
            return False
        opens = (before == 58) | (before == 44) | (before == 91) | (before == 32)
        lax = (behind == 78) | (behind == 73) | (behind == 105) | (behind == 45)  # NaN, Infinity, inf, a minus
        return not count(opens & lax) and (stretch.isascii() or is_text(stretch))

    def fits(self, line: bytes) -> bool:
        """The same of one line, without its line feed."""
        return self.fits_all(line + b"\n")

    def each(self, lines: list[bytes]) -> list[bool]:
        """The same of some lines, without their line feeds."""
        return list(map(self.fits, lines))

    def weight(self, stretch: bytes) -> tuple[int, int]:
        """How many keys and objects there are beside those of attributes."""
        np = self._np
        a = np.frombuffer(stretch, dtype=np.uint8)
        marks = int(np.count_nonzero((a[:-1] == 34) & (a[1:] == 58)))
        opens = np.flatnonzero(a == 123)
        before = np.searchsorted(np.flatnonzero(a == 34), opens)  # quotes: as many as this is even, it is in no text
        objects = int(np.count_nonzero(before & 1 == 0))  # guard: a bracket in a text is no object
        attributes, values = stretch.count(b'{"key":"'), stretch.count(b'","value":{"')
        if b'"value":{"key"' in stretch or b'{"value":' in stretch:  # two beginnings would share a mark, or a key
            return _NEVER, _NEVER
        if attributes != values or _BARE.search(stretch):  # guard: values stand in attributes, one in each
            return _NEVER, _NEVER
        return marks - attributes - 2 * values, objects - attributes - values


def _struct(names: tuple[str, ...], more: str = "") -> str:
    return "STRUCT(" + ", ".join(f'"{name}" JSON' for name in names) + more + ")"


_SPANS = _struct(_SPAN, ", status STRUCT(message JSON, code JSON), "
                        f"events {_struct(_EVENT)}[], links {_struct(_LINK)}[]")
_RESOURCE = ('STRUCT(attributes STRUCT("key" VARCHAR, "value" STRUCT("stringValue" JSON))[], '
             '"droppedAttributesCount" JSON)')
_COLUMN = (f'STRUCT(resource {_RESOURCE}, "scopeSpans" STRUCT(scope {_struct(_SCOPE)}, "schemaUrl" JSON, '
           f'spans {_SPANS}[])[], "schemaUrl" JSON)[]')


def _counted(of: str, names: tuple[str, ...]) -> str:
    return " + ".join(f'CAST({of}."{name}" IS NOT NULL AS INTEGER)' for name in names)


def _listed(of: str, names: tuple[str, ...]) -> str:
    """The keys in a list of objects, and the one that it stands under."""
    inner = _counted("one", names)
    return (f"CASE WHEN {of} IS NULL THEN 0 WHEN len({of}) = 0 THEN 1 ELSE 1 + "
            f"list_sum(list_transform({of}, lambda one: {inner})) END")


def _named(attribute: str) -> str:
    """A resource's attribute, as JSON text; of several the last one."""
    return f"list_filter(p.resource.attributes, lambda one: one.\"key\" = '{attribute}')[-1].\"value\".\"stringValue\""


def _plain(text: str) -> str:
    return f"substr({text}, 2, length({text}) - 2)"


def _is_text(text: str) -> str:
    return f"({text} IS NULL OR starts_with({text}, '\"'))"


def select(longest: int) -> str:
    """A row for each span: the columns of ``span``, then file, sure, keys (of OTLP, that were found) and lines (that
    begin).
    """
    return f"""
WITH line AS (SELECT filename, "resourceSpans" AS r FROM read_json(?, format='newline_delimited', records=true,
  ignore_errors=true, columns={{'resourceSpans': '{_COLUMN}'}}, compression='none', filename=true,
  maximum_object_size={longest})),
process AS (SELECT filename, unnest(r) AS p, generate_subscripts(r, 1) AS k, len(r) AS of_line FROM line),
named AS (SELECT filename, p."scopeSpans" AS c, k, {_named("service.name")} AS service,
  coalesce({", ".join(f"nullif({_named(name)}, '{chr(34) * 2}')" for name in _HOSTS)}) AS host,
  p.resource.attributes IS NULL OR list_count(list_transform(p.resource.attributes, lambda one: one."key"))
    = len(p.resource.attributes) AS known,
  CAST(k = 1 AS INTEGER) + CAST(p.resource IS NOT NULL AS INTEGER) + CAST(c IS NOT NULL AS INTEGER)
  + CAST(p."schemaUrl" IS NOT NULL AS INTEGER)
  + {_counted("p.resource", ("attributes", "droppedAttributesCount"))} AS keys,
  CASE WHEN k = 1 THEN 1 + of_line ELSE 0 END + CAST(p.resource IS NOT NULL AS INTEGER) + coalesce(len(c), 0) AS objects
  FROM process),
library AS (SELECT filename, k, service, host, known, keys, objects, unnest(c) AS l, generate_subscripts(c, 1) AS j
  FROM named),
spans AS (SELECT filename, service, host, known, j = 1 AND k = 1 AS first,
  CASE WHEN j = 1 THEN keys ELSE 0 END + CAST(l.scope IS NOT NULL AS INTEGER) + CAST(l.spans IS NOT NULL AS INTEGER)
  + CAST(l."schemaUrl" IS NOT NULL AS INTEGER) + {_counted("l.scope", _SCOPE)} AS keys,
  CASE WHEN j = 1 THEN objects ELSE 0 END + CAST(l.scope IS NOT NULL AS INTEGER) + coalesce(len(l.spans), 0) AS objects,
  unnest(l.spans) AS s, generate_subscripts(l.spans, 1) AS i FROM library),
fields AS (SELECT filename, service, host, known, first AND i = 1 AS first, s."traceId" AS t, s."spanId" AS n,
  s."parentSpanId" AS u, s.name AS o, s.kind AS kind, s.status.code AS code, s.status.message AS message,
  s.attributes AS attributes, trim(s."startTimeUnixNano", '"') AS b, trim(s."endTimeUnixNano", '"') AS e,
  CASE WHEN i = 1 THEN keys ELSE 0 END + {_counted("s", _SPAN)} + CAST(s.status IS NOT NULL AS INTEGER)
  + {_counted("s.status", ("message", "code"))} + {_listed("s.events", _EVENT)} + {_listed("s.links", _LINK)} AS keys,
  CASE WHEN i = 1 THEN objects ELSE 0 END + CAST(s.status IS NOT NULL AS INTEGER) + coalesce(len(s.events), 0)
  + coalesce(len(s.links), 0) AS objects
  FROM spans)
SELECT lower({_plain("t")}), lower({_plain("n")}),
  CASE WHEN u IS NULL OR lower({_plain("u")}) IN ({words(NOBODY)}) THEN '' ELSE lower({_plain("u")}) END,
  coalesce({_plain("service")}, ''), coalesce({_plain("o")}, ''), TRY_CAST(b AS BIGINT), TRY_CAST(e AS BIGINT),
  CASE WHEN kind IS NULL THEN '' WHEN length(kind) = 1
    THEN ['', 'internal', 'server', 'client', 'producer', 'consumer'][TRY_CAST(kind AS INTEGER) + 1]
    ELSE substr(lower({_plain("kind")}), 11) END,
  code IS NOT NULL AND lower(trim(code, '"')) IN ({words(_status(FAILED))}), coalesce({_plain("host")}, ''), FALSE,
  CASE WHEN attributes IS NULL OR attributes = '[]' THEN '' ELSE CAST(attributes AS VARCHAR) END,
  filename AS file,
  coalesce(known AND t IS NOT NULL AND n IS NOT NULL AND b IS NOT NULL AND e IS NOT NULL
    AND starts_with(t, '"') AND length(t) > 2 AND strlen(t) = length(t)
    AND starts_with(n, '"') AND length(n) > 2 AND strlen(n) = length(n)
    AND {_is_text("u")} AND (u IS NULL OR strlen(u) = length(u)) AND {_is_text("o")} AND {_is_text("message")}
    AND {_is_text("service")} AND {_is_text("host")}
    AND (b = CAST(TRY_CAST(b AS BIGINT) AS VARCHAR)) AND (e = CAST(TRY_CAST(e AS BIGINT) AS VARCHAR))
    AND TRY_CAST(e AS BIGINT) >= TRY_CAST(b AS BIGINT)
    AND (kind IS NULL OR CAST(kind AS VARCHAR) IN ({words("012345")}) OR lower(kind) IN ({words(_KIND_NAMES)}))
    AND (code IS NULL OR CAST(code AS VARCHAR) IN ('0', '1', '2') OR lower(code) IN ({words(_CODE_NAMES)}))
    AND (attributes IS NULL OR starts_with(attributes, '[')), FALSE) AS sure,
  keys, objects, CAST(first AS INTEGER) AS lines FROM fields"""  # noqa: S608 - no text of anybody else's


def _status(some: frozenset[str]) -> list[str]:
    return [prefix + word for prefix in ("", "status_code_") for word in some]


_KIND_NAMES = [f'"span_kind_{word}"' for word in KINDS if word.isalpha() and KINDS[word]]
_CODE_NAMES = [f'"status_code_{word}"' for word in ("unset", "ok", "error") if word in FAILED | FINE]
