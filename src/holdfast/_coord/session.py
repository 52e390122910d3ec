# SPDX-License-Identifier: Apache-2.0
"""What a session is: a promise of a coordination service that what we put there stays ours while we are heard of.

::

    CONNECTED ──ttl/2 without a confirmation, or the way is broken──▶ SUSPENDED ──deadline──▶ LOST
        ▲─────────────────────── confirmed ─────────────────────────────┘                      │ or the server says so
        └ a session that is LOST stays lost: whoever wants to go on opens another one ─────────┘

The three words are Curator's (https://curator.apache.org/docs/errors), with one difference: LOST is what *our* clock
says, not what a server told us, since a server that cannot be reached tells nobody. The deadline is *send + ttl −
(1 % + 2 ms)* of the last request that was confirmed, on a clock that counts suspended time. The service counts from
when it got that request, which was later; so it drops what is ours only after we know that it is lost.

Limits. The promise holds as long as the two clocks run at rates within 1 % of each other. On a ZooKeeper ensemble a
follower tells its leader of us with its answer to the leader's ping, every half a tick: where that very answer is lost
the leader counts from half a tick earlier than we do. What is written elsewhere needs the fence in any case.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from .._base.clock import Instant

#: Part of a ttl, and seconds, that are given up against drift and rounding: the deadline errs on the safe side.
DRIFT = 0.01
SLACK_S = 0.002


def span_s(ttl_s: float) -> float:
    """Seconds after a request was sent for which a confirmed ttl is certain."""
    return ttl_s * (1 - DRIFT) - SLACK_S


class SessionState(enum.Enum):
    """How sure we may be. ``SUSPENDED``: not confirmed for a while, and the deadline has not passed yet."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


#: Called in the session's loop with each state it comes to.
OnChange = Callable[[SessionState], object]


class Session(Protocol):
    """One session. ``lost`` is set when it is LOST; ``cause`` then says why.

    cause: ``server`` (the service said so), ``unreachable`` (the deadline passed), ``closed`` or ``forked``.
    """

    lost: asyncio.Event
    cause: str

    @property
    def state(self) -> SessionState:
        """CONNECTED, SUSPENDED or LOST."""
        ...

    @property
    def deadline(self) -> Instant:
        """Until then it is certainly ours, on the clock that counts suspended time."""
        ...

    def check(self) -> None:
        """Raises LeaseLost unless it is certainly ours. Asks no server."""
        ...
