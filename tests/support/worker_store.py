# SPDX-License-Identifier: Apache-2.0
"""A store of worker ids in memory, on a clock that a test owns: away, put back from a backup, shared by machines.

It keeps the rules of ``ids.windows``, as the stores of ``ids.schemes`` do.
"""

from __future__ import annotations

import copy

from holdfast.errors import LeaseLost, ServerUnreachable
from holdfast.ids.scheme import Grant, Holding
from holdfast.ids.term import Window
from holdfast.ids.windows import Record, StoreTime, chosen, window_behind


class WorkerStore:
    """What all of its clients see. away: asked, it raises this. ahead_ms: of the test's clock."""

    def __init__(self, clock, workers=4, pool="orders"):
        self.clock, self.workers, self.pool = clock, workers, pool
        self.records, self.time = {}, StoreTime()
        self.away, self.ahead_ms, self.asked = None, 0, []

    def now_ms(self):
        self.time = self.time.at(self.clock.wall_ms() + self.ahead_ms)
        return self.time.latest_ms

    def backup(self):
        return copy.deepcopy((self.records, self.time))

    def restore(self, backup):
        self.records, self.time = copy.deepcopy(backup)

    def scheme(self):
        return WorkerStoreScheme(self)


class WorkerStoreScheme:
    """Fulfils ``Scheme`` for one client."""

    name = "memory"

    def __init__(self, store):
        self.store, self.workers, self.identity = store, store.workers, f"memory {store.pool}"
        self.closed = False

    def _ask(self, what):
        self.store.asked.append(what)
        if self.store.away is not None:
            raise self.store.away
        return self.store.now_ms()

    async def claim(self, owner, lease_ms):
        now_ms, records = self._ask("claim"), self.store.records
        found = chosen(list(records.values()), owner, now_ms, self.workers, self.store.pool)
        if isinstance(found, Record):
            return Grant(found.worker, found.window, now_ms)
        window = window_behind(records.get(found), now_ms, lease_ms)
        records[found] = Record(found, owner.id, owner.name, window)
        return Grant(found, window, now_ms)

    async def renew(self, owner, grant, lease_ms):
        now_ms, held = self._ask("renew"), self.store.records.get(grant.worker)
        if held is None or held.owner != owner.id:
            raise LeaseLost(f"worker id {grant.worker} is somebody else's")
        window = Window(grant.window.first_ms, max(now_ms + lease_ms, grant.window.last_ms, held.window.last_ms))
        self.store.records[grant.worker] = Record(grant.worker, owner.id, owner.name,
                                                  Window(held.window.first_ms, window.last_ms))
        return Grant(grant.worker, window, now_ms)

    async def release(self, owner, grant, last_ms):
        self._ask("release")
        held = self.store.records.get(grant.worker)
        if held is not None and held.owner == owner.id:
            window = Window(held.window.first_ms, last_ms)
            self.store.records[grant.worker] = Record(grant.worker, "", held.name, window)

    async def holders(self):
        now_ms = self._ask("holders")
        return [Holding(r.worker, r.name, r.window.first_ms, r.window.last_ms, r.live(now_ms))
                for r in self.store.records.values()]

    async def close(self):
        self.closed = True


def unreachable(maybe_done=False):
    return ServerUnreachable("nobody answers at 127.0.0.1:1", maybe_done=maybe_done)
