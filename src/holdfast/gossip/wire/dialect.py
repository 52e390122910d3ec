# SPDX-License-Identifier: Apache-2.0
"""MessagePack as Go's members write it, and nothing of it that they do not.

memberlist keeps its codec at the settings of 2013: text and bytes share the old *raw* family (``a0``-``bf``, ``da``,
``db``), a missing slice is nil, a struct is a map whose keys stand in the order of their bytes. Its readers may not
know the families that came later (``str 8``, ``bin``), so they are read here and never written.

Reading follows what is wanted: a form knows its fields, what it does not know is stepped over without being built. So
nothing that arrives decides how much memory is taken: a count is only believed as far as there are bytes behind it, and
nesting costs nothing, because what is nested and unknown is counted, not entered. General decoders build first and
look afterwards; a few kilobytes of nested list headers make them reserve gigabytes.

A reader is ``(data, at) → (value, behind it)``; where the data ends too early it raises ``Short``. Source:
github.com/msgpack/msgpack/blob/master/spec-old.md; the order and the integers as captured from real members.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ...errors import BadPacket

Read = Callable[[bytes, int], tuple[Any, int]]
Write = Callable[[Any], bytes]

NIL: Final = 0xC0
#: First byte → width in bytes, signed.
_INTEGERS: Final = {0xCC: (1, False), 0xCD: (2, False), 0xCE: (4, False), 0xCF: (8, False),
                    0xD0: (1, True), 0xD1: (2, True), 0xD2: (4, True), 0xD3: (8, True)}
#: First byte → width of the length behind it: raw 8, 16, 32 and bin 8, 16, 32.
_RAWS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}
#: First byte → what is stepped over: bytes, then elements behind them. Fixed ones only.
_FIXED: Final = {NIL: 1, 0xC2: 1, 0xC3: 1, 0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3,
                 0xD2: 5, 0xD3: 9, 0xD4: 3, 0xD5: 4, 0xD6: 6, 0xD7: 10, 0xD8: 18}
_EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_LISTS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}


class Short(IndexError):
    """The data ends too early. ``wanted``: it has to be this long at least for the next attempt to get further."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        super().__init__(f"{wanted} bytes are wanted")


def _length(data: bytes, at: int, width: int) -> int:
    if at + width > len(data):
        raise Short(at + width)
    return int.from_bytes(data[at:at + width], "big")


# -- reading ----------------------------------------------------------------------------------------------------------

