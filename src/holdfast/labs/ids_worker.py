# SPDX-License-Identifier: Apache-2.0
"""One worker process of the lab: ``python -m holdfast.labs.ids_worker ASSIGNMENT.json NUMBER``. All families in turn.

It opens a family, says so, and waits for the others at a gate, a file that the lab makes. Then its threads ask for ids:
first some that are timed, in bursts, to see in which order they come; then as many as it can, to see whether one is
there twice. What was made goes into files, which the lab reads.
"""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from .._base.typed import from_json
from ..errors import HoldfastError, ServerUnreachable
from .ids_count import Call, packed, unpacked
from .ids_families import FAMILIES, At, Draw, Drawing, Family

#: Ids of one burst, and the seconds between two.
BURST, BREATH_S = 20, 0.001
#: Ids between two looks at the clock.
CHUNK = 2_000
#: So often a store is asked that is too busy.
TRIES = 5
#: Seconds a gate is waited for.
PATIENCE_S = 120.0


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker needs to know. timed, count: ids of each thread and family, one by one and as fast as it can, or as
    many as there are in ``box_s``, each."""

    at: At
    families: list[str]
    threads: int
    count: int
    box_s: float
    timed: int
    seed: int


def gate(folder: Path, family: str) -> Path:
    """It is there when all have opened the family."""
    return folder / f"{family}.gate"


def made(folder: Path, family: str, number: int, thread: int) -> Path:
    """The ids of one thread, in its order."""
    return folder / f"{family}-{number}-{thread}.ids"


def timed(folder: Path, family: str, number: int, thread: int) -> Path:
    """Its calls that were timed."""
    return folder / f"{family}-{number}-{thread}.calls"


def calls_in(path: Path, width: int) -> list[Call]:
    """They, read again: times of 8 bytes each, then the ids."""
    raw = path.read_bytes()
    count = len(raw) // (16 + width)
    times = unpacked(raw[:16 * count], 8)
    ids = unpacked(raw[16 * count:], width)
    return [Call(*each) for each in zip(times[0::2], times[1::2], ids, strict=True)]


def work(assignment: Assignment, folder: Path, number: int) -> None:
    """All families, one after the other. What cannot be opened, or does not give ids, is said and left out."""
    for name in assignment.families:
        family = FAMILIES[name]
        try:
            with family.open(assignment.at, number) as drawing:
                drawing()()  # whatever is made at first use, is made
                _say(event="open", family=name)
                _await(gate(folder, name))
                _in_threads(assignment, folder, family, number, drawing)
        except HoldfastError as error:
            _say(event="failed", family=name, why=str(error))
        _say(event="done", family=name)


def _in_threads(a: Assignment, folder: Path, family: Family, number: int, drawing: Drawing) -> None:
    failures: list[HoldfastError] = []

    def run(thread: int) -> None:
        rng = random.Random(f"{a.seed}-{family.name}-{number}-{thread}")
        try:
            draw = patient(drawing())
            timed(folder, family.name, number, thread).write_bytes(_timed(draw, a, family.width, rng))
            made(folder, family.name, number, thread).write_bytes(packed(drawn(draw, a.count, a.box_s), family.width))
        except HoldfastError as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(a.threads)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if failures:
        raise failures[0]


def _timed(draw: Draw, a: Assignment, width: int, rng: random.Random) -> bytes:
    """In bursts that threads and processes share, as requests come."""
    times, ids, until = list[int](), list[int](), time.monotonic() + a.box_s
    while len(ids) < a.timed and time.monotonic() < until:
        if len(ids) % BURST == 0:
            time.sleep(rng.uniform(0, 2 * BREATH_S))
        began = time.monotonic_ns()
        ids.append(draw())
        times += (began, time.monotonic_ns())
    return packed(times, 8) + packed(ids, width)


def drawn(draw: Draw, count: int, box_s: float, now: Callable[[], float] = time.monotonic) -> list[int]:
    """So many ids, or as many as there are in ``box_s``."""
    found, until, chunk = list[int](), now() + box_s, 1
    while len(found) < count and now() < until:
        found += [draw() for _ in range(min(chunk, count - len(found)))]
        chunk = min(chunk * 2, CHUNK) if now() < until - box_s / 2 else min(chunk, 100)
    return found


def patient(draw: Draw) -> Draw:
    """Asks again where a store was too busy: a crowd on a file of SQLite waits for one another."""
    def again() -> int:
        for _ in range(TRIES - 1):
            with contextlib.suppress(ServerUnreachable):
                return draw()
        return draw()

    return again


def _await(path: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{path} was not opened")
        time.sleep(0.001)


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    work(from_json(place.read_bytes(), Assignment), place.parent, int(sys.argv[2]))
