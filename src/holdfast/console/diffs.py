# SPDX-License-Identifier: Apache-2.0
"""Two texts side by side, line by line: what an edit changes, before it is kept. Pure.

What both have at their beginning and end is set aside first, so a small edit of a long text is found at once; between
them ``difflib`` looks for what moved least, up to ``LINES_MAX`` lines: beyond that the middle is shown as replaced.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

#: Lines compared with each other, rows shown, unchanged lines around a change, characters of a line.
LINES_MAX, ROWS_MAX, AROUND, LINE_MAX = 2_000, 1_000, 3, 1_000
_TAGS: Final = {"equal": "same", "replace": "changed", "delete": "removed", "insert": "added"}
Tag = Literal["same", "changed", "removed", "added", "skipped"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line on each side. Numbers from 1; 0: no line on this side. skipped: so many unchanged lines are left out."""

    tag: Tag
    old: str = ""
    new: str = ""
    old_number: int = 0
    new_number: int = 0
    skipped: int = 0


class SideBySide(msgspec.Struct, frozen=True, kw_only=True):
    """The rows; changed: lines that differ; more: rows that are not shown."""

    rows: list[Row]
    changed: int
    more: int


def side_by_side(before: str, after: str) -> SideBySide:
    """What the second text changes in the first."""
    old, new = before.split("\n"), after.split("\n")  # so that a line end at the end is seen as well
    rows = list(_folded(list(_rows(old, new))))
    changed = sum(row.tag not in ("same", "skipped") for row in rows)
    return SideBySide(rows=rows[:ROWS_MAX], changed=changed, more=max(0, len(rows) - ROWS_MAX))


def _rows(old: Sequence[str], new: Sequence[str]) -> Iterator[Row]:
    for tag, i1, i2, j1, j2 in _steps(old, new):
        for n in range(max(i2 - i1, j2 - j1)):
            left, right = i1 + n < i2, j1 + n < j2
            kind: Tag = _TAGS[tag] if left and right else "removed" if left else "added"  # type: ignore[assignment]
            yield Row(tag=kind, old=_cut(old[i1 + n]) if left else "", new=_cut(new[j1 + n]) if right else "",
                      old_number=i1 + n + 1 if left else 0, new_number=j1 + n + 1 if right else 0)


def _steps(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    head = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    rest = min(len(old), len(new)) - head
    tail = next((n for n in range(rest) if old[-1 - n] != new[-1 - n]), rest)
    a, b = old[head:len(old) - tail], new[head:len(new) - tail]
    yield "equal", 0, head, 0, head
    if max(len(a), len(b)) > LINES_MAX:
        yield "replace", head, head + len(a), head, head + len(b)
    else:
        for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
            yield tag, head + i1, head + i2, head + j1, head + j2
    yield "equal", len(old) - tail, len(old), len(new) - tail, len(new)


def _folded(rows: Sequence[Row]) -> Iterator[Row]:
    """Unchanged lines far from any change are one row that says how many they are."""
    near = [False] * len(rows)
    for n, row in enumerate(rows):
        if row.tag != "same":
            near[max(0, n - AROUND):n + AROUND + 1] = [True] * len(near[max(0, n - AROUND):n + AROUND + 1])
    skipped = 0
    for row, kept in zip(rows, near, strict=True):
        if not kept:
            skipped += 1
            continue
        if skipped:
            yield Row(tag="skipped", skipped=skipped)
            skipped = 0
        yield row
    if skipped:
        yield Row(tag="skipped", skipped=skipped)


def _cut(line: str) -> str:
    return line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]}… ({len(line) - LINE_MAX} characters more)"
