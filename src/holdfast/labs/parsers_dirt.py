# SPDX-License-Identifier: Apache-2.0
"""Bad lines, each from a good one by one change that makes it none; good ones that look odd; and what is right. Pure.

Operations of bad lines are short, and none has a digit too many: the naive pattern tries every way to part what
follows the ids, also when the line fails at its very last byte, and with some characters more it would not come to an
end here. That is a scenario of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from .parsers_lines import SPAN, TIME, TOOK, TRACE, Lot, Parsed, json_of, spans, text_of
from .parsers_schemes import Kind

_SHORT: Final = "GO /"


class Line(msgspec.Struct, frozen=True):
    """raw: its bytes, without the line feed. right: what it says; None: it is a bad one. change: what made it so."""

    raw: bytes
    right: Parsed | None
    change: str


Change = Callable[[bytes], bytes]

#: Fields as no line of text may have them.
TEXT_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "a time without microseconds": {"at": TIME[:19] + "Z"},
    "a time with a blank": {"at": TIME.replace("T", " ")},
    "a time with a digit too many": {"at": "0" + TIME},
    "a time in digits of another script": {"at": "\N{ARABIC-INDIC DIGIT TWO}" + TIME[1:]},
    "an unknown level": {"level": "INF0"},
    "a level in small letters": {"level": "info"},
    "no level": {"level": ""},
    "no service": {"service": ""},
    "a service with a blank": {"service": "or ders"},
    "a service with a slash": {"service": "or/ders"},
    "a service in another script": {"service": "bücher"},
    "a trace in capitals": {"trace": "A" * TRACE},
    "a trace that is too short": {"trace": "a" * (TRACE - 1)},
    "a trace with another letter": {"trace": "g" * TRACE},
    "no span": {"span": ""},
    "a span that is too long": {"span": "b" * (SPAN + 1)},
    "a parent that is too short": {"parent": "c" * (SPAN - 1)},
    "a field too many": {"parent": "c" * SPAN + ",1"},
    "no operation": {"operation": ""},
    "two blanks within the operation": {"operation": "GO  /"},
    "a blank before the operation": {"operation": " GO"},
    "a blank behind the operation": {"operation": "GO "},
    "a character that no word has": {"operation": "GO |"},
    "a tab within the operation": {"operation": "GO\t/"},
    "a line feed within the operation": {"operation": "GO\n/"},
    "a NUL within the operation": {"operation": "GO\0"},
    "a blank of another kind": {"operation": "GO\N{NO-BREAK SPACE}/"},
    "a sign": {"took_us": -1},
}
#: Bytes as no line of text may have them.
TEXT_BYTES: Final[Mapping[str, Change]] = {
    "nothing": lambda _: b"",
    "blanks": lambda line: b" " * len(line),
    "cut within the time": lambda line: line[:20],
    "cut within an id": lambda line: line[:60],
    "cut before the operation": lambda line: line[:line.index(b"] ") + 2],
    "cut within the operation": lambda line: line[:line.index(b" took")],
    "cut within the digits": lambda line: line[:line.index(b"us status")],
    "cut before the status": lambda line: line[:line.index(b"status=") + 7],
    "cut within the status": lambda line: line[:-1],
    "a mark of byte order": lambda line: b"\xef\xbb\xbf" + line,
    "a blank before it": lambda line: b" " + line,
    "a blank behind it": lambda line: line + b" ",
    "a line feed behind it": lambda line: line + b"\n",
    "a carriage return behind it": lambda line: line + b"\r",
    "a NUL behind it": lambda line: line + b"\0",
    "two lines in one": lambda line: line + line,
    "a line in UTF-16": lambda line: line.decode().encode("utf-16"),
    "bytes that are no UTF-8": lambda line: line.replace(b"GO", b"G\xff"),
    "a tab for a blank": lambda line: line.replace(b" [", b"\t["),
    "no bracket": lambda line: line.replace(b"[", b""),
    "no digits": lambda line: line[:line.index(b" took") + 6] + line[line.index(b"us status"):],
    "another unit": lambda line: line.replace(b"us status", b"ms status"),
    "an unknown status": lambda line: line[:line.index(b"status=")] + b"status=MAYBE",
    "a status in small letters": lambda line: line[:line.index(b"status=")] + b"status=ok",
}
#: Fields as no line of JSON may have them.
JSON_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "a number as a text": {"took_us": "5"},
    "a number that is not whole": {"took_us": 5.5},
    "a number with a point": {"took_us": 5.0},
    "a number below nought": {"took_us": -1},
    "a digit too many": {"took_us": 10**TOOK},
    "more than 63 bits": {"took_us": 1 << 63},
    "true as a number": {"took_us": True},
    "no number": {"took_us": None},
    "a number as a truth": {"error": 0},
    "a text as a truth": {"error": "false"},
    "a number as a text's field": {"service": 5},
    "no text": {"operation": None},
    "a list as a text": {"trace": ["a"]},
    "a field too many": {"more": 1},
}
#: Bytes as no line of JSON may have them.
JSON_BYTES: Final[Mapping[str, Change]] = {
    "nothing": lambda _: b"",
    "a list": lambda _: b"[1]",
    "a number": lambda _: b"42",
    "a text": lambda _: b'"line"',
    "null": lambda _: b"null",
    "an object without fields": lambda _: b"{}",
    "many brackets": lambda _: b"[" * 5_000,
    "cut in two": lambda line: line[:len(line) // 2],
    "cut before its end": lambda line: line[:-1],
    "a mark of byte order": lambda line: b"\xef\xbb\xbf" + line,
    "something behind it": lambda line: line + b"x",
    "a NUL behind it": lambda line: line + b"\0",
    "two lines in one": lambda line: line + line,
    "a line in UTF-16": lambda line: line.decode().encode("utf-16"),
    "bytes that are no UTF-8": lambda line: line.replace(b"GO", b"G\xff"),
    "a control character": lambda line: line.replace(b"GO", b"G\x01"),
    "half of a surrogate pair": lambda line: line.replace(b"GO", b"G\\ud800"),
    "an unknown escape": lambda line: line.replace(b"GO", b"G\\x41"),
    "single quotes": lambda line: line.replace(b'"', b"'"),
    "not a number": lambda line: line.replace(b'"error":', b'"error":NaN,"e":'),
    "a nought before the number": lambda line: line.replace(b'"took_us":', b'"took_us":0'),
    "a comma too many": lambda line: line[:-1] + b",}",
    "a field too few": lambda line: line[:line.index(b',"error"')] + b"}",
}
#: Good ones that look odd: their fields.
ODD: Final[Mapping[str, Mapping[str, Any]]] = {
    "an operation of one character": {"operation": "a"},
    "an operation like the word before the digits": {"operation": "took"},
    "an operation that looks like the end": {"operation": "took 5us"},
    "an operation with ends within": {"operation": "GO took 5us took took 12us"},
    "an operation that goes on like the status": {"operation": "GO took 5us status"},
    "an operation of all signs": {"operation": "_/.{}:- -:}{./_"},
    "a service of signs": {"service": "._-"},
    "no parent": {"parent": ""},
    "no time at all": {"took_us": 0},
    "as many digits as there may be": {"took_us": 10**TOOK - 1},
    "the other levels": {"level": "DEBUG"},
    "an error": {"level": "ERROR", "error": True},
}


def planted(kind: Kind, lot: Lot, count: int) -> list[Line]:
    """``count`` lines that are bad or look odd, by each change in turn, and as many ordinary ones between them."""
    makers = itertools.cycle(_text if kind == "text" else _json)
    found = list[Line]()
    for span in spans(lot, count):
        found.append(Line(_written(kind, span), span, "ordinary"))
        short = replace(span, operation=_SHORT, took_us=lot(100))  # see above
        found.append(next(makers)(short))
    return found


def _written(kind: Kind, span: Parsed) -> bytes:
    return text_of(span) if kind == "text" else json_of(span)


def _odd(kind: Kind) -> Iterator[Callable[[Parsed], Line]]:
    for change, fields in ODD.items():
        def make(span: Parsed, change: str = change, fields: Mapping[str, Any] = fields) -> Line:
            right = replace(span, **fields)
            return Line(_written(kind, right), right, change)
        yield make


def _by_fields(kind: Kind, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Callable[[Parsed], Line]]:
    for change, fields in changes.items():
        def make(span: Parsed, change: str = change, fields: Mapping[str, Any] = fields) -> Line:
            raw = (text_of(replace(span, **fields)) if kind == "text"
                   else msgspec.json.encode(msgspec.to_builtins(span) | fields))
            return Line(raw, None, change)
        yield make


def _by_bytes(kind: Kind, changes: Mapping[str, Change]) -> Iterator[Callable[[Parsed], Line]]:
    for change, changed in changes.items():
        def make(span: Parsed, change: str = change, changed: Change = changed) -> Line:
            return Line(changed(_written(kind, span)), None, change)
        yield make


_text: Final = (*_odd("text"), *_by_fields("text", TEXT_FIELDS), *_by_bytes("text", TEXT_BYTES))
_json: Final = (*_odd("json"), *_by_fields("json", JSON_FIELDS), *_by_bytes("json", JSON_BYTES))
#: So many lines by a change there are, at most of a kind: fewer are not planted, for each change is to be there.
CHANGES: Final = max(len(_text), len(_json))
