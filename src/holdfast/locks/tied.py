# SPDX-License-Identifier: Apache-2.0
"""An acquisition that goes with a session: it is as sure as the session is, and lost with it.

HELD, SUSPECT and LOST are the session's CONNECTED, SUSPENDED and LOST, and its deadline is the session's, which moves
with every confirmation. So one renewal keeps any number of locks, and ``check`` is right in a process that was frozen
for an hour and has heard of nothing: the local clock decides.

A fixed lease and ``max_hold_s`` are ends of its own before that. Nobody renews or removes anything by the server's
clock then: this process gives it back when that time has come, and if it cannot, the session's end does.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._base.clock import Instant
from .._base.lock import HoldState
from .._coord.session import SessionState
from .._redis.heart import certain_s
from .held import Acquisition, OnLost

if TYPE_CHECKING:
    from .._coord.tenure import Tenure


class Tied(Acquisition):
    """Fulfils ``Held``. Made before it is granted; ``tie`` says with which session it goes."""

    session: Tenure | None = None
    _acts: tuple[Callable[[], object], ...] = ()

    def on_end(self, act: Callable[[], object]) -> None:
        """``act`` is called in the loop once it is lost or released."""
        self._acts = (*self._acts, act)

    def _end(self, cause: str) -> list[OnLost]:
        was_over, told = self._over, super()._end(cause)
        if not was_over and self._loop is not None and not self._loop.is_closed():
            for act in self._acts:
                self._loop.call_soon_threadsafe(act)
        return told

    async def ask_while(self, session: Tenure, every_s: float) -> None:
        """Asks the user's ``renew_while`` so often, in a thread, until False ends this hold; or another end comes."""
        while not self.over:
            if not await asyncio.to_thread(self.still_wanted, "the lock is given back"):
                self.lose("renew_while")
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await session.lost.wait()

    def tie(self, session: Tenure, token: int) -> None:
        """Granted to ``session``. A fixed lease counts from now, since it is this process that ends it."""
        self.session, self.fencing_token, self.since = session, token, self._now()
        self._loop = asyncio.get_running_loop()
        self._deadline = Instant(math.inf)
        if not self.renewed:
            self.end_by(Instant(self._now() + certain_s(self.lease_ms)), "lease")

    def end_by(self, end: Instant, cause: str) -> None:
        """It is lost then at the latest, and ``cause`` is why."""
        if self._loop is None or end >= self._deadline:
            return
        self._deadline = end
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0, end - self._now()), self._ended, end, cause)

    def _ended(self, end: Instant, cause: str) -> None:
        left_s = end - self._now()
        if left_s > 0 and self._loop is not None:  # a loop's timer may be early, and its clock stands still in suspend
            self._timer = self._loop.call_later(left_s, self._ended, end, cause)
        else:
            self.lose(cause)

    @property
    def deadline(self) -> Instant:
        """When it stops being certain: the session's, or its own end before that."""
        own = self._deadline
        return own if self.session is None else min(own, self.session.deadline)

    @property
    def state(self) -> HoldState:
        """HELD, SUSPECT, LOST or RELEASED."""
        if self._released:
            return HoldState.RELEASED
        sure = SessionState.LOST if self.session is None else self.session.state
        if self._over or self._now() >= self._deadline or sure is SessionState.LOST:
            return HoldState.LOST
        return HoldState.SUSPECT if sure is SessionState.SUSPENDED else HoldState.HELD

    def check(self) -> None:
        """Raises LeaseLost unless it is certainly held. Asks no server: some 0.5 µs."""
        super().check()
        if self.session is not None:
            self.session.check()  # guard: by the clock, whether or not anybody was told

    def let_go(self) -> bool:
        """Its holder ends it: nobody is told any more. Says whether it was certainly held until now."""
        if not self._over and self.session is not None and self.session.over:
            self._end(self.session.cause or "unreachable")  # guard: nobody was told yet, and it is lost all the same
        return super().let_go()


def tied(held: Acquisition) -> Tied:
    """What a keeper is handed is what it made."""
    if not isinstance(held, Tied):
        raise TypeError(f"a {type(held).__name__} goes with no session")
    return held
