# SPDX-License-Identifier: Apache-2.0
"""Renewing what is held by a quorum: every third of a lease, all locks of the process in one question a server.

A task of the loop that holds the locks, so a loop that hangs for a whole lease loses them: a lock says that its holder
makes progress. A renewal that no majority confirmed moves no deadline, and is tried again after a ninth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from .._base import events as ev
from .._base.clock import Instant
from .._redis.keys import LockKeys
from .._redis.scripts import load_script

if TYPE_CHECKING:
    from .._base.chance import Chance
    from .held import Acquisition
    from .quorum import QuorumLocks
    from .quorum_node import Node, Told

_ACQUIRE = load_script("holdfast.locks", "acquire", "token")
GiveBack = Callable[["Acquisition"], Awaitable[object]]
_RENEW = load_script("holdfast.locks", "renew")


class Keeping:
    """Renews what ``add`` was given until it is over."""

    def __init__(self, locks: QuorumLocks, chance: Chance, give_back: GiveBack) -> None:
        self._locks, self._chance, self._give_back = locks, chance, give_back
        self._beside: set[asyncio.Task[None]] = set()
        self._held: set[Acquisition] = set()
        self._task: asyncio.Task[None] | None = None
        self._asked_for = asyncio.Event()

    def add(self, held: Acquisition) -> None:
        """Renews it from now on."""
        self._held.add(held)
        if held.ends_at is not None:
            left_s = held.ends_at - self._locks.clock.now()
            asyncio.get_running_loop().call_later(max(0.0, left_s), held.lose, "max_hold")
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._asked_for.set()

    async def stop(self) -> None:
        """Renews no more."""
        tasks = (*self._beside, *((self._task,) if self._task is not None else ()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        ttl_s, part = self._locks.settings.ttl_s, 3
        while True:
            await asyncio.sleep(ttl_s / part * (0.9 + 0.1 * self._chance.random()))
            self._held = {held for held in self._held if not held.over}
            if not self._held:
                self._asked_for.clear()
                await self._asked_for.wait()
                part = 3
                continue
            wanted = [held for held in self._held if held.still_wanted("the lock is not renewed any more")]
            part = 3 if not wanted or await self._renewed(wanted) else 9

    async def _renewed(self, wanted: Sequence[Acquisition]) -> bool:
        """One round. Whether a majority extended every one of them."""
        sent_at = self._locks.clock.now()
        keys = [self._keys(held).lock for held in wanted]
        words = [word for held in wanted for word in (held.acquisition, held.lease_ms, 1)]
        nodes = self._locks.nodes
        told = await asyncio.gather(*(node.ask("renew", _RENEW, keys, lambda _: words,
                                               self._locks.settings.patience_s) for node in nodes))
        good = [self._counted(held, [(node, one, bool(one.answer[n])) for node, one in zip(nodes, told, strict=True)
                                     if one is not None], sent_at) for n, held in enumerate(wanted)]
        longest_s = sent_at - min(held.since for held in wanted)
        if any(good):
            refused = sum(held.cause == "server" for held in wanted)
            self._locks.events.emit(ev.LocksRenewed(kind=wanted[0].kind, count=sum(good), refused=refused, late_s=0.0,
                                                    longest_s=longest_s))
        return all(good)

    def _counted(self, held: Acquisition, answers: Sequence[tuple[Node, Told, bool]], sent_at: Instant) -> bool:
        extended = sum(yes and told.counts for _, told, yes in answers)
        refused = sum(not yes and told.counts for _, told, yes in answers)
        nodes, majority = len(self._locks.nodes), self._locks.majority
        opened = (self._locks.settings.on_lost_majority == "open" and extended > 0 and not refused
                  and len(answers) < majority)
        if extended >= majority or opened:  # guard: majority
            held.confirm(sent_at, held.lease_ms)
            self._taken_again(held, [node for node, told, yes in answers if not yes and told.counts])
            return not opened
        left_s = held.deadline - self._locks.clock.now()
        if refused > nodes - majority and not held.over:
            held.lose("server")
            if left_s > 0:
                self._locks.events.emit(ev.LockHeldTwice(kind=held.kind, lock=held.name, left_s=left_s,
                                                         token=held.fencing_token))
        self._locks.events.emit(ev.QuorumMissed(kind=held.kind, lock=held.name, servers=nodes, granted=extended,
                                                answered=len(answers), left_s=left_s))
        return False

    def _taken_again(self, held: Acquisition, nodes: Sequence[Node]) -> None:
        """On servers that had forgotten it, and count: a quorum wears away otherwise. It counts from the next round."""
        keys = self._keys(held)

        async def take(node: Node) -> None:
            await node.ask("renew", _ACQUIRE, (keys.lock_clock, keys.lock, keys.lock_token),
                           lambda run_id: (held.acquisition, held.lease_ms, run_id, "{}", held.fencing_token - 1),
                           self._locks.settings.patience_s)
            if held.over:  # guard: given back meanwhile, it would stand there for a lease
                await self._give_back(held)

        for node in nodes:
            task = asyncio.ensure_future(take(node))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

    def _keys(self, held: Acquisition) -> LockKeys:
        return LockKeys(self._locks.nodes[0].prefix, held.name)
