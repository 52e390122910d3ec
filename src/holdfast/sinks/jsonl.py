# SPDX-License-Identifier: Apache-2.0
"""Events as JSON lines: one object a line, the form every log shipper reads.

::

    {"ts":"2026-11-22T07:00:00.123Z","event":"taken_over","level":"warning","stream":"orders","group":"billing",…}

Each flush is one ``write`` to a file opened for appending, so several processes may share a file without mixing lines,
and ``logrotate`` with ``copytruncate`` works. A disk that is full costs lines, never the service: what could not be
kept is counted, and the count is the first thing written once there is room again.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from .._base.clock import Clock, SystemClock
from .._base.events import Event
from .plain import iso_ms, plain, text

log = logging.getLogger("holdfast.sinks")

#: Bytes held back while the disk refuses them.
BUFFER_MAX = 1 << 20


def line_of(event: Event, ts: str) -> bytes:
    """``event`` as one line, newline included. A field called like one of ours gets an underscore behind its name."""
    out: dict[str, Any] = {
        "ts": ts, "event": text(event.name), "level": logging.getLevelName(event.level).lower(),
    }
    for key, value in event.as_dict().items():
        out[key + "_" if key in out else key] = plain(value)
    return msgspec.json.encode(out) + b"\n"


class JsonLines:
    """Writes events to ``out``: a path (appended to) or an open file, binary or text.

    level: events below it are left out. The default, INFO, leaves out ``settled`` and ``sweep``, of which there are
        many.
    flush_level: events at or above it are handed to the system before the call returns; those below wait for the next
        such event, for ``flush()`` or for 8 KiB of company. The default, INFO, loses nothing when the process is killed
        and costs a system call an event; ``logging.WARNING`` is cheaper and may lose the last lines of good news.

    Thread-safe. Does not ``fsync``: a power cut may take the last seconds.
    """

    def __init__(
        self,
        out: str | os.PathLike[str] | IO[bytes] | IO[str],
        *,
        level: int = logging.INFO,
        flush_level: int = logging.INFO,
        clock: Clock | None = None,
    ) -> None:
        self._level = level
        self._flush_level = flush_level
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._buffer = bytearray()
        self._file = _PathFile(os.fspath(out)) if isinstance(out, str | os.PathLike) else _GivenFile(out)
        #: Lines that could not be kept since the last successful write.
        self.dropped = 0

    def __call__(self, event: Event) -> None:
        if event.level < self._level:
            return
        line = line_of(event, iso_ms(self._clock.wall_ms()))
        with self._lock:
            if len(self._buffer) + len(line) > BUFFER_MAX:
                self.dropped += 1
            else:
                self._buffer += line
            if event.level >= self._flush_level or len(self._buffer) >= 8192:
                self._write()

    def flush(self) -> None:
        """Hands everything to the system."""
        with self._lock:
            self._write()

    def close(self) -> None:
        """Flushes, and closes the file if this sink opened it."""
        with self._lock:
            self._write()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _write(self) -> None:
        try:
            self._drain()
            if self.dropped:
                self._buffer += self._confession()
                self.dropped = 0
                self._drain()
        except OSError as error:
            # Logged at each failure and not raised: the bus would take the sink off for good, and disks get room again.
            log.warning("event lines cannot be written (%s); %d held back, %d dropped", error.strerror or error,
                        self._buffer.count(b"\n"), self.dropped)

    def _drain(self) -> None:
        # A write may be short; what went out leaves the buffer, so that no line is torn or written twice.
        while self._buffer:
            del self._buffer[: self._file.write(bytes(self._buffer))]

    def _confession(self) -> bytes:
        line = {"ts": iso_ms(self._clock.wall_ms()), "event": "lines_dropped", "level": "error", "count": self.dropped}
        return msgspec.json.encode(line) + b"\n"


class _PathFile:
    def __init__(self, path: str) -> None:
        self._raw = Path(path).open("ab", buffering=0)  # noqa: SIM115 - open as long as the sink

    def write(self, data: bytes) -> int:
        return self._raw.write(data)

    def close(self) -> None:
        self._raw.close()


class _GivenFile:
    def __init__(self, file: IO[bytes] | IO[str]) -> None:
        self._file: IO[Any] = file
        self._text = hasattr(file, "encoding")

    def write(self, data: bytes) -> int:
        self._file.write(data.decode() if self._text else data)
        self._file.flush()
        return len(data)

    def close(self) -> None:
        """The file stays open: it is the caller's."""
