# SPDX-License-Identifier: Apache-2.0
"""The contract between worker and broker (``consume.contract``), seen from the broker: what every worker keeps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast._base.chance import system_chance
from holdfast._base.clock import SystemClock
from holdfast._base.events import Event, Events
from holdfast._base.events import Settled as SettledEvent
from holdfast._base.message import Message
from holdfast.consume.attempt import attempt_of
from holdfast.consume.binding import bind
from holdfast.consume.consumer import Consumer
from holdfast.consume.contract import Delivery, Note, Settled, Settlement, Verb
from holdfast.consume.gate import Gate
from holdfast.consume.letters import Letters
from holdfast.consume.limits_file import Limits
from holdfast.consume.outcome import Retry
from holdfast.consume.parts import Parts
from holdfast.consume.policy import policy_of
from holdfast.consume.routes import Routes, route
from holdfast.consume.subscription import Subscription
from holdfast.errors import ServerUnreachable
from holdfast.testing import wait_until_async


class Desk:
    """An origin that writes down what it is told and answers what it was given."""

    stream, group = "orders", "billing"

    def __init__(self) -> None:
        self.settled: list[tuple[bytes, Verb]] = []
        self.calls = 0
        self.marked: list[bytes] = []
        self.may_start = True
        #: What the next settles do: an error is raised, a code answers everything in the call.
        self.answers: list[Exception | Settled] = []

    async def mark_started(self, delivery: Delivery) -> bool:
        self.marked.append(delivery.entry_id)
        return self.may_start

    async def settle(self, acks: list[Delivery], others: Sequence[Settlement]) -> list[tuple[Delivery, Settled]]:
        self.calls += 1
        answer = self.answers.pop(0) if self.answers else Settled.OK
        if isinstance(answer, Exception):
            raise answer
        everything = [*((d, Verb.ACK) for d in acks), *((s.delivery, s.verb) for s in others)]
        if answer is Settled.OK:
            self.settled += [(d.entry_id, verb) for d, verb in everything]
            return []
        return [(d, answer) for d, _ in everything]

    def delivery(self, n: int = 1, count: int = 1, **facts: Any) -> Delivery:
        entry_id = b"%d-0" % n
        message = Message(self.stream, entry_id, [b"body", b"%d" % n])
        return Delivery(self, entry_id, message, count, SystemClock().now(), **facts)

    async def has(self, *settled: tuple[bytes, Verb]) -> None:
        await wait_until_async(lambda: len(self.settled) >= len(settled), 5, f"{settled}, not {self.settled}")
        assert sorted(self.settled) == sorted(settled)


Claim = Callable[[Desk, Consumer], Awaitable[None]]


@pytest.fixture
def worker(arun):
    """Runs a claim against a consumer of one handler."""
    told: list[Event] = []

    def run(handler: Callable[..., Any], claim: Claim, *, retry: Retry | None = None, **limits: Any) -> list[Event]:
        async def whole() -> None:
            clock, chance = SystemClock(), system_chance()
            subscription = Subscription(stream="orders", group="billing", limits=Limits(**limits),
                                        policy=policy_of(retry))
            routes = Routes([route(bind(handler))])
            with ThreadPoolExecutor(4) as executor:
                parts = Parts(Gate(), Letters(clock), Events(told.append), clock, chance, stale_s=60.0)
                consumer = Consumer(subscription, attempt_of(routes, None, (), executor), routes, parts, name="billing")
                consumer.start()
                try:
                    await claim(Desk(), consumer)
                finally:
                    await consumer.drain(2.0)
                    await consumer.stop()

        arun(whole())
        return told

    return run


def test_a_delivery_is_held_until_its_settle_was_answered(worker):
    may_end = asyncio.Event()

    async def handler(body):
        await may_end.wait()

    async def claim(desk, consumer):
        d = desk.delivery()
        consumer.deliver([d])
        assert consumer.holds(desk, d.entry_id)
        assert consumer.held(desk) == 1
        may_end.set()
        await desk.has((d.entry_id, Verb.ACK))
        await wait_until_async(lambda: not consumer.holds(desk, d.entry_id), 5, "to be let go")
        assert consumer.held(desk) == 0

    worker(handler, claim)


def test_what_is_revoked_is_neither_run_nor_settled_and_what_runs_is_cancelled(worker):
    ran, cancelled = [], []

    async def handler(body):
        ran.append(body)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(body)
            raise

    async def claim(desk, consumer):
        consumer.deliver([desk.delivery(1), desk.delivery(2)])
        await wait_until_async(lambda: ran == [1], 5, "the first to run")
        assert consumer.revoke(desk, "server") == 2
        await wait_until_async(lambda: cancelled == [1], 5, "its end")
        await consumer.drain(1.0)
        assert (ran, desk.settled, consumer.held(desk)) == ([1], [], 0)

    worker(handler, claim, concurrency=1)


def test_a_second_attempt_never_starts_beside_the_first(worker):
    """A thread cannot be cancelled: its entry, delivered again to a new incarnation of ours, waits for its end."""
    may_end, running, most, ran = threading.Event(), [], [], []

    def handler(body):
        running.append(body)
        most.append(len(running))
        assert may_end.wait(10)
        running.remove(body)
        ran.append(body)

    async def claim(desk, consumer):
        consumer.deliver([desk.delivery(1)])
        await wait_until_async(lambda: running == [1], 5, "the first attempt")
        consumer.revoke(desk, "server")
        again = Desk()
        consumer.deliver([again.delivery(1, count=2, note=Note())])
        consumer.deliver([again.delivery(2)])
        await wait_until_async(lambda: len(running) == 2, 5, "another message beside it")
        assert sorted(running) == [1, 2]
        may_end.set()
        await again.has((b"1-0", Verb.ACK), (b"2-0", Verb.ACK))
        assert (sorted(ran), max(most), desk.settled) == ([1, 1, 2], 2, [])

    worker(handler, claim)


def test_handing_back_releases_what_has_not_started_and_settles_what_has(worker):
    may_end, ran = asyncio.Event(), []

    async def handler(body):
        ran.append(body)
        await may_end.wait()

    async def claim(desk, consumer):
        consumer.deliver([desk.delivery(n) for n in (1, 2, 3)])
        await wait_until_async(lambda: ran == [1], 5, "the first to run")
        consumer.hand_back(desk)
        await desk.has((b"2-0", Verb.RELEASE), (b"3-0", Verb.RELEASE))
        may_end.set()
        await desk.has((b"1-0", Verb.ACK), (b"2-0", Verb.RELEASE), (b"3-0", Verb.RELEASE))
        assert ran == [1]

    worker(handler, claim, concurrency=1)


def test_a_settle_without_answer_is_asked_again_and_gone_is_then_success(worker):
    async def handler(body):
        return None

    async def claim(desk, consumer):
        lost = ServerUnreachable("the reply was lost")
        desk.answers = [lost, lost, Settled.GONE]
        consumer.deliver([desk.delivery()])
        await wait_until_async(lambda: desk.calls == 3 and not consumer.held(desk), 5, "the third settle")

    told = worker(handler, claim)
    (settled,) = [e for e in told if isinstance(e, SettledEvent)]
    assert (settled.acked, settled.refused) == (1, 0)


@pytest.mark.parametrize("answer", [Settled.OTHER, Settled.EPOCH, Settled.GONE])
def test_what_belongs_to_somebody_else_is_forgotten_and_counted(worker, answer):
    async def handler(body):
        return None

    async def claim(desk, consumer):
        desk.answers = [answer]
        consumer.deliver([desk.delivery()])
        await wait_until_async(lambda: desk.calls == 1 and not consumer.held(desk), 5, "the settle")

    told = worker(handler, claim)
    (settled,) = [e for e in told if isinstance(e, SettledEvent)]
    assert (settled.acked, settled.refused) == (0, 1)


def test_a_retry_whose_payload_is_gone_becomes_a_letter(worker):
    async def handler(body):
        raise ConnectionError

    async def claim(desk, consumer):
        desk.answers = [Settled.MISSING]
        consumer.deliver([desk.delivery()])
        await desk.has((b"1-0", Verb.BURY))

    worker(handler, claim)


def test_a_refused_burial_stays_pending(worker):
    async def handler(body):
        raise ConnectionError

    async def claim(desk, consumer):
        desk.answers = [Settled.FAILED]
        consumer.deliver([desk.delivery()])
        await desk.has((b"1-0", Verb.PARK))

    worker(handler, claim, retry=Retry(attempts=1))


def test_a_suspect_is_marked_before_it_runs_and_runs_alone(worker):
    may_end, running, beside = asyncio.Event(), [], []

    async def handler(body):
        running.append(body)
        beside.append(len(running))
        if body == 1:
            await may_end.wait()
        running.remove(body)

    async def claim(desk, consumer):
        suspect = desk.delivery(2, count=2, note=Note(suspect=True), suspect=True)
        consumer.deliver([desk.delivery(1)])
        await wait_until_async(lambda: running == [1], 5, "the first to run")
        consumer.deliver([suspect])
        consumer.deliver([desk.delivery(3)])
        await asyncio.sleep(0.05)  # long enough for either to start, if it could
        assert running == [1]
        may_end.set()
        await desk.has((b"1-0", Verb.ACK), (b"2-0", Verb.ACK), (b"3-0", Verb.ACK))
        assert desk.marked == [b"2-0"]
        assert beside == [1, 1, 1]

    worker(handler, claim)


def test_a_suspect_that_is_no_longer_ours_is_not_started(worker):
    ran = []

    async def handler(body):
        ran.append(body)

    async def claim(desk, consumer):
        desk.may_start = False
        consumer.deliver([desk.delivery(1, count=2, note=Note(suspect=True), suspect=True)])
        await wait_until_async(lambda: desk.marked and not consumer.held(desk), 5, "it to be let go")
        assert (ran, desk.settled) == ([], [])

    worker(handler, claim)
