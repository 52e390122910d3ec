# SPDX-License-Identifier: Apache-2.0
"""A record as a map: which of its attributes stands under which key, and how.

A form is declared once and read both ways::

    Form(Suspect, Field("From", "accuser", TEXT), Field("Incarnation", "incarnation", U32), Field("Node", "node", TEXT))

Keys a form does not know are stepped over, what did not come keeps its zero, a key that comes twice counts as it came
last, and what follows the map is nobody's: all four as Go's members do it, so that later versions can add to a message.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ...errors import BadPacket
from .dialect import Kind, Short, read_count, read_raw, skip, write_count, write_text

T = TypeVar("T")

#: Fields that a map may have. Ours have 12 at most.
FIELDS_MAX: Final = 32
#: Elements of a field that nobody knows, in messages that come by stream too.
ELEMENTS_MAX: Final = 32


class Field(NamedTuple):
    """key: on the wire; name: of the attribute; omit: not written while it holds its zero."""

    key: str
    name: str
    kind: Kind
    omit: bool = False


class Form(Generic[T]):
    """How records of one type lie on the wire. The fields stand in the order in which they are written.

    elements_max: of each field that nobody knows. Where bytes come one by one a record may be read anew for each, so
    reading it has to be short. None where messages are there as a whole.
    """

    __slots__ = ("_defaults", "_elements_max", "_fields", "_get", "_make", "_slots", "kind")

    def __init__(self, make: type[T], *fields: Field, elements_max: int | None = ELEMENTS_MAX) -> None:
        self._elements_max = elements_max
        places = {name: place for place, name in enumerate(_names(make))}
        self._make = make
        self._fields = tuple((write_text(f.key), f.kind.write, f.omit) for f in fields)
        self._get = attrgetter(*(f.name for f in fields)) if len(fields) > 1 else _one(fields[0].name)
        self._slots = {f.key.encode(): (places[f.name], f.kind.read) for f in fields}
        by_place = sorted(fields, key=lambda f: places[f.name])
        self._defaults = [f.kind.zero for f in by_place]
        self.kind = Kind(self.read, self.write, None)

    def write(self, record: T) -> bytes:
        """The record as a map."""
        parts = [b""]
        for (key, write, omit), value in zip(self._fields, self._get(record), strict=True):
            if not (omit and not value):
                parts += (key, write(value))
        parts[0] = write_count(len(parts) // 2, of_map=True)
        return b"".join(parts)

    def read(self, data: bytes, at: int = 0) -> tuple[T, int]:
        """The record at ``at``, and what is behind it. Raises BadPacket, and Short where the data ends too early."""
        values = self._defaults.copy()
        try:
            count, at = read_count(data, at, of_map=True, most=FIELDS_MAX)
            for _ in range(count):
                first = data[at]
                if 0xA0 <= first <= 0xBF:  # all keys of ours are short
                    end = at + first - 0x9F
                    key, at = data[at + 1:end], end
                else:
                    key, at = read_raw(data, at)  # type: ignore[assignment]
                slot = self._slots.get(key)
                if slot is None:
                    at = skip(data, at, self._elements_max)
                else:
                    values[slot[0]], at = slot[1](data, at)
        except Short:
            raise
        except IndexError:
            raise Short(len(data) + 1) from None
        return self._make(*values), at

    def all_of(self, data: bytes, at: int = 0) -> T:
        """The record at ``at`` of a message that has arrived as a whole. Raises BadPacket."""
        try:
            return self.read(data, at)[0]
        except IndexError:
            raise BadPacket(f"a {self._make.__name__} that ends too early", why="short") from None


def _names(make: type) -> tuple[str, ...]:
    """Of a Struct or a NamedTuple."""
    names: tuple[str, ...] = getattr(make, "__struct_fields__", None) or make._fields  # type: ignore[attr-defined]
    return names


def _one(name: str) -> Any:
    return lambda record: (getattr(record, name),)
