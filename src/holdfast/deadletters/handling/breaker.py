# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker of automatic replays, one for a category and a source, as a value that several instances share.
Pure.

::

              failures ≥ ratio of ≥ min_calls              pause over
    closed ────────────────────────────────────▶ open ────────────────▶ one probe
       ▲                                           ▲  (twice as long each time)  │ │
       │                                           └────────── it died again ────┘ │
       └────────────────────────────── it was handled ─────────────────────────────┘

It is not the consumer's breaker (``consume.breaker``): that one pauses reading within a process, by attempts; this one
pauses replays, by what became of them, which is known much later and perhaps to another instance. So it is a value,
that each instance moves by compare-and-set. Source: M. Nygard, "Release It!".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from ...errors import ConfigurationError

SLICES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When replays of a category pause, and how they come back.

    ratio, min_calls, window_s: pauses when of at least ``min_calls`` replays whose end became known in the last
        ``window_s`` this share died again. Fewer calls notice an outage sooner, and trip over bad luck more often.
    pause_s, pause_s_max: before the first probe; doubled with each probe that dies again, up to the latter.
    probe_s: a probe of which nothing was heard for so long is given up, and another one sent.
    """

    ratio: float = 0.5
    min_calls: int = 10
    window_s: float = 300.0
    pause_s: float = 30.0
    pause_s_max: float = 900.0
    probe_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1 or self.min_calls < 1:
            raise ConfigurationError("breaker: the ratio is above 0 and up to 1, and min_calls counts from 1")
        if not 0 < self.pause_s <= self.pause_s_max or self.window_s <= 0 or self.probe_s <= 0:
            raise ConfigurationError("breaker: window_s, pause_s, pause_s_max and probe_s are seconds above 0")


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """One of them. until_ms: no probe before. opened: how often in a row it opened. probe: the letter that is sent to
    see, and until when it is waited for. counts: ``[slice, handled, died]`` of the window."""

    state: Literal["closed", "open", "probing"] = "closed"
    until_ms: int = 0
    opened: int = 0
    probe: str = ""
    probe_until_ms: int = 0
    counts: list[list[int]] = []


@dataclass(frozen=True, slots=True)
class Leave:
    """May a letter be sent back now? breaker: as it is after that. wait_ms: until then not; 0: go."""

    breaker: Breaker
    wait_ms: int = 0


def leave(breaker: Breaker, letter_id: str, now_ms: int, rules: BreakerRules) -> Leave:
    """Asks for one replay. Where it is paused, one letter goes as a probe when the pause is over."""
    if breaker.state == "closed" or breaker.probe == letter_id:
        return Leave(breaker)
    if breaker.state == "open" and now_ms < breaker.until_ms:  # guard: paused
        return Leave(breaker, breaker.until_ms)
    if breaker.state == "probing" and now_ms < breaker.probe_until_ms:  # guard: one probe at a time
        return Leave(breaker, min(breaker.probe_until_ms, now_ms + _ms(rules.pause_s)))
    return Leave(msgspec.structs.replace(breaker, state="probing", probe=letter_id,
                                         probe_until_ms=now_ms + _ms(rules.probe_s)))


def after(breaker: Breaker, letter_id: str, now_ms: int, rules: BreakerRules, *, handled: bool) -> Breaker:
    """What became of one replay: it was handled, or its message died again."""
    if breaker.state != "closed":
        if breaker.probe != letter_id:
            return breaker  # guard: what was sent before it opened says nothing new
        return Breaker() if handled else _open(breaker, now_ms, rules)
    counts = _counted(breaker.counts, now_ms, rules, handled=handled)
    died, total = sum(row[2] for row in counts), sum(row[1] + row[2] for row in counts)
    if total >= rules.min_calls and died >= rules.ratio * total:
        return _open(breaker, now_ms, rules)
    return msgspec.structs.replace(breaker, counts=counts)


def _open(breaker: Breaker, now_ms: int, rules: BreakerRules) -> Breaker:
    pause_s = min(rules.pause_s_max, rules.pause_s * 2.0 ** min(breaker.opened, 60))
    return Breaker(state="open", until_ms=now_ms + _ms(pause_s), opened=breaker.opened + 1)


def _counted(counts: list[list[int]], now_ms: int, rules: BreakerRules, *, handled: bool) -> list[list[int]]:
    part = int(now_ms / 1000 / rules.window_s * SLICES)
    kept = [row for row in counts if part - SLICES < row[0] < part]
    mine = next((row for row in counts if row[0] == part), [part, 0, 0])
    return [*kept, [part, mine[1] + handled, mine[2] + (not handled)]]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
