# SPDX-License-Identifier: Apache-2.0
"""Do letters keep to the specification? A tally of what is wrong with them, and the rate that conforms."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable

import msgspec

from .._base.letter_check import check, conforms
from .letters import LetterInfo


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of problem. ``level``: error (breaks the specification), warning or info. ``example``: a letter's id."""

    field: str
    kind: str
    level: str
    count: int
    text: str
    example: str


class LintReport(msgspec.Struct, frozen=True, kw_only=True):
    """All letters looked at. ``rate``: the share without an error, 1.0 when there are no letters."""

    letters: int
    conforming: int
    rate: float
    faults: list[Fault]


async def lint(letters: AsyncIterable[LetterInfo], *, infos: bool = False) -> LintReport:
    """Checks letters. ``infos``: also tell what is merely worth knowing, such as absent recommended fields."""
    seen = conforming = 0
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], tuple[str, str]] = {}
    async for letter in letters:
        problems = check(letter.metadata)
        seen, conforming = seen + 1, conforming + conforms(problems)
        for p in problems:
            if infos or p.level != "info":
                what = p.level, p.field, p.kind
                counts[what] += 1
                first.setdefault(what, (p.text, letter.id))
    faults = [Fault(level=level, field=field, kind=kind, count=count, text=first[level, field, kind][0],
                    example=first[level, field, kind][1]) for (level, field, kind), count in sorted(counts.items())]
    return LintReport(letters=seen, conforming=conforming, rate=conforming / seen if seen else 1.0, faults=faults)
