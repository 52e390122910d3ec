# SPDX-License-Identifier: Apache-2.0
"""The lab's end of a scheme's process: a question, its answer, and a bound after which nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import msgspec

from .._base.typed import converted
from ..errors import HoldfastError
from ..testing.processes import Worker
from .parsers_worker import Asked

T = TypeVar("T")

#: Seconds between two looks, and those that the last words of a process may be under way.
_LOOK_S, _LAST_WORDS_S = 0.01, 5.0


class Child(Worker):
    """A process that is asked over stdin. It ends by itself when stdin does, so also when the lab is killed."""

    def __init__(self, folder: Path, scheme: str) -> None:
        self.scheme = scheme
        super().__init__([sys.executable, "-m", "holdfast.labs.parsers_worker", str(folder), scheme])

    @property
    def _questions(self) -> int:
        """Where they are written, without a buffer: a question is shorter than what a pipe takes at once."""
        return cast("IO[bytes]", self.popen.stdin).fileno()

    def _begun(self, argv: Sequence[str], *, env: Mapping[str, str] | None, cwd: Path | None,
               stdout: IO[bytes] | int | None, stderr: IO[bytes] | int | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr,
                                start_new_session=True)

    async def said(self, bound_s: float) -> Any | None:
        """The next line that it says. None: not within ``bound_s``, and it was killed. HoldfastError: it has ended."""
        until = time.monotonic() + bound_s
        while not self.lines:
            if not self.alive:
                self.reap(_LAST_WORDS_S)
                if self.lines:
                    break
                raise HoldfastError(f"the process of {self.scheme} ended by itself: {self._last_words()}")
            if time.monotonic() > until:  # guard: a scheme that hangs is ended by its bound
                self.kill()
                return None
            await asyncio.sleep(_LOOK_S)
        return self.lines.pop(0)

    async def ask(self, asked: Asked, kind: type[T], bound_s: float) -> T | None:
        """What it answers. None and errors as above."""
        try:
            os.write(self._questions, msgspec.json.encode(asked) + b"\n")
        except OSError as error:  # not to be taken for a reader of the report who has gone
            raise HoldfastError(f"the process of {self.scheme} has ended: {self._last_words()}") from error
        answer = await self.said(bound_s)
        return None if answer is None else converted(answer, kind)

    async def answer(self, asked: Asked, kind: type[T], patience_s: float) -> T:
        """The same, where an answer is owed. HoldfastError without one."""
        found = await self.ask(asked, kind, patience_s)
        if found is None:
            raise HoldfastError(f"the process of {self.scheme} gave no answer to {asked.what} within {patience_s:g} s")
        return found

    async def missing(self, patience_s: float) -> str:
        """Why the scheme cannot be had; empty: it is there. It says so by itself when it is up."""
        said = await self.said(patience_s)
        if said is None:
            raise HoldfastError(f"the process of {self.scheme} did not start within {patience_s:g} s")
        return str(said["missing"])

    def close(self) -> None:
        super().close()
        cast("IO[bytes]", self.popen.stdin).close()
