# SPDX-License-Identifier: Apache-2.0
"""Do letters keep to the specification? A tally of what is wrong with them, and the rate that conforms."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable

import msgspec

from .._base.letter_check import check, conforms
from .letters import LetterInfo

#: Services that are told apart.
SERVICES_MAX = 100


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of problem. ``level``: error (breaks the specification), warning or info. ``example``: a letter's id."""

    field: str
    kind: str
    level: str
    count: int
    text: str
    example: str


class Conformance(msgspec.Struct, frozen=True, kw_only=True):
    """Letters that one service wrote, by its own word (``x-dlq-consumer-service``). ``service``: empty where it does
    not say. ``rate``: the share without an error."""

    service: str
    valid: int
    invalid: int
    rate: float


class LintReport(msgspec.Struct, frozen=True, kw_only=True):
    """All letters looked at. ``rate``: the share without an error, 1.0 when there are no letters. ``services``: the
    same for each, those with the most letters first."""

    letters: int
    conforming: int
    rate: float
    faults: list[Fault]
    services: list[Conformance]


async def lint(letters: AsyncIterable[LetterInfo], *, infos: bool = False) -> LintReport:
    """Checks letters. ``infos``: also tell what is merely worth knowing, such as absent recommended fields."""
    valid: Counter[str] = Counter()
    invalid: Counter[str] = Counter()
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], tuple[str, str]] = {}
    async for letter in letters:
        problems = check(letter.metadata)
        (valid if conforms(problems) else invalid)[letter.metadata.get("consumer-service", "")] += 1
        for p in problems:
            if infos or p.level != "info":
                what = p.level, p.field, p.kind
                counts[what] += 1
                first.setdefault(what, (p.text, letter.id))
    faults = [Fault(level=level, field=field, kind=kind, count=count, text=first[level, field, kind][0],
                    example=first[level, field, kind][1]) for (level, field, kind), count in sorted(counts.items())]
    seen, conforming = valid.total() + invalid.total(), valid.total()
    return LintReport(letters=seen, conforming=conforming, rate=conforming / seen if seen else 1.0, faults=faults,
                      services=_services(valid, invalid))


def _services(valid: Counter[str], invalid: Counter[str]) -> list[Conformance]:
    """A line a service. Beyond ``SERVICES_MAX`` they are ``(others)``: whoever writes letters chooses these names."""
    seen = (valid + invalid).most_common()
    named, rest = [name for name, _ in seen[:SERVICES_MAX]], [name for name, _ in seen[SERVICES_MAX:]]
    lines = [(name, valid[name], invalid[name]) for name in named]
    if rest:
        lines.append(("(others)", sum(valid[name] for name in rest), sum(invalid[name] for name in rest)))
    return [Conformance(service=name, valid=good, invalid=bad, rate=good / (good + bad)) for name, good, bad in lines]
