# SPDX-License-Identifier: Apache-2.0
"""The records of a trend report. Times are UTC, ISO-8601. ``count`` is of the window, ``before`` of the one before."""

from __future__ import annotations

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Letters of one category, type, stream, service or reason. counts: for each step of the window, oldest first.

    name: ``(others)`` is what came after too many names were told apart; empty where letters do not say it.
    """

    name: str
    count: int
    before: int
    counts: list[int]

    @property
    def change(self) -> int:
        """How many more there are than before."""
        return self.count - self.before


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Letters that died of the same thing. first: of all that were seen, not only in the window. example: a letter."""

    fingerprint: str
    stream: str
    type: str
    reason: str
    count: int
    before: int
    first: str
    last: str
    example: str


class Mover(msgspec.Struct, frozen=True, kw_only=True):
    """A line whose number changed most. dimension: category, type, stream, service or reason."""

    dimension: str
    name: str
    count: int
    before: int
    change: int


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How long letters of a category took from burial to an end (resolved, archived, gone). open: not there yet.

    mean_s, longest_s: seconds, of those that ended within the window; None when none did.
    """

    category: str
    settled: int
    open: int
    mean_s: float | None
    longest_s: float | None


class Trends(msgspec.Struct, frozen=True, kw_only=True):
    """The report. seen = counted + before + older + later, so that every letter is accounted for.

    since, until: the window; step: hour or day; steps: when each begins. totals: letters for each. older, later:
    letters outside of the window and the one before it; later ones have clocks that are ahead. by: lines by dimension,
    the largest first. new: errors that were not seen before the window. growing: those that are at least twice
    as many as before, and five more. movers: what changed most. settled: None where nothing knows it.
    """

    since: str
    until: str
    step: str
    steps: list[str]
    seen: int
    counted: int
    before: int
    older: int
    later: int
    totals: list[int]
    by: dict[str, list[Line]]
    new: list[Error]
    growing: list[Error]
    movers: list[Mover]
    settled: list[Settled] | None = None
