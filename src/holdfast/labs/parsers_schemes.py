# SPDX-License-Identifier: Apache-2.0
"""Ways to take a line apart, each as ``parse(line) -> Parsed | None``; None: it is no such line. Pure.

::

    regex-naive   re: words of the operation as people write them, a word and perhaps a blank, again and again
    regex         re: a word, then again and again a blank and a word; there is one way to match a text
    re2           RE2 with the pattern of regex-naive: linear whatever the pattern
    states        a finite-state machine by table, byte by byte
    split         partition and split, and a look at each field
    json          JSON by the standard library, and a look at each field
    msgspec       JSON by msgspec, typed

``(?:[W]+ ?)*`` matches "aaaa" as one word, as two, as four: in 2ⁿ⁻¹ ways, and for a line that does not match all of
them are tried. The naive pattern here is lazy (``*?``), which finds the end of good lines at once; without that a good
line takes milliseconds, and nobody would keep it. RE2 has no such trouble, and no ``$`` that matches before a last line
feed as Python's does: all schemes match from end to end (``fullmatch``), so that a line feed is what it is, a byte that
does not belong there.

Source of the failure: R. Cox, "Regular Expression Matching Can Be Simple And Fast" (2007).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from .._base.typed import json_decoder
from ..errors import MissingExtra
from .parsers_lines import DIGITS, HEX, LEVELS, SERVICE, SPAN, TIME, TOOK, TRACE, WORD, Parsed
from .parsers_states import Table

Parse = Callable[[bytes], Parsed | None]
Kind = Literal["text", "json"]

_WORD: Final = f"[{re.escape(WORD)}]"
NAIVE: Final = rf"(?:{_WORD}+ ?)*?{_WORD}+"
CLEAR: Final = rf"{_WORD}+(?: {_WORD}+)*?"


def pattern_of(operation: str) -> str:
    """The whole line as a pattern, with one group a field, for ``re`` and for RE2; nothing is anchored."""
    time = TIME.replace("0", "[0-9]").replace(".", r"\.")
    ids = rf"([{re.escape(SERVICE)}]+),([0-9a-f]{{{TRACE}}}),([0-9a-f]{{{SPAN}}}),([0-9a-f]{{{SPAN}}}|)"
    return rf"({time}) ({'|'.join(LEVELS)}) \[{ids}\] ({operation}) took ([0-9]{{1,{TOOK}}})us status=(OK|ERROR)"


def by_re(operation: str) -> Parse:
    """With the standard library's regular expressions."""
    fullmatch = re.compile(pattern_of(operation)).fullmatch

    def parse(line: bytes) -> Parsed | None:
        try:
            found = fullmatch(str(line, "ascii"))
        except UnicodeDecodeError:
            return None
        if found is None:
            return None
        at, level, service, trace, span, parent, words, took, status = found.groups()
        return Parsed(at, level, service, trace, span, parent, words, int(took), status == "ERROR")

    return parse


def by_re2() -> Parse:
    """With RE2, and the naive pattern. Raises MissingExtra."""
    try:
        import re2
    except ImportError as error:
        raise MissingExtra("dlq", "the scheme re2") from error
    options = re2.Options()
    options.log_errors = False
    fullmatch = re2.compile(pattern_of(NAIVE).encode(), options).fullmatch  # bytes: for text it counts positions anew

    def parse(line: bytes) -> Parsed | None:
        found = fullmatch(line)
        if found is None:
            return None
        at, level, service, trace, span, parent, words, took, status = [str(one, "ascii") for one in found.groups()]
        return Parsed(at, level, service, trace, span, parent, words, int(took), status == "ERROR")

    return parse


def by_states() -> Parse:
    """With a finite-state machine."""
    table = Table()
    after, start, marked, ends = table.next, table.start, table.marked, {table.ok, table.error}

    def parse(line: bytes) -> Parsed | None:
        state, marks = start, dict[int, int]()
        for place, byte in enumerate(line):
            state = after[state + byte]
            if state >= marked:
                marks[state] = place
        if state not in ends:
            return None
        text = str(line, "ascii")
        level, service, ids = marks[table.level_end], marks[table.service_end], marks[table.ids_end]
        took, unit = marks[table.took], marks[table.unit]
        trace = service + 1 + TRACE
        span = trace + 1 + SPAN
        return Parsed(text[:len(TIME)], text[len(TIME) + 1:level], text[level + 2:service], text[service + 1:trace],
                      text[trace + 1:span], text[span + 1:ids], text[ids + 2:took - 1], int(text[took + 5:unit]),
                      state == table.error)

    return parse


