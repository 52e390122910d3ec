# SPDX-License-Identifier: Apache-2.0
"""The mutex on Redis: one holder at a time; when it is free, whoever asks first has it.

Of all the tasks of one process that want one lock, only the first in line asks the server: so a release wakes one task
a process. Whoever wants the order of arrival across processes takes a lock with a queue (``queued``), which costs
more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._redis.keys import LockKeys
from .._redis.scripts import load_script
from .asking import Asking
from .client import RELEASED_KEPT_MS, Question
from .held import Acquisition, Renewal
from .turns import Turns

if TYPE_CHECKING:
    from .client import Client

_ACQUIRE = load_script("holdfast.locks", "acquire", "token")
_RELEASE = load_script("holdfast.locks", "release")
_RENEW = load_script("holdfast.locks", "renew")


class Mutex:
    """Fulfils ``Keeper``. names: of several locks in one slot, which are had together or not at all; else the lock's
    own."""

    kind = "mutex"
    again: tuple[str, ...] = ("mutex",)
    never_under: tuple[str, ...] = ()

    def __init__(self, client: Client, names: tuple[str, ...] = ()) -> None:
        self._client, self._names = client, names
        self._turns = Turns()

    def new(self, name: str, lease_s: float | None) -> Acquisition:
        """An acquisition that nobody was asked for yet."""
        held = self._client.new(name, lease_s, self.kind)
        held.renewal = Renewal(_RENEW, tuple(keys.lock for keys in self._keys(name)))
        return held

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Asks the server, and waits in this process's line and then for the server."""
        await Asking(self._client, self._question(held.name), held).obtain(wait_s, self._turns.turn(held.name))

    def keep(self, held: Acquisition) -> None:
        """Renews it from now on."""
        self._client.keep(held)

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether the server had it as ours."""
        found = self._keys(held.name)
        keys = (found[0].lock_released(held.acquisition), *(each.lock for each in found))
        word = await self._client.publish_word()
        args: list[str | int | bytes] = [held.acquisition, RELEASED_KEPT_MS, word, *(each.channel for each in found)]
        return await self._client.tell(held.name, _RELEASE, keys, args)

    def _keys(self, name: str) -> list[LockKeys]:
        server = self._client.server
        return [LockKeys(server.prefix, each, server.clustered) for each in self._names or (name,)]

    def _question(self, name: str) -> Question:
        found = self._keys(name)
        keys = (found[0].lock_clock, *(key for each in found for key in (each.lock, each.lock_token)))
        return Question(_ACQUIRE, keys, tuple(each.channel for each in found), self.give_back)
