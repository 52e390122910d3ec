# SPDX-License-Identifier: Apache-2.0
"""A report with what belongs to it, as one value that every output reads; and as JSON. Pure.

The JSON begins with the report's own fields. ``input`` says what was read, ``thresholds`` what was crossed, ``profile``
where the program's own time went (with ``--profile``). More keys may come; those that are there stay.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..answers.report import Operation, Report
from ..formats.bad import Bad
from .thresholds import Breach

#: Rejected records that JSON and the page show; a file of rejects has all of them.
REJECTS_SHOWN = 100


class Input(msgspec.Struct, frozen=True):
    """What was read. lines = ok + rejected + blank; bytes: without compression. reasons: rejected records by reason,
    of those that were kept in memory. No lines: it was not counted, as of a file that grows."""

    sources: list[str]
    lines: int
    ok: int
    rejected: int
    blank: int
    bytes: int
    reasons: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Story:
    """All that an output may show. bad: the first records that could not be read. profile: seconds by stage."""

    report: Report
    input: Input
    bad: Sequence[Bad] = ()
    breaches: Sequence[Breach] = ()
    thresholds: int = 0
    profile: Mapping[str, float] = field(default_factory=dict)


def reasons(bad: Sequence[Bad]) -> dict[str, int]:
    """How often each reason was given, the most frequent first."""
    return dict(sorted(Counter(one.reason for one in bad).items(), key=lambda item: (-item[1], item[0])))


def as_json(story: Story) -> dict[str, Any]:
    """The report as one JSON value."""
    value: dict[str, Any] = msgspec.to_builtins(story.report)
    read = msgspec.to_builtins(story.input)
    value["input"] = read if story.input.lines else {"sources": read["sources"]}
    value["rejects"] = [reject(one) for one in story.bad[:REJECTS_SHOWN]]
    if story.thresholds:
        value["thresholds"] = msgspec.to_builtins(list(story.breaches))
    if story.profile:
        value["profile"] = {stage: round(seconds, 6) for stage, seconds in story.profile.items()}
    return value


def reject(one: Bad) -> dict[str, Any]:
    """A rejected record: where it stands and why, without its bytes."""
    return {"source": one.source, "offset": one.offset, "length": one.length, "line": one.line, "reason": one.reason}


def reject_line(one: Bad) -> bytes:
    """A rejected record with its bytes in base64, as a line of JSON."""
    return msgspec.json.encode({**reject(one), "raw": one.raw}) + b"\n"


def operations_csv(report: Report) -> str:
    """The operations as a table, RFC 4180: their fields in their order. Names stand as they are in the file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(Operation.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(one) for one in report.operations)
    return text.getvalue()
