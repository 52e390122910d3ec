# SPDX-License-Identifier: Apache-2.0
"""One node of the lab: ``python -m holdfast.labs.workers_worker ASSIGNMENT.json``. Some pods, each under all schemes.

A pod claims a worker id under each scheme and makes ids from then on, some every few ms. One that is refused asks
again, as a pod does that is started again and again. What was made goes into a file for each scheme, past any buffer of
this process, so that a death takes nothing of it. SIGTERM gives everything back.

The layout is the lab's own: its units of time are as long as a turn, and a turn takes most of a unit's sequence. Two
pods that have one worker id at one time cannot miss each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import IO, Any

import msgspec

from .._base.typed import from_json
from ..errors import ConfigurationError, HoldfastError
from ..ids.generator import Generator
from ..ids.layout import Layout
from ..ids.scheme import Scheme as Store
from ..ids.worker import WorkerId
from .workers_schemes import SCHEMES, Addresses, Pool, Scheme

#: 64 ids of a worker every 20 ms.
LAYOUT = Layout("lab", 37, 10, 6, unit_ms=20)
#: Ids of one turn of one pod, and the seconds between two.
TURN, TURN_S = 40, 0.02
#: Seconds before a pod that was refused asks again, and for which a window is waited for that has not begun.
AGAIN_S, WAIT_S = 0.1, 120.0
PATIENCE_S = 120.0


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All a node needs to know. out: the folder of what is made. gate: claims when this file is there; empty: at
    once."""

    at: Addresses
    schemes: list[str]
    pool: Pool
    pods: list[int]
    out: str
    gate: str = ""


class Pod:
    """One pod under one scheme."""

    def __init__(self, assignment: Assignment, scheme: Scheme, number: int, out: IO[bytes]) -> None:
        self._a, self._scheme, self._number, self._out = assignment, scheme, number, out
        self._ids: Generator | None = None
        self._term: Any = None
        self._draw: Any = None
        self._failed = False
        self._last = 0.0
        self.closed = False

    def claim(self, asked_at: float) -> None:
        """Until it has a worker id, or is closed."""
        while not self.closed:
            self._term = self._scheme.term(self._a.at, self._a.pool, self._number)
            try:
                if isinstance(self._term, WorkerId):
                    self._term.open(wait_s=WAIT_S)
                self._begin(asked_at)
            except ConfigurationError:
                raise
            except (HoldfastError, TimeoutError) as error:
                self._say("taken", error=f"{type(error).__name__}: {error}")
                time.sleep(AGAIN_S)
            else:
                return

    def _begin(self, asked_at: float) -> None:
        ids = Generator(LAYOUT, self._term)
        self._draw = ids.bound()
        self._write([self._draw()])
        self._last = time.monotonic()
        self._say("first", worker=self._term.held.worker, waited_s=self._last - asked_at)
        self._ids = ids

    def turn(self) -> None:
        """Some ids. Says when there are none any more, with the time of the last one, and when there are some again."""
        if self._ids is None:
            return
        try:
            made = [self._draw() for _ in range(TURN)]
        except HoldfastError as error:
            if not self._failed:
                self._say("stopped", at=self._last, error=f"{type(error).__name__}: {error}")
            self._failed = True
            return
        self._write(made)
        self._last = time.monotonic()
        if self._failed:
            self._failed = False
            self._say("again", at=self._last)

    def close(self) -> None:
        """Gives it back."""
        self.closed = True
        if isinstance(self._term, WorkerId):
            self._term.close()

    def _write(self, ids: list[int]) -> None:
        self._out.write(array("Q", ids).tobytes())

    def _say(self, event: str, **more: Any) -> None:
        say(event=event, scheme=self._scheme.name, pod=self._number, **more)


_SAYING = threading.Lock()


def say(**what: Any) -> None:
    """One line of JSON for the lab."""
    with _SAYING:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def file_of(out: Path, scheme: str, pid: int) -> Path:
    """What a process has made under a scheme."""
    return out / f"{scheme}-{pid}.ids"


def work(assignment: Assignment) -> None:
    """Works until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    out = {name: file_of(Path(assignment.out), name, os.getpid()).open("ab", buffering=0)
           for name in assignment.schemes}
    pods = [Pod(assignment, SCHEMES[name], number, out[name])
            for number in assignment.pods for name in assignment.schemes]
    for name in assignment.schemes:
        _warm(SCHEMES[name], assignment.at)
    say(event="ready")
    _await(assignment.gate, stop)
    asked_at = time.monotonic()
    for pod in pods:
        threading.Thread(target=pod.claim, args=(asked_at,), daemon=True).start()
    while not stop.wait(TURN_S):
        for pod in pods:
            pod.turn()
    ending = [threading.Thread(target=pod.close, daemon=True) for pod in pods]
    for one in ending:
        one.start()
    for one in ending:
        one.join(PATIENCE_S)


def _warm(scheme: Scheme, at: Addresses) -> None:
    """What has to be loaded is loaded before anything is timed."""
    async def ask(store: Store) -> None:
        try:
            await store.holders()
        finally:
            await store.close()

    if scheme.store is not None:
        with contextlib.suppress(HoldfastError):
            asyncio.run(ask(scheme.store(at, Pool(name="warm"))))


def _await(gate: str, stop: threading.Event) -> None:
    until = time.monotonic() + PATIENCE_S
    while gate and not Path(gate).exists() and not stop.wait(0.002):
        if time.monotonic() > until:
            raise TimeoutError(f"{gate} was not opened")


if __name__ == "__main__":
    work(from_json(Path(sys.argv[1]).read_bytes(), Assignment))
