# SPDX-License-Identifier: Apache-2.0
"""LZW as members write it: codes of 9 to 12 bits, lowest bit first, a clear code first and whenever the table is full.

It is GIF's variant (a code grows wider when the next entry would not fit), not TIFF's. Both directions yield the bytes
that Go's ``compress/lzw`` yields. A hundred bytes of it can mean a hundred thousand, so whoever inflates says how much
is too much. Source: Welch, "A Technique for High-Performance Data Compression" (1984); GIF89a, appendix F.
"""

from __future__ import annotations

from typing import Final

from ...errors import BadPacket

#: Beyond this, output may be RATIO_MAX times its input: text of states shrinks to a tenth, seldom to less.
RATIO_FREE: Final = 64 << 10
RATIO_MAX: Final = 256

_CLEAR: Final = 256
_END: Final = 257
_WIDTH_MAX: Final = 12
_LITERALS: Final = (*(bytes([byte]) for byte in range(256)), b"", b"")


def inflate(data: bytes, most: int) -> bytes:
    """What was compressed. Raises BadPacket for what no writer writes, and beyond ``most`` bytes or RATIO_MAX."""
    most = min(most, max(RATIO_FREE, RATIO_MAX * len(data)))
    table, width, last = list(_LITERALS), 9, b""
    found: list[bytes] = []
    size = 0
    bits, filled = 0, 0
    for byte in data:
        bits |= byte << filled
        filled += 8
        if filled < width:
            continue
        code = bits & (1 << width) - 1
        bits >>= width
        filled -= width
        if code == _CLEAR:
            del table[len(_LITERALS):]
            width, last = 9, b""
            continue
        if code == _END:
            return b"".join(found)
        entry = _entry(table, code, last)
        if last and len(table) < 1 << _WIDTH_MAX:
            table.append(last + entry[:1])
        last = entry
        found.append(entry)
        size += len(entry)
        if size > most:  # guard: inflating. The limit is looked at before more is taken, not at the end
            raise BadPacket(f"{len(data)} compressed bytes are more than {most} inflated", why="large")
        if len(table) == 1 << width and width < _WIDTH_MAX:
            width += 1
    raise BadPacket("compressed bytes without an end", why="compression")


def _entry(table: list[bytes], code: int, last: bytes) -> bytes:
    if code < len(table):
        return table[code]
    if code == len(table) < 1 << _WIDTH_MAX and last:
        return last + last[:1]
    raise BadPacket(f"code {code} in compressed bytes means nothing yet", why="compression")


class _Bits:
    """Codes, packed lowest bit first."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._bits = self._filled = 0

    def put(self, code: int, width: int) -> None:
        self._bits |= code << self._filled
        self._filled += width
        while self._filled >= 8:
            self.out.append(self._bits & 0xFF)
            self._bits >>= 8
            self._filled -= 8

    def close(self) -> bytes:
        if self._filled:
            self.out.append(self._bits)
        return bytes(self.out)


def deflate(data: bytes) -> bytes:
    """The data, compressed."""
    bits, width, highest = _Bits(), 9, _END
    table: dict[tuple[int, int], int] = {}
    bits.put(_CLEAR, width)
    code = -1
    for byte in data:
        if code < 0:
            code = byte
            continue
        known = table.get((code, byte))
        if known is not None:
            code = known
            continue
        bits.put(code, width)
        highest, width, full = _next(bits, highest, width)
        if full:
            table.clear()
        else:
            table[code, byte] = highest
        code = byte
    if code >= 0:
        bits.put(code, width)
        highest, width, _ = _next(bits, highest, width)
    bits.put(_END, width)
    return bits.close()


def _next(bits: _Bits, highest: int, width: int) -> tuple[int, int, bool]:
    """The next entry's number, how wide codes are now, and whether the table begins anew."""
    highest += 1
    if highest == 1 << width:
        width += 1
    if highest < (1 << _WIDTH_MAX) - 1:
        return highest, width, False
    bits.put(_CLEAR, width)
    return _END, 9, True
