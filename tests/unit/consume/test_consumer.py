# SPDX-License-Identifier: Apache-2.0
"""The consumer's loop: what is started, what is not, and what is asked of the origin afterwards."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from holdfast import Drop, Reject, Retry
from holdfast._base.events import HandlerOverdue, ParkedUnknown
from holdfast.consume.backoff import Fixed
from holdfast.consume.breaker import BreakerSettings
from holdfast.consume.contract import Verb
from holdfast.consume.gate import Gate
from holdfast.consume.policy import NEVER, RetryPolicy
from holdfast.testing import wait_until_async
from tests.support.consuming import FakeOrigin, consuming, delivery, suspect

SOON_S = 5.0


async def reached(condition, what="the condition"):
    return await wait_until_async(condition, SOON_S, what)


async def turns(count=50):
    """Lets everything that is ready run, so that what has not happened by then will not happen."""
    for _ in range(count):
        await asyncio.sleep(0)


class Handler:
    """Counts what is started; ``hold`` keeps it from ending."""

    def __init__(self, hold=False):
        self.started, self.ended, self.cancelled = [], [], []
        self.let = asyncio.Event()
        if not hold:
            self.let.set()

    def __call__(self):
        async def handle(body: str) -> None:
            self.started.append(body)
            try:
                await self.let.wait()
            except asyncio.CancelledError:
                self.cancelled.append(body)
                raise
            self.ended.append(body)

        return handle


# -- success, failure, directives -------------------------------------------------------------------------------------


def test_what_succeeds_is_acknowledged():
    async def scenario():
        origin, handler = FakeOrigin(), Handler()
        async with consuming(handler()) as consumer:
            consumer.deliver([delivery(origin, n, "x") for n in range(1, 201)])
            await reached(lambda: len(origin.acked) == 200)
            assert sorted(origin.acked) == sorted(b"%d-0" % n for n in range(1, 201))
            assert consumer.held(origin) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["raised", "returned"])
@pytest.mark.parametrize(("directive", "verb"), [
    (Retry(after=30), Verb.PARK), (Reject("no such customer"), Verb.BURY), (Drop("superseded"), Verb.ACK),
    (Retry(after=30, counts=False), Verb.PARK)])
def test_a_directive_means_the_same_raised_and_returned(how, directive, verb):
    async def scenario():
        origin = FakeOrigin()

        async def handle(body: str) -> object:
            if how == "raised":
                raise directive
            return directive

        async with consuming(handle) as consumer:
            consumer.deliver([delivery(origin, 1)])
            await reached(lambda: origin.acked or origin.others)
            if verb is Verb.ACK:
                assert origin.acked == [b"1-0"]
                return
            (settlement,) = origin.others
            assert settlement.verb is verb
            if verb is Verb.PARK:
                assert 29_000 < settlement.due_in_ms <= 30_000
                assert settlement.note.attempts == directive.counts

    asyncio.run(scenario())


def test_an_error_class_has_its_own_policy():
    async def scenario():
        origin = FakeOrigin()

        async def handle(body: str) -> None:
            raise {"k": KeyError, "c": ConnectionError, "v": ValueError}[body]("x")

        policy = RetryPolicy(attempts=1, on=((KeyError, "bury"),
                                             (ConnectionError, RetryPolicy(attempts=9, backoff=Fixed(7)))))
        async with consuming(handle, policy=policy) as consumer:
            consumer.deliver([delivery(origin, n, body) for n, body in enumerate("kcv", 1)])
            await reached(lambda: len(origin.others) == 3)
            by_id = {s.delivery.entry_id: s for s in origin.others}
            assert [by_id[i].verb for i in (b"1-0", b"2-0", b"3-0")] == [Verb.BURY, Verb.PARK, Verb.BURY]
            assert by_id[b"2-0"].due_in_ms == 7000

    asyncio.run(scenario())


def test_an_unknown_type_and_a_newer_version_are_parked_uncounted():
    async def scenario():
        origin, told, started = FakeOrigin(), [], []

        async def handle(body: int) -> None:
            started.append(body)

        async with consuming((handle, "paid"), told=told) as consumer:
            consumer.deliver([delivery(origin, 1, "1", type="refunded"),
                              delivery(origin, 2, "2", type="paid", version=7)])
            await reached(lambda: len(origin.others) == 2)
            assert {s.verb for s in origin.others} == {Verb.PARK}
            assert {s.note.attempts for s in origin.others} == {0}
            assert sorted((e.type, e.version) for e in told if isinstance(e, ParkedUnknown)) == [
                ("paid", 7), ("refunded", 1)]
            assert started == []

    asyncio.run(scenario())


def test_a_body_that_cannot_be_decoded_is_buried_at_once():
    async def scenario():
        origin = FakeOrigin()

        async def handle(body: int) -> None: ...

        async with consuming(handle) as consumer:
            consumer.deliver([delivery(origin, 1, "not json"), delivery(origin, 2, '"text"'), delivery(origin, 3, "3")])
            await reached(lambda: len(origin.others) == 2 and origin.acked)
            assert origin.verbs() == [(b"1-0", Verb.BURY), (b"2-0", Verb.BURY)]

    asyncio.run(scenario())


def test_middleware_wraps_every_attempt_in_order():
    async def scenario():
        origin, seen = FakeOrigin(), []

        def named(name):
            async def middleware(d, call_next):
                seen.append(f"{name}>")
                answer = await call_next(d)
                seen.append(f"<{name}")
                return answer

            return middleware

        async def handle(body: str) -> None:
            seen.append("handler")

        async with consuming(handle, middleware=(named("a"), named("b"))) as consumer:
            consumer.deliver([delivery(origin, 1)])
            await reached(lambda: origin.acked)
            assert seen == ["a>", "b>", "handler", "<b", "<a"]

    asyncio.run(scenario())


# -- time-outs --------------------------------------------------------------------------------------------------------


def test_an_overdue_handler_is_cancelled_and_that_counts_as_an_attempt():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler(), timeout_s=0.05) as consumer:
            consumer.deliver([delivery(origin, 1, "x")])
            await reached(lambda: origin.others)
            (settlement,) = origin.others
            assert settlement.verb is Verb.PARK
            assert settlement.note.attempts == 1
            assert settlement.note.reason == "timeout"
            assert handler.cancelled == ["x"]

    asyncio.run(scenario())


def test_an_overdue_thread_stays_in_flight_and_is_reported_once():
    async def scenario():
        origin, told, let = FakeOrigin(), [], threading.Event()
        runs = []

        def handle(body: str) -> None:
            runs.append(body)
            let.wait(SOON_S)

        async with consuming(handle, timeout_s=0.05, told=told) as consumer:
            consumer.deliver([delivery(origin, 1, "x")])
            await reached(lambda: [e for e in told if isinstance(e, HandlerOverdue)])
            assert consumer.holds(origin, b"1-0")
            consumer.deliver([delivery(origin, 1, "x", fence=2)])  # found again, by whatever way
            await asyncio.sleep(0.15)  # three looks of the watch
            assert runs == ["x"]
            assert len([e for e in told if isinstance(e, HandlerOverdue)]) == 1
            let.set()
            await reached(lambda: origin.acked)
            assert origin.acked == [b"1-0"]
            assert runs == ["x"]

    asyncio.run(scenario())


def test_a_handler_that_swallows_its_cancellation_harms_nobody_after_it():
    async def scenario():
        origin = FakeOrigin()

        async def handle(body: str) -> None:
            if body == "stubborn":
                try:
                    await asyncio.sleep(SOON_S)
                except asyncio.CancelledError:
                    return
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(SOON_S)
            except TimeoutError:
                return

        async with consuming(handle, timeout_s=0.1, concurrency=1) as consumer:
            consumer.deliver([delivery(origin, n, body) for n, body in enumerate(["stubborn", "timed", "timed"], 1)])
            await reached(lambda: len(origin.acked) == 3, "all three are acknowledged, by the same task")

    asyncio.run(scenario())


def test_a_time_out_in_middleware_of_an_unknown_type_does_not_end_the_watch():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)

        async def slow(d, call_next):
            if d.message.type == "refunded":
                await asyncio.sleep(SOON_S)
            return await call_next(d)

        async with consuming((handler(), "paid"), middleware=(slow,), timeout_s=0.05) as consumer:
            consumer.deliver([delivery(origin, 1, type="refunded")])
            await reached(lambda: origin.others, "the first is cut off")
            consumer.deliver([delivery(origin, 2, "x", type="paid")])
            await reached(lambda: len(origin.others) == 2, "and so is the second")

    asyncio.run(scenario())


# -- never twice at once ----------------------------------------------------------------------------------------------


def test_an_id_in_flight_is_not_started_again():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler()) as consumer:
            consumer.deliver([delivery(origin, 1, "x")])
            await reached(lambda: handler.started)
            consumer.deliver([delivery(origin, 1, "x", fence=2), delivery(origin, 2, "y")])
            await turns()
            assert handler.started == ["x", "y"]
            handler.let.set()
            await reached(lambda: len(origin.acked) == 2)
            assert handler.started == ["x", "y"]

    asyncio.run(scenario())


def test_a_ghost_keeps_its_entry_from_starting_beside_it():
    """The incarnation was lost while a thread ran: the entry comes back under another name, and waits."""

    async def scenario():
        origin, let, runs = FakeOrigin(), threading.Event(), []

        def handle(body: str) -> None:
            runs.append(body)
            if len(runs) == 1:
                let.wait(SOON_S)

        async with consuming(handle) as consumer:
            consumer.deliver([delivery(origin, 1, "x")])
            await reached(lambda: runs)
            assert consumer.revoke(origin, "paused") == 1
            consumer.deliver([delivery(origin, 1, "x", fence=2)])
            await turns()
            let.set()
            assert runs == ["x"]
            await reached(lambda: origin.acked)
            assert runs == ["x", "x"]
            assert origin.acked == [b"1-0"]  # of the second delivery; the first one's outcome is nobody's

    asyncio.run(scenario())


def test_a_thread_that_was_revoked_does_not_keep_the_consumer_from_stopping():
    async def scenario():
        origin, let, runs = FakeOrigin(), threading.Event(), []

        def handle(body: str) -> None:
            runs.append(body)
            let.wait(SOON_S)

        async with consuming(handle) as consumer:
            consumer.deliver([delivery(origin, 1, "x")])
            await reached(lambda: runs)
            consumer.revoke(origin, "paused")
            try:
                await asyncio.wait_for(consumer.stop(), 1)
            finally:
                let.set()

    asyncio.run(scenario())


def test_what_is_revoked_is_dropped_cancelled_and_not_settled():
    async def scenario():
        origin, other, handler = FakeOrigin(), FakeOrigin("other"), Handler(hold=True)
        async with consuming(handler(), concurrency=2) as consumer:
            consumer.deliver([delivery(origin, n, f"x{n}") for n in range(1, 6)])
            await reached(lambda: len(handler.started) == 2)
            assert consumer.revoke(origin, "paused") == 5
            await reached(lambda: len(handler.cancelled) == 2)
            consumer.deliver([delivery(other, 1, "y")])
            handler.let.set()
            await reached(lambda: other.acked)
            assert handler.started == ["x1", "x2", "y"]
            assert origin.calls == []

    asyncio.run(scenario())


# -- suspects ---------------------------------------------------------------------------------------------------------


def test_a_suspect_runs_alone_marked_first_and_settled_before_the_next():
    async def scenario():
        origin, log = FakeOrigin(), []
        running = set()

        async def handle(body: str) -> None:
            running.add(body)
            log.append((body, frozenset(running), tuple(origin.marked), tuple(origin.acked)))
            if body == "s10":
                consumer.deliver([delivery(origin, n, f"z{n}") for n in range(20, 24)])
            await asyncio.sleep(0.005)
            running.discard(body)

        async with consuming(handle) as consumer:
            consumer.deliver([delivery(origin, n, f"x{n}") for n in range(1, 9)])
            consumer.deliver([suspect(origin, 10, body="s10"), suspect(origin, 11, body="s11")])
            consumer.deliver([delivery(origin, n, f"y{n}") for n in range(12, 16)])
            await reached(lambda: len(origin.acked) == 18)
            seen = {body: rest for body, *rest in log}
            for body, entry in (("s10", b"10-0"), ("s11", b"11-0")):
                beside, marked, _ = seen[body]
                assert beside == {body}
                assert entry in marked
            assert b"10-0" in seen["s11"][2]
            assert not [beside for beside, *_ in seen.values() if beside & {"s10", "s11"} and len(beside) > 1]

    asyncio.run(scenario())


def test_a_suspect_among_others_is_told_by_itself():
    """The first of a handful says nothing about the rest."""

    async def scenario():
        origin, handler = FakeOrigin(), Handler()
        async with consuming(handler()) as consumer:
            consumer.deliver([delivery(origin, 1, "plain"), suspect(origin, 2, body="suspect")])
            await reached(lambda: len(origin.acked) == 2)
            assert origin.marked == [b"2-0"]

    asyncio.run(scenario())


def test_a_suspect_that_cannot_be_marked_is_not_started():
    async def scenario():
        origin, handler = FakeOrigin(), Handler()
        origin.mark = lambda _: False
        async with consuming(handler()) as consumer:
            consumer.deliver([suspect(origin, 1, body="x")])
            await reached(lambda: origin.marked)
            await reached(lambda: not consumer.holds(origin, b"1-0"), "it is left to whoever finds it")
            assert handler.started == []
            assert origin.calls == []

    asyncio.run(scenario())


def test_a_message_that_killed_too_often_is_buried_unstarted():
    async def scenario():
        origin, handler = FakeOrigin(), Handler()
        async with consuming(handler(), policy=RetryPolicy(crash_limit=3)) as consumer:
            consumer.deliver([suspect(origin, n, crashes=n, body=f"{n}") for n in (2, 3)])
            await reached(lambda: origin.others)
            assert handler.started == ["2"]
            assert origin.verbs() == [(b"3-0", Verb.BURY)]
            assert b"crash_loop" in origin.others[0].letter

    asyncio.run(scenario())


def test_a_suspect_of_a_batch_consumer_is_in_no_batch():
    async def scenario():
        origin, batches = FakeOrigin(), []

        async def handle(bodies: list[str]) -> None:
            batches.append(list(bodies))

        async with consuming(handle, batch=True, batch_wait_s=0.01) as consumer:
            consumer.deliver([suspect(origin, 1, body="s")])
            consumer.deliver([delivery(origin, n, "x") for n in (2, 3)])
            await reached(lambda: len(origin.acked) == 3)
            assert sorted(batches) == [["s"], ["x", "x"]]

    asyncio.run(scenario())


def test_the_gate_lets_go_on_who_waited_at_it():
    async def scenario():
        gate = Gate()
        async with gate.alone():
            waiting = [asyncio.create_task(gate.opened()) for _ in range(3)]
            await turns(5)
            assert not any(w.done() for w in waiting)
        await asyncio.wait_for(asyncio.gather(*waiting), SOON_S)
        await asyncio.wait_for(gate.opened(), SOON_S)

    asyncio.run(scenario())


def test_nothing_slips_in_beside_a_suspect_while_it_waited_for_its_rate():
    async def scenario():
        origin, gate, log = FakeOrigin(), Gate(), []
        running = set()

        async def handle(body: str) -> None:
            running.add(body)
            log.append(frozenset(running))
            await asyncio.sleep(0.1 if body == "s" else 0)
            running.discard(body)

        async with consuming(handle, gate=gate, rate_per_s=50, burst=1) as consumer:
            consumer.deliver([delivery(origin, 1, "a"), delivery(origin, 2, "b"), delivery(origin, 3, "c")])
            await reached(lambda: log)
            consumer.deliver([suspect(origin, 4, body="s")])
            await reached(lambda: len(origin.acked) == 4)
            assert all(beside == {"s"} for beside in log if "s" in beside)

    asyncio.run(scenario())


def test_nothing_slips_in_beside_a_suspect_while_a_batch_gathers():
    async def scenario():
        origin, log = FakeOrigin(), []
        running = set()

        async def handle(bodies: list[str]) -> None:
            running.update(bodies)
            log.append(frozenset(running))
            await asyncio.sleep(0.1 if "s" in bodies else 0)
            running.difference_update(bodies)

        async with consuming(handle, batch=True, batch_wait_s=0.05) as consumer:
            consumer.deliver([delivery(origin, 1, "a")])
            await turns(5)
            consumer.deliver([suspect(origin, 2, body="s")])
            await reached(lambda: len(origin.acked) == 2)
            assert log in ([{"s"}, {"a"}], [{"a"}, {"s"}])

    asyncio.run(scenario())


# -- batches ----------------------------------------------------------------------------------------------------------


def test_a_batch_has_an_outcome_for_each_member():
    async def scenario():
        origin = FakeOrigin()

        async def handle(bodies: list[str]) -> list[object]:
            return [None, Retry(after=9), Reject("bad"), ValueError("no"), Drop("old")]

        async with consuming(handle, batch=True, batch_size=5, policy=NEVER) as consumer:
            consumer.deliver([delivery(origin, n, "x") for n in range(1, 6)])
            await reached(lambda: len(origin.acked) + len(origin.others) == 5)
            assert sorted(origin.acked) == [b"1-0", b"5-0"]
            # One attempt was allowed and is used up: what asks for another is buried as well.
            assert sorted(origin.verbs()) == [(b"2-0", Verb.BURY), (b"3-0", Verb.BURY), (b"4-0", Verb.BURY)]

    asyncio.run(scenario())


def test_a_failed_batch_counts_no_attempt_and_its_members_run_one_by_one():
    async def scenario():
        origin, calls = FakeOrigin(), []

        async def handle(bodies: list[str]) -> None:
            calls.append(list(bodies))
            if "bad" in bodies:
                raise ValueError("no")

        async with consuming(handle, batch=True, batch_size=3, concurrency=1) as consumer:
            consumer.deliver([delivery(origin, n, b) for n, b in enumerate(["a", "bad", "c"], 1)])
            await reached(lambda: len(origin.acked) + len(origin.others) == 3)
            assert calls == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
            assert sorted(origin.acked) == [b"1-0", b"3-0"]
            (settlement,) = origin.others
            assert settlement.verb is Verb.PARK
            assert settlement.note.attempts == 1

    asyncio.run(scenario())


def test_a_member_that_cannot_be_decoded_does_not_fail_its_batch():
    async def scenario():
        origin, calls = FakeOrigin(), []

        async def handle(bodies: list[int]) -> None:
            calls.append(list(bodies))

        async with consuming(handle, batch=True, batch_size=3, concurrency=1) as consumer:
            consumer.deliver([delivery(origin, 1, "1"), delivery(origin, 2, "no"), delivery(origin, 3, "3")])
            await reached(lambda: len(origin.acked) + len(origin.others) == 3)
            assert calls == [[1, 3]]
            assert origin.verbs() == [(b"2-0", Verb.BURY)]

    asyncio.run(scenario())


def test_members_of_a_failed_batch_are_not_started_once_they_belong_to_others():
    async def scenario():
        origin, calls, alone = FakeOrigin(), [], asyncio.Event()

        async def handle(bodies: list[str]) -> None:
            calls.append(list(bodies))
            if len(bodies) > 1:
                raise ValueError("no")
            alone.set()
            await asyncio.sleep(SOON_S)

        async with consuming(handle, batch=True, batch_size=3, concurrency=1) as consumer:
            consumer.deliver([delivery(origin, n, f"{n}") for n in (1, 2, 3)])
            await alone.wait()
            consumer.revoke(origin, "paused")
            await turns()
            assert calls == [["1", "2", "3"], ["1"]]
            assert origin.calls == []

    asyncio.run(scenario())


# -- limits -----------------------------------------------------------------------------------------------------------


def test_no_more_run_at_once_than_the_concurrency():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler(), concurrency=3) as consumer:
            consumer.deliver([delivery(origin, n, "x") for n in range(1, 11)])
            await reached(lambda: len(handler.started) == 3)
            await turns()
            assert len(handler.started) == 3
            handler.let.set()
            await reached(lambda: len(origin.acked) == 10)

    asyncio.run(scenario())


def test_the_rate_is_kept():
    async def scenario():
        origin, handler = FakeOrigin(), Handler()
        async with consuming(handler(), rate_per_s=100, burst=5) as consumer:
            began = time.monotonic()
            consumer.deliver([delivery(origin, n, "x") for n in range(1, 26)])
            await reached(lambda: len(origin.acked) == 25)
            assert time.monotonic() - began >= 0.19  # 5 at once, 20 more at 100 a second

    asyncio.run(scenario())


def test_no_more_of_a_key_run_at_once_than_allowed():
    async def scenario():
        origin, running, most = FakeOrigin(), {}, {}

        async def handle(body: str) -> None:
            running[body] = running.get(body, 0) + 1
            most[body] = max(most.get(body, 0), running[body])
            await asyncio.sleep(0.002)
            running[body] -= 1

        async with consuming(handle, key_concurrency=1) as consumer:
            consumer.deliver([delivery(origin, n, f"k{n % 3}", key=f"k{n % 3}") for n in range(1, 31)])
            await reached(lambda: len(origin.acked) == 30)
            assert most == {"k0": 1, "k1": 1, "k2": 1}

    asyncio.run(scenario())


def test_a_suspect_takes_no_place_of_its_key_with_it():
    """It was not admitted under the limits, so its end frees nothing."""

    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler(), key_concurrency=1) as consumer:
            consumer.deliver([delivery(origin, 1, "a", key="k")])
            await reached(lambda: handler.started == ["a"])
            odd = suspect(origin, 2, body="s")
            consumer._admission_left(odd, None)
            consumer.deliver([delivery(origin, 3, "b", key="k")])
            await turns()
            assert handler.started == ["a"]
            assert consumer._admission._slots.running == 1

    asyncio.run(scenario())


def test_an_open_breaker_pauses_reading_and_probes_by_itself():
    """Nothing may be queued when its pause is over: then a read has to bring the probe."""

    async def scenario():
        origin, up = FakeOrigin(), False
        told = []

        async def handle(body: str) -> None:
            if not up:
                raise ConnectionError("down")

        breaker = BreakerSettings(min_calls=4, open_s=0.2, open_s_max=0.2, probes=1)
        async with consuming(handle, breaker=breaker, told=told) as consumer:
            consumer.deliver([delivery(origin, n, "x") for n in range(1, 5)])
            await reached(lambda: len(origin.others) == 4)
            assert consumer.room() == 0
            up = True
            await asyncio.wait_for(consumer.wait_room(), SOON_S)
            assert consumer.room() > 0
            consumer.deliver([delivery(origin, 9, "x")])
            await reached(lambda: origin.acked == [b"9-0"])
            states = [e.state for e in told if type(e).__name__ == "BreakerChanged"]
            assert states == ["open", "half-open", "closed"]

    asyncio.run(scenario())


# -- room and hand-back ------------------------------------------------------------------------------------------------


def test_room_is_bounded_and_comes_back_at_half():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler(), concurrency=4, prefetch_max=8) as consumer:
            assert consumer.room() == 8
            consumer.deliver([delivery(origin, n, "x") for n in range(1, 9)])
            await reached(lambda: len(handler.started) == 4)
            assert consumer.room() == 4  # four run, four wait: half of eight
            consumer.deliver([delivery(origin, n, "x") for n in range(9, 13)])
            assert consumer.room() == 0
            handler.let.set()
            await asyncio.wait_for(consumer.wait_room(), SOON_S)

    asyncio.run(scenario())


def test_what_waited_longer_than_a_lease_is_handed_back_unstarted():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler(), concurrency=1, stale_s=0.1) as consumer:
            consumer.deliver([delivery(origin, 1, "runs"), delivery(origin, 2, "waits")])
            await reached(lambda: origin.others)
            assert origin.verbs() == [(b"2-0", Verb.RELEASE)]
            assert handler.started == ["runs"]
            assert origin.others[0].note is None

    asyncio.run(scenario())


def test_draining_hands_back_what_has_not_started_and_lets_the_rest_end():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler(), concurrency=1) as consumer:
            consumer.deliver([delivery(origin, 1, "runs"), delivery(origin, 2, "waits"), suspect(origin, 3, body="s")])
            await reached(lambda: handler.started)
            drained = asyncio.create_task(consumer.drain(SOON_S))
            await reached(lambda: len(origin.others) == 2)
            assert sorted(origin.verbs()) == [(b"2-0", Verb.RELEASE), (b"3-0", Verb.RELEASE)]
            handler.let.set()
            await drained
            assert origin.acked == [b"1-0"]
            assert handler.started == ["runs"]

    asyncio.run(scenario())


def test_at_the_deadline_of_a_drain_what_runs_is_cancelled_and_handed_back_uncounted():
    async def scenario():
        origin, handler = FakeOrigin(), Handler(hold=True)
        async with consuming(handler()) as consumer:
            consumer.deliver([delivery(origin, 1, "x", attempts=2)])
            await reached(lambda: handler.started)
            await consumer.drain(0.05)
            assert origin.verbs() == [(b"1-0", Verb.RELEASE)]
            assert handler.cancelled == ["x"]

    asyncio.run(scenario())


def test_what_arrives_while_draining_is_handed_back():
    """A read that was on its way when reading stopped."""

    async def scenario():
        origin, handler = FakeOrigin(), Handler()
        async with consuming(handler()) as consumer:
            await consumer.drain(0.05)
            consumer.deliver([delivery(origin, 1, "x")])
            await reached(lambda: origin.others)
            assert origin.verbs() == [(b"1-0", Verb.RELEASE)]
            assert handler.started == []

    asyncio.run(scenario())


def test_draining_hands_back_what_waits_for_its_rate():
    async def scenario():
        origin, handler = FakeOrigin(), Handler()
        async with consuming(handler(), rate_per_s=0.01, burst=1) as consumer:
            consumer.deliver([delivery(origin, n, "x") for n in (1, 2, 3)])
            await reached(lambda: origin.acked)
            await turns()
            await consumer.drain(0.5)
            assert sorted(origin.verbs()) == [(b"2-0", Verb.RELEASE), (b"3-0", Verb.RELEASE)]

    asyncio.run(scenario())


def test_hand_back_is_of_one_origin_alone():
    async def scenario():
        origin, other, handler = FakeOrigin(), FakeOrigin("other"), Handler(hold=True)
        async with consuming(handler(), concurrency=1) as consumer:
            consumer.deliver([delivery(other, 1, "runs")])
            await reached(lambda: handler.started)
            consumer.deliver([delivery(origin, 2, "x")])
            consumer.deliver([delivery(other, 3, "y")])
            consumer.hand_back(origin)
            await reached(lambda: origin.others)
            assert origin.verbs() == [(b"2-0", Verb.RELEASE)]
            handler.let.set()
            await reached(lambda: len(other.acked) == 2)

    asyncio.run(scenario())
