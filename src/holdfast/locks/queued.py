# SPDX-License-Identifier: Apache-2.0
"""Locks with a queue on Redis: a fair mutex, a read-write lock, a semaphore. One idea: units that are shared, in order.

A fair mutex has one unit. A semaphore has as many as there are permits. A read-write lock has a great many: a reader
takes one, a writer takes all. Whoever comes has a place in the queue on the server, and the server hands over to the
first in line, by name, when there are units enough for it; nobody passes. So a writer waits for the readers before it
and for none behind it, and one release wakes those whose turn it is and nobody else.

A place is kept for three times ``poll_s`` without being asked for again: for so long a dead one holds up the line, by
the server's clock. Each acquisition of a process has a place of its own: with 512 waiting tasks there are 512, and each
asks once every ``poll_s``.

Rejected: a queue kept by the clients' clocks (one that is an hour ahead never waits); waking everybody who waits.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._redis.keys import LockKeys
from .._redis.scripts import load_script
from .asking import Asking
from .client import RELEASED_KEPT_MS, Question
from .held import Acquisition, Renewal

if TYPE_CHECKING:
    from .client import Client

_ACQUIRE = load_script("holdfast.locks", "acquire_queued", "token", "queue")
_RELEASE = load_script("holdfast.locks", "release_queued", "token", "queue")
_RENEW = load_script("holdfast.locks", "renew_queued", "token", "queue")
#: A place is kept for so many polls.
PLACE_POLLS = 3
#: Units of a read-write lock: more readers at a time than any server has connections.
MANY = 1_000_000


@dataclass(frozen=True)
class Share:
    """What one hold takes: ``units`` of a lock that has ``capacity`` of them. The rest: see ``Keeper``.

    sort: what may share a lock. Counted together, a fair mutex and a semaphore of one name would let each other in.
    """

    sort: str
    kind: str
    units: int
    capacity: int
    again: tuple[str, ...] = ()
    never_under: tuple[str, ...] = ()


FAIR = Share("fair", "fair", 1, 1, again=("fair",))
READ = Share("rw", "read", 1, MANY, again=("read", "write"))
WRITE = Share("rw", "write", MANY, MANY, again=("write",), never_under=("read",))


class Queued:
    """Fulfils ``Keeper``."""

    def __init__(self, client: Client, share: Share) -> None:
        self._client, self._share = client, share
        self.kind, self.again, self.never_under = share.kind, share.again, share.never_under

    def new(self, name: str, lease_s: float | None) -> Acquisition:
        """An acquisition that nobody was asked for yet."""
        held, keys = self._client.new(name, lease_s, self.kind), self._keys(name)
        held.renewal = Renewal(_RENEW, (keys.lock_holders, keys.lock_about))
        return held

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Asks the server, and waits in its queue."""
        question = await self._question(held, waits=wait_s != 0)
        await Asking(self._client, question, held).obtain(wait_s, contextlib.nullcontext())

    def keep(self, held: Acquisition) -> None:
        """Renews it from now on."""
        self._client.keep(held)

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether the server had it as ours. Gives back a place in the queue as well."""
        keys = self._keys(held.name)
        args = (held.acquisition, RELEASED_KEPT_MS, await self._client.publish_word())
        return await self._client.tell(
            held.name, _RELEASE,
            (keys.lock_released(held.acquisition), keys.lock_holders, keys.lock_queue, keys.lock_about), args)

    def _keys(self, name: str) -> LockKeys:
        return LockKeys(self._client.server.prefix, name, self._client.server.clustered, self._share.sort)

    async def _question(self, held: Acquisition, *, waits: bool) -> Question:
        keys = self._keys(held.name)
        channel = keys.lock_place(held.acquisition)
        place_ms = int(PLACE_POLLS * self._client.settings.poll_s * 1000) if waits else 0
        needed = (keys.lock_clock, keys.lock_holders, keys.lock_queue, keys.lock_about, keys.lock_token)
        return Question(
            _ACQUIRE, needed, (channel,), self.give_back,
            args=(self._share.units, self._share.capacity, place_ms, channel, await self._client.publish_word()),
            queues=waits)