_STATUSES: Final = frozenset({"OK", "ERROR"})
_NOUGHTS: Final = str.maketrans(DIGITS, "0" * len(DIGITS))


def by_split(line: bytes) -> Parsed | None:
    """By splitting. Whether a text has none but certain characters, ``strip`` says: then nothing of it is left."""
    try:
        text = str(line, "ascii")
    except UnicodeDecodeError:
        return None
    head, _, tail = text.rpartition(" took ")
    where, _, operation = head.partition("] ")
    took, _, status = tail.partition("us status=")
    parts = where.split(" ")
    if len(parts) != 3 or status not in _STATUSES:
        return None
    at, level, ids = parts
    names = ids.split(",")
    if len(names) != 4:
        return None
    service, trace, span, parent = names
    if (at.translate(_NOUGHTS) != TIME or level not in LEVELS or len(service) < 2 or service[0] != "["
            or service[1:].strip(SERVICE) or not _is_id(trace, TRACE) or not _is_id(span, SPAN)
            or (parent and not _is_id(parent, SPAN)) or not _is_words(operation)
            or not took.isdigit() or len(took) > TOOK):
        return None
    return Parsed(at, level, service[1:], trace, span, parent, operation, int(took), status == "ERROR")


def _is_id(text: str, length: int) -> bool:
    return len(text) == length and not text.strip(HEX)


def _is_words(text: str) -> bool:
    return bool(text) and text[0] != " " and text[-1] != " " and "  " not in text and not text.strip(WORD + " ")


_FIELDS: Final = frozenset(Parsed.__struct_fields__)
_TEXTS: Final = ("at", "level", "service", "trace", "span", "parent", "operation")


def by_json(line: bytes) -> Parsed | None:
    """With the standard library's ``json``, which checks no types."""
    try:
        found = json.loads(str(line, "utf-8"))  # from bytes it would take UTF-16 too
    except (ValueError, RecursionError):
        return None
    if type(found) is not dict or found.keys() != _FIELDS or not all(type(found[name]) is str for name in _TEXTS):
        return None
    took, error = found["took_us"], found["error"]
    if type(took) is not int or not 0 <= took < 10**TOOK or type(error) is not bool:
        return None
    if b"\\" in line and not _is_unicode(found):
        return None
    return Parsed(**found)


def _is_unicode(found: dict[str, Any]) -> bool:
    """Not so with half of a surrogate pair, which is written as an escape."""
    try:
        for name in _TEXTS:
            found[name].encode()
    except UnicodeEncodeError:
        return False
    return True


def by_msgspec() -> Parse:
    """With msgspec, which checks types as it reads."""
    decode = json_decoder(Parsed).decode

    def parse(line: bytes) -> Parsed | None:
        try:
            return decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: bytes that are no UTF-8
            return None

    return parse


@dataclass(frozen=True)
class Scheme:
    """name: as above. kind: of line. open: makes it; may raise MissingExtra. linear: so it promises."""

    name: str
    kind: Kind
    open: Callable[[], Parse]
    linear: bool = True


#: Takes whole files, and has no ``parse`` (parsers_duckdb).
DUCKDB: Final = "duckdb"
#: The one that has to hang: a lab that cannot show the problem shows nothing.
BASELINE: Final = "regex-naive"
SCHEMES: Final = {scheme.name: scheme for scheme in (
    Scheme(BASELINE, "text", lambda: by_re(NAIVE), linear=False),
    Scheme("regex", "text", lambda: by_re(CLEAR)),
    Scheme("re2", "text", by_re2),
    Scheme("states", "text", by_states),
    Scheme("split", "text", lambda: by_split),
    Scheme("json", "json", lambda: by_json),
    Scheme("msgspec", "json", by_msgspec))}
