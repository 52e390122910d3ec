# SPDX-License-Identifier: Apache-2.0
"""Locks on Redis or Valkey: the door to all kinds of them. What asking a server takes is in ``client``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._base.chance import Chance
from .._base.clock import Clock
from .._base.events import Events
from ..errors import ConfigurationError
from .authority import TokenAuthority
from .client import Client, LockSettings
from .hold import Lock
from .latch import Latch
from .mutex import Mutex
from .queued import FAIR, READ, WRITE, Queued, Share
from .together import Together

if TYPE_CHECKING:
    from .._redis.server import Server


@dataclass(frozen=True)
class ReadWrite:
    """The two sides of a read-write lock. A task that writes may read; one that reads ends that before it writes."""

    read: Lock
    write: Lock


class Locks(Client):
    """Gives locks by name. One a process and server; ``close`` gives back what is still held.

    who: said to people who ask who holds a lock, beside host and process id. authority: where fencing tokens come
    from in place of this server, at the price of a write there for every grant; see ``authority``.
    """

    def __init__(self, server: Server, settings: LockSettings | None = None, *, who: str = "",
                 authority: TokenAuthority | None = None, clock: Clock | None = None, chance: Chance | None = None,
                 events: Events | None = None) -> None:
        super().__init__(server, settings, who=who, authority=authority, clock=clock, chance=chance, events=events)
        self._mutex = Mutex(self)

    def lock(self, name: str, *, fair: bool = False) -> Lock:
        """The lock called ``name``: one holder at a time. Nothing is asked yet.

        fair: in the order of arrival, by the server's queue, which hands over to the next by name; otherwise whoever
        asks first when it is free, which takes fewer commands. The two are different locks, whatever their name.
        """
        return self._queued(name, FAIR) if fair else Lock(name, self._mutex, self.ledger)

    def read_write(self, name: str) -> ReadWrite:
        """``.read``: many at a time; ``.write``: one, and nobody reads. In the order of arrival: nobody starves."""
        return ReadWrite(self._queued(name, READ), self._queued(name, WRITE))

    def semaphore(self, name: str, permits: int, *, units: int = 1) -> Lock:
        """``permits`` at a time, each hold with a lease and a token of its own, of ``units`` permits; a task may have
        several. In the order of arrival. Who asks last says how many permits there are."""
        if not 0 < units <= permits:
            raise ConfigurationError(f"{units} of {permits} permits of semaphore {name!r}: ask for 1 up to all of them")
        return self._queued(name, Share("permits", "permit", units, permits))

    def together(self, *names: str) -> Together:
        """Several plain locks at once, all or none: ``async with locks.together("a", "b").hold()``. See there."""
        return Together(self, names)

    def latch(self, name: str, count: int, *, keep_s: float = 3600.0) -> Latch:
        """Opens for those who wait when it was counted down ``count`` times. keep_s: gone so long after the last."""
        return Latch(self, name, count, keep_s)

    def _queued(self, name: str, share: Share) -> Lock:
        return Lock(name, Queued(self, share), self.ledger)
