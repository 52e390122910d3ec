# SPDX-License-Identifier: Apache-2.0
"""How soon is a dead worker's message handled by another? On a stream where nothing else happens.

Two workers, one of which never returns from its handler. Once it has a message it is killed with SIGKILL, and the clock
runs until the other one's handler starts with that message. Each has the same time after which a message may be taken
over: our lease, FastStream's ``min_idle_time`` (a second subscriber, as it documents), taskiq's ``idle_timeout``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast.testing import waiting
from holdfast.testing.processes import Worker

from .contestants import CONTESTANTS
from .job import STREAM, Job
from .rig import Rig, kill_all, ready

#: Long enough to look around and to be trusted with take-overs.
SETTLE_S = 4.0
_TRIES = 50


def measure(bench: Rig, name: str, lease_ms: int, patience_s: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """One kill. ``recovered_s`` is None when it took longer than ``patience_s``."""
    bench.template(name, _TRIES)
    with bench.templates() as templates:
        letters = [fields for _, fields in templates.xrange(CONTESTANTS[name].module)]
    bench.prepare(name)

    def job(who: str, *, hang: bool) -> Job:
        return Job(contestant=name, verb="work", url=bench.url, n=_TRIES, measure="shout", hang=hang,
                   lease_ms=lease_ms, name=who)

    with bench.contestant(job("dies", hang=True)) as dies, bench.contestant(job("lives", hang=False)) as lives:
        ready(dies)
        ready(lives)
        time.sleep(SETTLE_S)
        number = _until_it_has_one(bench, letters, dies)
        killed_ns = time.monotonic_ns()
        kill_all(dies)  # with the supervisor that would start it again
        try:
            line = lives.wait_line(lambda line: line["event"] == "started" and line["id"] == number, patience_s)
        except waiting.NotReached:
            line = None
    recovered_s = None if line is None else (line["at_ns"] - killed_ns) / 1e9
    said = f"not within {patience_s:.0f} s" if recovered_s is None else f"{recovered_s:.1f} s"
    tell(f"{CONTESTANTS[name].title}: {said}")
    return {"lease_ms": lease_ms, "recovered_s": recovered_s, "patience_s": patience_s}


def _until_it_has_one(bench: Rig, letters: Sequence[Mapping[bytes, bytes]], dies: Worker) -> int:
    """Publishes one message at a time until the worker that is to die has started with one; its number.

    The other worker takes its share meanwhile, and finishes it: the stream is idle again at once.
    """
    for number, fields in enumerate(letters):
        bench.admin.xadd(STREAM, fields)
        try:
            waiting.wait_until(lambda: _started(dies) or bench.drained(), 5.0, "somebody takes it")
        except waiting.NotReached:
            raise RuntimeError("neither of two workers took a message within 5 s") from None
        if _started(dies):
            return number
    raise RuntimeError("one of two workers was never given a message")


def _started(worker: Worker) -> bool:
    return any(line["event"] == "started" for line in worker.lines)
