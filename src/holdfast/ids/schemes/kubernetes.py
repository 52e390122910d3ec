# SPDX-License-Identifier: Apache-2.0
"""Worker ids on Kubernetes: a Lease object a worker id, changed by compare-and-set, and no store beside the cluster.

::

    with WorkerId(KubernetesWorkers.from_cluster(os.environ, pool="web")) as worker:
        ids = Generator(layout_called("snowflake"), worker)

The API server has no clock to decide by, so the time is that of whoever asks. Windows are kept apart by their ends:
each begins behind the stored one, and is written only if nobody has written since it was read. A clock that is ahead
costs ids, one that is behind costs waiting; one that is far behind those of the others is refused.

What a Lease object promises to others (``leaseDurationSeconds`` behind ``renewTime``) is written for people and their
tools. Nothing here is decided by it.

Limits. Who deletes the pool's own object and a worker id's as well, or brings both back from a copy, while processes
hold longer windows than those that begin then, takes away what keeps them apart. Stop the processes first.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from ..._base.chance import Chance, system_chance
from ..._base.clock import Clock, SystemClock
from ..._coord.kubernetes import Leases
from ..._coord.kubernetes_access import FOLDER, TOKEN, Access, in_cluster, token_in
from ..._coord.kubernetes_words import Lease, Words, changed, made, micro_time
from ...errors import ConfigurationError, LeaseLost
from ..scheme import Grant, Holding, Owner
from ..term import Window
from ..windows import Record, chosen, refuse_behind
from .kubernetes_pool import TRIES, PoolLease
from .kubernetes_records import FIRST, LAST, NAME, POOL_NAME, holder, next_window, offered, worker_lease

__all__ = ["KubernetesWorkers"]


class KubernetesWorkers:
    """Fulfils ``Scheme``. base_url: of the API server. token: or the file it stands in, read again for each request.
    pool: a DNS label; whoever shares it and the namespace shares ``workers`` ids. behind_s: so far our clock may be
    behind those of others.

    ops/kubernetes/worker-ids-lease.yaml has the Role that it needs.
    """

    name = "kubernetes"

    def __init__(self, base_url: str, *, namespace: str, token: str | Path = "", verify: ssl.SSLContext | None = None,
                 pool: str = "default", workers: int = 1024, behind_s: float = 30.0, clock: Clock | None = None,
                 chance: Chance | None = None) -> None:
        if not POOL_NAME.fullmatch(pool):
            raise ConfigurationError(f"pool {pool!r} cannot be part of a Lease's name: it is made of small letters, "
                                     "digits and dashes, 63 at most")
        said = token_in(token) if isinstance(token, Path) else lambda: token
        self.workers, self.pool, self._behind_ms = workers, pool, int(behind_s * 1000)
        self.identity = f"kubernetes {base_url} {namespace} {pool}"
        self._clock, self._chance = clock or SystemClock(), chance or system_chance()
        self._leases = Leases(Access(base_url, namespace, said, verify))
        self._pool = PoolLease(self._leases, pool, self._clock, self._chance)
        #: Objects as we wrote them last, which saves reading them before each renewal.
        self._written: dict[int, Lease] = {}

    @classmethod
    def from_cluster(cls, environ: Mapping[str, str], *, namespace: str = "", pool: str = "default",
                     workers: int = 1024, behind_s: float = 30.0, folder: Path = FOLDER, clock: Clock | None = None,
                     chance: Chance | None = None) -> KubernetesWorkers:
        """As a pod finds the API server, and as its service account. namespace: another one than the pod's own."""
        found = in_cluster(environ, namespace=namespace, folder=folder)
        return cls(found.base_url, namespace=found.namespace, token=folder / TOKEN, verify=found.verify, pool=pool,
                   workers=workers, behind_s=behind_s, clock=clock, chance=chance)

    async def claim(self, owner: Owner, lease_ms: int) -> Grant:
        """See ``Scheme``. ServerRefused (``Conflict``) when somebody else was faster each time."""
        for attempt in range(TRIES):
            grant = await self._attempt(owner, lease_ms, self._chance.getrandbits(min(attempt, 10)))
            if grant is not None:
                return grant
            await self._pool.pause(attempt)
        raise self._pool.never(f"claiming a worker id of pool {self.pool!r}")

    async def renew(self, owner: Owner, grant: Grant, lease_ms: int) -> Grant:
        """See ``Scheme``."""
        now_ms = max(int(grant.now_ms), self._clock.wall_ms())  # a clock that is set back moves nothing back
        last_ms = max(now_ms + lease_ms, grant.window.last_ms)
        await self._pool.cover(last_ms, lease_ms)
        said = {"leaseDurationSeconds": _seconds(lease_ms), "renewTime": micro_time(now_ms)}
        if not await self._change_own(owner, grant.worker, {LAST: str(last_ms)}, said):
            raise LeaseLost(f"worker id {grant.worker} of pool {self.pool!r} is not ours any more: its Lease "
                            f"{worker_lease(self.pool, grant.worker)} has another holder, or was deleted")
        return Grant(grant.worker, Window(grant.window.first_ms, last_ms), now_ms)

    async def release(self, owner: Owner, grant: Grant, last_ms: int) -> None:
        """See ``Scheme``. The object stays: it keeps the end of the window."""
        await self._change_own(owner, grant.worker, {LAST: str(last_ms)}, {"holderIdentity": ""})
        self._written.pop(grant.worker, None)

    async def holders(self) -> list[Holding]:
        """See ``Scheme``. Live by our own clock."""
        now = self._clock.wall_ms()
        found = await self._pool.look()
        return [Holding(r.worker, r.name, r.window.first_ms, r.window.last_ms, r.live(now))
                for r in found.records() if r.worker in found.leases]

    async def close(self) -> None:
        """See ``Scheme``."""
        await self._leases.close()

    # -- claiming -------------------------------------------------------------------------------------------------

    async def _attempt(self, owner: Owner, lease_ms: int, lot: int) -> Grant | None:
        """None when somebody else was faster."""
        now_ms = self._clock.wall_ms()
        found = await self._pool.look()
        refuse_behind(found.records(), now_ms, self._behind_ms, self.pool)
        if found.pool is None:
            await self._pool.begin(found, now_ms, lease_ms)
            found = await self._pool.look()
        if found.pool is None:
            return None
        records, asks = found.records(), Owner(holder(owner), owner.name, owner.wanted)
        choice = chosen(offered(records, now_ms, self._behind_ms), asks, now_ms, self.workers, self.pool, lot=lot)
        if isinstance(choice, Record):
            self._written[choice.worker] = found.leases[choice.worker]
            return Grant(choice.worker, choice.window, now_ms)
        last = next((record for record in records if record.worker == choice), None)
        window = next_window(last, now_ms, lease_ms, found.pool.begins_ms if choice not in found.leases else 0)
        if not await self._pool.promise(found, window.last_ms, lease_ms, choice):
            return None
        grant = Grant(choice, window, now_ms)
        return grant if await self._take(found.leases.get(choice), owner, grant, lease_ms) else None

    async def _take(self, before: Lease | None, owner: Owner, grant: Grant, lease_ms: int) -> bool:
        """Writes who has it, if nobody was faster."""
        worker, window, now = grant.worker, grant.window, micro_time(int(grant.now_ms))
        annotations = {FIRST: str(window.first_ms), LAST: str(window.last_ms), NAME: owner.name}
        spec = {"holderIdentity": holder(owner), "leaseDurationSeconds": _seconds(lease_ms),
                "acquireTime": now, "renewTime": now,
                "leaseTransitions": before.transitions + 1 if before is not None else 0}
        if before is not None:
            written = await self._leases.update(changed(before, annotations, spec))
        else:
            name = worker_lease(self.pool, worker)
            written = await self._leases.create(made(name, self._pool.labels, annotations, spec))
        if written is not None:
            self._written[worker] = written
        return written is not None

    # -- holding --------------------------------------------------------------------------------------------------

    async def _change_own(self, owner: Owner, worker: int, annotations: Mapping[str, str], spec: Words) -> bool:
        """Changes an object that is ours; False when it is not, or is gone."""
        name, ours = worker_lease(self.pool, worker), self._written.pop(worker, None)
        for attempt in range(TRIES):
            if ours is None or ours.holder != holder(owner):
                ours = await self._leases.get(name)
            if ours is None or ours.holder != holder(owner):  # guard: owner
                return False
            ours = await self._leases.update(changed(ours, annotations, spec))
            if ours is not None:
                self._written[worker] = ours
                return True
            await self._pool.pause(attempt)  # somebody edited it, or our last answer was lost: what is there now?
        raise self._pool.never(f"changing the Lease {name}")


def _seconds(lease_ms: int) -> int:
    """Whole ones, and one at least: the API server takes no others."""
    return max(1, -(-lease_ms // 1000))
