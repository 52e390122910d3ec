# SPDX-License-Identifier: Apache-2.0
"""Guarded calls: first and repeated, busy, errors, a store that does not answer."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from uuid import UUID

import pytest

from holdfast.errors import BusinessIdMissing, ConfigurationError, EffectBusy, EffectError, ServerUnreachable
from holdfast.once.guard.guard import Guard
from holdfast.once.guard.memory_store import MemoryStore
from holdfast.once.guard.records import Done, callee_key
from holdfast.testing import wait_until_async
from tests.support.guards import Failing, Receipt, failing, held_by_another, made, outcomes, setting

SOON_S = 10.0

# -- first and repeated ----------------------------------------------------------------------------------------------


def test_the_first_runs_and_a_repeat_has_its_result(guard, once, told):
    assert once(guard, "42", setting({"amount": 7})).result == {"amount": 7}
    again = once(guard, "42")
    assert not again.first
    assert again.result == {"amount": 7}
    assert outcomes(told) == ["first", "repeated"]


def test_another_key_and_another_namespace_are_other_calls(store, guard, once):
    once(guard, "42", setting(1))
    once(guard, "43", setting(2))
    once(Guard(store, namespace="payments"), "42", setting(3))


def test_a_result_comes_back_as_the_type_asked_for(guard, once):
    once(guard, "42", setting(Receipt("o-1", 5)))
    assert once(guard, "42", result=Receipt).result == Receipt("o-1", 5)
    assert once(guard, "42").result == {"order": "o-1", "amount": 5}


@pytest.mark.parametrize(("value", "wanted"), [
    (None, Any), ("text", Any), ("text", str), (b"\0\xff", bytes), (7, int), ([1, "a"], Any), (Receipt("o"), Receipt),
])
def test_results_that_json_can_hold(guard, once, value, wanted):
    once(guard, "42", setting(value))
    assert once(guard, "42", result=wanted).result == value


def test_a_result_that_is_of_another_type_by_now_is_said_so(guard, once):
    once(guard, "42", setting({"order": 5}))
    with pytest.raises(EffectError, match="not of the type that is asked for now"):
        _ = once(guard, "42", result=Receipt).result


def test_a_repeat_sets_no_result(guard, once):
    once(guard, "42", setting(1))

    def body(call):
        call.result = 2

    with pytest.raises(ConfigurationError, match="done before"):
        once(guard, "42", body)


def test_a_result_that_cannot_be_stored_leaves_the_effect_done(guard, once):
    with pytest.raises(EffectError, match="will not be done again, but its result cannot be stored"):
        once(guard, "42", setting(object()))
    again = once(guard, "42")
    assert not again.first
    with pytest.raises(EffectError, match="its result could not be stored"):
        _ = again.result


def test_after_its_retention_it_is_the_first_again(guard, once, clock):
    once(guard, "42", setting(1))
    clock.advance(7 * 86_400 - 1)
    assert not once(guard, "42").first
    clock.advance(1)
    assert once(guard, "42").first


@pytest.mark.parametrize("key", ["", None])
def test_a_call_without_a_key_is_refused(guard, once, store, key):
    with pytest.raises(BusinessIdMissing):
        once(guard, key)
    assert not store.calls


def test_what_may_be_written_in_two_ways_is_no_key(guard, once):
    with pytest.raises(ConfigurationError, match="float"):
        once(guard, 4.0)
    number, uuid = once(guard, 42, setting(1)), UUID(int=7)
    assert number.key == "42"
    assert once(guard, uuid, setting(1)).key == str(uuid)


@pytest.mark.parametrize("how", [
    {"namespace": ""}, {"lease_s": 0}, {"wait_s": -1}, {"retention_s": 1}, {"on_error": "forget"},
])
def test_a_guard_that_cannot_hold_is_refused(how):
    with pytest.raises(ConfigurationError):
        Guard(MemoryStore(), **{"namespace": "refunds", **how})


# -- busy ------------------------------------------------------------------------------------------------------------


def test_a_key_that_somebody_is_at_is_busy(guard, once, store, told):
    held_by_another(store)
    with pytest.raises(EffectBusy, match=r"lease ends in 30.0 s") as raised:
        once(guard, "42")
    assert raised.value.retry_may_help
    assert store.calls == ["claim"]
    assert outcomes(told) == ["busy"]


def test_who_waits_has_the_result_of_whom_it_waited_for(once):
    store = MemoryStore()
    held_by_another(store)
    waiting = made(store, wait_s=SOON_S)

    def end():
        store._plain._records["refunds", "42"] = Done("another", b"7", 2**60)

    timer = threading.Timer(0.1, end)
    timer.start()
    call = once(waiting, "42")
    timer.join()
    assert (call.first, call.result) == (False, 7)


def test_waiting_takes_over_when_the_lease_ends(once, told):
    store = MemoryStore()
    held_by_another(store, until_s=0.15)
    call = once(made(store, wait_s=SOON_S, told=told), "42")
    assert call.first
    assert call.taken_over
    assert outcomes(told) == ["taken_over"]


def test_waiting_does_not_spin(once):
    store = Failing()
    held_by_another(store)
    with pytest.raises(EffectBusy):
        once(made(store, wait_s=0.5), "42")
    assert 3 <= store.calls.count("claim") <= 20


# -- errors ----------------------------------------------------------------------------------------------------------


def test_an_error_clears_the_mark_when_asked_to(store, once, clock, told):
    guard = made(store, clock=clock, told=told, on_error="clear")
    with pytest.raises(OSError, match="hung up"):
        once(guard, "42", failing)
    call = once(guard, "42", setting(1))
    assert not call.taken_over
    assert outcomes(told) == ["failed", "first"]


def test_an_error_keeps_the_mark_until_its_lease_ends(guard, once, clock):
    with pytest.raises(OSError, match="hung up"):
        once(guard, "42", failing)
    with pytest.raises(EffectBusy):
        once(guard, "42")
    clock.advance(30)
    assert once(guard, "42", setting(1)).taken_over


def test_an_error_of_a_repeat_leaves_the_record(store, once, clock):
    guard = made(store, clock=clock, on_error="clear")
    once(guard, "42", setting(1))
    with pytest.raises(OSError, match="hung up"):
        once(guard, "42", failing)
    assert once(guard, "42").result == 1


def test_a_mark_that_cannot_be_cleared_does_not_hide_the_error(store, once, clock):
    guard = made(store, clock=clock, on_error="clear")
    store.before["clear"] = [ServerUnreachable()]
    with pytest.raises(OSError, match="hung up"):
        once(guard, "42", failing)


@pytest.mark.parametrize("on_error", ["clear", "keep"])
def test_a_cancelled_body_is_like_one_that_raised(store, clock, arun, on_error):
    guard = made(store, clock=clock, on_error=on_error)

    async def main():
        begun = asyncio.Event()

        async def call():
            async with guard.once("42"):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await guard.look("42")

    assert (arun(main()) is None) == (on_error == "clear")


def test_who_is_cancelled_while_claiming_leaves_no_mark(clock, arun):
    class Slow(MemoryStore):
        async def claim(self, mark):
            verdict = await super().claim(mark)
            await asyncio.Event().wait()  # the answer does not come
            return verdict

    guard = made(Slow(clock), clock=clock)

    async def main():
        async def call():
            async with guard.once("42"):
                raise AssertionError("it has not been claimed")

        task = asyncio.create_task(call())
        await wait_until_async(lambda: guard.look("42"), SOON_S, "the claim is in")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await guard.look("42")

    assert arun(main()) is None


def test_an_effect_is_recorded_although_its_caller_leaves_meanwhile(clock, arun):
    class Slow(MemoryStore):
        async def finish(self, mark, result):
            finishing.set()
            await may_finish.wait()
            return await super().finish(mark, result)

    finishing, may_finish = asyncio.Event(), asyncio.Event()
    guard = made(Slow(clock), clock=clock)

    async def main():
        async def call():
            async with guard.once("42") as call:
                call.result = 1

        task = asyncio.create_task(call())
        await finishing.wait()
        task.cancel()
        await asyncio.sleep(0)
        may_finish.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await guard.look("42")

    assert isinstance(arun(main()), Done)


# -- a store that does not answer ------------------------------------------------------------------------------------


def test_a_claim_whose_answer_was_lost_is_not_in_its_own_way(guard, once, store):
    store.after["claim"] = [ServerUnreachable(maybe_done=True)]
    assert once(guard, "42", setting(1)).first


def test_without_a_store_nothing_runs(guard, once, store):
    store.before["claim"] = [ServerUnreachable()]
    with pytest.raises(ServerUnreachable):
        once(guard, "42", lambda call: pytest.fail("it ran"))


def test_an_end_that_is_not_answered_is_told_again(store, once):
    guard = made(store, lease_s=0.5)
    store.before["finish"] = [ServerUnreachable(), ServerUnreachable()]
    store.after["finish"] = [ServerUnreachable(maybe_done=True)]
    assert once(guard, "42", setting(1)).result == 1
    assert store.calls.count("finish") == 4
    assert once(guard, "42").result == 1


def test_an_end_that_is_never_answered_is_said_to_be_unrecorded(store, once, told):
    guard = made(store, lease_s=0.5, told=told)
    store.before["finish"] = [ServerUnreachable() for _ in range(9)]
    with pytest.raises(ServerUnreachable, match="was done, but the store did not confirm") as raised:
        once(guard, "42", setting(1))
    assert raised.value.maybe_done
    assert outcomes(told) == ["failed"]


# -- the rest --------------------------------------------------------------------------------------------------------


def test_the_key_for_the_callee_is_the_same_at_every_attempt(guard, once, clock):
    keys = []

    def body(call):
        keys.append(call.key_for_callee)
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError):
            once(guard, "42", body)
        clock.advance(30)
    assert keys == [callee_key("refunds", "42")] * 2


def test_old_records_are_pruned(guard, once, clock, arun):
    for key in ("1", "2", "3"):
        once(guard, key, setting(1))
    clock.advance(7 * 86_400)
    once(guard, "4", setting(1))
    assert arun(guard.prune(2)) == 2
    assert guard.prune_plain() == 1
    assert not once(guard, "4").first


def test_a_call_says_how_long_it_took(guard, once, clock, told):
    once(guard, "42", lambda call: clock.advance(3))
    assert (told[0].namespace, told[0].seconds) == ("refunds", 3.0)


def test_many_at_once_run_one(arun):
    store = MemoryStore()
    guard = made(store, wait_s=SOON_S)
    ran = []

    async def main():
        async def one():
            async with guard.once("42") as call:
                if call.first:
                    ran.append(1)
                    await asyncio.sleep(0.01)
                    call.result = len(ran)
            return call.result

        return await asyncio.gather(*(one() for _ in range(50)))

    assert set(arun(main())) == {1}
    assert ran == [1]
