# SPDX-License-Identifier: Apache-2.0
"""A fence on a real server: compared, stored and written in one step."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from holdfast._base.events import Events, FenceRejection
from holdfast._redis.open import open_server
from holdfast.errors import ConfigurationError, FenceRejected, NotAStream, ServerRefused
from holdfast.locks.guards import Offer, RedisGuard, Verdict, decide
from holdfast.locks.guards.offer import TOKEN_MAX
from tests.support.locks import locks_at

pytestmark = pytest.mark.everywhere


@contextlib.asynccontextmanager
async def guard_at(url, *, events=None):
    server = await open_server(url)
    try:
        yield RedisGuard(server, events=events)
    finally:
        await server.close()


async def read(guard, key):
    return await guard._server.shared(key.encode()).call("GET", key)


def test_a_late_holder_is_refused_and_nothing_is_written(backend, stream, arun):
    told: list[FenceRejection] = []

    async def main():
        async with guard_at(backend.url, events=Events(told.append)) as guard:
            assert await guard.write(stream, Offer(8, "b"), ("SET", stream, "new")) == [b"OK"]
            with pytest.raises(FenceRejected, match="token 8, and this holder has 7"):
                await guard.write(stream, Offer(7, "a"), ("SET", stream, "old"))
            assert await read(guard, stream) == b"new"
            assert await guard.last(stream) == Offer(8, "b")

    arun(main())
    assert told == [FenceRejection(where="redis", resource=stream, offered=7, stored=8)]


def test_a_rival_with_the_same_token_is_refused_and_a_retry_is_not(backend, stream, arun):
    async def main():
        async with guard_at(backend.url) as guard:
            await guard.write(stream, Offer(8, "b"), ("SET", stream, "one"))
            with pytest.raises(FenceRejected, match="another acquisition"):
                await guard.write(stream, Offer(8, "a"), ("SET", stream, "rival"))
            await guard.write(stream, Offer(8, "b"), ("SET", stream, "two"))
            assert await read(guard, stream) == b"two"

    arun(main())


def test_several_writes_go_in_together_and_answer_in_order(backend, stream, arun):
    async def main():
        beside = f"{{{stream}}}:days"
        async with guard_at(backend.url) as guard:
            answers = await guard.write(
                stream, Offer(8, "b"), ("SET", stream, b"\xff\x00"), ("RPUSH", beside, 1, 2.5), ("GET", stream),
                ("HGET", f"{{{stream}}}:none", "x"), ("LRANGE", beside, 0, -1))
            assert answers == [b"OK", 2, b"\xff\x00", None, [b"1", b"2.5"]]

    arun(main())


def test_tokens_beyond_what_lua_counts_exactly_are_compared_exactly(backend, stream, arun):
    async def main():
        async with guard_at(backend.url) as guard:
            for token in (9, 10, 2**53, 2**53 + 1, TOKEN_MAX):
                await guard.check(stream, Offer(token, "a"))
                with pytest.raises(FenceRejected):
                    await guard.check(stream, Offer(token - 1, "a"))
            assert await guard.last(stream) == Offer(TOKEN_MAX, "a")

    arun(main())


def test_a_server_takes_what_the_rule_takes(backend, stream, arun, rng):
    async def main():
        stored = None
        async with guard_at(backend.url) as guard:
            for _ in range(150):
                offer = Offer(rng.choice([1, 2, 9, 10, 11, 100]), rng.choice("abc"))
                verdict = decide(stored, offer)
                if verdict.accepted:
                    await guard.check(stream, offer)
                else:
                    with pytest.raises(FenceRejected) as refused:
                        await guard.check(stream, offer)
                    assert refused.value.stored == stored.token
                stored = offer if verdict is Verdict.NEWER else stored
                assert await guard.last(stream) == stored

    arun(main())


def test_of_writers_that_race_none_is_let_in_behind_a_later_one(backend, stream, arun):
    async def main():
        async with guard_at(backend.url) as one, guard_at(backend.url) as other:
            async def write(guard, token):
                with contextlib.suppress(FenceRejected):
                    await guard.write(stream, Offer(token, f"t{token}"), ("RPUSH", stream, token))

            tokens = [*range(1, 60, 3), *range(2, 60, 3), *range(3, 60, 3)]
            await asyncio.gather(*(write((one, other)[token % 2], token) for token in tokens))
            written = [int(n) for n in await one._server.shared(stream.encode()).call("LRANGE", stream, 0, -1)]
            assert written == sorted(written)
            assert written[-1] == 59

    arun(main())


def test_a_write_the_server_refuses_is_raised_and_what_came_before_it_is_said(backend, stream, arun):
    async def main():
        async with guard_at(backend.url) as guard:
            with pytest.raises(NotAStream, match="WRONGTYPE"):
                await guard.write(stream, Offer(8, "b"), ("SET", stream, "x"), ("GET", stream)) and await guard.write(
                    stream, Offer(8, "b"), ("RPUSH", stream, 1))
            with pytest.raises(ServerRefused, match="write 2 of 3 was refused, those before it are in: RPUSH"):
                await guard.write(stream, Offer(8, "b"), ("SET", stream, "y"), ("RPUSH", stream, 1), ("DEL", stream))
            assert await read(guard, stream) == b"y"

    arun(main())


def test_a_write_without_a_key_is_refused_before_it_is_sent(backend, stream, arun):
    async def main():
        async with guard_at(backend.url) as guard:
            for write in ((), ("FLUSHALL",), ("DEL", *["k"] * 7000)):
                with pytest.raises(ConfigurationError, match="words"):
                    await guard.write(stream, Offer(8, "b"), write)
            assert await guard.last(stream) is None

    arun(main())


@pytest.mark.kinds("cluster")
def test_on_a_cluster_a_key_of_another_slot_is_refused_before_it_is_sent(backend, stream, arun):
    async def main():
        async with guard_at(backend.url) as guard:
            with pytest.raises(ConfigurationError, match="lies in another slot"):
                await guard.write(stream, Offer(8, "b"), ("SET", f"{stream}:other", "x"))

    arun(main())


def test_a_holder_that_lost_its_lock_cannot_write_once_the_next_one_has(backend, stream, arun):
    """A lock and its guard together: the first holder sleeps through the end of its lease."""
    async def main():
        key = f"{{{stream}}}:report"
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            late = await one.lock(stream).acquire(lease_s=0.3)
            guard = RedisGuard(one.server)
            await guard.write(stream, late, ("SET", key, "first"))
            async with other.lock(stream).hold(wait_s=10) as held:
                assert held.fencing_token > late.fencing_token
                await RedisGuard(other.server).write(stream, held, ("SET", key, "second"))
                with pytest.raises(FenceRejected):
                    await guard.write(stream, late, ("SET", key, "late"))
                assert await read(guard, key) == b"second"
            await one.lock(stream).release(late)

    arun(main())
