# SPDX-License-Identifier: Apache-2.0
"""What becomes of an event: parsed, transformed, and judged. Pure, and the same for new lines, dead ones that are
replayed, and files that are only checked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .line import Line
from .parse.flaw import BOM
from .parse.parser import Parser
from .record import Record, Rejected
from .transform import NotTransformed, Transform

__all__ = ["Judged", "Skipped", "Stages"]


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """An event of which nothing goes on. ``blank``: there is no record in it; else a transform left it out."""

    line: Line
    blank: bool


Judged = Record | Rejected | Skipped


class Stages:
    """A parser, and the transforms behind it."""

    def __init__(self, parser: Parser, transforms: Sequence[Transform] = ()) -> None:
        self.parser, self._transforms = parser, tuple(transforms)

    def judge(self, line: Line) -> Judged:
        """What becomes of the event. Never raises for what it holds."""
        if line.piece:
            return Rejected(line=line, stage="read", reason="too_long", detail=f"piece {line.piece} of a longer line")
        if not line.raw.strip() or (line.offset == 0 and line.content == BOM):
            return Skipped(line=line, blank=True)
        parsed = self.parser.parse(line)
        if parsed is None:
            return Skipped(line=line, blank=True)
        if isinstance(parsed, Rejected) or not self._transforms:
            return parsed
        return self._transformed(parsed)

    def _transformed(self, record: Record) -> Judged:
        fields: dict[str, object] | None = record.fields
        try:
            for step in self._transforms:
                fields = step(fields) if fields is not None else None
        except NotTransformed as error:
            return Rejected(line=record.line, stage="transform", reason=error.reason, detail=str(error))
        except Exception as error:  # noqa: BLE001 - a user's function: one line it cannot take stops no other
            return Rejected(line=record.line, stage="transform", reason="transform_failed", detail=str(error)[:1024],
                            error=type(error).__qualname__)
        if fields is None:
            return Skipped(line=record.line, blank=False)
        return msgspec.structs.replace(record, fields=fields)
