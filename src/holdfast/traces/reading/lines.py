# SPDX-License-Identifier: Apache-2.0
"""Chunks of bytes become lines with their offsets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

#: The longest line that is kept whole, in bytes. What is longer is measured, and its first bytes kept: a file without
#: line ends costs no memory.
LINE_MAX = 256 << 20
#: How much is kept of what was longer.
HEAD = 4096


def lines(chunks: Iterable[bytes], longest: int = LINE_MAX) -> Iterator[tuple[int, bytes, int]]:
    """(offset, the line without its line feed, its length with it), in order and without a gap.

    length - len(line) is 1; 0 for a last line that does not end; more for a line longer than ``longest``.
    """
    offset = 0
    begun: list[bytes] = []
    size = 0  # of the line that has begun; what is not in `begun` was too much
    for chunk in chunks:
        head, end, rest = chunk.partition(b"\n")
        if not end:
            size = _kept(begun, size, head, longest)
            continue
        size = _kept(begun, size, head, longest)
        yield offset, _whole(begun, size, longest), size + 1
        offset += size + 1
        begun.clear()
        *between, last = rest.split(b"\n")
        for line in between:
            length = len(line) + 1
            yield offset, line, length
            offset += length
        size = _kept(begun, 0, last, longest)
    if size:
        yield offset, _whole(begun, size, longest), size


def _kept(begun: list[bytes], size: int, piece: bytes, longest: int) -> int:
    if piece and size <= longest:
        begun.append(piece)
    return size + len(piece)


def _whole(begun: list[bytes], size: int, longest: int) -> bytes:
    line = begun[0] if len(begun) == 1 else b"".join(begun)
    return line if size <= longest else line[:HEAD]
