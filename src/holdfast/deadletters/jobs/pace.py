# SPDX-License-Identifier: Apache-2.0
"""No more letters a second than was said, in whichever second one looks. Pure.

Letters go in slices, evenly spread. A runner that was held up, by a desk or a scheduler, does not make up for it: what
it missed would come in a burst. So beside the even spacing there is a count of the last second, by when each slice was
known to be written; a slice may go when there is room for it. A letter is written after its slice began and before its
end is known, hence no second of the server's clock holds more than the rate, as long as both clocks run at one speed.
The price: a slice's own duration is lost, some percent of the rate.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

#: Letters of so many seconds go together.
SLICE_S: Final = 0.1
_WINDOW_S: Final = 1.0
#: Waiting for less than this is not worth it.
_LEAST_S: Final = 0.001


class Pace(msgspec.Struct, frozen=True):
    """rate_per_s: at most so many; 0: no limit. sent: of the last second, when slices were known to be written, and how
    many were in each. due: before then the next one does not go. Times are this machine's monotonic clock, in seconds.
    """

    rate_per_s: float
    sent: tuple[tuple[float, int], ...] = ()
    due: float = -math.inf

    @classmethod
    def begun(cls, rate_per_s: float, now: float, *, resumed: bool) -> Pace:
        """Of a run that begins now. resumed: another one may have ended just before it, so the last second counts as
        full."""
        return cls(rate_per_s, ((now, math.ceil(rate_per_s)),) if rate_per_s and resumed else ())

    def room(self, now: float, most: int) -> int:
        """Letters that may go now."""
        if not self.rate_per_s:
            return most
        if now < self.due:
            return 0
        recent = sum(count for ended, count in self.sent if ended > now - _WINDOW_S)
        slice_ = max(1, int(self.rate_per_s * SLICE_S))
        return max(0, min(slice_, math.ceil(self.rate_per_s) - recent, most))  # guard: in no second more than was said

    def wait_s(self, now: float) -> float:
        """Until there may be room."""
        recent = [ended + _WINDOW_S - now for ended, _ in self.sent if ended > now - _WINDOW_S]
        full = recent[0] if recent and now >= self.due else 0.0
        return max(_LEAST_S, self.due - now, full)

    def after(self, began: float, ended: float, count: int) -> Pace:
        """Once so many went, between these two moments."""
        if not self.rate_per_s or not count:
            return self
        due = max(self.due, began - SLICE_S) + count / self.rate_per_s
        recent = tuple(one for one in self.sent if one[0] > ended - _WINDOW_S)
        return Pace(self.rate_per_s, (*recent, (ended, count)), due)
