# SPDX-License-Identifier: Apache-2.0
"""A consumer without a broker: deliveries are made up, and a fake origin remembers what was settled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from holdfast._base.chance import system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Event, Events
from holdfast._base.message import F_BODY, F_ID, F_KEY, F_TYPE, F_VERSION, Message
from holdfast.consume.attempt import attempt_of
from holdfast.consume.batch import batch_attempt_of
from holdfast.consume.batches import BatchConsumer
from holdfast.consume.binding import bind
from holdfast.consume.consumer import Consumer
from holdfast.consume.contract import Delivery, Note, Settled, Settlement, Verb
from holdfast.consume.gate import Gate
from holdfast.consume.letters import Letters
from holdfast.consume.limits_file import Limits
from holdfast.consume.parts import Parts
from holdfast.consume.routes import Routes, route
from holdfast.consume.subscription import Subscription

_SUBSCRIPTION = {"policy", "effect", "middleware", "classifiers", "ordered", "on_dead_head", "breaker"}


class FakeOrigin:
    """Settles at once, or as ``answers`` says: each is raised, or answered as what was refused."""

    def __init__(self, stream: str = "orders", group: str = "billing") -> None:
        self.stream, self.group = stream, group
        self.acked: list[bytes] = []
        self.others: list[Settlement] = []
        self.calls: list[tuple[list[bytes], list[bytes]]] = []
        self.marked: list[bytes] = []
        self.answers: deque[Exception | Sequence[tuple[Delivery, Settled]]] = deque()
        self.mark: Callable[[Delivery], bool] = lambda _: True
        self.let: asyncio.Event | None = None

    async def mark_started(self, delivery: Delivery) -> bool:
        self.marked.append(delivery.entry_id)
        return self.mark(delivery)

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]) -> Sequence[tuple[Delivery, Settled]]:
        self.calls.append(([d.entry_id for d in acks], [s.delivery.entry_id for s in others]))
        if self.let is not None:
            await self.let.wait()
        answer = self.answers.popleft() if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        refused = {id(d) for d, _ in answer}
        self.acked += [d.entry_id for d in acks if id(d) not in refused]
        self.others += [s for s in others if id(s.delivery) not in refused]
        return answer

    def verbs(self) -> list[tuple[bytes, Verb]]:
        return [(s.delivery.entry_id, s.verb) for s in self.others]


def delivery(origin: FakeOrigin, n: int, body: str = "{}", *, key: str | None = None, type: str | None = None,
             version: int | None = None, fence: object = 1, **known: Any) -> Delivery:
    """Entry ``n-0``, as a source hands it over."""
    fields = [F_ID, b"m%d" % n]
    if key is not None:
        fields += (F_KEY, key.encode())
    if type is not None:
        fields += (F_TYPE, type.encode())
    if version is not None:
        fields += (F_VERSION, b"%d" % version)
    fields += (F_BODY, body.encode())
    known.setdefault("received_at", SystemClock().now())
    return Delivery(origin, b"%d-0" % n, Message(origin.stream, b"%d-0" % n, fields), fence, **known)


def suspect(origin: FakeOrigin, n: int, crashes: int = 0, body: str = "{}") -> Delivery:
    """An entry that a dead process left."""
    return delivery(origin, n, body, suspect=True, crashes=crashes, note=Note(crashes=crashes, suspect=True))


@asynccontextmanager
async def consuming(*handlers: Callable[..., Any] | tuple[Callable[..., Any], str], batch: bool = False,
                    stale_s: float = 10.0, gate: Gate | None = None, told: list[Event] | None = None,
                    start: bool = True, **how: Any) -> AsyncIterator[Consumer]:
    """A consumer that runs until the block ends. ``how``: fields of Subscription and of Limits."""
    rest = {name: how.pop(name) for name in list(how) if name in _SUBSCRIPTION}
    subscription = Subscription(stream="orders", group="billing", batch=batch, limits=Limits(**how), **rest)
    pairs = [h if isinstance(h, tuple) else (h, None) for h in handlers]
    routes = Routes([route(bind(h, batch=batch), t) for h, t in pairs])
    with ThreadPoolExecutor(4) as executor:
        parts = Parts(gate or Gate(), Letters(SystemClock()), Events(*([] if told is None else [told.append])),
                      SystemClock(), system_chance(), stale_s=stale_s)
        consumer: Consumer
        if batch:
            many = batch_attempt_of(routes, subscription.effect, executor)
            consumer = BatchConsumer(subscription, many, routes, parts, name="orders/billing")
        else:
            one = attempt_of(routes, subscription.effect, subscription.middleware, executor)
            consumer = Consumer(subscription, one, routes, parts, name="orders/billing")
        if start:
            consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()
