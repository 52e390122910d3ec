# SPDX-License-Identifier: Apache-2.0
"""Real Python processes that do the work under test, talk on stdout line by line, and are hurt from outside.

::

    with Worker.script(Path("tests/faults/worker.py"), server.url) as worker:
        worker.wait_line(lambda line: line["event"] == "ready")
        worker.kill9()
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from .process import Hurtable
from .waiting import NotReached, wait_until


class Worker(Hurtable):
    """A child process. Its stdout is read all the time, so it never waits for us; its stderr goes to a file.

    ``lines`` holds what it has said: a parsed value for a line of JSON, the text for any other. Leaving the ``with``
    block kills and reaps it. It inherits our environment, with ``env`` on top.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self.lines: list[Any] = []
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the worker
        super().__init__(
            argv,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._reader = threading.Thread(target=self._read, name=f"worker-{self.pid}-stdout", daemon=True)
        self._reader.start()

    @classmethod
    def script(cls, path: Path, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """Runs a file with this interpreter."""
        return cls([sys.executable, str(path), *args], env=env, cwd=cwd)

    @classmethod
    def module(cls, name: str, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """Runs ``python -m name``."""
        return cls([sys.executable, "-m", name, *args], env=env, cwd=cwd)

    @classmethod
    def code(cls, source: str, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """Runs a few lines of Python."""
        return cls([sys.executable, "-c", source, *args], env=env, cwd=cwd)

    def _read(self) -> None:
        for raw in cast("IO[bytes]", self.popen.stdout):
            self.lines.append(_parsed(raw))

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="replace")

    def kill9(self) -> None:
        """SIGKILL; returns when it is reaped and all it had said is in ``lines``."""
        self.kill()

    def stop(self) -> None:
        """SIGSTOP: frozen, its connections open."""
        self.pause()

    def cont(self) -> None:
        """SIGCONT."""
        self.resume()

    def reap(self, deadline_s: float) -> int:
        code = super().reap(deadline_s)
        self._reader.join(deadline_s)
        return code

    def wait(self, deadline_s: float = 30.0) -> int:
        """Waits for its own end and returns the exit code. A worker that does not end fails with its stderr."""
        try:
            return self.reap(deadline_s)
        except subprocess.TimeoutExpired:
            raise NotReached(f"{self!r} ends", deadline_s, self._last_words()) from None

    def wait_line(self, predicate: Callable[[Any], bool], deadline_s: float = 30.0, start: int = 0) -> Any:
        """The first line from index ``start`` on for which ``predicate`` holds; a predicate's KeyError is a no.

        Fails at once, with the worker's stderr, when the worker has ended without saying it.
        """
        seen = start

        def found() -> list[Any] | None:
            nonlocal seen
            ended = not self._reader.is_alive()
            while seen < len(self.lines):
                line = self.lines[seen]
                seen += 1
                if _holds(predicate, line):
                    return [line]
            if ended:
                raise NotReached(f"{self!r} says a line", deadline_s, self._last_words())
            return None

        try:
            answer = wait_until(found, deadline_s, f"{self!r} says a line")
        except NotReached as error:
            raise NotReached(f"{self!r} says a line", deadline_s, self._last_words()) from error
        return cast("list[Any]", answer)[0]

    def _last_words(self) -> str:
        return f"exit code {self.popen.poll()}, said {self.lines[-3:]!r}, stderr:\n{self.stderr[-4000:]}"

    def close(self) -> None:
        """Kills it if it still runs, reaps it, and closes what was open towards it."""
        self.kill()
        cast("IO[bytes]", self.popen.stdout).close()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Worker {self.pid}>"


def _parsed(raw: bytes) -> Any:
    text = raw.decode(errors="replace").rstrip("\n")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _holds(predicate: Callable[[Any], bool], line: Any) -> bool:
    try:
        return bool(predicate(line))
    except (KeyError, TypeError):
        return False  # another kind of line
