# SPDX-License-Identifier: Apache-2.0
"""Records on disk, in frames: length, checksum, how many there are, and the records themselves. Pure.

::

    4 bytes   length of the body
    4 bytes   CRC-32 of what follows it
    4 bytes   number of records
    body      the records, as MessagePack

A frame that was being written when the process died is shorter than it says, or does not sum up: it is the last one,
and nobody was told that it is there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from .._base.typed import msgpack_decoder
from .line import Line, Source
from .record import Record

__all__ = ["HEADER", "Damaged", "body_of", "frame_of", "records_of"]

HEADER: Final = struct.Struct(">III")


class _Row(msgspec.Struct, array_like=True):
    """A record; ``source`` is its place in the frame's list, and its id is computed from the others."""

    source: int
    offset: int
    number: int
    lines: int
    ended: bool
    raw: bytes
    fields: dict[str, Any]
    timestamp_ns: int | None


class _Body(msgspec.Struct, array_like=True):
    sources: list[Source]
    rows: list[_Row]


_DECODER: Final = msgpack_decoder(_Body)


class Damaged(ValueError):
    """What stands there is no whole frame."""


def _plainly(value: Any) -> Any:
    """Values of users' transforms that MessagePack knows nothing of are kept as text."""
    return str(value)


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_plainly)


def frame_of(records: Sequence[Record]) -> bytes:
    """The frame of some records."""
    sources: dict[Source, int] = {}
    rows = [_Row(sources.setdefault(record.line.source, len(sources)), record.line.offset, record.line.number,
                 record.line.lines, record.line.ended, record.line.raw, record.fields, record.timestamp_ns)
            for record in records]
    body = _ENCODER.encode(_Body(list(sources), rows))
    count = len(records)
    return HEADER.pack(len(body), zlib.crc32(body, count), count) + body


def body_of(header: bytes) -> tuple[int, int]:
    """How many bytes follow this header, and how many records they are. Damaged when it is cut short."""
    if len(header) < HEADER.size:
        raise Damaged("a header that is cut short")
    length, _, count = HEADER.unpack(header)
    return length, count


def records_of(header: bytes, body: bytes) -> list[Record]:
    """The records of a frame. Damaged when it is not whole."""
    length, told, count = HEADER.unpack(header)
    if len(body) < length or zlib.crc32(body, count) != told:  # guard: a torn frame is told from a whole one
        raise Damaged("a frame that is cut short, or changed")
    found = _DECODER.decode(body)
    return [_record(row, found.sources[row.source]) for row in found.rows]


def _record(row: _Row, source: Source) -> Record:
    line = Line(source=source, offset=row.offset, number=row.number, raw=row.raw, lines=row.lines, ended=row.ended)
    return Record(id=line.id, line=line, fields=row.fields, timestamp_ns=row.timestamp_ns)
