# SPDX-License-Identifier: Apache-2.0
"""The ledger of a source: what became of each range of bytes. Ranges of ok, rejected and blank lines tile it exactly.

It is kept while lines are judged, not computed afterwards: a range that does not begin where the one before it ended
is an error of ours, and is raised at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from .line import Line
from .mark import Counts
from .record import Record
from .stages import Judged, Skipped

__all__ = ["Ledger", "NotTiled", "counted"]


class NotTiled(AssertionError):
    """Ranges overlap or leave a gap: a fault of this library, never of a file."""


class Ledger:
    """Counts of one source from ``at`` on."""

    def __init__(self, at: int = 0) -> None:
        self.began = self.at = at
        self.counts = Counts()

    def add(self, lines: Iterable[Line], counts: Counts) -> None:
        """Ranges that were judged, in order, and what they count as together."""
        for line in lines:
            if line.offset != self.at:  # guard: ranges tile
                raise NotTiled(f"{line.source.path}: a range begins at {line.offset}, and the one before it ended at "
                               f"{self.at}")
            self.at = line.end
        self.counts = self.counts.plus(counts)


def counted(judged: Iterable[Judged]) -> Counts:
    """The ranges of judged events, by what became of them. What a transform leaves out is ok."""
    ok = rejected = blank = ok_bytes = rejected_bytes = blank_bytes = 0
    for one in judged:
        line = one.line
        if isinstance(one, Record) or (isinstance(one, Skipped) and not one.blank):
            ok += line.lines
            ok_bytes += line.length
        elif isinstance(one, Skipped):
            blank += line.lines
            blank_bytes += line.length
        else:
            rejected += line.lines
            rejected_bytes += line.length
    return Counts(ok=ok, rejected=rejected, blank=blank, ok_bytes=ok_bytes, rejected_bytes=rejected_bytes,
                  blank_bytes=blank_bytes)
