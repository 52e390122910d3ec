# SPDX-License-Identifier: Apache-2.0
"""Locks on a real server: one holder at a time, who knows when the lock is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

import pytest

from holdfast._base import events as ev
from holdfast._base.lock import HoldState
from holdfast.errors import ConfigurationError, LeaseLost, LockUnconfirmed, ServerUnreachable
from holdfast.locks import LockSettings
from holdfast.testing import FencedMutex, Operation, Proxy, Way, check_linearizable, wait_until_async
from tests.support.locks import key_of, locks_at

pytestmark = pytest.mark.everywhere


def keys(backend, pattern="*"):
    return [key for master in backend.masters for key in master.admin.keys(pattern)]


def test_one_holder_at_a_time_and_every_one_has_a_larger_token(backend, stream, arun):
    tokens, inside = [], []

    async def take(locks):
        async with locks.lock(stream).hold() as held:
            inside.append(held)
            assert len(inside) == 1, "somebody else is inside"
            tokens.append(held.fencing_token)
            await asyncio.sleep(0)
            inside.remove(held)

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            await asyncio.gather(*(take(locks) for _ in range(20) for locks in (one, other)))

    arun(main())
    assert len(tokens) == 40
    assert tokens == sorted(set(tokens)), "guard: tokens only grow"


def test_a_look_does_not_wait_and_a_wait_has_an_end(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other, one.lock(stream).hold():
            with pytest.raises(TimeoutError, match="held by somebody else"):
                await other.lock(stream).acquire(wait_s=0)
            with pytest.raises(TimeoutError, match=r"not free within 0\.2 s"):
                await other.lock(stream).acquire(wait_s=0.2)

    arun(main())
    assert not keys(backend, "*::released:*") or keys(backend), "nothing but what one release leaves"
    assert not [key for key in keys(backend) if key == key_of(stream)]


def test_who_waits_is_told_and_does_not_poll(backend, stream, arun):
    async def main():
        async with locks_at(backend.url, ttl_s=20) as one, locks_at(backend.url, ttl_s=20) as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire(wait_s=20))
            await wait_until_async(lambda: other._listeners and any(
                listener._confirmed for listener in other._listeners.values()), 10, "it listens")
            began = time.monotonic()
            assert await one.lock(stream).release(held) is True
            await waiting
            assert time.monotonic() - began < 5, "poll and lease are 20 s and more"

    arun(main())


def test_what_is_freed_before_anybody_listens_is_seen(backend, stream, arun, monkeypatch):
    """The guard: look once more, once the subscription is confirmed."""
    async def main():
        async with locks_at(backend.url, ttl_s=30) as one, locks_at(backend.url, ttl_s=30) as other:
            held = await one.lock(stream).acquire()
            find = other.listener

            async def freed_first(wanted):
                await one.lock(stream).release(held)
                return await find(wanted)

            monkeypatch.setattr(other, "listener", freed_first)
            taken = await other.lock(stream).acquire(wait_s=10)
            assert taken.fencing_token > held.fencing_token

    arun(main())


def test_it_is_renewed_for_as_long_as_it_is_held(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            async with locks.lock(stream).hold() as held:
                first = held.deadline
                await asyncio.sleep(2)
                held.check()
                assert held.deadline > first + 1
                assert held.state is HoldState.HELD
            assert held.state is HoldState.RELEASED

    arun(main())
    assert key_of(stream) not in keys(backend)


def test_a_fixed_lease_is_renewed_by_nobody(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            with pytest.raises(LeaseLost):
                async with locks.lock(stream).hold(lease_s=0.4) as held:
                    await asyncio.sleep(10)
            assert held.cause == "lease"
            assert locks.renewer.commands == 0

    arun(main())


def test_the_body_is_cancelled_when_the_lock_is_lost(backend, stream, arun):
    told = []

    async def main():
        async with locks_at(backend.url) as locks:
            with pytest.raises(LeaseLost, match="server"):  # noqa: PT012 - the block is what is under test
                async with locks.lock(stream).hold() as held:
                    held.on_lost(told.append)
                    backend.admin.delete(key_of(stream))
                    await asyncio.sleep(10)
            assert held.cause == "server"
            with pytest.raises(LeaseLost):
                held.check()

    arun(main())
    assert told == ["server"], "told once"


def test_a_body_that_ends_before_the_loss_is_noticed_hears_of_it_all_the_same(backend, stream, arun):
    async def main():
        async with locks_at(backend.url, ttl_s=30) as locks:
            with pytest.raises(LeaseLost, match="not held any more"):
                async with locks.lock(stream).hold():
                    backend.admin.delete(key_of(stream))

    arun(main())


def test_a_cancellation_of_somebody_else_stays_one(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            entered = asyncio.Event()

            async def work():
                async with locks.lock(stream).hold():
                    entered.set()
                    await asyncio.sleep(10)

            task = asyncio.create_task(work())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert locks.held == ()

    arun(main())
    assert key_of(stream) not in keys(backend)


def test_nobody_renews_or_gives_back_what_is_somebody_elses(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            held = await locks.lock(stream).acquire()
            backend.admin.hset(key_of(stream), "acquisition", "another")
            backend.admin.pexpire(key_of(stream), 5000)
            await wait_until_async(lambda: held.over, 10, "the renewer is told")
            assert 1000 < backend.admin.pttl(key_of(stream)) <= 5000, "guard: owner, in renew.lua"
            assert await locks.lock(stream)._keeper.give_back(held) is False
            assert backend.admin.hget(key_of(stream), "acquisition") == b"another", "guard: owner, in release.lua"
            assert await locks.lock(stream).release(held) is False

    arun(main())


def test_closing_gives_back_what_is_held_and_its_block_may_end_afterwards(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            async with locks.lock(stream).hold() as held:
                await locks.close()
                assert held.state is HoldState.RELEASED
                assert key_of(stream) not in keys(backend)
            assert await locks.lock(stream).release(held) is True, "a second time does nothing"

    arun(main())


def test_a_task_holds_again_what_it_holds_and_those_it_starts_do_not(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks, locks.lock(stream).hold() as outer:
            async with locks.lock(stream).hold() as inner:
                assert inner.fencing_token == outer.fencing_token
            outer.check()

            async def child():
                await locks.lock(stream).acquire(wait_s=0)

            with pytest.raises(TimeoutError):
                await asyncio.create_task(child())

    arun(main())


def test_tokens_grow_although_the_server_forgot_the_last_one(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            async with locks.lock(stream).hold() as first:
                pass
            for master in backend.masters:
                master.admin.flushall()
            async with locks.lock(stream).hold() as second:
                assert second.fencing_token > first.fencing_token

    arun(main())


def test_a_server_that_forgot_the_scripts_is_given_them_again(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            async with locks.lock(stream).hold():
                pass
            for master in backend.masters:
                master.admin.script_flush()
            async with locks.lock(stream).hold() as held:
                await wait_until_async(lambda: locks.renewer.renewed, 10, "it is renewed")
                held.check()

    arun(main())


def test_what_happened_while_connections_broke_is_what_one_mutex_could_have_done(backend, stream, arun, rng):
    """Acquisitions are named: an answer that never came may have been a grant, and ends with its own lease."""
    history = []

    async def take(locks, client, n):
        lock, hold = locks.lock(stream), f"{client}-{n}"
        began = time.monotonic()
        try:
            held = await lock.acquire(wait_s=rng.choice((0, 2)))
        except TimeoutError:
            history.append(Operation(client, stream, "acquire", hold, False, began, time.monotonic()))
            return
        except ServerUnreachable:  # it was given back, or tried to: whether it was there in between is not known
            history.append(Operation(client, stream, "acquire", hold, True, began, None))
            history.append(Operation(client, stream, "expire", hold, True, began, None))
            return
        history.append(Operation(client, stream, "acquire", hold, held.fencing_token, began, time.monotonic()))
        await asyncio.sleep(rng.random() * 0.004)
        began = time.monotonic()
        assert await lock.release(held)
        history.append(Operation(client, stream, "release", hold, True, began, time.monotonic()))

    async def some(locks, client):
        for n in range(12):
            await take(locks, client, n)

    async def break_connections(work):
        while not work.done():
            for master in backend.masters:
                for found in master.admin.client_list():
                    if found["name"] == "hf-locks" and rng.random() < 0.5:
                        master.admin.client_kill_filter(_id=found["id"])
            await asyncio.sleep(0.02)

    async def main():
        long = {"ttl_s": 20, "poll_s": 0.2}
        async with locks_at(backend.url, **long) as one, locks_at(backend.url, **long) as two:
            work = asyncio.gather(*(some(locks, f"{n}") for n, locks in enumerate((one, two) * 3)))
            await asyncio.gather(work, break_connections(work))

    arun(main())
    assert sum(op.call == "acquire" and op.result is not False for op in history) > 20
    found = check_linearizable(history, FencedMutex())
    assert found.ok, found.explain()


def test_a_loop_that_blocks_loses_its_locks_and_can_say_that_it_would_keep_them(backend, stream, arun):
    heard = []

    async def main(policy):
        events = ev.Events()
        events.subscribe(heard.append)
        async with locks_at(backend.url, on_blocked=policy, events=events) as locks:
            held = await locks.lock(stream).acquire()
            time.sleep(1.5)  # noqa: ASYNC251 - the loop hangs: that is the case
            return held.state

    assert arun(main("lapse")) is HoldState.LOST
    assert [e for e in heard if isinstance(e, ev.LoopBlocked)]
    assert arun(main("keep")) is HoldState.HELD


def test_an_end_to_holding_and_a_condition_for_it(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            with pytest.raises(LeaseLost, match="max_hold"):
                async with locks.lock(stream).hold(max_hold_s=0.9):
                    await asyncio.sleep(10)
            with pytest.raises(LeaseLost):
                async with locks.lock(stream).hold(renew_while=lambda: False):
                    await asyncio.sleep(10)

    arun(main())


def test_a_condition_that_raises_ends_its_own_lock_and_no_other(backend, stream, arun):
    """It runs in the thread that renews them all."""
    async def main():
        def broken():
            raise RuntimeError("no such table")

        async with locks_at(backend.url) as locks, locks.lock(f"{stream}-other").hold() as other:
            with pytest.raises(LeaseLost, match="renew_while"):
                async with locks.lock(stream).hold(renew_while=broken):
                    await asyncio.sleep(10)
            renewed = locks.renewer.renewed
            await wait_until_async(lambda: locks.renewer.renewed >= renewed + 3, 10, "the other one is still renewed")
            other.check()

    arun(main())


def test_a_cancelled_wait_leaves_nothing_behind(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other, one.lock(stream).hold():
            for pause_s in (0, 0.001, 0.005, 0.02, 0.1):
                waiting = asyncio.create_task(other.lock(stream).acquire())
                await asyncio.sleep(pause_s)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            assert not other.held
            assert not other.lock(stream)._keeper._turns._lines
            assert not any(listener._waiting for listener in other._listeners.values())
        assert key_of(stream) not in keys(backend)

    arun(main())


def test_a_hundred_locks_are_renewed_by_one_command(backend, stream, arun):
    async def main():
        async with locks_at(backend.url, ttl_s=3) as locks:
            names = [f"{{{stream}}}:{n}" for n in range(200)]
            held = [await locks.lock(name).acquire() for name in names]
            await wait_until_async(lambda: locks.renewer.renewed >= 400, 20, "twice each")
            for one in held:
                one.check()
            assert locks.renewer.commands <= locks.renewer.renewed / 40

    arun(main())


@pytest.mark.kinds("valkey")
def test_a_child_process_owns_nothing(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            held = await locks.lock(stream).acquire()
            pid = os.fork()
            if pid == 0:
                try:
                    held.check()
                except LeaseLost:
                    os._exit(7)
                os._exit(0)
            _, status = os.waitpid(pid, 0)  # noqa: ASYNC222 - it ends at once
            assert os.waitstatus_to_exitcode(status) == 7, "guard: the fork hook"
            held.check()

    with contextlib.suppress(DeprecationWarning):
        arun(main())


def test_locks_of_before_a_fork_say_so_in_the_child(backend, stream, arun, monkeypatch):
    async def main():
        async with locks_at(backend.url) as locks:
            monkeypatch.setattr(locks, "_pid", -1)
            with pytest.raises(ConfigurationError, match="made before a fork"):
                await locks.lock(stream).acquire()
            monkeypatch.undo()

    arun(main())


def test_a_child_that_closes_its_locks_gives_nothing_of_its_parents_back(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            held = await locks.lock(stream).acquire()
            held.forked = True  # what a fork says in the child
            await locks.ledger.close()
            assert backend.admin.exists(key_of(stream)), "guard: its parent's to give back"

    arun(main())


@pytest.mark.kinds("valkey")
def test_without_replicas_to_confirm_it_it_is_not_granted(backend, stream, arun):
    async def main():
        async with locks_at(backend.url, replicas=1, confirm_s=0.1) as locks:
            with pytest.raises(LockUnconfirmed, match="0 of 1 replicas"):
                await locks.lock(stream).acquire(wait_s=0)
            with pytest.raises(LockUnconfirmed, match="0 of 1 replicas"):
                await locks.lock(stream).acquire(wait_s=0.5)
            assert key_of(stream) not in keys(backend), "guard: fail-closed"

    arun(main())


@pytest.mark.kinds("valkey")
def test_a_lost_answer_to_a_question_costs_a_second_question(backend, stream, arun):
    async def main():
        with Proxy(backend.server.address) as proxy:
            async with locks_at(proxy.through(backend.url), ttl_s=20) as locks:
                async with locks.lock(stream).hold():
                    pass
                trap = proxy.eat_reply(to=b"EVALSHA")
                began = time.monotonic()
                held = await locks.lock(stream).acquire(wait_s=15)
                assert trap.eaten
                assert time.monotonic() - began < 5, "its own key is not waited for"
                held.check()
                proxy.heal()
                trap = proxy.eat_reply(to=b"EVALSHA")
                assert await locks.lock(stream).release(held) is True, "guard: asked again, in release.lua"
                assert trap.eaten

    arun(main())


@pytest.mark.kinds("valkey")
def test_what_was_granted_to_a_cancelled_question_is_given_back(backend, stream, arun):
    async def main():
        with Proxy(backend.server.address) as proxy:
            async with locks_at(proxy.through(backend.url), ttl_s=60) as locks:
                async with locks.lock(stream).hold():
                    pass
                proxy.stall(Way.DOWN)
                asking = asyncio.create_task(locks.lock(stream).acquire(wait_s=30))
                await wait_until_async(lambda: backend.admin.exists(key_of(stream)), 10, "it is granted")
                asking.cancel()
                await asyncio.sleep(0)
                proxy.heal()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                assert not backend.admin.exists(key_of(stream)), "guard: it may be granted, and nobody would know"

    arun(main())


@pytest.mark.kinds("valkey")
def test_a_release_that_is_cancelled_before_it_was_sent_is_said_all_the_same(backend, stream, arun):
    async def main():
        with Proxy(backend.server.address) as proxy:
            async with locks_at(proxy.through(backend.url), ttl_s=60) as locks:
                held = await locks.lock(stream).acquire()
                proxy.refuse()
                proxy.cut()
                releasing = asyncio.create_task(locks.lock(stream).release(held))
                await asyncio.sleep(0.01)
                releasing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await releasing
                proxy.heal()
                await wait_until_async(lambda: not backend.admin.exists(key_of(stream)), 10,
                                       "guard: said once more where no cancellation reaches")

    arun(main())


@pytest.mark.kinds("valkey")
def test_a_server_that_is_away_makes_it_suspect_and_then_lost(backend, stream, arun):
    async def main():
        with Proxy(backend.server.address) as proxy:
            async with locks_at(proxy.through(backend.url), ttl_s=1) as locks:
                seen = []
                with pytest.raises(LeaseLost, match="unreachable"):  # noqa: PT012 - the block is what is under test
                    async with asyncio.timeout(10), locks.lock(stream).hold() as held:
                        deadline = held.deadline
                        proxy.stall()
                        while True:
                            seen.append(held.state)
                            await asyncio.sleep(0.02)
                assert time.clock_gettime(time.CLOCK_BOOTTIME) < deadline + 1.5
                assert HoldState.SUSPECT in seen
                assert seen == sorted(seen, key=[HoldState.HELD, HoldState.SUSPECT, HoldState.LOST].index)
                proxy.heal()

    arun(main())


def test_an_authority_is_asked_for_a_grant_and_for_nothing_else(backend, stream, arun):
    """Drawn before the grant, tokens would not follow the order of the grants."""
    class Counting:
        drawn = 0

        async def next(self, name):
            self.drawn += 1
            return self.drawn

    async def main():
        authority = Counting()
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            one.authority = other.authority = authority
            async with one.lock(stream).hold() as held:
                assert held.fencing_token == 1
                with pytest.raises(TimeoutError):
                    await other.lock(stream).acquire(wait_s=0.2)
            async with other.lock(stream).hold() as held:
                assert held.fencing_token == authority.drawn == 2, "guard: drawn after the grant"

    arun(main())


def test_settings_that_cannot_be_are_refused(backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            with pytest.raises(ConfigurationError, match="needs a name"):
                locks.lock("")
            with pytest.raises(ConfigurationError, match="nobody renews"):
                await locks.lock(stream).acquire(lease_s=1, max_hold_s=2)

    arun(main())
    with pytest.raises(ConfigurationError, match="lost to any pause"):
        LockSettings(ttl_s=0.01)
