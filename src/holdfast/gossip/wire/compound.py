# SPDX-License-Identifier: Apache-2.0
"""Several messages in one packet.

::

    07 │ count u8 │ count × length u16 │ the messages, back to back
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from ...errors import BadPacket
from .codec import Type

#: Messages in one compound, and bytes of each.
PARTS_MAX: Final = 255
PART_MAX: Final = 0xFFFF


def join(parts: Sequence[bytes]) -> Iterator[bytes]:
    """The fewest packets that carry these messages; one that is alone goes as it is. ValueError beyond PART_MAX."""
    for start in range(0, len(parts), PARTS_MAX):
        chunk = parts[start:start + PARTS_MAX]
        if len(chunk) == 1:
            yield chunk[0]
            continue
        if max(map(len, chunk)) > PART_MAX:
            raise ValueError(f"a message of more than {PART_MAX} bytes does not fit into a compound")
        yield struct.pack(f">BB{len(chunk)}H", Type.COMPOUND, len(chunk), *map(len, chunk)) + b"".join(chunk)


def split(body: bytes) -> list[bytes]:
    """The messages of a compound, given without its type byte. Raises BadPacket unless all are there in full."""
    if not body:
        raise BadPacket("a compound without a count", why="short")
    start = 1 + 2 * body[0]
    if start > len(body):
        raise BadPacket(f"a compound of {body[0]} that ends among their lengths", why="short")
    parts = []
    for length in struct.unpack_from(f">{body[0]}H", body, 1):
        parts.append(body[start:start + length])
        start += length
    if start > len(body):
        raise BadPacket(f"a compound lacks {start - len(body)} bytes of its messages", why="short")
    return parts
