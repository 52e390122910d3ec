# SPDX-License-Identifier: Apache-2.0
"""Lines and records as tests need them."""

from __future__ import annotations

from holdfast.logs.line import Line, Source
from holdfast.logs.record import Record

SOURCE = Source(id="s-1", path="app.log")


def line(raw: bytes, offset: int = 0, number: int = 1, **more: object) -> Line:
    return Line(source=SOURCE, offset=offset, number=number, raw=raw, **more)


def lines(*raws: bytes) -> list[Line]:
    """Lines one behind the other."""
    made, at = [], 0
    for number, raw in enumerate(raws, 1):
        made.append(line(raw, at, number))
        at += len(raw)
    return made


def record(n: int, raw: bytes = b"") -> Record:
    of = line(raw or b'{"n":%d}\n' % n, offset=n * 100, number=n + 1)
    return Record(id=of.id, line=of, fields={"n": n})
