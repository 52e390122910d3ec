# SPDX-License-Identifier: Apache-2.0
"""A record as a document: JSON with its id, its time and its place in the file. Pure.

::

    {"id": "9f86…", "time_ns": 1764201600000000000, "source": "/var/log/app.log", "source_id": "…",
     "offset": 4096, "length": 120, "fields": {…}}

A record that is no JSON (a transform gave a field an object of its own, a text has half a surrogate pair) is refused by
itself; its neighbours go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ..._base.letter_text import utf8
from ..record import Record
from ..sink import Refused

NOT_JSON: Final = "not_encodable"


class Encoded(NamedTuple):
    """A record and its document; ``at``: its place in the batch."""

    at: int
    record: Record
    body: bytes


def document(record: Record) -> dict[str, Any]:
    """The record with its place, fields apart."""
    line = record.line
    return {"id": record.id, "time_ns": record.timestamp_ns, "source": place_of(record),
            "source_id": line.source.id, "offset": line.offset, "length": line.length, "fields": record.fields}


def place_of(record: Record) -> str:
    """The file's name as text: a name is bytes, and not all of them are UTF-8."""
    return utf8(record.line.source.path).decode()


def fields_only(record: Record) -> dict[str, Any]:
    """What a parser made of it, and nothing else."""
    return record.fields


def encoded(batch: Sequence[Record], shape: Callable[[Record], Any] = document) -> tuple[list[Encoded], list[Refused]]:
    """Each record as ``shape`` has it, in JSON; and those that cannot be."""
    encode = msgspec.json.Encoder().encode
    good: list[Encoded] = []
    refused: list[Refused] = []
    for index, record in enumerate(batch):
        try:
            good.append(Encoded(index, record, encode(shape(record))))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            refused.append(Refused(index=index, reason=NOT_JSON, detail=str(error)[:400],
                                   error=type(error).__name__))
    return good, refused
