# SPDX-License-Identifier: Apache-2.0
"""What the workers' notes come to: how late work came back, who stood still, what was done twice or never. Pure.

::

    published ─┬─ begun, ended            handled
               ├─ begun, ended, ended     handled twice: its effect is there two times
               ├─ begun ─ ✝               held: in the hands of the dead
               └─ ✝                       waiting for the dead, or for anybody

Only the notes and the times of publishing are looked at. No consumer is asked: one that loses a message would not know.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

BEGUN, ENDED = "S", "E"


class Note(NamedTuple):
    """One line: a handler began, or ended. at: seconds of the machine's monotonic clock, which its processes share."""

    kind: str
    scheme: str
    id: str
    at: float
    pid: int


class Death(NamedTuple):
    """Who was killed when, and until when the others were watched."""

    pid: int
    at: float
    until: float


class Notebook:
    """The file that all workers append to. One write a line: what was noted before a SIGKILL is there afterwards."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: str, scheme: str, message_id: str) -> None:
        """Notes it, with the time and our pid."""
        os.write(self._file, f"{kind} {scheme} {message_id} {time.monotonic():.6f} {os.getpid()}\n".encode())


def read(text: str) -> list[Note]:
    """The notes of a file, in the order of their times."""
    rows = (line.split(" ") for line in text.splitlines())
    return sorted((Note(kind, scheme, one, float(at), int(pid)) for kind, scheme, one, at, pid in rows),
                  key=lambda note: note.at)


def handled_twice(notes: Iterable[Note]) -> int:
    """Messages whose handler came to its end more than once."""
    return sum(1 for count in Counter(n.id for n in notes if n.kind == ENDED).values() if count > 1)


def lost(published: Collection[str], notes: Iterable[Note]) -> int:
    """Messages whose handler never came to its end."""
    return len(set(published) - {n.id for n in notes if n.kind == ENDED})


def in_hand(notes: Iterable[Note], pid: int) -> int:
    """Messages that this worker has begun and not ended."""
    count: Counter[str] = Counter()
    for note in notes:
        if note.pid == pid:
            count[note.id] += 1 if note.kind == BEGUN else -1
    return sum(1 for n in count.values() if n > 0)


def orphans(published: Mapping[str, float], notes: Sequence[Note], pid: int, at: float) -> set[str]:
    """What the dead one held or had before it: published by then, not ended, and not in a survivor's hands."""
    settled = {n.id for n in notes if n.at <= at and (n.kind == ENDED or n.pid != pid)}
    return {one for one, when in published.items() if when <= at and one not in settled}


def recovery_s(published: Mapping[str, float], notes: Sequence[Note], death: Death) -> float | None:
    """From the kill until the last orphan was handled. None: there was none, or one of them never came back."""
    left = orphans(published, notes, death.pid, death.at)
    back: dict[str, float] = {}
    for note in notes:
        if note.kind == ENDED and note.id in left and note.pid != death.pid:
            back.setdefault(note.id, note.at)
    return max(back.values()) - death.at if left and left == back.keys() else None


def stop_s(published: Mapping[str, float], notes: Sequence[Note], death: Death) -> float:
    """The longest time after the kill in which no survivor began anything although something waited.

    At an even rate it is never less than about the distance of two messages.
    """
    begun = [n for n in notes if n.kind == BEGUN and n.pid != death.pid]
    first: dict[str, float] = {}
    for note in begun:
        first.setdefault(note.id, note.at)
    done = {n.id for n in notes if n.kind == ENDED and n.pid == death.pid}
    waits = [(when, first.get(one, death.until)) for one, when in published.items() if one not in done]
    moments = [death.at, *(n.at for n in begun if death.at < n.at < death.until), death.until]
    return max(_waited(waits, a, b) for a, b in pairwise(moments))


def _waited(waits: Iterable[tuple[float, float]], a: float, b: float) -> float:
    """How long of the gap from ``a`` to ``b`` something waited that was not begun before ``b``."""
    since = min((when for when, begun in waits if when < b <= begun), default=b)
    return b - max(a, since)
