# SPDX-License-Identifier: Apache-2.0
"""What the Lease objects of a pool say: one of each worker id, and one of the pool.

::

    holdfast-ids.web       the pool    holdfast/ceiling-ms  no window that was ever given ends later
                                       holdfast/made        worker ids that had an object: 0-41,512
                                       holdfast/begins-ms   where the first windows begin
    holdfast-ids.web.7     a worker id spec.holderIdentity  name_id of the hold; empty when it was given back
                                       holdfast/window-first-ms, holdfast/window-last-ms, holdfast/name

Anybody with the right to may delete an object, and its window is forgotten with it. The pool's remembers enough: a
worker id that had an object and has none any more begins behind the ceiling, and a new one at once. A pool without an
object of its own is new, or was deleted as a whole while its processes went on. Nobody can tell which, so what is made
then begins one window later than it could.

For that to be enough, nobody may hold more than a window from now on: one that begins later is empty until it is
renewed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..._coord.kubernetes_words import Lease
from ..scheme import Owner
from ..term import Window
from ..windows import Record, window_behind

PREFIX = "holdfast-ids"
#: Labels and annotations.
POOL, FIRST, LAST, NAME = "holdfast/pool", "holdfast/window-first-ms", "holdfast/window-last-ms", "holdfast/name"
CEILING, MADE, BEGINS = "holdfast/ceiling-ms", "holdfast/made", "holdfast/begins-ms"
#: The ceiling is raised by so many windows at once. More: fewer writes to the one object that all share. Price: a
#: worker id whose object was deleted by hand is free that much later.
AHEAD = 4
#: A name is ``PREFIX.POOL.NUMBER`` and a DNS subdomain; the pool is a label's value, too. No dot: it parts them.
POOL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Pool:
    """What the pool's object keeps. All of it only grows."""

    begins_ms: int
    ceiling_ms: int
    made: frozenset[int]

    def promising(self, last_ms: int, lease_ms: int, worker: int | None = None) -> Pool:
        """With room for a window that ends at ``last_ms``, and the worker id among those that have an object."""
        ceiling_ms = self.ceiling_ms if last_ms <= self.ceiling_ms else last_ms + AHEAD * lease_ms
        return replace(self, ceiling_ms=ceiling_ms, made=self.made | ({worker} if worker is not None else set()))

    def annotations(self) -> dict[str, str]:
        """As the object has it."""
        return {BEGINS: str(self.begins_ms), CEILING: str(self.ceiling_ms), MADE: spans(self.made)}


@dataclass(frozen=True)
class Seen:
    """A pool's objects at one moment. whole: the pool's own, None when there is none; pool: what it says, None when it
    says nothing that can be read."""

    whole: Lease | None
    pool: Pool | None
    leases: Mapping[int, Lease]

    def records(self) -> list[Record]:
        """Of every worker id that has or had an object."""
        ceiling_ms = self.pool.ceiling_ms if self.pool is not None else 0
        forgotten = (self.pool.made if self.pool is not None else frozenset()) - self.leases.keys()
        return [*(record_of(n, lease, ceiling_ms) for n, lease in sorted(self.leases.items())),
                # guard: what was deleted begins behind the ceiling
                *(Record(n, "", "", Window(ceiling_ms, ceiling_ms)) for n in sorted(forgotten))]

    def new_pool(self, now_ms: int, lease_ms: int) -> Pool:
        """What a pool begins with whose object is not there, or was made unreadable."""
        latest_ms = max([now_ms, *(record.window.last_ms for record in self.records())])
        begins_ms = latest_ms + lease_ms + 1  # guard: new or not
        return Pool(begins_ms, begins_ms + AHEAD * lease_ms, frozenset(self.leases))


def seen(leases: Iterable[Lease], pool: str) -> Seen:
    """Reads a list. What only carries our label is left alone."""
    whole, workers = None, {}
    for lease in leases:
        number = lease.name.removeprefix(f"{pool_lease(pool)}.")
        if lease.name == pool_lease(pool):
            whole = lease
        elif number != lease.name and number.isascii() and number.isdigit():
            workers[int(number)] = lease
    return Seen(whole, pool_of(whole), workers)


def pool_lease(pool: str) -> str:
    """Name of the pool's object."""
    return f"{PREFIX}.{pool}"


def worker_lease(pool: str, worker: int) -> str:
    """Name of a worker id's object."""
    return f"{pool_lease(pool)}.{worker}"


def holder(owner: Owner) -> str:
    """As ``spec.holderIdentity`` has it: ``kubectl get lease`` shows it, and no other hold has it."""
    return f"{owner.name}_{owner.id}"


def record_of(worker: int, lease: Lease, ceiling_ms: int) -> Record:
    """A window that somebody made unreadable may have ended at the ceiling."""
    first_ms = _number(lease.annotations.get(FIRST), ceiling_ms)
    last_ms = _number(lease.annotations.get(LAST), ceiling_ms)
    name = lease.holder.rpartition("_")[0] or lease.holder or lease.annotations.get(NAME, "")
    return Record(worker, lease.holder, name, Window(first_ms, last_ms), lease.renewed_ms)


def pool_of(lease: Lease | None) -> Pool | None:
    """None when there is none, or when somebody wrote something else into it."""
    if lease is None:
        return None
    try:
        said = lease.annotations
        return Pool(int(said[BEGINS]), int(said[CEILING]), frozenset(numbers(said[MADE])))
    except (KeyError, ValueError):
        return None


def offered(records: Iterable[Record], now_ms: int, behind_ms: int) -> list[Record]:
    """As ``chosen`` is to see them. What a clock far ahead has left is nobody's own: there is something better, even
    for whoever had it."""
    return [replace(r, name="") if not r.owner and (r.at_ms or 0) - now_ms > behind_ms else r for r in records]


def next_window(last: Record | None, now_ms: int, lease_ms: int, begins_ms: int) -> Window:
    """Behind the last one, and not before ``begins_ms``. It ends a lease from now, wherever it begins."""
    first_ms = window_behind(last, now_ms, lease_ms, begins_ms).first_ms
    return Window(first_ms, max(first_ms - 1, now_ms + lease_ms))  # guard: one that begins later is empty as yet


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else otherwise


def spans(found: Iterable[int]) -> str:
    """``0-41,512``: short as long as they are given in order."""
    runs: list[str] = []
    for _, run in itertools.groupby(enumerate(sorted(found)), key=lambda pair: pair[1] - pair[0]):
        members: Sequence[int] = [number for _, number in run]
        runs.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ",".join(runs)


def numbers(text: str) -> list[int]:
    """What ``spans`` wrote."""
    found: list[int] = []
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
