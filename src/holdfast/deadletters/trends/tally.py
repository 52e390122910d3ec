# SPDX-License-Identifier: Apache-2.0
"""Counting letters over time, in one pass and in bounded memory, from what their metadata says. Pure.

A window is compared with the one of equal length before it: a week with the week before. A letter belongs to the moment
it failed; where that cannot be read, to the one it was buried. Names beyond ``NAMES_MAX`` of a dimension, and
fingerprints beyond ``ERRORS_MAX``, are counted together: whoever writes letters chooses both. An error counts as new
when no letter that is still there died of it before the window, so retention decides how far back "new" looks; the
desk remembers longer.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..._base.letter_text import iso, ms_of
from ...errors import ConfigurationError
from ..letters import LetterInfo
from .report import Error, Line, Mover, Settled, Trends

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
STEPS_MAX: Final = 1_000
NAMES_MAX: Final = 1_000
ERRORS_MAX: Final = 10_000
OTHERS: Final = "(others)"
DIMENSIONS: Final = ("category", "type", "stream", "service", "reason")
#: Growing is at least so many times as often as before, and so many more.
TIMES, MORE = 2, 5


@dataclass(frozen=True, slots=True)
class Window:
    """From ``since_ms`` up to, and without, ``until_ms``, in steps of ``step_ms``. Raises ConfigurationError for one
    that is empty or has more than 1,000 steps."""

    since_ms: int
    until_ms: int
    step_ms: int = DAY_MS

    def __post_init__(self) -> None:
        if not 0 < self.steps <= STEPS_MAX:
            raise ConfigurationError(f"a trend report has 1 to {STEPS_MAX} steps, not {self.steps}: choose a shorter "
                                     "time, or days in the place of hours")

    @property
    def steps(self) -> int:
        """How many there are; the last may be cut short."""
        return -((self.since_ms - self.until_ms) // self.step_ms)

    @property
    def before_ms(self) -> int:
        """Where the window before begins."""
        return self.since_ms - (self.until_ms - self.since_ms)


def last(*, until_ms: int, days: float = 7, by_hour: bool = False) -> Window:
    """The last days, in steps of a day or an hour that end at ``until_ms``."""
    step_ms = HOUR_MS if by_hour else DAY_MS
    return Window(until_ms - max(step_ms, int(days * DAY_MS)), until_ms, step_ms)


class Fact(NamedTuple):
    """What counts of a letter. Neither its payload nor the words of its error are needed."""

    at_ms: int
    id: str
    category: str
    type: str
    stream: str
    service: str
    reason: str
    fingerprint: str


def fact_of(letter: LetterInfo, stream: str = "") -> Fact:
    """Of a letter. stream: as its users name it; otherwise the one it was first written to."""
    return fact_of_metadata(letter.metadata, stream=stream, letter_id=letter.id, at_ms=letter.dead_ms)


def fact_of_metadata(metadata: Mapping[str, str], *, stream: str = "", letter_id: str = "", at_ms: int = 0) -> Fact:
    """Of metadata by name without prefix. at_ms: when it was buried, if the metadata does not say when it failed."""
    get = metadata.get
    category, code = get("error-category", "") or "unknown", get("error-code", "")
    failed = (ms_of(get(name, "")) for name in ("failure-timestamp", "burial-timestamp"))
    return Fact(next((ms for ms in failed if ms is not None), at_ms), letter_id or get("letter-id", ""),
                f"{category}:{code}" if category == "business" and code else category, get("exception-type", ""),
                stream or get("original-topic", ""), get("consumer-service", ""), get("failure-reason", ""),
                get("exception-fingerprint", ""))


@dataclass(slots=True)
class _Row:
    """``count`` in the window, ``before`` in the one before; ``counts`` by step."""

    count: int = 0
    before: int = 0
    counts: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    """An error: its numbers, when it was first and last seen, and a letter of it."""

    first: Fact
    last: Fact
    count: int = 0
    before: int = 0


class Tally:
    """Counts facts. At most 1,000 names a dimension, 10,000 errors and 1,000 steps are told apart."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.older = self.later = 0
        self._total = _Row()
        self._rows: dict[str, dict[str, _Row]] = {dimension: {} for dimension in DIMENSIONS}
        self._errors: dict[tuple[str, str, str], _Seen] = {}

    def add(self, fact: Fact) -> None:
        """Counts one letter."""
        window, step = self.window, -1
        if fact.at_ms >= window.until_ms:
            self.later += 1
            return
        if fact.at_ms >= window.since_ms:
            step = (fact.at_ms - window.since_ms) // window.step_ms
        within = step >= 0 or fact.at_ms >= window.before_ms
        if within:
            _count(self._total, step)
            for dimension, rows in self._rows.items():
                _count(_row(rows, getattr(fact, dimension)), step)
        else:
            self.older += 1
        self._see(fact, step, within=within)

    def _see(self, fact: Fact, step: int, *, within: bool) -> None:
        """Errors are remembered beyond the window: what is new must not have been there."""
        key = (fact.fingerprint, fact.reason, fact.stream)
        seen = self._errors.get(key)
        if seen is None:
            if not fact.fingerprint or len(self._errors) >= ERRORS_MAX:  # guard: bounded errors
                return
            seen = self._errors[key] = _Seen(fact, fact)
        if fact.at_ms < seen.first.at_ms:
            seen.first = fact
        if fact.at_ms >= seen.last.at_ms:
            seen.last = fact
        if step >= 0:
            seen.count += 1
        elif within:
            seen.before += 1

    def report(self, *, top: int = 10, known_ms: Mapping[tuple[str, str], int] | None = None,
               settled: list[Settled] | None = None) -> Trends:
        """What was counted. top: entries of each list at most. known_ms: since when errors are known elsewhere, by
        stream and fingerprint."""
        window, total = self.window, self._total
        starts = [window.since_ms + step * window.step_ms for step in range(window.steps)]
        errors = sorted(self._errors.values(), key=lambda seen: (-seen.count, seen.first.at_ms, seen.first.fingerprint))
        return Trends(
            since=iso(window.since_ms), until=iso(window.until_ms), step="hour" if window.step_ms == HOUR_MS else "day",
            steps=[iso(start) for start in starts], seen=total.count + total.before + self.older + self.later,
            counted=total.count, before=total.before, older=self.older, later=self.later,
            totals=_series(total, window.steps), settled=settled,
            by={dimension: self._lines(dimension, top) for dimension in DIMENSIONS},
            new=[_error(seen) for seen in errors if self._is_new(seen, known_ms or {})][:top],
            growing=[_error(seen) for seen in errors if _grows(seen)][:top], movers=self._movers(top))

    def _is_new(self, seen: _Seen, known_ms: Mapping[tuple[str, str], int]) -> bool:
        first_ms = min(seen.first.at_ms, known_ms.get((seen.first.stream, seen.first.fingerprint), seen.first.at_ms))
        return seen.count > 0 and first_ms >= self.window.since_ms  # guard: new is what was not there before

    def _lines(self, dimension: str, top: int) -> list[Line]:
        rows = sorted(self._rows[dimension].items(), key=lambda item: (-item[1].count, -item[1].before, item[0]))
        return [Line(name=name, count=row.count, before=row.before, counts=_series(row, self.window.steps))
                for name, row in rows[:top]]

    def _movers(self, top: int) -> list[Mover]:
        found = [Mover(dimension=dimension, name=name, count=row.count, before=row.before,
                       change=row.count - row.before)
                 for dimension, rows in self._rows.items() for name, row in rows.items() if row.count != row.before]
        return sorted(found, key=lambda one: (-abs(one.change), one.dimension, one.name))[:top]


