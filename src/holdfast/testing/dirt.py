# SPDX-License-Identifier: Apache-2.0
"""Dirt for readers of JSON lines: faults planted into a clean file, with a list of where they are.

::

    content, planted = plant(lines, seed=7, rate=0.001)
    wanted = [(one.offset, one.length) for one in planted if one.is_bad]

A reader passes when it refuses the bad ones, every one and nothing else, at these places, and reads all the rest as it
would read the clean file. Pure: the same seed plants the same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import msgspec

BOM = b"\xef\xbb\xbf"
LONG = 5_000_000
_TEXT = re.compile(rb'"\w+":\s?(?:"[^"\\]*"|-?[0-9]+)(?=[,}])')
_TIME = re.compile(rb'(?<=[:"])[0-9]{13,19}(?="?[,}])')


class Planted(msgspec.Struct, frozen=True):
    """One fault. offset, length: its line's, with the line's end. number: of the clean line, from 0; -1: an added one.

    is_bad: it has to be refused; otherwise it is odd and has to be read, or blank.
    """

    offset: int
    length: int
    kind: str
    number: int
    is_bad: bool


def _cut(line: bytes, rng: random.Random) -> bytes:
    return line[:rng.randrange(1, len(line) - 1)]


def _inserted(what: bytes) -> Callable[[bytes, random.Random], bytes]:
    def planted(line: bytes, rng: random.Random) -> bytes:
        at = rng.randrange(1, len(line))
        return line[:at] + what + line[at:]

    return planted


def _twice(line: bytes, rng: random.Random) -> bytes:
    """A key of the record twice, at any depth; the second value is another one or the same."""
    match = rng.choice(list(_TEXT.finditer(line)))
    pair = match.group()
    again = rng.choice([pair, pair.partition(b":")[0] + b':"other"', pair.replace(b":", b" :", 1),
                        pair.partition(b":")[0] + b":null"])
    return line[:match.end()] + b"," + again + line[match.end():]


def _beyond(line: bytes, rng: random.Random) -> bytes:
    match = rng.choice(list(_TIME.finditer(line)))
    return line[:match.start()] + rng.choice([b"9223372036854775808", b"99999999999999999999999"]) + line[match.end():]


def _instead(*said: bytes) -> Callable[[bytes, random.Random], bytes]:
    return lambda _, rng: rng.choice(said)


def _behind(*said: bytes) -> Callable[[bytes, random.Random], bytes]:
    return lambda line, rng: line + rng.choice(said)


def _long(line: bytes, _: random.Random) -> bytes:
    return b'{"padding":"' + b"x" * LONG + b'",' + line[1:]


#: What a bad line is made of.
BAD: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "truncated": _cut,
    "nul": _inserted(b"\0"),
    "utf8": _inserted(b"\xff"),
    "bom": lambda line, _: BOM + line,
    "no object": _instead(b"[1]", b"42", b'"str"', b"null", b"true", b"[]", b"[{}]"),
    "twice": _twice,
    "beyond": _beyond,
    "trailer": _behind(b"TRAILER", b"{}", b',{"a":1}', b"}", b" x"),
    "comma": lambda line, _: line[:-1] + b",}",
    "garbage": _instead(b"{}x", b"{", b"}", b'{"a"}', b"once upon a time", b"{a:1}", b"{'a':1}", b'"', b"\\"),
}
#: What is odd and right.
ODD: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "crlf": _behind(b"\r"),
    "spaces": lambda line, _: b"  " + line.replace(b",", b" ,\t", 3) + b" ",
    "escape": lambda line, _: re.sub(rb'":"([a-z])', lambda match: b'":"\\u%04x' % match.group(1)[0], line, count=1),
}
#: A line of its own that says nothing.
BLANK = (b"", b" ", b"\r", b"\t \r")


def plant(lines: Sequence[bytes], seed: int, rate: float = 0.001, *, long: int = 1,
          cut_at_end: bool = True) -> tuple[bytes, list[Planted]]:
    """A file of these lines, with faults in about this share of them, and the list of the faults, by offset.

    lines: JSON objects without line feeds. long: how many lines become LONG bytes longer. cut_at_end: the last line is
    cut and has no end. The file begins with a byte order mark, which belongs to it, when the seed is odd.
    """
    rng = random.Random(seed)
    out: list[bytes] = [BOM] if seed % 2 else []
    at = len(BOM) if seed % 2 else 0
    planted: list[Planted] = []
    stretched = set(rng.sample(range(len(lines)), min(long, len(lines))))

    def put(line: bytes, kind: str, number: int, *, is_bad: bool = False, end: bytes = b"\n") -> None:
        nonlocal at
        begins = 0 if not planted and number == 0 and len(out) == 1 and seed % 2 else at
        if kind:
            planted.append(Planted(begins, at + len(line) + len(end) - begins, kind, number, is_bad))
        out.extend((line, end))
        at += len(line) + len(end)

    for number, line in enumerate(lines):
        if cut_at_end and number == len(lines) - 1:
            put(_cut(line, rng), "cut at end", number, is_bad=True, end=b"")
        elif number in stretched:
            put(_long(line, rng), "long", number)
        elif rng.random() >= rate:
            put(line, "", number)
        elif rng.random() < 0.7:
            kind = rng.choice(sorted(BAD))
            put(BAD[kind](line, rng), kind, number, is_bad=True)
        elif rng.random() < 0.7 or not number:
            kind = rng.choice(sorted(ODD))
            put(ODD[kind](line, rng), kind, number)
        else:
            put(rng.choice(BLANK), "blank", -1)
            put(line, "", number)
    return b"".join(out), planted
