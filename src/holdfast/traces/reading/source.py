# SPDX-License-Identifier: Apache-2.0
"""A file's bytes as they are without compression, chunk by chunk: plain, gzip or Zstandard, told by its first bytes.

A stream that is cut or broken ends early and says so in ``damage``; what came before it stands.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ...errors import ConfigurationError, MissingExtra

CHUNK = 1 << 20
#: How much of a compressed file is unpacked at once: what a broken one loses before the place where it broke.
PIECE = 1 << 16
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Source:
    """One file, or standard input (``-``). To be read once.

    damage: why the stream ended before its end; empty while all is well. compression: "", gzip or zstd, known once the
    first chunk is read. Raises ConfigurationError when it cannot be opened, MissingExtra for Zstandard without its
    library.
    """

    def __init__(self, path: str, *, stream: BinaryIO | None = None) -> None:
        self.name = path
        self.damage = ""
        self.compression = ""
        self._stream = stream
        self._ahead: list[bytes] = []
        self._rest: Iterator[bytes] | None = None
        #: It can be read once, by whoever comes first.
        self.is_stream = stream is not None or path == "-"

    def head(self, size: int) -> bytes:
        """The first bytes, so many and two whole lines where there are; ``chunks`` gives them again."""
        if self._rest is None:
            self._rest = self._read()
        while sum(map(len, self._ahead)) < size or sum(chunk.count(b"\n") for chunk in self._ahead) < 2:
            chunk = next(self._rest, None)
            if chunk is None:
                break
            self._ahead.append(chunk)
        return b"".join(self._ahead)

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, in chunks of about a megabyte."""
        while self._ahead:
            yield self._ahead.pop(0)
        yield from self._rest if self._rest is not None else self._read()

    def _read(self) -> Iterator[bytes]:
        with _opened(self.name, self._stream) as file:
            first = file.read(PIECE)
            if first.startswith(_GZIP):
                self.compression = "gzip"
                yield from self._unpacked(first, file, _Gzip)
            elif first.startswith(_ZSTD):
                self.compression = "zstd"
                zstd = require_zstd()
                yield from self._unpacked(first, file, lambda: _Zstd(zstd))
            else:
                while first:
                    yield first
                    first = file.read(CHUNK)

    def _unpacked(self, packed: bytes, file: BinaryIO, begun: Callable[[], _Member]) -> Iterator[bytes]:
        """Member by member. Zeros behind a member are padding, as for gzip itself."""
        member = begun()
        fresh = True
        while packed:
            fresh = False
            try:
                yield from member.unpacked(packed)
            except (zlib.error, EOFError, OSError, member.broken):
                self.damage = f"{self.compression}: broken"  # guard: what is broken is named, not skipped
                return
            packed = member.left.lstrip(b"\0")
            if member.ended:
                member, fresh = begun(), True
            packed = packed or file.read(PIECE).lstrip(b"\0" if fresh else b"")
        if not fresh:
            self.damage = f"{self.compression}: cut short"  # guard: a stream that was cut is not a file that ended


class _Member(Protocol):
    """One gzip member, or one Zstandard frame."""

    broken: type[Exception]
    ended: bool
    left: bytes

    def unpacked(self, packed: bytes) -> Iterator[bytes]:
        """What these bytes hold, no more than CHUNK at once."""


class _Gzip:
    broken: type[Exception] = zlib.error

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.ended, self.left = False, b""

    def unpacked(self, packed: bytes) -> Iterator[bytes]:
        while True:
            found = self._inner.decompress(packed, CHUNK)
            if found:
                yield found
            packed = self._inner.unconsumed_tail
            if self._inner.eof or (not packed and len(found) < CHUNK):
                break
        self.ended, self.left = self._inner.eof, self._inner.unused_data


class _Zstd:
    def __init__(self, zstd: Any) -> None:
        self._inner = zstd.ZstdDecompressor()
        self.broken: type[Exception] = zstd.ZstdError
        self.ended, self.left = False, b""

    def unpacked(self, packed: bytes) -> Iterator[bytes]:
        while True:
            found = self._inner.decompress(packed, CHUNK)
            packed = b""
            if found:
                yield found
            if self._inner.eof or self._inner.needs_input:
                break
        self.ended, self.left = self._inner.eof, self._inner.unused_data if self._inner.eof else b""


def _opened(path: str, stream: BinaryIO | None) -> BinaryIO:
    if stream is not None:
        return stream
    if path == "-":
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    try:
        return Path(path).open("rb", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def require_zstd() -> Any:
    """The module for Zstandard: Python's own since 3.14. Raises MissingExtra."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise MissingExtra("traces", "reading Zstandard files") from error
    return zstd
