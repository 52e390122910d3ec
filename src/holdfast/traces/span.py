# SPDX-License-Identifier: Apache-2.0
"""A span as every format is read into: who did what from when to when, and for whom."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["", "internal", "server", "client", "producer", "consumer"]


class Span(msgspec.Struct, frozen=True, gc=False):
    """One span. trace_id, span_id, parent_id: lower-case hex or the format's own text; no parent: an empty text.

    start_ns, end_ns: since 1970, as they were written; nothing is corrected here. kind: empty where nobody said. host:
    where it ran; empty where nobody said. follows: its parent does not wait for it (``FOLLOWS_FROM``). attributes: a
    JSON object as text, or nothing.
    """

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    operation: str
    start_ns: int
    end_ns: int
    kind: Kind = ""
    error: bool = False
    host: str = ""
    follows: bool = False
    attributes: str = ""

    @property
    def start_us(self) -> int:
        """Whole µs since 1970."""
        return self.start_ns // 1000

    @property
    def duration_us(self) -> int:
        """Whole µs, rounded down, as the field's files have it."""
        return (self.end_ns - self.start_ns) // 1000
