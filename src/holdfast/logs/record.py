# SPDX-License-Identifier: Apache-2.0
"""What became of a line: a record for the sink, or a rejection with its reason for the dead letters."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .line import Line

__all__ = ["Record", "Rejected", "Stage"]

#: Where a line failed: reading it (too long), decoding it (is it JSON), validating it (has it what it must have),
#: assembling several into one event, transforming it, or handing it to the sink.
Stage = Literal["read", "decode", "validate", "assemble", "transform", "sink"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed event. ``line`` is its range and its bytes; ``id`` is ``line.id``, kept because it is asked for often.

    ``timestamp_ns``: the event's own time, ns since 1970, or None where it says none.
    """

    id: str
    line: Line
    fields: dict[str, Any]
    timestamp_ns: int | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A line that cannot go on. ``reason`` is short and stable (``not_json``, ``bad_utf8``, …): it groups and counts.

    ``detail`` is for people; ``at_byte``: where in the line, -1 when that is not known; ``error``: the type of the
    error behind it, if there was one.
    """

    line: Line
    stage: Stage
    reason: str
    detail: str = ""
    at_byte: int = -1
    error: str = ""
