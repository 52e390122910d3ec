# SPDX-License-Identifier: Apache-2.0
"""Lamport's clock: an order for what members tell, without anybody's clock having to be right.

Serf keeps three of them: for joins and leaves, for events, for queries. Source: L. Lamport, "Time, Clocks, and the
Ordering of Events in a Distributed System" (1978).
"""

from __future__ import annotations

from typing import Final

from ...errors import BadPacket

#: No cluster gets here by counting; a time beyond it was made up, and believing it would end the clock for everybody.
TIME_MAX: Final = 1 << 62


class LamportClock:
    """Begins at 0: nothing was heard yet."""

    __slots__ = ("time",)

    def __init__(self) -> None:
        #: The next thing that is said is later than this, or at it.
        self.time = 0

    def increment(self) -> int:
        """The time after this one, which it is from now on."""
        self.time += 1
        return self.time

    def witness(self, time: int) -> None:
        """Somebody spoke of ``time``: it is later than that now. Raises BadPacket for a time nobody can have got to."""
        if time > TIME_MAX:  # guard: made-up times. One of them would silence all that come after it
            raise BadPacket(f"a Lamport time of {time}")
        self.time = max(self.time, time + 1)
