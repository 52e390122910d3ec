# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next attempt.

Each kind of back-off is a frozen value with one method, ``delay_s(attempt, chance)``: ``attempt`` is the number of the
attempt that just failed, from 1, and ``chance`` the randomness. The default elsewhere is exponential with full jitter:
it spreads the callers of a recovering dependency best, at the price that a single delay may be close to nothing.
Source: M. Brooker, "Exponential Backoff And Jitter" (2015).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from .._base.chance import Chance
from ..errors import ConfigurationError

Jitter = Literal["full", "equal", "none"]


@runtime_checkable
class Backoff(Protocol):
    """Anything that says how long to wait after attempt number ``attempt`` (from 1) has failed."""

    def delay_s(self, attempt: int, chance: Chance) -> float:
        """Seconds to wait, never negative."""
        ...


def _check_seconds(name: str, value: float) -> None:
    if not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{name}={value!r}: give a finite number of seconds, 0 or more")


@dataclass(frozen=True, slots=True)
class Immediate:
    """No wait. Right for conflicts that are over by the time one asks again; wrong for anything that is overloaded."""

    def delay_s(self, attempt: int, chance: Chance) -> float:
        """Seconds to wait after attempt number ``attempt`` has failed."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same wait each time, in seconds."""

    wait_s: float

    def __post_init__(self) -> None:
        _check_seconds("wait_s", self.wait_s)

    def delay_s(self, attempt: int, chance: Chance) -> float:
        """Seconds to wait after attempt number ``attempt`` has failed."""
        return self.wait_s


@dataclass(frozen=True, slots=True)
class Linear:
    """``step_s`` after the first attempt, twice that after the second, and so on up to ``cap_s``."""

    step_s: float
    cap_s: float = 300.0

    def __post_init__(self) -> None:
        _check_seconds("step_s", self.step_s)
        _check_seconds("cap_s", self.cap_s)

    def delay_s(self, attempt: int, chance: Chance) -> float:
        """Seconds to wait after attempt number ``attempt`` has failed."""
        return min(self.cap_s, self.step_s * max(attempt, 1))


@dataclass(frozen=True, slots=True)
class Exponential:
    """``base_s``, then ``factor`` times as much after each attempt, up to ``cap_s``; spread by ``jitter``.

    full: evenly in [0, delay). equal: evenly in [delay/2, delay). none: the delay itself, for tests and for people
    who look at clocks; a thousand messages that failed together then come back together.
    """

    base_s: float = 1.0
    cap_s: float = 300.0
    factor: float = 2.0
    jitter: Jitter = "full"

    def __post_init__(self) -> None:
        _check_seconds("base_s", self.base_s)
        _check_seconds("cap_s", self.cap_s)
        if not math.isfinite(self.factor) or self.factor < 1:
            raise ConfigurationError(f"factor={self.factor!r}: a back-off grows, so give 1 or more")
        if self.jitter not in ("full", "equal", "none"):
            raise ConfigurationError(f"jitter={self.jitter!r}: give 'full', 'equal' or 'none'")

    def ceiling_s(self, attempt: int) -> float:
        """The delay before jitter."""
        try:
            return min(self.cap_s, self.base_s * self.factor ** max(attempt - 1, 0))
        except OverflowError:  # past 2 ** 1023 the power has no float; the cap was reached long before
            return self.cap_s

    def delay_s(self, attempt: int, chance: Chance) -> float:
        """Seconds to wait after attempt number ``attempt`` has failed."""
        full = self.ceiling_s(attempt)
        if self.jitter == "full":
            return full * chance.random()
        if self.jitter == "equal":
            return full * (0.5 + 0.5 * chance.random())
        return full


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits written down, in seconds; after the last one, the last one again."""

    waits_s: tuple[float, ...]

    def __init__(self, waits_s: Iterable[float]) -> None:
        object.__setattr__(self, "waits_s", tuple(waits_s))
        if not self.waits_s:
            raise ConfigurationError("Schedule needs at least one wait, for example Schedule((1, 5, 30))")
        for wait_s in self.waits_s:
            _check_seconds("Schedule", wait_s)

    def delay_s(self, attempt: int, chance: Chance) -> float:
        """Seconds to wait after attempt number ``attempt`` has failed."""
        return float(self.waits_s[min(max(attempt, 1), len(self.waits_s)) - 1])
