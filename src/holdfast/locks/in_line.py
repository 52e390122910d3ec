# SPDX-License-Identifier: Apache-2.0
"""Standing in line: a lock whose line the server keeps, in the order of arrival, and a place in it that is ours while
our session is.

Whoever wants the lock makes a place, which the server numbers. Nobody before it: it is granted. Else it waits for the
one place that it would come after to go, **and looks again**: that one may have gone because its owner gave up, while
somebody before it still holds. So a release wakes one waiter (or the readers next in line), however many there are.
A place that was given back, or whose session has ended, holds up nobody.

An acquisition is granted by the session that made its place, and by no other (CURATOR-604): when the session is lost
while it waits, it comes again with another one, at the end of the line.

Rejected: watching the whole line (every release wakes everybody); taking the end of the waiting for the grant (etcd
issue 9921: our own lease may be what had run out).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .._base.events import LockHeldTwice, log
from .._coord.session import SessionState
from ..errors import ConfigurationError, HoldfastError, LeaseLost, ServerUnreachable
from .line import Displaced, Line, Place, Share
from .tied import Tied, tied

if TYPE_CHECKING:
    from .held import Acquisition
    from .sessions import SessionLocks

#: Longest wait for one answer, and between two questions to a server that does not answer.
ANSWER_S = 2.0
AGAIN_S = 0.05


class InLine:
    """Fulfils ``Keeper``."""

    def __init__(self, locks: SessionLocks, share: Share) -> None:
        self._locks, self.share = locks, share
        self.kind, self.again, self.never_under = share.kind, share.again, share.never_under
        self._places: dict[Acquisition, tuple[Line, Place]] = {}

    def new(self, name: str, lease_s: float | None) -> Tied:
        """An acquisition for which nobody was asked yet."""
        if lease_s is not None and lease_s <= 0:
            raise ConfigurationError(f"lease_s={lease_s}: a lease is seconds above 0")
        ms = int((self._locks.ttl_s if lease_s is None else lease_s) * 1000)
        return Tied(name, self._locks.new_id(), ms, self._locks.clock, renewed=lease_s is None, kind=self.kind)

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Enters the line and waits until nobody is before it."""
        asking = Asking(self, self._locks, tied(held))
        if wait_s == 0:
            await asking.look()
        else:
            await asking.wait(wait_s)

    def entered(self, held: Tied, line: Line, place: Place) -> None:
        """It has a place, to be given back."""
        self._places[held] = line, place
        held.in_doubt = True

    def keep(self, held: Acquisition) -> None:
        """It is held: minds its place and its ends from now on. Its session is renewed in any case."""
        held, (line, place) = tied(held), self._places[held]
        held.on_lost(lambda _: self._locks.ledger.later(self.give_back(held)))
        if held.ends_at is not None:
            held.end_by(held.ends_at, "max_hold")
        line.mind(held, place)
        if held.renew_while is not None and held.session is not None:
            self._locks.on_the_side(held.ask_while(held.session, self._locks.ttl_s / 3))

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether the place was there. A server that is away is asked on, and nobody waits for that longer than
        ``ANSWER_S``."""
        found = self._places.pop(held, None)
        if found is None:
            return None
        leaving = self._locks.ledger.later(_left(*found))  # guard: a place that nobody stands in holds up everybody
        await asyncio.wait((leaving,), timeout=ANSWER_S)
        return leaving.result() if leaving.done() and not leaving.cancelled() else None


async def _left(line: Line, place: Place) -> bool | None:
    """Asks until it is answered or the session is lost, when the place goes by itself. None: not known."""
    doubt = False
    while not line.session.over:
        try:
            there = await line.leave(place)
        except ServerUnreachable as error:
            doubt |= error.maybe_done
            await asyncio.sleep(AGAIN_S)
        except LeaseLost:
            return None
        except HoldfastError as error:
            log.warning("giving back %s: %s; it ends with its session", place.path, error)
            return None
        else:
            return there or (None if doubt else False)  # guard: the lost answer may have been that it was
    return None


class Asking:
    """One acquisition that is asked for."""

    def __init__(self, keeper: InLine, locks: SessionLocks, held: Tied) -> None:
        self._keeper, self._locks, self._held = keeper, locks, held
        self._line: Line | None = None
        self._heard = False
        self._trouble: ServerUnreachable | None = None

    async def look(self) -> None:
        """Enters and leaves again when somebody is before it: TimeoutError."""
        held, line = self._held, await self._locks.line()
        self._line = line
        try:
            async with asyncio.timeout(ANSWER_S):
                granted = await self._granted(line, waits=False)
        except (TimeoutError, LeaseLost) as error:
            raise ServerUnreachable(f"{line.session.name} did not answer in time ({type(error).__name__})",
                                    maybe_done=True) from error
        except Displaced:
            granted = False
        if not granted:
            raise TimeoutError(f"lock {held.name!r} is held by somebody else")

    async def wait(self, wait_s: float | None) -> None:
        """Waits until it is granted. What kept the server from answering is raised in the end."""
        try:
            async with asyncio.timeout(wait_s):
                await self._until_granted()
        except TimeoutError:
            if not self._heard or self._line is None or self._line.session.state is not SessionState.CONNECTED:
                raise self._trouble or ServerUnreachable(
                    f"lock {self._held.name!r}: no answer within {wait_s:g} s", maybe_done=True) from None
            raise TimeoutError(f"lock {self._held.name!r} was not free within {wait_s:g} s") from None

    async def _until_granted(self) -> None:
        while True:
            try:
                self._line = await self._locks.line()
                if await self._granted(self._line, waits=True):
                    return
            except ServerUnreachable as error:
                self._trouble, self._heard = error, False
                self._locks.trouble.warn("waiting for locks", f"{self._held.name}: {error}")
                await asyncio.sleep(AGAIN_S)
            except (LeaseLost, Displaced) as error:  # guard: what an earlier session had is not ours
                self._heard = False
                self._locks.trouble.warn("waiting for locks, last in line again", f"{self._held.name}: {error}")
                await self._afresh()

    async def _afresh(self) -> None:
        """Whoever asks again is another acquisition. A place that is still there is given back."""
        await self._keeper.give_back(self._held)
        self._held.acquisition, self._held.in_doubt = self._locks.new_id(), False

    async def _granted(self, line: Line, *, waits: bool) -> bool:
        held = self._held
        about = self._locks.about(held.acquisition)
        place = await line.enter(held.name, self._keeper.share, held.acquisition, about)
        self._keeper.entered(held, line, place)
        while (before := await self._looked(line, place)) is not None:
            if not waits:
                return False
            await line.gone(before)
        line.session.check()  # guard: granted to a session that has ended meanwhile is not granted
        held.tie(line.session, place.token)
        self._locks.bound(line.session, held)
        return True

    async def _looked(self, line: Line, place: Place) -> str | None:
        while True:
            try:
                found = await line.before(place)
            except ServerUnreachable as error:
                self._trouble, self._heard = error, False
                await asyncio.sleep(AGAIN_S)
            else:
                self._heard = True
                return found


def removed(locks: SessionLocks, held: Tied) -> None:
    """Somebody has removed the place of what we certainly hold."""
    if held.over:
        return
    left_s = held.deadline - locks.clock.now()
    held.lose("server")
    if left_s > 0:
        locks.events.emit(LockHeldTwice(kind=held.kind, lock=held.name, left_s=left_s, token=held.fencing_token))
