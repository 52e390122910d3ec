# SPDX-License-Identifier: Apache-2.0
"""One acquisition of a lock: what its holder may ask, and how it learns that the lock is lost.

::

    HELD ──ttl/2 without a confirmed renewal──▶ SUSPECT ──deadline──▶ LOST
      ▲────────────────renewal confirmed──────────┘                    │ renewal refused: LOST at once
      └─────────────────────────── release ──▶ RELEASED ◀──────────────┘

The deadline is *send + lease − (1 % + 2 ms)* of the last request that the server confirmed, on a clock that counts
suspended time. Past it somebody else may hold the lock, whether or not anybody tells us. What a server's clock does
(a step, a failover to another clock) can end a lock earlier: only the fencing token covers that.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._base.clock import Clock, Instant
from .._base.events import log
from .._base.lock import HoldState
from .._redis.heart import certain_s
from ..errors import LeaseLost

if TYPE_CHECKING:
    from .._redis.scripts import Script

#: Called with the cause: server, unreachable, lease, max_hold, renew_while.
OnLost = Callable[[str], object]


@dataclass(frozen=True)
class Renewal:
    """How a server is asked to extend a lease. script: for many of a slot, each with its keys, id, lease."""

    script: Script
    keys: tuple[bytes, ...]


class Acquisition:
    """Fulfils ``Held``. Any thread may ask it.

    name and kind: of the lock. acquisition: an id no other acquisition has. lease_ms: for how long each confirmation
    counts. renewed: whether somebody renews it; where nobody does, it is never SUSPECT, and ends with its lease.
    """

    def __init__(self, name: str, acquisition: str, lease_ms: int, clock: Clock, *, renewed: bool,
                 kind: str = "mutex") -> None:
        self.name, self.acquisition, self.lease_ms, self.kind = name, acquisition, lease_ms, kind
        self.renewed = renewed
        self.fencing_token = 0
        self.cause = ""
        self.since = clock.now()
        #: When it must end, renewed or not; None: when its holder ends it.
        self.ends_at: Instant | None = None
        self.renew_while: Callable[[], bool] | None = None
        #: How it is renewed; None: by nobody, or with the session that it belongs to.
        self.renewal: Renewal | None = None
        #: The server was asked for it, and what it did is not known.
        self.in_doubt = False
        self.forked = False
        self._now = clock.now
        self._over = False
        self._released = False
        self._told: list[OnLost] = []
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._confirmed_at = self._deadline = self.since
        self._certain_at_end = False
        _ALIVE.add(self)

    # -- for the holder -------------------------------------------------------------------------------------------

    @property
    def state(self) -> HoldState:
        """HELD, SUSPECT, LOST or RELEASED."""
        if self._released:
            return HoldState.RELEASED
        now = self._now()
        if self._over or now >= self._deadline:
            return HoldState.LOST
        late = self.renewed and now - self._confirmed_at >= self.lease_ms / 2000
        return HoldState.SUSPECT if late else HoldState.HELD

    @property
    def deadline(self) -> Instant:
        """When it stops being certain."""
        return self._deadline

    def check(self) -> None:
        """Raises LeaseLost unless it is certainly held. Asks no server: some 0.3 µs, for the inside of loops."""
        if self._over or self._now() >= self._deadline:
            raise LeaseLost(f"lock {self.name!r} was lost ({self.cause or 'its deadline has passed'})")

    def on_lost(self, tell: OnLost) -> None:
        """``tell(cause)`` is called once in the loop that acquired it, when the lock is lost; at once if it is."""
        with self._guard:
            if not self._over:
                self._told.append(tell)
                return
        if not self._released:
            tell(self.cause)

    def still_wanted(self, then: str) -> bool:
        """What ``renew_while`` says. One that raises ends this hold, and ``then`` is what the log says of it."""
        try:
            return self.renew_while is None or self.renew_while()
        except Exception:  # noqa: BLE001 - guard: it is the user's, and whoever asks it is everybody's
            log.exception("renew_while of lock %s raised: %s", self.name, then)
            self.lose("renew_while")
            return False

    # -- for the lock and the renewer -----------------------------------------------------------------------------

    def granted(self, token: int, sent_at: Instant) -> None:
        """The server granted it in answer to what was sent at ``sent_at``."""
        self.fencing_token, self.since = token, sent_at
        self._loop = asyncio.get_running_loop()
        self._certain_for(sent_at, self.lease_ms)
        self._watch()

    def confirm(self, sent_at: Instant, left_ms: float) -> None:
        """The server answered that it holds for ``left_ms`` from what was sent at ``sent_at``."""
        if not self._over and self._now() < self._deadline:  # guard: what was lost stays lost
            self._certain_for(sent_at, left_ms)

    def _certain_for(self, sent_at: Instant, left_ms: float) -> None:
        self._confirmed_at = sent_at
        self._deadline = Instant(sent_at + certain_s(left_ms))

    def lose(self, cause: str) -> None:
        """It can no longer be relied on; the first cause is kept, and told once."""
        told = self._end(cause)
        if told and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, told)

    def let_go(self) -> bool:
        """Its holder ends it: nobody is told any more. Says whether it was certainly held until now."""
        if not self._over:
            self._certain_at_end = self._now() < self._deadline
        self._end("released")
        self._released = True
        if self._timer is not None:
            self._timer.cancel()
        return self._certain_at_end

    @property
    def over(self) -> bool:
        """Lost or released: it is not renewed any more."""
        return self._over

    def _end(self, cause: str) -> list[OnLost]:
        with self._guard:
            if self._over:
                return []
            self._over, self.cause = True, cause
            told, self._told = self._told, []
            return told

    def _tell(self, told: list[OnLost]) -> None:
        for tell in told:
            if not self._released:
                tell(self.cause)

    def _watch(self) -> None:
        """Ends it at its deadline, which moves with every renewal, whether or not anybody says so."""
        if self._over or self._loop is None:
            return
        left_s = self._deadline - self._now()
        if left_s <= 0:
            self.lose("unreachable" if self.renewed else "lease")
        else:
            self._timer = self._loop.call_later(left_s, self._watch)


#: What this process holds or held, as long as somebody knows of it.
_ALIVE: weakref.WeakSet[Acquisition] = weakref.WeakSet()


def _forked() -> None:
    """A child owns nothing: what its parent holds is lost to it, and not the child's to give back."""
    for held in tuple(_ALIVE):
        held._over = held.forked = True  # noqa: SLF001 - its lock may have been taken when the process forked
        held.cause = held.cause or "forked"


os.register_at_fork(after_in_child=_forked)
