# SPDX-License-Identifier: Apache-2.0
"""What is durable, source by source: the state a checkpoint is written from. Pure.

The ledger's invariant is looked at with every batch: what came of a source's lines adds up to every byte between where
reading began and its mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from .ledger import NotTiled
from .mark import Counts, Mark, State, Stranger
from .record import Rejected

__all__ = ["Registry"]


class Registry:
    """The marks of one pipeline."""

    def __init__(self, state: State) -> None:
        self._epoch, self._next = state.epoch, state.next
        self._marks = {mark.source.id: mark for mark in state.marks}
        self._strangers = dict(state.strangers)
        self._refused: dict[str, None] = {}

    @property
    def marks(self) -> Sequence[Mark]:
        """Of all sources that are known, in the order in which they were found."""
        return tuple(self._marks.values())

    @property
    def next(self) -> int:
        """Makes the id of the source that is found next."""
        return self._next

    def state(self) -> State:
        """What a checkpoint says."""
        return State(epoch=self._epoch, next=self._next, marks=tuple(self._marks.values()),
                     strangers=self._strangers)

    def family(self, source_id: str) -> str:
        """The path that was asked for, of a source."""
        mark = self._marks.get(source_id)
        return mark.family if mark else ""

    def know(self, marks: Iterable[Mark], next_id: int,
             strangers: Mapping[str, tuple[Stranger, ...]] | None = None) -> None:
        """Sources that are new, or that are to be known again by more than is durable of them. ``strangers``: if there
        are others than before."""
        for mark in marks:
            before = self._marks.get(mark.source.id, mark)
            self._marks[mark.source.id] = msgspec.structs.replace(before, seen=mark.seen)
        self._next = next_id
        if strangers is not None:
            self._strangers = dict(strangers)

    def advance(self, mark: Mark) -> None:
        """A source is durable up to ``mark``, whose counts are what came since the mark before."""
        before = self._marks.get(mark.source.id)
        counts = before.counts.plus(mark.counts) if before else mark.counts
        after = msgspec.structs.replace(mark, counts=counts, began=before.began if before else mark.began)
        if not after.tiles:  # guard: ok, rejected and blank add up to what was read
            raise NotTiled(f"{after.source.path}: {after.counts.bytes} bytes are accounted for from {after.began} on, "
                           f"and {after.at} is where reading is")
        self._marks[mark.source.id] = after

    def refuse(self, rejected: Iterable[Rejected]) -> None:
        """Lines that were taken for good ones are rejected after all. One that is refused twice, having been spooled
        twice around a crash, counts once."""
        for one in rejected:
            mark = self._marks.get(one.line.source.id)
            if mark is not None and one.line.id not in self._refused:
                self._remember(one.line.id)
                counts = mark.counts.refused(one.line.lines, one.line.length)
                self._marks[mark.source.id] = msgspec.structs.replace(mark, counts=counts)

    def _remember(self, line_id: str) -> None:
        self._refused[line_id] = None
        if len(self._refused) > 10_000:
            del self._refused[next(iter(self._refused))]

    def forget(self, source_id: str) -> None:
        """A source ended long ago, and its file is gone."""
        self._marks.pop(source_id, None)

    def totals(self) -> Counts:
        """Of all sources that are known."""
        total = Counts()
        for mark in self._marks.values():
            total = total.plus(mark.counts)
        return total
