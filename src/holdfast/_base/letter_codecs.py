# SPDX-License-Identifier: Apache-2.0
"""How other systems write single values, and the plain kind of format: a table of one header a field."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

from .letter_text import iso, ms_of, readable, utf8


class Mapped(NamedTuple):
    """What came out, and the names of what was left behind."""

    fields: dict[str, Any]
    lost: tuple[str, ...]


class Codec(NamedTuple):
    """How a value is written there. ``write`` raises ValueError for a value that cannot be written so."""

    write: Callable[[str], Any]
    read: Callable[[Any], str]


def text_of(value: Any) -> str:
    """A header's value as text; bytes that are no UTF-8 stay recognisable."""
    return readable(bytes(value)) if isinstance(value, (bytes, bytearray, memoryview)) else str(value)


def _integer(form: str) -> Codec:
    def write(text: str) -> bytes:
        try:
            return struct.pack(form, int(text))
        except struct.error:
            raise ValueError(text) from None

    def read(value: Any) -> str:  # raw bytes as Java writes them; a number or its text from clients that know better
        raw = isinstance(value, (bytes, bytearray)) and len(value) == struct.calcsize(form)
        return str(max(0, struct.unpack(form, value)[0] if raw else int(text_of(value))))

    return Codec(write, read)


def ms_required(text: str) -> int:
    """A timestamp of ours in milliseconds; ValueError for anything else."""
    ms = ms_of(text)
    if ms is None:
        raise ValueError(text)
    return ms


def renamed(theirs: Mapping[str, str], otherwise: str) -> Codec:
    """Values of a closed list; ``theirs`` is theirs → ours, and the first of several counts when writing."""
    ours = {mine: name for name, mine in reversed(list(theirs.items()))}
    return Codec(lambda text: ours.get(text, otherwise), lambda value: theirs[text_of(value)])


_NSB_TIME: Final = "%Y-%m-%d %H:%M:%S:%f Z"
TEXT: Final = Codec(str, text_of)
BYTES: Final = Codec(utf8, text_of)
INT32: Final = _integer(">i")
INT64: Final = _integer(">q")
MS64: Final = Codec(lambda text: INT64.write(str(ms_required(text))), lambda value: iso(int(INT64.read(value))))
NSB_TIME: Final = Codec(
    lambda text: datetime.fromtimestamp(ms_required(text) / 1000, UTC).strftime(_NSB_TIME),
    lambda value: iso(round(datetime.strptime(text_of(value), _NSB_TIME).replace(tzinfo=UTC).timestamp() * 1000)))
CONNECT_STAGE: Final = renamed(
    {"VALUE_CONVERTER": "decode", "KEY_CONVERTER": "decode", "HEADER_CONVERTER": "decode",
               "TASK_PUT": "handle", "TRANSFORMATION": "handle", "TASK_POLL": "handle", "KAFKA_CONSUME": "decode",
               "KAFKA_PRODUCE": "commit"}, "TASK_PUT")


class Format(Protocol):
    """One system's way."""

    @property
    def says(self) -> str: ...

    def write(self, metadata: Mapping[str, str]) -> Mapped: ...

    def read(self, headers: Mapping[str, Any]) -> Mapped: ...


@dataclass(frozen=True)
class Table:
    """A format of one header a field. ``implied`` is what its letters mean without saying it."""

    says: str
    rows: tuple[tuple[str, str, Codec], ...]
    implied: Mapping[str, str] = field(default_factory=dict)

    def write(self, metadata: Mapping[str, str]) -> Mapped:
        headers: dict[str, Any] = {}
        lost = {name for name, value in metadata.items() if value and self.implied.get(name) != value}
        for theirs, ours, codec in self.rows:
            if value := metadata.get(ours):
                try:
                    headers[theirs] = codec.write(value)
                except ValueError:
                    continue
                if codec.read(headers[theirs]) == value:
                    lost.discard(ours)
        return Mapped(headers, tuple(sorted(lost)))

    def read(self, headers: Mapping[str, Any]) -> Mapped:
        metadata, lost = dict(self.implied), set(headers)
        for theirs, ours, codec in self.rows:
            if theirs in headers:
                try:
                    metadata[ours] = codec.read(headers[theirs])
                except (ValueError, KeyError, TypeError):
                    continue
                lost.discard(theirs)
        return Mapped(metadata, tuple(sorted(lost)))
