# SPDX-License-Identifier: Apache-2.0
"""Counters in this process, for tests of what uses ids: the rules of ``ceiling`` as they are; nothing lasts."""

from __future__ import annotations

import threading

from ...errors import IdsRefused
from .ceiling import Asked, Record, Span, begun, opened, raised, taken
from .store import Segment, Share


class MemoryCounter:
    """Fulfils ``CounterStore``. Numbers end with the process; give it to whatever is to share them. part, parts: see
    ``store``. reserve: as ``RedisCounter`` has it."""

    name = "memory"

    def __init__(self, *, reserve: int = 10_000, part: int = 0, parts: int = 1) -> None:
        self.share = Share(part, parts)
        self._reserve = reserve
        self._guard = threading.Lock()
        self._records: dict[str, Record] = {}

    def take(self, tag: str, count: int) -> Segment:
        """See ``CounterStore``."""
        with self._guard:
            record = self._records.get(tag)
            span = Span(record.last if record else 0)
            count = min(count, span.most - span.base)
            if count < 1:
                raise IdsRefused(f"the counter {tag!r} has no number below 2^53 any more", why="layout")
            while (new := taken(record, "memory", count, 0, span)) is None:
                record = self._higher(record, count, span)
            self._records[tag] = new
        return Segment(self.share.ids(span.base + 1, new.last), new.epoch)

    def tend(self, tag: str) -> None:
        """Nothing helps."""

    def close(self) -> None:
        """Keeps what it has."""

    def _higher(self, record: Record | None, count: int, span: Span) -> Record | None:
        """Raised and opened at once: what was raised lasts as long as what is given."""
        asked = Asked("memory", "1", count, self._reserve, floor=0, part=self.share.part, parts=self.share.parts)
        found = begun(record, asked)
        new = raised(found, asked, span).record if found is not None else None
        return opened(new, "1", new.raised) if new is not None else None
