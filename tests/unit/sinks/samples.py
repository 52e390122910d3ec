# SPDX-License-Identifier: Apache-2.0
"""One of every event, made from its annotations, and small helpers for the sinks' tests."""

from __future__ import annotations

import typing

from holdfast._base import events as ev
from holdfast._base.clock import Instant, WallMs

_VALUES = {str: "words", int: 3, float: 1.5, bool: True, float | None: 2.0, tuple[float, ...]: (0.1, 0.2)}


class FixedClock:
    """2026-11-22T07:00:00.123Z, until told otherwise."""

    def __init__(self, wall: int = 1_795_330_800_123) -> None:
        self.wall = wall

    def now(self) -> Instant:
        return Instant(0.0)

    def wall_ms(self) -> WallMs:
        return WallMs(self.wall)


def event_types() -> list[type[ev.Event]]:
    """Every event that rooms emit; bases, which only others build upon, left out."""
    found = [cls for cls in vars(ev).values() if isinstance(cls, type) and issubclass(cls, ev.Event)]
    bases = (ev.Event, ev.OfCounter, ev.OfGossip, ev.OfGroup, ev.OfIdTag, ev.OfLetters, ev.OfLock, ev.OfLogs,
             ev.OfSecrets, ev.OfWorkerId)
    return [cls for cls in found if cls not in bases]


def one_of(cls: type[ev.Event], **given: object) -> ev.Event:
    """An event with a plausible value in every field."""
    hints = typing.get_type_hints(cls)
    values = {name: _VALUES.get(hints[name]) for name in cls.__struct_fields__ if name != "level"}
    return cls(**{**values, **given})
