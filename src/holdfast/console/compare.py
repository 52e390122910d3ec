# SPDX-License-Identifier: Apache-2.0
"""What an edit changes, found in a time that does not grow with the square of a payload. Pure.

Lines that both begin and end with are left out before anything is compared, since an edit is mostly small; what is left
is compared line by line up to ``LINES_MAX``, and beyond it said to be another text altogether.
"""

from __future__ import annotations

import difflib
from typing import Final

#: Changed lines that are compared; lines of context around a change.
LINES_MAX: Final = 1_000
CONTEXT: Final = 3


def difference(before: str, after: str, most: int) -> str:
    """A unified diff, cut after ``most`` characters."""
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return ""
    first = _same(old, new)
    last = _same(old[first:][::-1], new[first:][::-1])
    left = old[first:len(old) - last], new[first:len(new) - last]
    if max(map(len, left)) > LINES_MAX:  # guard: no comparing without end
        return f"@@ {len(left[0])} lines are {len(left[1])} others, from line {first + 1} on: too many to compare @@"
    begin, end = max(0, first - CONTEXT), max(0, last - CONTEXT)
    told = difflib.unified_diff(old[begin:len(old) - end], new[begin:len(new) - end], "as it died", "as it is sent",
                                lineterm="", n=CONTEXT)
    return "\n".join(line if begin == 0 else _moved(line, begin) for line in told)[:most]


def _same(one: list[str], other: list[str]) -> int:
    """With how many equal lines both begin."""
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return n
    return min(len(one), len(other))


def _moved(line: str, by: int) -> str:
    """A head ``@@ -A,n +B,m @@`` that counts from the beginning of the text, and not of what was compared."""
    if not line.startswith("@@ -"):
        return line
    _, old, new, _ = line.split(" ")
    return f"@@ {_begun(old, by)} {_begun(new, by)} @@"


def _begun(place: str, by: int) -> str:
    at, comma, count = place[1:].partition(",")
    return f"{place[0]}{int(at) + by}{comma}{count}"
