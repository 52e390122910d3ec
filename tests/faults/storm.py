# SPDX-License-Identifier: Apache-2.0
"""A storm over the shop: each order is published five times, in parallel and out of order, while workers are killed.

``Shop`` is the crew, ``Storm`` the siege of it; what they share with the others lies in ``crew`` and ``siege``.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from holdfast import Holdfast, Outgoing
from holdfast.testing import Worker
from tests.faults.crew import GROUP, Crew, ask, events
from tests.faults.domain import Callee, NoBooks, Order, RedisStore, SqlStore, Store, judge
from tests.faults.domain import orders as draw
from tests.faults.siege import Siege
from tests.faults.workers.domain import Task
from tests.support.nursery import Born

ROOT = Path(__file__).parents[2]
COPIES = 5
#: Orders that are published at once, and unread copies that are kept in front of the workers.
BATCH, SUPPLY = 20, 50


@dataclass
class Shop(Crew):
    """Workers that carry out orders under one mode. ``handler`` is its name; what it needs, ``store`` says."""

    handler: str = "redis"
    store: str = ""
    side: str = "async"
    stock: str = "compare"
    attempts: int = 20
    lock_s: float = 5.0
    idle_s: float = 30.0
    books: Store = field(init=False)

    def __post_init__(self) -> None:
        if self.handler == "redis":
            self.store = self.store or self.stream
            self.books = RedisStore(partial(ask, self.backend), self.store)
        elif self.handler == "tally":
            self.books = NoBooks()
        elif self.handler == "outside":
            self.store = str(self.folder / "callee.sqlite")
            self.books = Callee(Path(self.store))
        else:
            self.store = self.store or f"sqlite:///{self.folder / 'shop.sqlite'}"
            self.books = SqlStore(self.store)

    def __enter__(self) -> Self:
        self.books.open()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: PYI036 - handed on
        super().__exit__(*error)
        self.books.close()

    def start(self, arm: str = "", **other: Any) -> Worker:
        task = Task(url=self.backend.url, stream=self.stream, group=GROUP, mode=self.handler, folder=str(self.folder),
                    store=self.store, side=self.side, stock=self.stock, settings=dict(self.settings),
                    how=dict(self.how), attempts=self.attempts, lock_s=self.lock_s, idle_s=self.idle_s,
                    drain_s=self.drain_s)
        told = msgspec.json.encode(msgspec.structs.replace(task, **other)).decode()
        worker = Born.module("tests.faults.workers.domain", told, env={"HOLDFAST_POINTS": arm}, cwd=ROOT)
        self.workers.append(worker)
        return worker

    def order(self, fresh: Sequence[Order], rng: random.Random, *, later: int = 0) -> None:
        """Publishes each five times; of the first ``later`` one copy comes with a delay."""
        copies = [order for n, order in enumerate(fresh) for _ in range(COPIES - (n < later))]
        rng.shuffle(copies)
        asyncio.run(self._order([copies[part::3] for part in range(3)], fresh[:later]))

    async def _order(self, parts: Sequence[Sequence[Order]], later: Sequence[Order]) -> None:
        async def publish(part: Sequence[Order]) -> None:
            async with Holdfast(self.backend.url) as hf:
                await hf.publish_many(self.stream, [Outgoing(value=order, id=order.id) for order in part])

        await asyncio.gather(*map(publish, parts))
        async with Holdfast(self.backend.url) as hf:
            for order in later:
                await hf.publish(self.stream, order, id=order.id, delay_s=0.3)

    def dead(self) -> set[str]:
        """Ids of the orders that have a letter."""
        return {letter[b"x-dlq-original-message-id"].decode() for letter in self.letters()}


@dataclass
class Storm(Siege):
    """One run: ``run(plan)``, ``finish()``, and then ``faults()`` must be empty."""

    crew: Shop
    orders: dict[str, Order] = field(default_factory=dict)

    def _supply(self) -> None:
        if self.crew.unread() >= SUPPLY:
            return
        batch = draw(self.rng, BATCH, len(self.orders))
        self.orders |= {order.id: order for order in batch}
        self.crew.order(batch, self.rng, later=2)

    def faults(self, *, refusals: bool = True) -> list[str]:
        """All that is wrong when everything is worked off."""
        crew = self.crew
        found = judge(self.orders, crew.books.read(), crew.dead(), refusals=refusals)
        found += [f"{name} still lies there" for name in crew.left()]
        found += [f"{row} is pending" for row in crew.pending()]
        if isinstance(crew.books, Callee):
            found += needless(crew.books, self.orders, crew.workers)
        return found

    def report(self) -> str:
        lines = [f"{count:4} {name}" for name, count in sorted(self.kills.items())]
        applied, dead = len(self.crew.books.read().effects), len(self.crew.dead())
        head = f"{self.kills.total()} kills; {len(self.orders)} orders, {applied} applied, {dead} dead"
        return "\n".join([head, *lines])


def needless(callee: Callee, published: dict[str, Order], workers: Sequence[Worker]) -> list[str]:
    """Calls made again although whoever had called before was alive, and had not said that it failed.

    That it was alive shows in what it said after the second call. A worker that was declared dead does not count.
    """
    last_word = {worker.pid: max((line["at"] for line in worker.lines if isinstance(line, dict)), default=0.0)
                 for worker in workers if not events(worker, "incarnation_lost")}
    first: dict[str, tuple[int, str]] = {}
    excused = {name for name, order in published.items() if order.kind == "flaky"}
    faults = []
    for key, name, pid, at in callee.calls():
        before, known = first.get(name, (0, key))
        if known != key:
            faults.append(f"{name} was called for with two keys")
        if before and last_word.get(before, 0.0) > at:
            if name not in excused:
                faults.append(f"{name} was called for again by {pid} while {before}, who had called, was alive")
            excused.discard(name)  # it fails once in its life; a death before that does not use it up
        first[name] = (pid, key)
    return faults


def written(path: Path, state: object) -> None:
    """A file that is there whole, or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(state, indent=1))
    fresh.rename(path)
