# SPDX-License-Identifier: Apache-2.0
"""What a lock is to a room that needs one and does not care where it is kept.

A lock is an acquisition, not an object: ``hold`` gives a handle that knows whether it still holds, until when that
is certain, and the number that fences whoever comes late. A room takes a ``Lock`` as an
argument; which one is decided by who wires rooms together.
"""

from __future__ import annotations

import enum
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .clock import Instant


class HoldState(enum.Enum):
    """How sure a holder may be. ``SUSPECT``: not confirmed for a while, and its deadline has not passed yet."""

    HELD = "held"
    SUSPECT = "suspect"
    LOST = "lost"
    RELEASED = "released"


class Held(Protocol):
    """One acquisition.

    fencing_token: larger than that of every earlier acquisition; whoever stores something guarded stores it too, and
    refuses a smaller one. deadline: until then it is certainly held, on the clock that counts suspended time.
    """

    fencing_token: int

    @property
    def state(self) -> HoldState:
        """HELD, SUSPECT, LOST or RELEASED."""
        ...

    @property
    def deadline(self) -> Instant:
        """When it stops being certain."""
        ...

    def check(self) -> None:
        """Raises LeaseLost unless it is certainly held. Cheap enough for a hot loop: asks no server."""
        ...


class Lock(Protocol):
    """Something that one holder at a time can hold."""

    def hold(self, *, wait_s: float | None = None) -> AbstractAsyncContextManager[Held]:
        """Waits up to ``wait_s`` seconds (None: for ever), holds for the block, releases.

        TimeoutError when it waited in vain. The body is cancelled when the hold is lost.
        """
        ...
