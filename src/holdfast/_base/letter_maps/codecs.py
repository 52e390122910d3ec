# SPDX-License-Identifier: Apache-2.0
"""How other systems write single values, and the plain kind of format: a table of one header a field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ..letter_text import iso, ms_of, utf8
from .form import Form, aware, text_of


class Codec(NamedTuple):
    """How a value is written there. Both raise ValueError, KeyError, TypeError or OverflowError for what cannot be."""

    write: Callable[[str], Any]
    read: Callable[[Any], str]


#: What codecs raise.
UNREADABLE: Final = (ValueError, KeyError, TypeError, OverflowError)


def digits(text: str) -> int:
    """A decimal without sign; ValueError for anything else."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def _raw(value: Any, size: int) -> int:
    """A number as Java writes it: big-endian bytes, of full width or, by older releases, as few as hold it; or else its
    digits, from clients that know better. JSON tools show the bytes as text of control characters."""
    raw = utf8(value) if isinstance(value, str) else bytes(value) if isinstance(value, (bytes, bytearray)) else b""
    if raw.isdigit() and (isinstance(value, str) or len(raw) != size):
        return int(raw)
    if 0 < len(raw) <= size:
        return int.from_bytes(raw, "big", signed=True)
    return digits(text_of(value))


def _integer(size: int) -> Codec:
    def read(value: Any) -> str:
        number = _raw(value, size)
        if number < 0:
            raise ValueError(number)  # Kafka's "none"
        return str(number)

    return Codec(lambda text: digits(text).to_bytes(size, "big", signed=True), read)


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


def _iso_read(value: Any) -> str:
    if isinstance(value, datetime):
        return iso(round(aware(value).timestamp() * 1000))
    return iso(ms_required(text_of(value)))


TEXT: Final = Codec(str, text_of)
BYTES: Final = Codec(utf8, text_of)
#: Digits, as text and as bytes.
DIGITS: Final = Codec(lambda text: str(digits(text)), lambda value: str(digits(text_of(value))))
NUMBER: Final = Codec(digits, lambda value: str(digits(text_of(value))))
BYTE_DIGITS: Final = Codec(lambda text: utf8(str(digits(text))), lambda value: str(digits(text_of(value))))
INT32: Final = _integer(4)
INT64: Final = _integer(8)
#: Milliseconds since 1970 as eight bytes; ISO-8601 text with its zone.
MS64: Final = Codec(lambda text: INT64.write(str(ms_required(text))), lambda value: iso(int(INT64.read(value))))
ISO: Final = Codec(lambda text: iso(ms_required(text)), _iso_read)

_NSB_TIME: Final = "%Y-%m-%d %H:%M:%S:%f Z"
NSB_TIME: Final = Codec(
    lambda text: datetime.fromtimestamp(ms_required(text) / 1000, UTC).strftime(_NSB_TIME),
    lambda value: iso(int(datetime.strptime(text_of(value), _NSB_TIME).replace(tzinfo=UTC).timestamp() * 1000)))


class Table(Form):
    """A format of one header a field.

    rows: (their name, our name, how). Where two rows have one name of ours, both are written, and the first that can be
    read counts. aliases: other names of theirs that are read as the one in the table, and never written. implied: what
    letters of this kind mean without saying it.
    """

    def __init__(self, says: str, rows: Iterable[tuple[str, str, Codec]], *, aliases: Mapping[str, str] | None = None,
                 implied: Mapping[str, str] | None = None, firsts: Iterable[str] = ()) -> None:
        self.says = says
        self.rows = tuple(rows)
        self.implied = dict(implied or {})
        self.firsts = frozenset(firsts)
        self._names = {theirs: [theirs, *(a for a, name in (aliases or {}).items() if name == theirs)]
                       for theirs, _, _ in self.rows}

    def write(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        """As the rows say."""
        headers = {}
        for theirs, ours, codec in self.rows:
            if value := metadata.get(ours):
                try:
                    headers[theirs] = codec.write(value)
                except UNREADABLE:
                    continue
        return headers

    def read(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """As the rows say."""
        found: dict[str, str] = {}
        for theirs, ours, codec in self.rows:
            for name in self._names[theirs]:
                if ours not in found and headers.get(name) is not None:
                    try:
                        found[ours] = codec.read(headers[name])
                    except UNREADABLE:
                        continue
        return self.implied | found


def rows(prefix: str, codec: Codec, **names: str) -> tuple[tuple[str, str, Codec], ...]:
    """Rows that share a prefix and a codec. In the names ``__`` is a hyphen and ``_`` a dot."""
    return tuple((prefix + theirs.replace("__", "-").replace("_", "."), ours, codec) for theirs, ours in names.items())
