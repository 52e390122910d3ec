# SPDX-License-Identifier: Apache-2.0
"""Locks that go with a session, on a real ZooKeeper and a real etcd: what both promise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time

import pytest

from holdfast._base import events as ev
from holdfast._base.lock import HoldState
from holdfast.errors import ConfigurationError, LeaseLost, ServerUnreachable
from holdfast.testing import Proxy, Way, wait_until_async
from tests.support.session_locks import SERVERS, SOON_S

HELD, SUSPECT, LOST = HoldState.HELD, HoldState.SUSPECT, HoldState.LOST


@pytest.fixture(scope="module", params=list(SERVERS))
def running(request):
    server, ground = SERVERS[request.param]
    with server() as started:
        yield started, ground


@pytest.fixture
def ground(running):
    server, kind = running
    return kind(server)


@pytest.fixture
def run(arun, ground):
    """Runs a coroutine, and ends what looked at the server."""

    def go(coroutine):
        async def main():
            try:
                return await coroutine
            finally:
                await ground.close()

        return arun(main())

    return go


@pytest.fixture
def proxy(running):
    with Proxy(running[0].address, resp=False) as between:
        yield between


def counted(locks):
    """Counts the looks of this door from now on."""
    looks = []

    async def watch():
        line = await locks.line()
        look = line.before

        async def before(place):
            looks.append(place)
            return await look(place)

        line.before = before
        return looks

    return watch()


def test_one_holder_at_a_time_and_every_one_has_a_larger_token(ground, stream, run):
    tokens, inside = [], []

    async def take(locks):
        async with locks.lock(stream).hold() as held:
            inside.append(held)
            assert len(inside) == 1, "somebody else is inside"
            tokens.append(held.fencing_token)
            await asyncio.sleep(0)
            inside.remove(held)

    async def main():
        async with ground.door() as one, ground.door() as other:
            await asyncio.gather(*(take(locks) for _ in range(10) for locks in (one, other)))
            await ground.in_line(one, stream, 0)

    run(main())
    assert len(tokens) == 20
    assert tokens == sorted(set(tokens)), "tokens only grow"


def test_it_is_granted_in_the_order_of_arrival_whoever_asks(ground, stream, run):
    granted = []

    async def take(locks, number):
        async with locks.lock(stream).hold():
            granted.append(number)

    async def main():
        async with ground.door() as one, ground.door() as other:
            async with one.lock(stream).hold():
                waiting = []
                for number in range(8):
                    waiting.append(asyncio.create_task(take((one, other)[number % 2], number)))
                    await ground.in_line(one, stream, number + 2)
            await asyncio.gather(*waiting)

    run(main())
    assert granted == list(range(8))


def test_a_release_wakes_one_waiter_and_nobody_else(ground, stream, run):
    async def main():
        async with ground.door() as one, ground.door() as other:
            held = await one.lock(stream).acquire()
            waiting = [asyncio.create_task(other.lock(stream).acquire()) for _ in range(10)]
            await ground.in_line(one, stream, 11)
            looks = await counted(other)
            await asyncio.sleep(0.3)  # what is shown is that nobody looks while nothing happens
            assert looks == []
            await one.lock(stream).release(held)
            done, rest = await asyncio.wait(waiting, timeout=SOON_S, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.3)
            assert (len(done), len(rest), len(looks)) == (1, 9, 1), "guard: each watches its predecessor only"
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await ground.in_line(one, stream, 1)

    run(main())


def test_whoever_was_before_us_may_go_without_its_being_our_turn(ground, stream, run):
    """The guard: look again after the watch."""

    async def main():
        async with ground.door() as one, ground.door() as other:
            held = await one.lock(stream).acquire()
            second = asyncio.create_task(one.lock(stream).acquire())
            await ground.in_line(one, stream, 2)
            third = asyncio.create_task(other.lock(stream).acquire())
            await ground.in_line(one, stream, 3)
            looks = await counted(other)
            second.cancel()
            await wait_until_async(lambda: looks, SOON_S, "the third has looked again")
            await asyncio.wait((third,), timeout=0.3)
            assert not third.done()
            await one.lock(stream).release(held)
            async with asyncio.timeout(SOON_S):
                assert (await third).fencing_token > held.fencing_token

    run(main())


def test_a_look_does_not_wait_and_a_wait_has_an_end_and_neither_leaves_a_place(ground, stream, run):
    async def main():
        async with ground.door() as one, ground.door() as other, one.lock(stream).hold():
            with pytest.raises(TimeoutError, match="held by somebody else"):
                await other.lock(stream).acquire(wait_s=0)
            with pytest.raises(TimeoutError, match=r"not free within 0\.3 s"):
                await other.lock(stream).acquire(wait_s=0.3)
            await ground.in_line(one, stream, 1)

    run(main())


def test_a_free_lock_is_had_with_one_look(ground, stream, run):
    async def main():
        async with ground.door() as one, ground.door() as other:
            for _ in range(3):
                held = await one.lock(stream).acquire(wait_s=0)
                await one.lock(stream).release(held)
                await other.lock(stream).release(await other.lock(stream).acquire(wait_s=0))

    run(main())


@pytest.mark.parametrize("name", ["a/b", "..", "ü ☃", "\0", "a%2Fb", "x" * 200])
def test_any_name_will_do(ground, stream, run, name):
    async def main():
        async with ground.door() as locks, locks.lock(stream + name).hold(), locks.lock(name).hold():
            assert len(await ground.places(locks, name)) == 1

    run(main())


def test_readers_share_and_a_writer_is_alone_and_nobody_passes(ground, stream, run):
    granted = []

    async def take(side, number, go):
        async with side.hold():
            granted.append(number)
            await go.wait()

    async def main():
        async with ground.door() as one, ground.door() as other:
            go, tasks = asyncio.Event(), []
            sides = [one.read_write(stream).read, other.read_write(stream).read, one.read_write(stream).write,
                     other.read_write(stream).read, one.read_write(stream).read, other.read_write(stream).write]
            for number, side in enumerate(sides):
                tasks.append(asyncio.create_task(take(side, number, go)))
                await ground.in_line(one, stream, number + 1, "read-write")
            await wait_until_async(lambda: len(granted) == 2, SOON_S, "both readers are in")
            await asyncio.sleep(0.2)
            assert sorted(granted) == [0, 1]
            go.set()
            await asyncio.gather(*tasks)
            assert (granted[2], sorted(granted[3:5]), granted[5]) == (2, [3, 4], 5)

    run(main())


def test_a_reader_behind_a_writer_who_gives_up_waits_for_the_writer_before_that(ground, stream, run):
    """kazoo issue 649."""

    async def main():
        async with ground.door() as one, ground.door() as other:
            held = await one.read_write(stream).write.acquire()
            second = asyncio.create_task(one.read_write(stream).write.acquire())
            await ground.in_line(one, stream, 2, "read-write")
            reader = asyncio.create_task(other.read_write(stream).read.acquire())
            await ground.in_line(one, stream, 3, "read-write")
            second.cancel()
            await asyncio.wait((reader,), timeout=0.5)
            assert not reader.done()
            await one.read_write(stream).write.release(held)
            async with asyncio.timeout(SOON_S):
                await reader

    run(main())


def test_it_is_kept_over_several_ttls_by_one_renewal_for_all(ground, stream, run):
    async def main():
        async with (ground.door(ttl_s=2.0) as locks, locks.lock(stream).hold() as held,
                    locks.lock(f"{stream}-2").hold() as second):
            first = held.deadline
            await asyncio.sleep(4)  # what is shown is that this long passes
            held.check()
            assert held.state is HELD
            assert held.deadline == second.deadline > first + 2

    run(main())


def test_held_again_by_its_task_with_the_same_token(ground, stream, run):
    async def main():
        async with ground.door() as locks:
            async with locks.lock(stream).hold() as held, locks.lock(stream).hold(wait_s=0) as again:
                assert again is held
            await ground.in_line(locks, stream, 0)

    run(main())


def test_a_server_that_is_paused_makes_it_suspect_and_lost_by_its_deadline_told_once(ground, running, stream, run):
    told, states = [], []

    async def main():
        async with ground.door(ttl_s=2.0) as locks:
            lost_at = None
            with pytest.raises(LeaseLost, match="unreachable"):  # noqa: PT012 - the block is what is under test
                async with locks.lock(stream).hold() as held:
                    held.on_lost(told.append)
                    running[0].pause()
                    try:
                        while True:
                            states.append(held.state)
                            await asyncio.sleep(0.02)
                    finally:
                        lost_at = locks.clock.now()
                        running[0].resume()
            assert lost_at - held.deadline < 1.0
            assert list(dict.fromkeys(states))[:2] == [HELD, SUSPECT]
            with pytest.raises(LeaseLost):
                held.check()
            async with asyncio.timeout(SOON_S):
                again = await locks.lock(stream).acquire()  # another session
            assert again.fencing_token > held.fencing_token
            again.check()

    try:
        run(main())
    finally:
        running[0].resume()
    assert told == ["unreachable"]


def test_a_way_that_is_cut_costs_the_lock_before_anybody_else_has_it(ground, proxy, stream, run):
    async def main():
        async with ground.door(proxy, ttl_s=2.0) as one, ground.door() as other:
            lost_at = []
            held = await one.lock(stream).acquire()
            held.on_lost(lambda cause: lost_at.append((one.clock.now(), cause)))
            waiting = asyncio.create_task(other.lock(stream).acquire())
            await ground.in_line(other, stream, 2)
            proxy.refuse()
            proxy.cut()
            async with asyncio.timeout(SOON_S):
                taken = await waiting
            taken_at = other.clock.now()
            assert held.state is LOST
            assert held.deadline <= taken_at
            assert [cause for _, cause in lost_at] == ["unreachable"]
            assert taken.fencing_token > held.fencing_token
            proxy.accept()
            assert await one.lock(stream).release(held) is False

    run(main())


@pytest.mark.parametrize("kind", list(SERVERS))
def test_a_server_that_is_killed_costs_the_lock_by_its_deadline_and_the_next_start_gives_it_anew(kind, stream, arun):
    started, ground_of = SERVERS[kind]

    async def main(server):
        ground = ground_of(server)
        async with ground.door(ttl_s=2.0) as one, ground.door(ttl_s=2.0) as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire())
            await ground.in_line(one, stream, 2)
            await asyncio.to_thread(server.kill)
            await wait_until_async(lambda: held.over, SOON_S, "it is lost")
            assert held.cause == "unreachable"
            assert not waiting.done()
            await asyncio.to_thread(server.restart)
            async with asyncio.timeout(30):
                taken = await waiting
            taken.check()
            assert taken.fencing_token > held.fencing_token, "guard: numbers outlive the server"
            assert await one.lock(stream).release(held) is False
            await ground.close()

    with started() as server:
        arun(main(server))


def test_a_session_that_the_server_ended_costs_all_its_locks_and_the_next_has_another_one(ground, stream, run):
    told = []

    async def main():
        async with ground.door() as locks:
            held = [await locks.lock(f"{stream}-{n}").acquire() for n in range(3)]
            for each in held:
                each.on_lost(told.append)
            before = (await locks.line()).session
            await ground.end_session(locks)
            await wait_until_async(lambda: len(told) == 3, SOON_S, "all are told")
            assert [each.state for each in held] == [LOST] * 3
            assert [await locks.lock(each.name).release(each) for each in held] == [False] * 3
            async with locks.lock(f"{stream}-0").hold(wait_s=SOON_S) as again:
                assert again.session is not before, "guard: never on with an earlier session"
                assert again.fencing_token > held[0].fencing_token

    run(main())
    assert told == ["server"] * 3


def test_whoever_waits_while_its_session_ends_comes_again_and_is_granted_by_the_next(ground, stream, run):
    """CURATOR-604, kazoo issue 282: neither granted with what the earlier session left, nor waiting for ever."""

    async def main():
        async with ground.door() as one, ground.door() as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire())
            [_, earlier] = await ground.in_line(one, stream, 2)
            before = (await other.line()).session
            await ground.end_session(other)
            await wait_until_async(lambda: before.over, SOON_S, "the session is lost")

            async def another():
                found = await ground.places(one, stream)
                return len(found) == 2 and found[1] != earlier

            await wait_until_async(another, SOON_S, "it comes again")
            assert not waiting.done()
            await one.lock(stream).release(held)
            async with asyncio.timeout(SOON_S):
                taken = await waiting
            assert taken.session is not before
            taken.check()

    run(main())


def test_a_waiter_that_is_woken_after_the_end_of_its_own_session_has_won_nothing(ground, stream, run, monkeypatch):
    """etcd issue 9921."""

    async def main():
        async with ground.door() as one, ground.door() as other:
            held = await one.lock(stream).acquire()
            line = await other.line()
            gone = line.gone

            async def woken_late(path):
                await gone(path)
                await ground.end_session(other)  # and nobody here has heard of it yet

            monkeypatch.setattr(line, "gone", woken_late)
            waiting = asyncio.create_task(other.lock(stream).acquire())
            await ground.in_line(one, stream, 2)
            await one.lock(stream).release(held)
            async with asyncio.timeout(SOON_S):
                taken = await waiting
            assert taken.session is not line.session
            assert len(await ground.places(one, stream)) == 1

    run(main())


def test_granted_to_a_session_that_is_over_by_our_clock_is_not_granted(ground, stream, run, monkeypatch):
    async def main():
        async with ground.door() as one:
            line = await one.line()
            look = line.before

            async def answered_late(place):
                found = await look(place)
                line.session.lose("unreachable")
                return found

            monkeypatch.setattr(line, "before", answered_late)
            async with asyncio.timeout(SOON_S):
                held = await one.lock(stream).acquire()
            assert held.session is not line.session
            held.check()

    run(main())


def test_a_place_that_somebody_removes_is_told_to_its_holder_and_reported(ground, stream, run):
    told, seen = [], []

    async def main():
        events = ev.Events(seen.append)
        async with ground.door(ttl_s=2.0, events=events) as locks:
            held = await locks.lock(stream).acquire()
            held.on_lost(told.append)
            [path] = await ground.places(locks, stream)
            await ground.remove(path)
            await wait_until_async(lambda: told, SOON_S, "it is told")
            with pytest.raises(LeaseLost):
                held.check()
            assert await locks.lock(stream).release(held) is False
            (await locks.lock(stream).acquire(wait_s=SOON_S)).check()

    run(main())
    assert told == ["server"]
    twice = [event for event in seen if isinstance(event, ev.LockHeldTwice)]
    assert [(each.kind, each.lock) for each in twice] == [("mutex", stream)]


def test_who_holds_and_who_waits_is_to_be_seen_and_a_lock_can_be_taken_from_its_holder(ground, stream, run):
    async def main():
        async with ground.door(who="billing") as one, ground.door(ttl_s=2.0) as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire(), name="nightly")
            readers = [await door.read_write(stream).read.acquire() for door in (one, other)]
            writing = asyncio.create_task(other.read_write(stream).write.acquire())
            await ground.in_line(one, stream, 2)
            await ground.in_line(one, stream, 3, "read-write")
            found = await other.standing(stream)
            assert [(each.kind, each.holds) for each in found] == [
                ("mutex", True), ("mutex", False), ("read", True), ("read", True), ("write", False)]
            assert [each.token for each in found if each.holds] == [each.fencing_token for each in (held, *readers)]
            assert (found[0].acquisition, found[0].who["who"], found[0].who["pid"]) == (
                held.acquisition, "billing", os.getpid())
            assert found[1].who["task"] == "nightly"
            assert await other.force_unlock(stream, found[0].token + 10**9) is False
            assert await other.force_unlock(stream, found[0].token) is True
            async with asyncio.timeout(SOON_S):
                assert (await waiting).fencing_token == found[1].token
            await wait_until_async(lambda: held.over, SOON_S, "its holder is told")
            writing.cancel()
            assert await one.standing(f"{stream}-free") == []

    run(main())


def test_a_waiter_whose_place_somebody_removes_comes_again(ground, stream, run):
    async def main():
        async with ground.door() as one, ground.door() as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire())
            paths = await ground.in_line(one, stream, 2)
            await ground.remove(paths[1])
            await one.lock(stream).release(held)
            async with asyncio.timeout(SOON_S):
                assert (await waiting).state is HELD

    run(main())


@pytest.mark.parametrize(("settings", "cause"), [({"lease_s": 0.4}, "lease"), ({"max_hold_s": 0.4}, "max_hold"),
                                                 ({"renew_while": lambda: False}, "renew_while")])
def test_an_end_of_its_own_is_kept_and_the_place_given_back_though_nobody_releases(ground, stream, run, settings,
                                                                                   cause):
    told = []

    async def main():
        async with ground.door() as one, ground.door() as other:
            held = await one.lock(stream).acquire(**settings)
            held.on_lost(told.append)
            taken = await other.lock(stream).acquire(wait_s=SOON_S)
            assert held.state is LOST
            assert taken.state is HELD
            with pytest.raises(LeaseLost):
                held.check()

    run(main())
    assert told == [cause]


def test_an_acquire_whose_answer_is_lost_has_one_place_and_is_granted(ground, proxy, stream, run):
    async def main():
        async with ground.door(proxy) as one, ground.door() as other:
            await one.lock(stream).release(await one.lock(stream).acquire())  # connected, and the folder is there
            proxy.stall(Way.DOWN)
            asking = asyncio.create_task(one.lock(stream).acquire())
            [path] = await ground.in_line(other, stream, 1)
            proxy.cut()
            proxy.resume()
            async with asyncio.timeout(SOON_S):
                held = await asking
            assert await ground.places(other, stream) == [path]
            assert held.state is not LOST

    run(main())


def test_a_release_whose_answer_is_lost_says_what_the_deadline_says_and_leaves_nothing(ground, proxy, stream, run):
    async def main():
        async with ground.door(proxy) as one, ground.door() as other:
            held = await one.lock(stream).acquire()
            proxy.stall(Way.DOWN)
            releasing = asyncio.create_task(one.lock(stream).release(held))
            await ground.in_line(other, stream, 0)
            proxy.cut()
            proxy.resume()
            async with asyncio.timeout(SOON_S):
                assert await releasing is True, "guard: the lost answer may have been that it was there"

    run(main())


def test_a_release_that_never_arrives_is_said_again_when_the_way_is_whole(ground, proxy, stream, run):
    async def main():
        async with ground.door(proxy) as one, ground.door() as other:
            held = await one.lock(stream).acquire()
            proxy.stall(Way.UP)
            releasing = asyncio.create_task(one.lock(stream).release(held))
            await asyncio.wait((releasing,), timeout=0.2)
            proxy.cut()
            proxy.resume()
            await ground.in_line(other, stream, 0)
            assert await releasing is True
            assert held.session.cause == "", "guard: the session is alive, and the place gone all the same"

    run(main())


def test_one_look_while_the_server_is_away_is_an_error_and_leaves_no_place(ground, proxy, stream, run):
    """kazoo issue 732: a call during SUSPENDED left its node behind."""

    async def main():
        async with ground.door(proxy, ttl_s=4.0) as one, ground.door() as other:
            await one.lock(stream).release(await one.lock(stream).acquire())
            proxy.stall(Way.DOWN)
            with pytest.raises(ServerUnreachable):
                await one.lock(stream).acquire(wait_s=0)
            proxy.cut()
            proxy.resume()
            await ground.in_line(other, stream, 0)
            assert await other.lock(stream).acquire(wait_s=SOON_S)

    run(main())


def test_whoever_waited_for_a_server_that_is_away_is_told_that_and_not_that_the_lock_was_held(ground, proxy, stream,
                                                                                             run):
    async def main():
        async with ground.door(proxy, ttl_s=4.0) as one, ground.door() as other:
            await one.lock(stream).release(await one.lock(stream).acquire())
            proxy.stall(Way.DOWN)
            with pytest.raises(ServerUnreachable):
                await one.lock(stream).acquire(wait_s=0.5)
            proxy.cut()
            proxy.resume()
            await ground.in_line(other, stream, 0)

    run(main())


@pytest.mark.parametrize("free", [True, False], ids=["free", "held"])
def test_cancelled_at_any_step_it_leaves_no_place(ground, stream, run, free):
    async def main():
        async with ground.door() as one, ground.door() as other:
            await other.line()
            held = None if free else await one.lock(stream).acquire()
            for steps in range(40):
                asking = asyncio.create_task(other.lock(stream).acquire())
                for _ in range(steps):
                    await asyncio.sleep(0 if steps % 2 else 0.0005)
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    got = await asking
                    await other.lock(stream)._keeper.give_back(got)
                    got.let_go()
            await ground.in_line(other, stream, 0 if free else 1)
            if held is not None:
                held.check()
            assert not other._mutex._places, "nothing is remembered of those who have gone"

    run(main())


@pytest.mark.parametrize("step", range(8))
def test_cancelled_within_each_question_to_the_server_it_leaves_no_place(ground, stream, run, step):
    """The cancellation comes while the answer to the n-th question is on its way, which a proxy cannot time so well."""

    async def main():
        async with ground.door() as one, ground.door() as other:
            await one.lock(stream).acquire()
            line, asked, reached = await other.line(), [], asyncio.Event()
            inner = line.session._keeper if ground.kind == "zookeeper" else other.etcd._gateway
            word = "ask" if ground.kind == "zookeeper" else "call"
            ask = getattr(inner, word)

            async def counted_ask(*args, **settings):
                if args[0] not in {"sync", "/v3/lease/keepalive"}:
                    asked.append(args[0])
                    if len(asked) == step // 2 + 1:
                        if step % 2:
                            answer = await ask(*args, **settings)
                            reached.set()
                            await asyncio.sleep(SOON_S)
                            return answer
                        reached.set()
                        await asyncio.sleep(0)
                return await ask(*args, **settings)

            setattr(inner, word, counted_ask)
            asking = asyncio.create_task(other.lock(stream).acquire())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await reached.wait()
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            setattr(inner, word, ask)
            await ground.in_line(one, stream, 1)

    run(main())


def test_a_child_owns_nothing_and_ends_nothing_of_its_parents(ground, stream, run):
    async def main():
        async with ground.door() as locks:
            held = await locks.lock(stream).acquire()
            reading, writing = os.pipe()
            if (child := os.fork()) == 0:
                os.write(writing, said_by_child(locks, held).encode())
                os._exit(0)
            os.close(writing)
            said = await asyncio.to_thread(os.read, reading, 200)
            os.close(reading)
            await asyncio.to_thread(os.waitpid, child, 0)
            assert said == b"LOST forked refused"
            await asyncio.sleep(0.5)
            held.check()
            assert len(await ground.places(locks, stream)) == 1

    run(main())


def said_by_child(locks, held):
    """What a child finds: the state, why, and whether the door serves it."""
    try:
        asyncio.events._set_running_loop(None)
        asyncio.run(locks.lock("other").acquire(wait_s=0))
        served = "served"
    except ConfigurationError:
        served = "refused"
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is to see it
        served = repr(error)
    return f"{held.state.name} {held.cause} {served}"


def test_closing_gives_back_what_is_held_and_ends_whoever_waits(ground, stream, run):
    """kazoo issue 482: acquire on a closed client hung."""

    async def main():
        async with ground.door() as other:
            locks = ground.locks(ttl_s=4.0)
            held = await locks.lock(stream).acquire()
            waiting = asyncio.create_task(locks.lock(stream).acquire())
            await ground.in_line(other, stream, 2)
            await locks.close()
            with pytest.raises(ConfigurationError, match="closed"):
                await waiting
            with pytest.raises(ConfigurationError, match="closed"):
                await locks.lock(stream).acquire(wait_s=0)
            assert held.state is HoldState.RELEASED
            await ground.in_line(other, stream, 0)

    run(main())


def test_whoever_is_told_of_the_loss_may_release_there(ground, stream, run):
    """kazoo issue 381: a release within a listener deadlocked."""

    async def main():
        async with ground.door() as locks:
            done = asyncio.Event()
            held = await locks.lock(stream).acquire()

            async def release():
                assert await locks.lock(stream).release(held) is False
                done.set()

            held.on_lost(lambda _: asyncio.ensure_future(release()))
            await ground.end_session(locks)
            async with asyncio.timeout(SOON_S):
                await done.wait()

    run(main())


# -- other processes ----------------------------------------------------------------------------------------------

WORKER = """
import asyncio, sys
from holdfast.errors import LeaseLost
from holdfast.locks.etcd import EtcdLocks
from holdfast.locks.zookeeper import ZooKeeperLocks

