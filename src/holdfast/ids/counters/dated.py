# SPDX-License-Identifier: Apache-2.0
"""Numbers that begin with a date: ``2026112600000042`` is the 42nd one of that day.

The number is one counter all the same: it goes on at the first number of a date as soon as the date has begun, and
never back. So a store whose clock steps back goes on with the later date, until that is over by its clock too; two
servers with two clocks cannot make one number twice. Keys that are named by a date and expire do: a clock that steps
back behind an expiry begins the same date again (redis-id-generator#2, #10).

Dates are those of UTC, by the clock of the store. A date that was in the future once is in force until it has come.

With 16 digits in all a number fits 53 bits, so that JavaScript can read it: 8 digits for a day leave 8, a hundred
million ids a day. What is beyond the width is refused: it would look like another date.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigurationError
from .ceiling import Span

Unit = Literal["month", "day", "hour", "minute"]
#: Digits of a date: 202611, 20261126, 2026112618, 202611261842.
DIGITS: dict[str, int] = {"month": 6, "day": 8, "hour": 10, "minute": 12}
_FORMATS = {"month": "%Y%m", "day": "%Y%m%d", "hour": "%Y%m%d%H", "minute": "%Y%m%d%H%M"}
#: So many in all.
TOTAL = 16


@dataclass(frozen=True)
class Dated:
    """unit: how often numbering begins anew, and how exact the date is. width: digits behind the date; fewer make
    shorter ids, and refuse earlier. None: as many as fit."""

    unit: Unit = "day"
    width: int | None = None

    def __post_init__(self) -> None:
        if self.unit not in DIGITS:
            raise ConfigurationError(f"dated by {self.unit!r}: one of {', '.join(DIGITS)}")
        if not 1 <= self.digits <= TOTAL - DIGITS[self.unit]:
            raise ConfigurationError(f"a {self.unit} has {DIGITS[self.unit]} digits, so its numbers have 1 to "
                                     f"{TOTAL - DIGITS[self.unit]}: together {TOTAL} fit 53 bits")

    @property
    def digits(self) -> int:
        """Behind the date."""
        return TOTAL - DIGITS[self.unit] if self.width is None else self.width

    @property
    def room(self) -> int:
        """How many numbers a date has, counting the one that is all zeros and is never given."""
        return int(10 ** self.digits)

    def span(self, last: int, now_ms: int) -> Span:
        """What may be given after ``last``: numbers of the present date, or of the one that ``last`` has."""
        now = int(f"{dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC):{_FORMATS[self.unit]}}")
        date = max(now, last // self.room)  # guard: never an earlier date than the newest one used
        return Span(max(last, date * self.room), date * self.room + self.room - 1)

    def read(self, number: int) -> tuple[str, int]:
        """Its date and which one of that date it is. ValueError for what cannot have been made."""
        date, count = divmod(number, self.room)
        text = str(date)
        if len(text) != DIGITS[self.unit] or not count:
            raise ValueError(f"{number} is no number of a {self.unit} with {self.digits} digits behind it")
        dt.datetime.strptime(text, _FORMATS[self.unit]).replace(tzinfo=dt.UTC)
        return text, count
