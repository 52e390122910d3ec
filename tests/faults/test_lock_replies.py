# SPDX-License-Identifier: Apache-2.0
"""What a network does to a lock, and what people do who have rights on its server.

Replies are lost, nobody answers, messages are missed; keys and scripts are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from redis.exceptions import ResponseError

from holdfast._base.lock import HoldState
from holdfast._redis.keys import LockKeys
from holdfast._redis.listen import Listener
from holdfast.errors import LeaseLost
from holdfast.testing import Proxy, wait_until, wait_until_async
from tests.faults.locking import ONE, judge, now, of, operations, take
from tests.support.locks import locks_at

KINDS = (*ONE, "read")


def token_of(backend, name) -> int:
    """The token given last."""
    return int(backend.admin.get(LockKeys("hf", name).lock_token))


# -- 5: replies that are lost


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_lost_on_the_way_costs_a_second_question_and_no_second_token(backend, stream, arun, kind):
    lines = []

    async def main(proxy):
        async with (locks_at(proxy.through(backend.url), ttl_s=0.9) as locks,
                    locks_at(backend.url, ttl_s=0.9) as other):
            lock = of(locks, kind, stream)
            assert await take(lock, "warm", lines.append)

            trap = proxy.eat_reply(to=b"EVALSHA")
            began = now()
            held = await lock.acquire(wait_s=10)
            assert trap.eaten
            proxy.heal()
            assert now() - began < 0.6, "its own hold is not waited for"
            assert token_of(backend, stream) == held.fencing_token, "one token for one hold"
            lines.append({"hold": "1", "lock": stream, "step": "asks", "at": began})
            lines.append({"hold": "1", "lock": stream, "step": "granted", "token": held.fencing_token, "at": now(),
                          "until": held.deadline})

            trap, before = proxy.eat_reply(to=lambda words: words[0] in (b"EVAL", b"EVALSHA")), held.deadline
            await wait_until_async(lambda: trap.eaten, 10, "the answer to a renewal is lost")
            await wait_until_async(lambda: held.deadline > before + 0.1 or held.over, 10, "it is asked again")
            held.check()
            proxy.heal()

            rival = of(other, "write" if kind == "read" else kind, stream)
            waiting = asyncio.create_task(take(rival, "2", lines.append))
            trap, began = proxy.eat_reply(to=b"EVALSHA"), now()
            assert await lock.release(held) is True, "given back once, and said so"
            assert trap.eaten
            assert held.state is HoldState.RELEASED, "guard: no renewal after it"
            lines.append({"hold": "1", "lock": stream, "step": "released", "began": began, "at": now()})
            assert await waiting

    with Proxy(backend.server.address) as proxy:
        arun(main(proxy))
    judge(operations(lines, "a"))


# -- 6: silence


async def silenced(proxy, locks, lock, silent_s, lines) -> tuple[list, list, float | None]:
    """Holds it through a silence that begins with a renewal. States seen, what was told, when its block was cut off.

    Counted from the last turn of its loop before that, which is what a renewal is worth, and up to a tenth of a second
    before it.
    """
    seen, told, ended = [], [], None
    said = {"hold": "1", "lock": lock.name}
    lines.append({**said, "step": "asks", "at": now()})
    try:
        async with lock.hold() as held:
            held.on_lost(told.append)
            lines.append({**said, "step": "granted", "token": held.fencing_token, "at": now(), "until": held.deadline})
            first = held.deadline
            await wait_until_async(lambda: held.deadline > first, 10, "it is renewed")
            proxy.stall()
            silent_until = held.deadline - 0.99 + silent_s
            asyncio.get_running_loop().call_later(silent_until - now(), proxy.resume)
            while now() < silent_until + 0.4:
                seen.append((held.state, held._confirmed_at, held.deadline, now()))
                await asyncio.sleep(0.01)
            began = now()
        lines.append({**said, "step": "released", "began": began, "at": now()})
    except LeaseLost:
        ended = now()
        lines.append({**said, "step": "lost", "until": held.deadline})
        assert ended < held.deadline + 0.3, "its block is cancelled at the deadline, although nobody answers"
        renewed = locks.renewer.renewed
        await asyncio.sleep(max(0.0, silent_until - now()) + 0.3)
        assert locks.renewer.renewed == renewed, "what was lost is not renewed again"
    return seen, told, ended


@pytest.mark.parametrize("kind", ["mutex", "fair"])
@pytest.mark.parametrize("silent_ttl", [0.9, 1.1, 3.0])
def test_a_silence_is_suspect_at_half_a_lease_and_the_end_by_the_deadline(backend, stream, arun, kind, silent_ttl):
    """A silence that ends in time costs nothing; one that does not ends the hold for good. The lease is a second."""
    lines = []

    async def main(proxy):
        async with locks_at(proxy.through(backend.url), ttl_s=1.0) as locks, locks_at(backend.url, ttl_s=1) as other:
            found = await silenced(proxy, locks, of(locks, kind, stream), silent_ttl, lines)
            assert await take(of(other, kind, stream), "2", lines.append)
            return found

    with Proxy(backend.server.address) as proxy:
        seen, told, ended = arun(main(proxy))
    assert told == (["unreachable"] if silent_ttl > 1 else []), "told once, if at all"
    assert (ended is not None) is (silent_ttl > 1)
    for state, confirmed_at, deadline, at in seen:
        if at < confirmed_at + 0.45:
            assert state is HoldState.HELD
        elif confirmed_at + 0.55 < at < deadline - 0.02:
            assert state is HoldState.SUSPECT, "from half a lease on"
    assert any(state is HoldState.SUSPECT for state, *_ in seen)
    judge(operations(lines, "a"))


# -- 10: messages that nobody heard


@pytest.mark.parametrize("kind", ONE)
def test_what_is_given_back_before_anybody_listens_is_had_at_once(backend, stream, arun, kind, monkeypatch):
    """The guard: look once more, once the subscription is confirmed. Lease and poll are half a minute."""
    async def main():
        async with locks_at(backend.url, ttl_s=30) as one, locks_at(backend.url, ttl_s=30) as other:
            held, find = await of(one, kind, stream).acquire(), other.listener

            async def freed_first(wanted):
                await of(one, kind, stream).release(held)
                return await find(wanted)

            monkeypatch.setattr(other, "listener", freed_first)
            began = now()
            taken = await of(other, kind, stream).acquire(wait_s=20)
            assert now() - began < 5
            assert taken.fencing_token > held.fencing_token

    arun(main())


@pytest.mark.parametrize("kind", ONE)
def test_a_message_that_is_lost_costs_one_poll(backend, stream, arun, kind, monkeypatch):
    poll_s, lines = 0.4, []

    async def main():
        async with (locks_at(backend.url, ttl_s=30) as one,
                    locks_at(backend.url, ttl_s=30, poll_s=poll_s) as other):
            monkeypatch.setattr(Listener, "_tell", lambda self, channel: None)
            for n in range(3):
                held = await of(one, kind, stream).acquire()
                waiting = asyncio.create_task(take(of(other, kind, stream), f"{n}", lines.append))
                await asyncio.sleep(0.1)
                await of(one, kind, stream).release(held)
                freed_at = now()
                assert await waiting
                granted = next(line for line in lines if line["step"] == "granted" and line["hold"] == f"{n}")
                assert granted["at"] - freed_at < 1.2 * poll_s + 0.2, "no later than the next poll"

    arun(main())
    judge(operations(lines, "b"))


@pytest.mark.parametrize("kind", ONE)
def test_a_subscriber_whose_connection_dropped_looks_again_when_it_is_back(backend, stream, arun, kind):
    """The poll is half a minute: what was missed in between is seen because a reconnection counts as a message."""
    async def main():
        async with locks_at(backend.url, ttl_s=30) as one, locks_at(backend.url, ttl_s=30) as other:
            held = await of(one, kind, stream).acquire()
            waiting = asyncio.create_task(of(other, kind, stream).acquire(wait_s=20))
            channel = f"*{stream}*"
            await wait_until_async(lambda: backend.admin.pubsub_channels(channel), 10, "it listens")
            backend.admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await of(one, kind, stream).release(held)
            began = now()
            taken = await waiting
            assert now() - began < 5
            taken.check()

    arun(main())


# -- 13: people with rights


def evict(backend, name):
    """Less memory than there is in use: the server throws out what ends by itself, with the next writes."""
    def gone():
        backend.admin.execute_command("MEMORY", "PURGE")
        with contextlib.suppress(ResponseError):  # out of memory: that is the point
            backend.admin.set("any", "thing")
        return not [key for key in backend.admin.keys(f"*{name}*") if backend.admin.pttl(key) > 0]

    backend.admin.config_set("maxmemory-policy", "volatile-ttl")
    backend.admin.config_set("maxmemory", "1")
    try:
        wait_until(gone, 5, "it is thrown out")
    finally:
        backend.admin.config_set("maxmemory", "0")


def delete(backend, name):
    for key in backend.admin.keys(f"*{name}*"):
        if not key.endswith(b"::token"):
            backend.admin.delete(key)


def restart(backend, name):
    """Nothing is on its disk."""
    backend.server.kill()
    backend.server.restart()


TAMPERING = {"FLUSHALL": lambda backend, name: backend.admin.flushall(), "DEL": delete, "eviction": evict,
             "restart": restart}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", TAMPERING)
def test_a_lock_that_was_taken_away_on_the_server_is_told_and_tokens_go_on(backend, stream, arun, kind, what):
    lines = []

    async def main():
        async with locks_at(backend.url, ttl_s=0.9) as locks, locks_at(backend.url, ttl_s=0.9) as other:
            lines.append({"hold": "1", "lock": stream, "step": "asks", "at": now()})
            held = await of(locks, kind, stream).acquire()
            lines.append({"hold": "1", "lock": stream, "step": "granted", "token": held.fencing_token, "at": now(),
                          "until": held.deadline})
            broken_at = now()
            TAMPERING[what](backend, stream)
            await wait_until_async(lambda: held.over, 10, "it is told")
            assert held.cause == "server" or what == "restart"
            late_s = now() - broken_at
            assert late_s < (1.2 if what == "restart" else 0.75), "at its next renewal, a third of a lease away"
            with pytest.raises(LeaseLost):
                held.check()
            lines.append({"hold": "1", "lock": stream, "step": "lost", "until": broken_at})  # the promise was broken
            assert await of(locks, kind, stream).release(held) is False
            assert await take(of(other, kind, stream), "2", lines.append)
            granted = next(line for line in lines if line["hold"] == "2" and line["step"] == "granted")
            assert granted["token"] > held.fencing_token > 1_000_000, "tokens grow although the last one was forgotten"

    arun(main())
    judge(operations(lines, "a"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_forgot_the_scripts_is_given_them_again(backend, stream, arun, kind):
    lines = []

    async def main():
        async with locks_at(backend.url) as locks:
            lock = of(locks, kind, stream)
            assert await take(lock, "0", lines.append)
            backend.admin.script_flush()
            held = await lock.acquire()
            backend.admin.script_flush()
            renewed = locks.renewer.renewed
            await wait_until_async(lambda: locks.renewer.renewed > renewed, 10, "it is renewed")
            held.check()
            backend.admin.script_flush()
            assert await lock.release(held) is True
            assert await take(lock, "1", lines.append)

    arun(main())
    judge(operations(lines, "a"))


def test_what_one_lock_lost_no_other_one_lost(backend, stream, arun):
    """One of a hundred that are renewed by one command was deleted."""
    async def main():
        async with locks_at(backend.url, ttl_s=0.9) as locks:
            began = time.monotonic()
            taken = [await of(locks, ONE[n % 4], f"{stream}-{n}").acquire() for n in range(40)]
            delete(backend, f"{stream}-7:")
            await wait_until_async(lambda: taken[7].over, 10, "it is told")
            while time.monotonic() < began + 1.2:
                await asyncio.sleep(0.05)
                for n, held in enumerate(taken):
                    if n != 7:
                        held.check()

    arun(main())