async def main(kind, where, name):
    locks = ZooKeeperLocks(where, ttl_s=2) if kind == "zookeeper" else EtcdLocks([where], ttl_s=2)
    print("asks", flush=True)
    held = await locks.lock(name).acquire()
    print("held", held.fencing_token, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        try:
            held.check()
            print("still", flush=True)
        except LeaseLost:
            print("lost", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.asynccontextmanager
async def worker(ground, name):
    where = ground.server.hosts if ground.kind == "zookeeper" else ground.server.endpoint
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, ground.kind, where, name, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def says(process):
    async with asyncio.timeout(SOON_S):
        return (await process.stdout.readline()).decode().split()


def test_a_holder_that_is_stopped_past_its_ttl_knows_before_it_does_anything(ground, stream, run):
    async def main():
        async with ground.door() as locks, worker(ground, stream) as process:
            assert await says(process) == ["asks"]
            _, token = await says(process)
            process.send_signal(signal.SIGSTOP)
            process.stdin.write(b"?\n")
            async with asyncio.timeout(SOON_S), locks.lock(stream).hold() as held:
                process.send_signal(signal.SIGCONT)
                assert await says(process) == ["lost"]
                assert held.fencing_token > int(token)

    run(main())


def test_a_waiter_that_is_killed_leaves_the_line_and_a_holder_that_is_killed_the_lock(ground, stream, run):
    """kazoo issue 412: the contender of a crashed process held up the line."""

    async def main():
        async with ground.door() as locks, worker(ground, stream) as holder:
            assert await says(holder) == ["asks"]
            assert (await says(holder))[0] == "held"
            async with worker(ground, stream) as second:
                assert await says(second) == ["asks"]
                await ground.in_line(locks, stream, 2)
                waiting = asyncio.create_task(locks.lock(stream).acquire())
                await ground.in_line(locks, stream, 3)
                second.kill()
                await ground.in_line(locks, stream, 2)
                assert not waiting.done()
                holder.kill()
                began = time.monotonic()
                async with asyncio.timeout(SOON_S):
                    await waiting
                assert time.monotonic() - began < 6, "ttl is 2 s"

    run(main())
