# SPDX-License-Identifier: Apache-2.0
"""How far a group is behind. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._kafka.member import Point
from .progress import Progress

__all__ = ["Lag", "lags"]


@dataclass(frozen=True, slots=True)
class Lag:
    """One partition. committed: the offset below which all is done; end: the next one to be written. behind: records
    that are not done, without those that ended ahead of ``committed``. share: of all that the group is behind, 0 to 1;
    one partition with nearly all of it has a hot key, or an owner that stands still."""

    topic: str
    partition: int
    committed: int
    end: int
    behind: int
    share: float


def lags(found: Sequence[tuple[Point, int, int]]) -> list[Lag]:
    """From what a group has committed, and each partition's lowest and next offset."""
    rows = [(point, *_behind(point, low, high)) for point, low, high in found]
    whole = sum(behind for _, _, _, behind in rows)
    return [Lag(*point.place, committed, end, behind, behind / whole if whole else 0.0)
            for point, committed, end, behind in rows]


def _behind(point: Point, low: int, high: int) -> tuple[int, int, int]:
    committed = point.offset if point.offset >= 0 else low
    ahead = Progress(committed, point.metadata, 1).ended_ahead if point.offset >= 0 else 0
    return committed, high, max(0, high - committed - ahead)