def _row(rows: dict[str, _Row], name: str) -> _Row:
    row = rows.get(name)
    if row is None:
        if len(rows) >= NAMES_MAX:  # guard: bounded names
            name = OTHERS
        row = rows.setdefault(name, _Row())
    return row


def _count(row: _Row, step: int) -> None:
    if step < 0:
        row.before += 1
    else:
        row.count += 1
        row.counts[step] = row.counts.get(step, 0) + 1


def _series(row: _Row, steps: int) -> list[int]:
    return [row.counts.get(step, 0) for step in range(steps)]


def _grows(seen: _Seen) -> bool:
    return seen.before > 0 and seen.count >= seen.before * TIMES and seen.count - seen.before >= MORE


def _error(seen: _Seen) -> Error:
    fact = seen.last
    return Error(fingerprint=fact.fingerprint, stream=fact.stream, type=fact.type, reason=fact.reason, count=seen.count,
                 before=seen.before, first=iso(seen.first.at_ms), last=iso(fact.at_ms), example=fact.id)


async def trends(letters: AsyncIterable[LetterInfo] | Iterable[LetterInfo], window: Window, *, stream: str = "",
                 top: int = 10) -> Trends:
    """The report of these letters. Give all there are, also those from before the window: they say what is new."""
    tally = Tally(window)
    if isinstance(letters, AsyncIterable):
        async for letter in letters:
            tally.add(fact_of(letter, stream))
    else:
        for letter in letters:
            tally.add(fact_of(letter, stream))
    return tally.report(top=top)
