# SPDX-License-Identifier: Apache-2.0
"""Several locks at once, without the deadlock of taking them one by one: AB here and BA there.

Locks of one slot (all of them, where one server has every key) are had by one script, all or none: nobody holds one
while waiting for another. On a Cluster those of different slots are taken slot by slot, in the order of the slots,
which is the same for everybody: so there is no circle to wait in. Whoever wants one script there gives the names a
common tag (``{cart}:7``, ``{cart}:8``).

The names are those of plain locks (``Locks.lock``): who holds one of them alone keeps whoever wants it among others
waiting, and the other way round. There is no queue: among many who want overlapping sets, one may wait for long.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .._base.clock import Clock, Instant
from .._base.lock import HoldState
from .._redis.keys import LockKeys
from ..errors import ConfigurationError
from .held import Acquisition, OnLost
from .hold import Lock
from .mutex import Mutex

if TYPE_CHECKING:
    from .client import Client

#: The worst state of several is the state of all.
_WORST = (HoldState.LOST, HoldState.RELEASED, HoldState.SUSPECT, HoldState.HELD)


class HeldTogether:
    """What is held of several locks: as good as its worst part. Fulfils ``Held``.

    tokens: the fencing token of each name. fencing_token: the largest of them, for something that all of them guard.
    """

    def __init__(self, parts: Mapping[str, Acquisition]) -> None:
        self._parts = tuple(dict.fromkeys(parts.values()))
        self.tokens = {name: held.fencing_token for name, held in parts.items()}
        self.fencing_token = max(self.tokens.values())

    @property
    def state(self) -> HoldState:
        """LOST when one of them is."""
        states = {held.state for held in self._parts}
        return next(state for state in _WORST if state in states)

    @property
    def deadline(self) -> Instant:
        """Until then all of them are certainly held."""
        return min(held.deadline for held in self._parts)

    def check(self) -> None:
        """Raises LeaseLost unless all of them are certainly held. Asks no server."""
        for held in self._parts:
            held.check()

    def on_lost(self, tell: OnLost) -> None:
        """``tell(cause)`` is called for each of them that is lost: once on one server."""
        for held in self._parts:
            held.on_lost(tell)


class Together:
    """Several names, each a plain lock. Fulfils ``_base.lock.Lock``."""

    def __init__(self, client: Client, names: Sequence[str]) -> None:
        if not names or not all(names):
            raise ConfigurationError("locks that are held together need a name each")
        self.names = tuple(sorted(set(names)))
        self._client = client
        self._groups = [(names, _joined(client, names)) for names in self._by_slot()]

    @contextlib.asynccontextmanager
    async def hold(self, *, wait_s: float | None = None, lease_s: float | None = None,
                   max_hold_s: float | None = None) -> AsyncIterator[HeldTogether]:
        """Waits until all of them are ours, holds them for the block, gives them back. As ``Lock.hold`` otherwise.

        wait_s is for all of them. ConfigurationError when the running task holds one of them already: it would wait for
        itself.
        """
        self._not_ours_already()
        ends_at = None if wait_s is None else self._client.clock.now() + wait_s
        async with contextlib.AsyncExitStack() as stack:
            parts: dict[str, Acquisition] = {}
            for names, lock in self._groups:
                left_s = _left_s(ends_at, self._client.clock, first=not parts)
                held = await stack.enter_async_context(
                    lock.hold(wait_s=left_s, lease_s=lease_s, max_hold_s=max_hold_s))
                parts |= dict.fromkeys(names, held)
            yield HeldTogether(parts)

    def _not_ours_already(self) -> None:
        ours = [name for name in self.names if self._client.ledger.mine(Mutex.kind, name)]
        if ours:
            raise ConfigurationError(f"lock {ours[0]!r} is held by this task already: take all of "
                                     f"{', '.join(self.names)} together from the start")

    def _by_slot(self) -> list[tuple[str, ...]]:
        """Names that lie together, in the order that everybody keeps."""
        by: dict[int, list[str]] = {}
        server = self._client.server
        for name in self.names:
            by.setdefault(server.place_of(LockKeys(server.prefix, name).lock), []).append(name)
        return [tuple(by[slot]) for slot in sorted(by)]  # guard: one order for all


def _joined(client: Client, names: tuple[str, ...]) -> Lock:
    return Lock("+".join(names), Mutex(client, names), client.ledger)


def _left_s(ends_at: float | None, clock: Clock, *, first: bool) -> float | None:
    """What is left of the wait; 0, one look, only if that was asked for."""
    if ends_at is None:
        return None
    left_s = ends_at - clock.now()
    return max(left_s, 0.0 if first else 0.001)
