# SPDX-License-Identifier: Apache-2.0
"""What happened to a lock, read from the events that its holders' processes wrote down (``JsonLines``).

Not kept on the server: see ``inspect``. The files of several machines make one history if their clocks agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

#: Longest history that is given.
MOST = 100_000


class Told(msgspec.Struct, frozen=True):
    """One event about a lock. at: UTC, by the clock of whoever wrote it; fields: what the event has beside its kind."""

    at: str
    event: str
    kind: str
    fields: dict[str, Any]
    file: str


def history(paths: Iterable[Path], name: str, last: int) -> tuple[list[Told], int]:
    """The ``last`` events about the lock ``name``, the oldest first; and how many lines could not be read.

    A line may be torn: a process was killed while it wrote, or a disk was full.
    """
    found: list[Told] = []
    torn = 0
    for path in paths:
        with path.open("rb") as lines:
            for line in lines:
                told = _told(line, name, path)
                torn += told is False
                if isinstance(told, Told):
                    found.append(told)
                    if len(found) > MOST:
                        found = _latest(found, last)
    return _latest(found, last), torn


def _latest(found: list[Told], last: int) -> list[Told]:
    return sorted(found, key=lambda told: told.at)[-last:]


def _told(line: bytes, name: str, path: Path) -> Told | bool:
    """The event; True when it is about something else, False when it cannot be read."""
    if not line.strip():
        return True
    try:
        said = msgspec.json.decode(line)
        event, at = str(said.pop("event")), str(said.pop("ts"))
    except (msgspec.DecodeError, KeyError, AttributeError, TypeError):  # guard: a torn line is told
        return False
    if said.pop("lock", None) != name:
        return True
    kind = str(said.pop("kind", ""))
    return Told(at, event, kind, {key: value for key, value in said.items() if key != "level"}, str(path))
