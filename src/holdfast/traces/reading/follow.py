# SPDX-License-Identifier: Apache-2.0
"""A file that grows, read as it does: through renames, truncations, and lines that are half written.

::

    with Follow("spans.jsonl") as following:
        while not ended():
            for found in following.poll():
                ...
            wait_a_moment()
        for found in following.rest():
            ...

Nothing here waits or sleeps: whoever calls knows when. A line is given once its end is written. A file that was
renamed is read to its end before its successor is opened; one that became shorter, or begins otherwise than it did, is
read from its beginning. What is written between a poll and a truncation is lost to every reader of files; ``logs`` has
the tailer that survives its own restarts.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Self

from ...errors import ConfigurationError
from ..formats import Bad, Part, Refused
from ..formats.part import Lines
from ..formats.strict import BOM
from .exact import beginning
from .source import CHUNK, Source

#: Bytes of the beginning that a file is known by, and has to keep.
_KNOWN = 1024
#: In lines of logs, a span that was quiet for so long has ended, as far as a follower can wait.
QUIET_NS = 30 * 10**9


class Follow:
    """Follows one file. It need not be there yet.

    format: told by the first line by default. offset: of the next byte to be read. Raises ConfigurationError, when
    polled, for a file that is compressed, one document, or none of the formats.
    """

    def __init__(self, path: str, format: str | None = None, columns: Mapping[str, str] | None = None) -> None:
        self.path, self.offset = path, 0
        self._format, self._columns = format, columns
        self._file: BinaryIO | None = None
        self._reader: Lines | None = None
        self._known = b""
        self._begun = b""
        self._number = 0

    @property
    def lag_bytes(self) -> int:
        """How much is written and was not read yet."""
        try:
            return max(0, Path(self.path).stat().st_size - self.offset)
        except OSError:
            return 0

    def poll(self) -> Iterator[Part | Bad]:
        """What has been written since the last time."""
        while True:
            file = self._file or self._open()
            if file is None:
                return
            if not self._is_anew(file):  # guard: what was begun anew is read from its beginning
                was_renamed = self._was_renamed(file)  # asked first: what is written until then is read below
                yield from self._grown(file)
                if not was_renamed:
                    return
            yield from self._end()

    def rest(self) -> Iterator[Part | Bad]:
        """What is left: a last line without an end, and spans that were kept back. The file is closed then."""
        if self._file is not None:
            yield from self._grown(self._file)
            yield from self._end()

    def close(self) -> None:
        """Lets go of the file, as it is. More than once is as good as once."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> BinaryIO | None:
        try:
            self._file = Path(self.path).open("rb", buffering=0)  # noqa: SIM115 - closed by whoever ends it
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error.strerror}") from error
        self.offset, self._number, self._begun, self._known, self._reader = 0, 0, b"", b"", None
        return self._file

    def _grown(self, file: BinaryIO) -> Iterator[Part | Bad]:
        while chunk := os.pread(file.fileno(), CHUNK, self.offset):
            if len(self._known) < _KNOWN:
                self._known = (self._known + chunk)[:_KNOWN]
            self.offset += len(chunk)
            *whole, self._begun = (self._begun + chunk).split(b"\n")
            at = self.offset - len(self._begun) - sum(len(line) + 1 for line in whole)
            for line in whole:
                yield from self._line(at, line, len(line) + 1)
                at += len(line) + 1

    def _is_anew(self, file: BinaryIO) -> bool:
        """Whether the file lost what was read of it."""
        return (os.fstat(file.fileno()).st_size < self.offset
                or os.pread(file.fileno(), len(self._known), 0) != self._known)

    def _was_renamed(self, file: BinaryIO) -> bool:
        """Whether the file by this name is another one. While there is none, ours may still be written to."""
        try:
            now = Path(self.path).stat()
        except OSError:
            return False
        ours = os.fstat(file.fileno())
        return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino)

    def _end(self) -> Iterator[Part | Bad]:
        if self._begun:
            yield from self._line(self.offset - len(self._begun), self._begun, len(self._begun))
        if self._reader is not None and (kept := self._reader.rest()):
            yield Part(self.path, self.offset, 0, self._number, kept)
        self.close()

    def _line(self, offset: int, line: bytes, length: int) -> Iterator[Part | Bad]:
        self._number += 1
        text = line if offset else line.removeprefix(BOM)
        if not text or text.isspace():
            yield Part(self.path, offset, length, self._number, [], blank=True)
            return
        if self._reader is None:
            self._reader = self._begin(line)
        try:
            yield Part(self.path, offset, length, self._number, self._reader.spans(text))
        except Refused as refused:
            raw = line + b"\n" if length > len(line) else line
            yield Bad(self.path, offset, length, self._number, str(refused), raw)

    def _begin(self, line: bytes) -> Lines:
        source = Source(self.path, stream=io.BytesIO(line + b"\n"))
        begins = beginning(source, self._format)
        if begins is None or source.compression or begins.is_document or not hasattr(begins.module, "Lines"):
            self.close()
            raise ConfigurationError(f"{self.path}: only files of one record a line can be followed")
        reader: Lines = begins.module.Lines(self._columns)
        if hasattr(reader, "quiet_ns"):
            reader.quiet_ns = QUIET_NS
        return reader
