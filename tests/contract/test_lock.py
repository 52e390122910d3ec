# SPDX-License-Identifier: Apache-2.0
"""The contract of locks: one battery, every back end, on real servers.

What each back end claims stands in ``lock_claims``; how it is opened, in ``lock_benches``. A claim that it does not
support is skipped with the reason; one that it is known to break has to fail here, or the battery fails. The matrix of
back ends and claims is printed at the end of a run and kept in ``build/lock-matrix.txt`` and ``.json``; ``python -m
tests.contract.lock_matrix`` prints it again.

    pytest tests/contract/test_lock.py                       all
    pytest tests/contract/test_lock.py -k postgres           one back end
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
import warnings

import pytest

from holdfast._base.lock import HoldState
from holdfast.errors import LeaseLost, ServerUnreachable
from holdfast.testing import FencedMutex, Mutex, Operation, Way, check_linearizable, wait_until_async
from tests.contract.lock_benches import BENCHES
from tests.contract.lock_doors import SOON_S, Doors, granted_and_not_told, marks, python

#: A lease that no test outlives.
LONG_S = 20.0


def pytest_generate_tests(metafunc):
    claim = metafunc.function.__name__.removeprefix("test_")
    metafunc.parametrize("bench", [pytest.param(name, marks=marks(bench.back_end, claim))
                                   for name, bench in BENCHES.items()], indirect=True, scope="function")


@pytest.fixture(scope="module")
def sites(_pool):
    """Sites that run, by bench; each started when first asked for."""
    running = {}

    def get(bench):
        name = bench.back_end.name
        if name not in running:
            running[name] = bench.serve(_pool)
        running[name].clean()
        return running[name]

    yield get
    for site in running.values():
        site.close()


@pytest.fixture
def bench(request):
    return BENCHES[request.param]


@pytest.fixture
def site(bench, sites):
    return sites(bench)


@pytest.fixture
def doors(bench, site, arun):
    """Runs a claim: ``doors(claim)`` gives it a ``Doors``, and closes these behind it."""

    def run(claim):
        async def main():
            async with contextlib.AsyncExitStack() as stack:
                await claim(Doors(bench, site, stack))

        arun(main())

    return run


# -- one holder ---------------------------------------------------------------------------------------------------


def test_one_holder_at_a_time(bench, doors, stream):
    inside, rounds = [], []

    async def take(door):
        async with bench.lock(door, stream).hold(wait_s=SOON_S * 4) as held:
            inside.append(held)
            assert len(inside) == 1, "somebody else is inside"
            await asyncio.sleep(0.001)
            inside.remove(held)
            rounds.append(held)

    async def claim(opened):
        several = [await opened() for _ in range(3)]
        await asyncio.gather(*(take(door) for door in several for _ in range(5)))

    doors(claim)
    assert len(rounds) == 15


def test_one_holder_among_processes(bench, site, arun, stream, tmp_path):
    async def main():
        words = ("take", bench.back_end.name, stream, str(tmp_path / "inside"), "8", *site.urls)
        several = [await python(*words) for _ in range(2)]
        for one in several:
            printed, _ = await one.communicate()
            assert one.returncode == 0, "somebody else was inside"
            assert len(printed.split()) == 8

    arun(main())


def test_histories_are_those_of_a_lock(bench, doors, stream, rng):
    history = []
    fenced = "tokens_grow" not in (*bench.back_end.lacks, *bench.back_end.faults)

    async def take(door, client, n):
        lock, hold = bench.lock(door, stream), f"{client}-{n}"
        began = time.monotonic()
        try:
            held = await lock.acquire(wait_s=rng.choice((0, 0.3, SOON_S)))
        except (TimeoutError, ServerUnreachable):  # slower than this wait; what it grants is given back
            history.append(Operation(client, stream, "acquire", hold, False, began, time.monotonic()))
            return
        result = held.fencing_token if fenced else True
        history.append(Operation(client, stream, "acquire", hold, result, began, time.monotonic()))
        await asyncio.sleep(rng.random() * 0.004)
        began = time.monotonic()
        assert await lock.release(held)
        history.append(Operation(client, stream, "release", hold, True, began, time.monotonic()))

    async def claim(opened):
        async def client(door, number):
            for n in range(6):
                await take(door, number, n)

        several = [await opened() for _ in range(3)]
        await asyncio.gather(*(client(door, number) for number, door in enumerate(several)))

    doors(claim)
    verdict = check_linearizable(history, FencedMutex() if fenced else Mutex())
    assert verdict.ok, verdict.explain()
    assert sum(operation.call == "release" for operation in history) > 3


def test_tokens_grow(bench, doors, stream):
    tokens = []

    async def claim(opened):
        several = [await opened() for _ in range(2)]

        async def take(door):
            async with bench.lock(door, stream).hold() as held:
                tokens.append(held.fencing_token)

        for door in several * 3:
            await take(door)
        await asyncio.gather(*map(take, several * 3))

    doors(claim)
    assert tokens == sorted(set(tokens)), "each is larger than all before it"
    assert tokens[0] > 0


def test_held_again_by_its_task(bench, doors, stream):
    async def claim(opened):
        door = await opened()
        lock = bench.lock(door, stream)
        async with lock.hold() as outer:
            async with lock.hold(wait_s=0) as inner:
                assert inner.fencing_token == outer.fencing_token
            outer.check()
            assert await opened.refused(await opened(), stream), "the inner end does not end the outer hold"
            assert await asyncio.create_task(opened.refused(door, stream)), "a task that it starts owns nothing"

    doors(claim)


def test_only_its_holder_gives_it_back(bench, doors, stream):
    async def claim(opened):
        one, two = await opened(), await opened()
        late = await bench.lock(one, stream).acquire(lease_s=bench.back_end.ttl_s)
        held = await bench.lock(two, stream).acquire(wait_s=SOON_S)
        assert late.over
        assert await bench.lock(one, stream).release(late) is False
        held.check()
        assert await opened.refused(await opened(), stream), "it was taken from its holder"
        assert await bench.lock(two, stream).release(held) is True

    doors(claim)


# -- waiting ------------------------------------------------------------------------------------------------------


def test_a_look_does_not_wait(bench, doors, stream):
    async def claim(opened):
        one, two = await opened(), await opened()
        async with bench.lock(one, stream).hold():
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await bench.lock(two, stream).acquire(wait_s=0)
            assert time.monotonic() - began < 1
        async with bench.lock(two, stream).hold(wait_s=0) as held:
            held.check()

    doors(claim)


def test_waiting_has_an_end(bench, doors, stream):
    async def claim(opened):
        one, two = await opened(), await opened()
        async with bench.lock(one, stream).hold():
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await bench.lock(two, stream).acquire(wait_s=0.3)
            assert 0.3 <= time.monotonic() - began < 0.3 + bench.back_end.wake_s

    doors(claim)


def test_a_waiter_goes_on(bench, doors, stream, rng, record_property):
    """Released at any time after it has begun to wait: also between its question and its listening."""
    took_ms = []

    async def claim(opened):
        one, two = await opened(ttl_s=LONG_S), await opened(ttl_s=LONG_S)
        for _ in range(8):
            held = await bench.lock(one, stream).acquire()
            waiting = asyncio.create_task(bench.lock(two, stream).acquire(wait_s=SOON_S))
            await asyncio.sleep(rng.random() * 0.1)
            assert await bench.lock(one, stream).release(held)
            began = time.monotonic()
            taken = await waiting
            took_ms.append((time.monotonic() - began) * 1000)
            await bench.lock(two, stream).release(taken)

    doors(claim)
    record_property("hand_over_ms", round(statistics.median(took_ms), 2))
    assert max(took_ms) < bench.back_end.wake_s * 1000


def test_first_come_first_served(bench, doors, stream):
    """Who comes when is the claim: three tenths of a second apart, they have come in this order."""
    order = []

    async def claim(opened):
        several = [await opened(ttl_s=LONG_S) for _ in range(3)]

        async def take(number):
            async with bench.lock(several[number % 3], stream).hold(wait_s=SOON_S):
                order.append(number)

        async with bench.lock(await opened(ttl_s=LONG_S), stream).hold():
            waiting = []
            for number in range(9):
                waiting.append(asyncio.create_task(take(number)))
                await asyncio.sleep(0.3)
        await asyncio.gather(*waiting)

    doors(claim)
    assert order == list(range(9))


def test_a_cancelled_wait_leaves_nothing(bench, doors, stream):
    async def claim(opened):
        one, two = await opened(), await opened()
        async with bench.lock(one, stream).hold():
            for pause_s in (0, 0.001, 0.005, 0.02, 0.1):
                waiting = asyncio.create_task(bench.lock(two, stream).acquire())
                await asyncio.sleep(pause_s)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            assert not two.held
        async with bench.lock(await opened(), stream).hold(wait_s=bench.back_end.wake_s) as held:
            held.check()
            assert not two.held, "nobody came after all"

    doors(claim)


# -- the end of a hold --------------------------------------------------------------------------------------------


def test_a_killed_holder_is_succeeded(bench, site, arun, stream, record_property):
    async def main():
        holder = await python("hold", bench.back_end.name, stream, *site.urls)
        try:
            assert holder.stdout
            async with asyncio.timeout(SOON_S * 2):
                assert (await holder.stdout.readline()).startswith(b"held")
            async with bench.open(site.urls, bench.back_end.ttl_s) as door:
                with pytest.raises(TimeoutError):
                    await bench.lock(door, stream).acquire(wait_s=0)
                holder.kill()
                began = time.monotonic()
                held = await bench.lock(door, stream).acquire(wait_s=SOON_S)
                took_s = time.monotonic() - began
                held.check()
        finally:
            with contextlib.suppress(ProcessLookupError):
                holder.kill()
            await holder.communicate()
        record_property("crash_release_s", round(took_s, 2))
        assert took_s < bench.back_end.ttl_s + bench.back_end.crash_s

    arun(main())


def test_renewed_beyond_its_lease(bench, doors, stream):
    async def claim(opened):
        one, two = await opened(), await opened()
        async with bench.lock(one, stream).hold() as held:
            first = held.deadline
            await asyncio.sleep(2.5 * bench.back_end.ttl_s)
            held.check()
            assert held.deadline > first + bench.back_end.ttl_s
            assert await opened.refused(two, stream)

    doors(claim)


def test_a_fixed_lease_ends(bench, doors, stream):
    async def claim(opened):
        one, two = await opened(), await opened()
        held = await bench.lock(one, stream).acquire(lease_s=0.4)
        began = time.monotonic()
        next_one = await bench.lock(two, stream).acquire(wait_s=SOON_S)
        assert time.monotonic() - began < 0.4 + bench.back_end.crash_s
        assert held.state is HoldState.LOST
        next_one.check()
        with pytest.raises(LeaseLost):
            async with bench.lock(one, f"{stream}-other").hold(lease_s=0.4):
                await asyncio.sleep(SOON_S)

    doors(claim)


def test_loss_is_told(bench, site, doors, stream, record_property):
    seen, told, lost_at = [], [], []
    order = [HoldState.HELD, HoldState.SUSPECT, HoldState.LOST]

    async def body(door):
        async with bench.lock(door, stream).hold() as held:
            held.on_lost(lambda cause: (told.append(cause), lost_at.append(time.clock_gettime(time.CLOCK_BOOTTIME))))
            line.stall()
            try:
                while True:
                    seen.append((held.state, held.deadline))
                    await asyncio.sleep(0.01)
            finally:
                seen.append((held.state, held.deadline))

    async def claim(opened):
        door = await opened(urls=line.urls)
        try:
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(body(door), bench.back_end.ttl_s + SOON_S)
        finally:
            line.heal()

    with site.line() as line:
        doors(claim)
    states, deadline = [state for state, _ in seen], max(deadline for _, deadline in seen)
    assert HoldState.SUSPECT in states
    assert states[-1] is HoldState.LOST
    assert states == sorted(states, key=order.index), "what was lost stays lost"
    assert len(told) == 1, "told once"
    record_property("told_after_deadline_ms", round((lost_at[0] - deadline) * 1000, 1))
    assert lost_at[0] - deadline < 0.5, "the body is cancelled when its deadline passes, whoever is away"


def test_release_after_loss_says_so(bench, doors, stream):
    async def claim(opened):
        lock = bench.lock(await opened(), stream)
        held = await lock.acquire(lease_s=0.3)
        await wait_until_async(lambda: held.over, SOON_S, "it ends by itself")
        assert await lock.release(held) is False

    doors(claim)


# -- answers that are lost, and processes that fork ---------------------------------------------------------------


def test_a_lost_answer_to_acquire(bench, site, doors, stream):
    async def claim(opened):
        door, other = await opened(urls=line.urls, ttl_s=LONG_S), await opened(ttl_s=LONG_S)
        lock = bench.lock(door, stream)
        async with lock.hold():
            pass  # connected, and the scripts known
        asking = await granted_and_not_told(lock, lambda: opened.refused(other, stream), line)
        began = time.monotonic()
        line.cut()
        line.heal()
        held = await asking
        assert time.monotonic() - began < SOON_S / 2, "its own grant is not waited for"
        held.check()
        assert await lock.release(held) is True

    with site.line() as line:
        doors(claim)


def test_a_lost_answer_to_release(bench, site, doors, stream):
    async def claim(opened):
        door, other = await opened(urls=line.urls, ttl_s=LONG_S), await opened(ttl_s=LONG_S)
        lock = bench.lock(door, stream)
        async with lock.hold():
            pass  # connected, and all known that a release has to know
        held = await lock.acquire()
        line.stall(Way.DOWN)
        releasing = asyncio.create_task(lock.release(held))
        async with bench.lock(other, stream).hold(wait_s=SOON_S):
            line.cut()
            line.heal()
            assert await releasing is True, "it was ours until we gave it back"
            assert await opened.refused(await opened(), stream), "what was asked again took nobody's lock"

    with site.line() as line:
        doors(claim)


def test_a_child_process_owns_nothing(bench, doors, stream):
    async def claim(opened):
        one, two = await opened(), await opened()
        held = await bench.lock(one, stream).acquire()
        pid = os.fork()
        if pid == 0:
            try:
                held.check()
            except LeaseLost:
                os._exit(7)
            os._exit(0)
        _, status = os.waitpid(pid, 0)  # noqa: ASYNC222 - it ends at once
        assert os.waitstatus_to_exitcode(status) == 7
        held.check()
        assert await opened.refused(two, stream), "what the child thinks changes nothing"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: the child does nothing but look
        doors(claim)


# -- other kinds --------------------------------------------------------------------------------------------------


def test_readers_share_and_writers_do_not(bench, doors, stream):
    async def claim(opened):
        one, two = (await opened()).read_write(stream), (await opened()).read_write(stream)
        async with one.read.hold(), two.read.hold(wait_s=0):
            with pytest.raises(TimeoutError):
                await asyncio.create_task(two.write.acquire(wait_s=0))
        async with one.write.hold(wait_s=0):
            for side in (two.read, two.write):
                with pytest.raises(TimeoutError):
                    await side.acquire(wait_s=0)
        async with two.read.hold(wait_s=0) as held:
            held.check()

    doors(claim)


def test_permits_are_as_many_as_there_are(bench, doors, stream):
    async def claim(opened):
        one, two = (await opened()).semaphore(stream, 2), (await opened()).semaphore(stream, 2)
        first, second = await one.acquire(wait_s=0), await two.acquire(wait_s=0)
        assert first.fencing_token < second.fencing_token
        with pytest.raises(TimeoutError):
            await two.acquire(wait_s=0)
        assert await one.release(first)
        third = await two.acquire(wait_s=bench.back_end.wake_s)
        assert await two.release(second)
        assert await two.release(third)

    doors(claim)
