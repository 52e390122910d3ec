# SPDX-License-Identifier: Apache-2.0
"""A line: a range of bytes of a source, as it stands in the file.

A source is a file's content, not its name: it keeps its id when it is renamed, copied away or compressed, and a file
that is truncated and written anew is another source, though its name and inode stay. Offsets count bytes of the
content; in a compressed file, of what it holds.

The ranges of a source's lines tile it: each begins where the one before it ended. What they are counted as (ok,
rejected, blank) therefore adds up to every byte that was read, which ``ledger`` checks.
"""

from __future__ import annotations

import hashlib

import msgspec

__all__ = ["Line", "Source", "record_id"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where lines come from. ``id`` tells contents apart; ``path``: under which name it was last seen; ``head``:
    SHA-256 of its first ``head_bytes`` bytes, hexadecimal."""

    id: str
    path: str
    dev: int = 0
    inode: int = 0
    head: str = ""
    head_bytes: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line, or several that are one event (``lines``), in one range of bytes.

    ``length`` counts bytes, the terminator included, and is ``len(raw)``; ``number`` is that of its first line, from 1.
    ``piece``: of a line that is longer than is allowed, the number of this part, from 1; 0 for a line that is whole.
    ``ended``: False for a last line without a terminator, and for a piece that others follow.
    """

    source: Source
    offset: int
    number: int
    raw: bytes
    lines: int = 1
    ended: bool = True
    piece: int = 0

    @property
    def length(self) -> int:
        """Bytes, the terminator included."""
        return len(self.raw)

    @property
    def end(self) -> int:
        """Where the next line begins."""
        return self.offset + len(self.raw)

    @property
    def content(self) -> bytes:
        r"""The bytes without terminator (``\n`` or ``\r\n``)."""
        raw = self.raw
        if raw.endswith(b"\r\n"):
            return raw[:-2]
        return raw[:-1] if raw.endswith(b"\n") else raw

    @property
    def id(self) -> str:
        """See ``record_id``."""
        return record_id(self.source.id, self.offset, self.raw)


def record_id(source_id: str, offset: int, raw: bytes) -> str:
    """SHA-256 of source, offset and bytes, hexadecimal: the same line has the same id, however often it is read.

    So what is kept by this id is there once, in a table as among the dead letters.
    """
    digest = hashlib.sha256(b"%s|%d|" % (source_id.encode("utf-8", "backslashreplace"), offset))
    digest.update(raw)
    return digest.hexdigest()
