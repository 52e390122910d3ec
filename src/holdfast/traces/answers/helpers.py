# SPDX-License-Identifier: Apache-2.0
"""Who counts ranges of a file at the same time.

What decodes lines holds the interpreter, so that takes *processes* beside this one; they hold nothing, and whoever ends
early is done without. What lays stencils over pages lets go of the interpreter for most of its time, and *threads* are
enough: they start at once, which is what it takes to be worth it where a hundred megabytes need a tenth of a second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, Self

import msgspec

from ..._base.typed import msgpack_decoder
from .ranges import Found, Range

#: Bytes from which on a helper is worth its start.
SHARED = 64 << 20
_LENGTH = 8
#: What a helper runs; ``worker.py``.
_MODULE = "holdfast.traces.answers.worker"


def put(stream: IO[bytes], text: bytes) -> None:
    """One message."""
    stream.write(len(text).to_bytes(_LENGTH, "little") + text)
    stream.flush()


def got(stream: IO[bytes]) -> bytes:
    """The next message; nothing at the end. Raises EOFError when it is cut."""
    head = stream.read(_LENGTH)
    text = stream.read(int.from_bytes(head, "little")) if head else b""
    if head and (len(head) < _LENGTH or len(text) < int.from_bytes(head, "little")):
        raise EOFError
    return text


class Helpers:
    """So many processes, while it is open."""

    def __init__(self, count: int) -> None:
        self._count = count if sys.executable and not getattr(sys, "frozen", False) else 0
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def share(self, waiting: deque[Range], here: Callable[[Range], Found],
              take: Callable[[Range, Found], None]) -> None:
        """Every range is counted, by a helper or ``here``. take: is called by several threads, one at a time."""
        if sum(one.end - one.start for one in waiting) >= SHARED:
            self._start()
        lock, failed = threading.Lock(), deque[Range]()

        def kept(some: Range, found: Found) -> None:
            with lock:
                take(some, found)

        threads = [threading.Thread(target=_feed, args=(process, waiting, failed, kept), daemon=True)
                   for process in self._processes if process.poll() is None]
        for thread in threads:
            thread.start()
        try:
            while some := _next(waiting):
                kept(some, here(some))
        finally:
            waiting.clear()
            for thread in threads:
                thread.join()
        while some := _next(failed):  # guard: what a helper did not finish is counted here
            kept(some, here(some))

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        while len(self._processes) < self._count:
            self._processes.append(subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environment))


def among_threads(waiting: deque[Range], count: int, made: Callable[[], Callable[[Range], Found]],
                  take: Callable[[Range, Found], None]) -> None:
    """Every range is counted by one of so many threads. made: what one of them counts with. take: as in ``share``."""
    lock = threading.Lock()

    def work() -> None:
        counted = made()
        while some := _next(waiting):
            found = counted(some)
            with lock:
                take(some, found)

    with ThreadPoolExecutor(max(1, min(count, len(waiting)))) as threads:
        try:
            for one in [threads.submit(work) for _ in range(count)]:
                one.result()
        finally:
            waiting.clear()


def _next(waiting: deque[Range]) -> Range | None:
    with suppress(IndexError):
        return waiting.popleft()
    return None


def _feed(process: subprocess.Popen[bytes], waiting: deque[Range], failed: deque[Range],
          kept: Callable[[Range, Found], None]) -> None:
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - it was started with both
    decoder = msgpack_decoder(Found)
    try:
        if not got(process.stdout):  # it says when it is ready, so that nothing waits for one that is not
            return
    except (OSError, EOFError):
        return
    while some := _next(waiting):
        try:
            put(process.stdin, msgspec.msgpack.encode(some))
            found = decoder.decode(got(process.stdout))
        except (OSError, EOFError, msgspec.DecodeError):
            failed.append(some)
            return
        kept(some, found)
