# SPDX-License-Identifier: Apache-2.0
"""Three kinds of time, kept apart by type.

* ``Instant``: seconds on this machine's clock that counts suspended time. Differences have meaning, values do not.
  Deadlines live here: a laptop that slept for a minute has used up a minute of its lease.
* ``WallMs``: milliseconds since 1970 by this machine. For people and for metadata; never compared with a server's.
* ``ServerMs``: milliseconds since 1970 by the Redis server that holds the data. Leases and due times live here, because
  only there do all clients agree; it can step, and it changes with a failover.

A type checker refuses to mix them. Tests own all three through ``Clock``.
"""

from __future__ import annotations

import time
from typing import NewType, Protocol

Instant = NewType("Instant", float)
WallMs = NewType("WallMs", int)
ServerMs = NewType("ServerMs", int)


class Clock(Protocol):
    """Where time comes from. ``SystemClock`` in production, ``holdfast.testing.ManualClock`` in tests."""

    def now(self) -> Instant:
        """Seconds that never go back and that count suspended time."""
        ...

    def wall_ms(self) -> WallMs:
        """Milliseconds since 1970, UTC."""
        ...


# CLOCK_BOOTTIME counts suspend, CLOCK_MONOTONIC on Linux does not. macOS's CLOCK_MONOTONIC counts it.
_SUSPEND_COUNTING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def now(self) -> Instant:
        return Instant(time.clock_gettime(_SUSPEND_COUNTING))

    def wall_ms(self) -> WallMs:
        return WallMs(time.time_ns() // 1_000_000)