def read_raw(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Bytes of any family, or None for nil."""
    first = data[at]
    at += 1
    if 0xA0 <= first <= 0xBF:
        end = at + first - 0xA0
    elif first in _RAWS:
        width = _RAWS[first]
        end = at + width + _length(data, at, width)
        at += width
    elif first == NIL:
        return None, at
    else:
        raise BadPacket(f"bytes were wanted, and byte {first:#04x} begins something else")
    if end > len(data):  # guard: lengths. A length that is not there is never believed
        raise Short(end)
    return data[at:end], end


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes; nil counts as none."""
    value, at = read_raw(data, at)
    return value or b"", at


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """Text; bytes that are no UTF-8 become surrogates and are written again as they were."""
    value, at = read_raw(data, at)
    return (value or b"").decode("utf-8", "surrogateescape"), at


def read_int(data: bytes, at: int) -> tuple[int, int]:
    """An integer of any width, signed or not; nil counts as 0."""
    first = data[at]
    at += 1
    if first < 0x80:
        return first, at
    if first >= 0xE0:
        return first - 0x100, at
    if first == NIL:
        return 0, at
    if first not in _INTEGERS:
        raise BadPacket(f"a number was wanted, and byte {first:#04x} begins something else")
    width, signed = _INTEGERS[first]
    if at + width > len(data):
        raise Short(at + width)
    return int.from_bytes(data[at:at + width], "big", signed=signed), at + width


def _within(low: int, high: int) -> Read:
    def read(data: bytes, at: int) -> tuple[int, int]:
        value, at = read_int(data, at)
        if not low <= value <= high:
            raise BadPacket(f"{value} does not lie within {low} and {high}")
        return value, at

    return read


def read_bool(data: bytes, at: int) -> tuple[bool, int]:
    """True or false; nil counts as false."""
    first = data[at]
    if first not in (0xC2, 0xC3, NIL):
        raise BadPacket(f"true or false was wanted, and byte {first:#04x} begins something else")
    return first == 0xC3, at + 1


def read_float(data: bytes, at: int) -> tuple[float, int]:
    """A number as float; nil counts as 0."""
    first = data[at]
    width = {0xCA: 4, 0xCB: 8}.get(first)
    if width is None:
        value, at = read_int(data, at)
        return float(value), at
    end = at + 1 + width
    if end > len(data):
        raise Short(end)
    return struct.unpack(">f" if width == 4 else ">d", data[at + 1:end])[0], end


def skip(data: bytes, at: int, most: int | None = None) -> int:
    """Behind the value at ``at``, whatever it is. Takes no memory and no depth.

    most: elements, nested ones too; BadPacket beyond. None: as many as there are bytes.
    """
    left, seen = 1, 0
    while left:
        left -= 1
        seen += 1
        if most is not None and seen + left > most:  # guard: elements. What trickles in is stepped over many times
            raise BadPacket(f"more than {most} elements of what nobody knows", why="large")
        first = data[at]
        if first < 0x80 or first >= 0xE0:
            at += 1
        elif first < 0x90:
            left += 2 * (first - 0x80)
            at += 1
        elif first < 0xA0:
            left += first - 0x90
            at += 1
        elif first < 0xC0:
            at += 1 + first - 0xA0
        elif first in _FIXED:
            at += _FIXED[first]
        else:
            at, more = _skip_sized(data, at, first)
            left += more
        if at + left > len(data):  # guard: counts. Each element takes a byte at least
            raise Short(at + left)
    return at


def _skip_sized(data: bytes, at: int, first: int) -> tuple[int, int]:
    at += 1
    for table, unit, extra in ((_RAWS, 1, 0), (_EXTENSIONS, 1, 1)):
        if first in table:
            return at + table[first] + extra + unit * _length(data, at, table[first]), 0
    for table, unit in ((_LISTS, 1), (_MAPS, 2)):
        if first in table:
            return at + table[first], unit * _length(data, at, table[first])
    raise BadPacket(f"byte {first:#04x} begins nothing")


def read_count(data: bytes, at: int, *, of_map: bool, most: int) -> tuple[int, int]:
    """How many elements, or entries of a map, follow; nil counts as none. Raises BadPacket for more than ``most``."""
    first = data[at]
    at += 1
    small, table, unit = (0x80, _MAPS, 2) if of_map else (0x90, _LISTS, 1)
    if small <= first <= small + 15:
        count = first - small
    elif first in table:
        count = _length(data, at, table[first])
        at += table[first]
    elif first == NIL:
        return 0, at
    else:
        raise BadPacket(f"a {'map' if of_map else 'list'} was wanted, and byte {first:#04x} begins something else")
    if count > most:
        raise BadPacket(f"{count} entries, and {most} are the most", why="large")
    if at + count * unit > len(data):
        raise Short(at + count * unit)
    return count, at


# -- writing ----------------------------------------------------------------------------------------------------------

def write_raw(value: bytes | None) -> bytes:
    """Bytes, in the old family; nil for None."""
    if value is None:
        return b"\xc0"
    size = len(value)
    if size < 32:
        return (0xA0 + size).to_bytes(1, "big") + value
    return (b"\xda" + size.to_bytes(2, "big") if size < 0x10000 else b"\xdb" + size.to_bytes(4, "big")) + value


def write_text(value: str) -> bytes:
    """Text, in the same family."""
    return write_raw(value.encode("utf-8", "surrogateescape"))


def write_uint(value: int) -> bytes:
    """An unsigned integer, as short as it goes. OverflowError beyond 64 bits and below 0."""
    if value < 0x80:
        return value.to_bytes(1, "big")
    for first, width in ((b"\xcc", 1), (b"\xcd", 2), (b"\xce", 4)):
        if value >> 8 * width == 0:
            return first + value.to_bytes(width, "big")
    return b"\xcf" + value.to_bytes(8, "big")


def write_int(value: int) -> bytes:
    """A signed integer. From 0 on as an unsigned one: real members do so (memberlist 0.2); all read both."""
    if value >= 0:
        return write_uint(value)
    if value >= -0x20:
        return value.to_bytes(1, "big", signed=True)
    for first, width in ((b"\xd0", 1), (b"\xd1", 2), (b"\xd2", 4)):
        if value >= -1 << 8 * width - 1:
            return first + value.to_bytes(width, "big", signed=True)
    return b"\xd3" + value.to_bytes(8, "big", signed=True)


def write_bool(value: bool) -> bytes:
    """True or false."""
    return b"\xc3" if value else b"\xc2"


def write_float(value: float) -> bytes:
    """A float of 64 bits."""
    return b"\xcb" + struct.pack(">d", value)


def write_count(count: int, *, of_map: bool) -> bytes:
    """What opens a list, or a map, of so many."""
    if count < 16:
        return ((0x80 if of_map else 0x90) + count).to_bytes(1, "big")
    first = 0xDE if of_map else 0xDC
    if count < 0x10000:
        return bytes([first]) + count.to_bytes(2, "big")
    return bytes([first + 1]) + count.to_bytes(4, "big")


# -- kinds of values --------------------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Kind:
    """How one type of value is read and written. zero: what a field that did not come holds."""

    read: Read
    write: Write
    zero: Any


TEXT: Final = Kind(read_text, write_text, "")
RAW: Final = Kind(read_bytes, write_raw, b"")
#: Keeps nil and "no bytes" apart.
RAW_OR_NIL: Final = Kind(read_raw, write_raw, None)
BOOL: Final = Kind(read_bool, write_bool, False)
FLOAT: Final = Kind(read_float, write_float, 0.0)
U8, U16, U32, U64 = (Kind(_within(0, (1 << bits) - 1), write_uint, 0) for bits in (8, 16, 32, 64))
INT: Final = Kind(_within(-(1 << 63), (1 << 63) - 1), write_int, 0)


def list_of(kind: Kind, most: int) -> Kind:
    """A list, as a tuple. Raises BadPacket for more than ``most``."""
    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count, at = read_count(data, at, of_map=False, most=most)
        found = []
        for _ in range(count):
            value, at = kind.read(data, at)
            found.append(value)
        return tuple(found), at

    def write(values: tuple[Any, ...]) -> bytes:
        return write_count(len(values), of_map=False) + b"".join(map(kind.write, values))

    return Kind(read, write, ())


def map_of(kind: Kind, most: int) -> Kind:
    """A map from texts, as a dict in the order of arrival. Raises BadPacket for more than ``most``."""
    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        count, at = read_count(data, at, of_map=True, most=most)
        found = {}
        for _ in range(count):
            key, at = read_text(data, at)
            found[key], at = kind.read(data, at)
        return found, at

    def write(values: Mapping[str, Any]) -> bytes:
        entries = b"".join(write_text(key) + kind.write(value) for key, value in values.items())
        return write_count(len(values), of_map=True) + entries

    return Kind(read, write, MappingProxyType({}))


def or_nil(kind: Kind) -> Kind:
    """The same, and None for nil."""
    def read(data: bytes, at: int) -> tuple[Any, int]:
        return (None, at + 1) if data[at] == NIL else kind.read(data, at)

    return Kind(read, lambda value: b"\xc0" if value is None else kind.write(value), None)
