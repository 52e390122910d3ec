# SPDX-License-Identifier: Apache-2.0
"""Dead lines gathered by what they died of. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from ..._base.fingerprint import fingerprint_of
from ..dead_lines import DeadLine

__all__ = ["DeadGroup", "fingerprint", "grouped"]


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one stage, one reason and one error. Times are ms since 1970; ``example``: the one that failed last."""

    fingerprint: str
    stage: str
    reason: str
    detail: str
    count: int
    bytes: int
    files: int
    first_ms: int
    last_ms: int
    example: str


def fingerprint(line: DeadLine) -> str:
    """Equal for the same error at other lines: numbers and quoted text in its words do not count."""
    return fingerprint_of([line.stage, line.reason, line.error], message=line.detail)


def grouped(lines: Iterable[DeadLine]) -> list[DeadGroup]:
    """The largest group first."""
    found: dict[str, DeadGroup] = {}
    files: dict[str, set[str]] = {}
    for line in lines:
        mark = fingerprint(line)
        files.setdefault(mark, set()).add(line.source.path)
        found[mark] = _with(found.get(mark), mark, line)
    counted = [replace(group, files=len(files[mark])) for mark, group in found.items()]
    return sorted(counted, key=lambda group: (-group.count, group.fingerprint))


def _with(group: DeadGroup | None, mark: str, line: DeadLine) -> DeadGroup:
    if group is None:
        return DeadGroup(fingerprint=mark, stage=line.stage, reason=line.reason, detail=line.detail, count=1,
                         bytes=len(line.raw), files=1, first_ms=line.first_ms, last_ms=line.last_ms, example=line.id)
    newest = line.last_ms >= group.last_ms
    return replace(group, count=group.count + 1, bytes=group.bytes + len(line.raw),
                   first_ms=min(group.first_ms, line.first_ms), last_ms=max(group.last_ms, line.last_ms),
                   example=line.id if newest else group.example, detail=line.detail if newest else group.detail)
