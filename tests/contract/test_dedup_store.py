# SPDX-License-Identifier: Apache-2.0
"""The contract of stores of guarded keys (``once.store``): one battery, every store, from coroutines and plain code.

A store joins with a branch in ``opened``; the claims do not change. Time is the store's own, so leases are short and
waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from holdfast._redis.open import open_server
from holdfast._sql import Database, Tables, create_all
from holdfast.errors import ConfigurationError
from holdfast.once.guard.memory_store import MemoryStore
from holdfast.once.guard.records import Busy, Done, First, Mark, Repeated, Running
from holdfast.once.guard.redis_store import RedisStore
from holdfast.once.guard.sql_store import SqlStore
from holdfast.testing import wait_until_async
from tests.support.backend import KINDS

SOON_S = 10.0
#: Longer than any test.
LONG_MS = 60_000
#: Over before a test is.
SHORT_MS = 100

SQL = ("sqlite", "postgres", "mariadb")


def url_of(kind, request, tmp_path):
    if kind == "memory":
        return "memory://"
    if kind in KINDS:
        return request.getfixturevalue("_pool").get(kind).url
    url = f"sqlite:///{tmp_path}/db" if kind == "sqlite" else request.getfixturevalue(kind).database()
    engine = Database(url).plain_engine
    with engine.begin() as connection:
        create_all(connection, Tables())
    engine.dispose()
    return url


@pytest.fixture(params=["memory", *KINDS, *SQL])
def url(request, tmp_path):
    """Where each store in turn keeps its records; empty."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture(params=SQL)
def sql_url(request, tmp_path):
    return url_of(request.param, request, tmp_path)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator:
    """The store of a URL."""
    if url.startswith("memory:"):
        yield MemoryStore()
    elif url.startswith(("redis", "unix")):
        server = await open_server(url)
        store = RedisStore(server, apart=partial(open_server, url))
        yield store
        await store.close()
        await server.close()
    else:
        store = SqlStore(url)
        yield store
        await store.close()


class InThreads:
    """The plain side, with the face of the other one."""

    def __init__(self, plain):
        self._plain = plain

    def __getattr__(self, name):
        return partial(asyncio.to_thread, getattr(self._plain, name))


SIDES = pytest.mark.parametrize("side", ["coroutines", "plain"])


@pytest.fixture
def held(url, arun):
    """Runs a claim against the store: ``held(side, claim)``."""

    def run(side, claim):
        async def main():
            async with opened(url) as store:
                await claim(store if side == "coroutines" else InThreads(store.plain()))

        arun(main())

    return run


def mark(owner="a", key="42", *, namespace="refunds", lease_ms=LONG_MS, retention_ms=LONG_MS):
    return Mark(namespace, key, owner, lease_ms, retention_ms)


@SIDES
def test_of_two_claims_the_first_runs_and_the_second_is_told_how_long(held, side):
    async def claim(store):
        first = await store.claim(mark("a"))
        assert isinstance(first, First)
        assert not first.taken_over
        busy = await store.claim(mark("b"))
        assert isinstance(busy, Busy)
        assert 0 < busy.left_ms <= LONG_MS

    held(side, claim)


@SIDES
def test_a_claim_asked_again_by_its_owner_is_the_same_grant(held, side):
    async def claim(store):
        first = await store.claim(mark("a"))
        assert await store.claim(mark("a")) == first

    held(side, claim)


@SIDES
def test_what_is_done_is_repeated_with_its_first_result(held, side):
    async def claim(store):
        await store.claim(mark("a"))
        assert await store.finish(mark("a"), b'{"a": "\xc3\xa9\\u0000"}')
        assert await store.claim(mark("b")) == Repeated(b'{"a": "\xc3\xa9\\u0000"}')
        assert await store.claim(mark("a")) == Repeated(b'{"a": "\xc3\xa9\\u0000"}')
        assert not await store.finish(mark("b"), b"2")
        assert await store.claim(mark("c")) == Repeated(b'{"a": "\xc3\xa9\\u0000"}')

    held(side, claim)


@SIDES
def test_a_result_may_be_empty(held, side):
    async def claim(store):
        await store.claim(mark("a"))
        assert await store.finish(mark("a"), b"")
        assert await store.claim(mark("b")) == Repeated(b"")

    held(side, claim)


@SIDES
def test_an_end_told_again_is_told_once(held, side):
    async def claim(store):
        await store.claim(mark("a"))
        assert await store.finish(mark("a"), b"1")
        assert await store.finish(mark("a"), b"1")
        assert await store.claim(mark("b")) == Repeated(b"1")

    held(side, claim)


@SIDES
def test_a_mark_whose_lease_is_over_is_taken_over_once(held, side):
    async def claim(store):
        first = await store.claim(mark("a", lease_ms=SHORT_MS))

        async def over():
            return isinstance(verdict := await store.claim(mark("b")), First) and [verdict]

        [second] = await wait_until_async(over, SOON_S, "the lease of a holder that is silent ends")
        assert second == First(first.began_ms, taken_over=True)
        assert isinstance(await store.claim(mark("c")), Busy)

    held(side, claim)


@SIDES
def test_of_many_that_take_over_at_once_one_does(held, side):
    async def claim(store):
        await store.claim(mark("a", lease_ms=1))
        await asyncio.sleep(0.01)  # what is waited for is that a lease of 1 ms is over, on whatever clock
        verdicts = await asyncio.gather(*(store.claim(mark(f"b{n}")) for n in range(8)))
        assert [type(v) for v in verdicts].count(First) == 1, verdicts
        assert [type(v) for v in verdicts].count(Busy) == 7, verdicts

    held(side, claim)


@SIDES
def test_of_many_first_claims_at_once_one_is_the_first(held, side):
    async def claim(store):
        verdicts = await asyncio.gather(*(store.claim(mark(f"b{n}")) for n in range(8)))
        assert [type(v) for v in verdicts].count(First) == 1, verdicts
        assert [type(v) for v in verdicts].count(Busy) == 7, verdicts

    held(side, claim)


@SIDES
def test_a_renewed_mark_is_not_taken_over(held, side):
    async def claim(store):
        await store.claim(mark("a", lease_ms=SHORT_MS))
        assert await store.renew(mark("a", lease_ms=LONG_MS))
        await asyncio.sleep(SHORT_MS / 1000 + 0.05)  # the first lease would be over
        assert isinstance(await store.claim(mark("b")), Busy)

    held(side, claim)


@SIDES
def test_only_its_owner_renews_finishes_and_clears(held, side):
    async def claim(store):
        await store.claim(mark("a"))
        assert not await store.renew(mark("b"))
        assert not await store.finish(mark("b"), b"1")
        assert not await store.clear(mark("b"))
        assert isinstance(await store.claim(mark("c")), Busy)
        assert (await store.look("refunds", "42")).owner == "a"

    held(side, claim)


@SIDES
def test_who_was_taken_over_neither_renews_nor_finishes_nor_clears(held, side):
    async def claim(store):
        await store.claim(mark("a", lease_ms=SHORT_MS))

        async def over():
            return isinstance(await store.claim(mark("b")), First)

        await wait_until_async(over, SOON_S, "the lease of a holder that is silent ends")
        assert not await store.renew(mark("a"))
        assert not await store.clear(mark("a"))
        assert not await store.finish(mark("a"), b'"a"')
        assert await store.finish(mark("b"), b'"b"')
        assert await store.claim(mark("c")) == Repeated(b'"b"')

    held(side, claim)


@SIDES
def test_a_lease_that_ran_out_goes_on_while_nobody_took_over(held, side):
    async def claim(store):
        await store.claim(mark("a", lease_ms=1))
        await asyncio.sleep(0.01)
        assert await store.renew(mark("a"))
        assert await store.finish(mark("a"), b"1")

    held(side, claim)


@SIDES
def test_a_cleared_mark_leaves_the_next_claim_the_first(held, side):
    async def claim(store):
        await store.claim(mark("a"))
        assert await store.clear(mark("a"))
        assert not await store.clear(mark("a"))
        second = await store.claim(mark("b"))
        assert isinstance(second, First)
        assert not second.taken_over

    held(side, claim)


@SIDES
def test_what_is_done_is_not_cleared(held, side):
    async def claim(store):
        await store.claim(mark("a"))
        await store.finish(mark("a"), b"1")
        assert not await store.clear(mark("a"))
        assert not await store.renew(mark("a"))
        assert await store.claim(mark("b")) == Repeated(b"1")

    held(side, claim)


@SIDES
def test_an_effect_whose_mark_was_forgotten_is_recorded_all_the_same(held, side):
    async def claim(store):
        assert not await store.renew(mark("a"))
        assert await store.finish(mark("a"), b"1")
        assert await store.claim(mark("b")) == Repeated(b"1")

    held(side, claim)


@SIDES
def test_a_result_is_kept_for_its_retention_and_no_longer(held, side):
    async def claim(store):
        await store.claim(mark("a", lease_ms=1))
        await store.finish(mark("a", retention_ms=SHORT_MS), b"1")

        async def forgotten():
            return isinstance(verdict := await store.claim(mark("b")), First) and [verdict]

        [again] = await wait_until_async(forgotten, SOON_S, "a result whose retention is over is forgotten")
        assert not again.taken_over
        assert await store.finish(mark("b"), b"2")
        assert await store.claim(mark("c")) == Repeated(b"2")

    held(side, claim)


@SIDES
def test_one_looks_without_touching(held, side):
    async def claim(store):
        assert await store.look("refunds", "42") is None
        first = await store.claim(mark("a"))
        running = await store.look("refunds", "42")
        assert isinstance(running, Running)
        assert (running.owner, running.began_ms) == ("a", first.began_ms)
        assert 0 < running.until_ms - running.began_ms <= LONG_MS + 1000
        await store.finish(mark("a"), b"1")
        done = await store.look("refunds", "42")
        assert isinstance(done, Done)
        assert (done.owner, done.result) == ("a", b"1")
        assert done.until_ms > running.began_ms

    held(side, claim)


NAMES = [("refunds", "42"), ("refund", "s42"), ("refunds", "42 "), ("Refunds", "42"), ("refunds:42", "x"),
         ("refunds", "42:x"), ("refunds", "{a}b"), ("refunds", "}{"), ("refunds", "é" * 200), ("é" * 100, "é" * 199),
         ("refunds", "a\0b"), ("refunds", "a?b"), ("r" * 500, "k" * 500), ("r" * 500, "k" * 501)]


@SIDES
def test_no_two_keys_meet_whatever_they_are_called(held, side):
    async def claim(store):
        for number, (namespace, key) in enumerate(NAMES):
            assert isinstance(await store.claim(mark("a", key, namespace=namespace)), First), (namespace, key)
            assert await store.finish(mark("a", key, namespace=namespace), b"%d" % number)
        for number, (namespace, key) in enumerate(NAMES):
            assert await store.claim(mark("b", key, namespace=namespace)) == Repeated(b"%d" % number)

    held(side, claim)


@SIDES
def test_pruning_removes_what_is_past_its_retention_and_nothing_else(held, side):
    async def claim(store):
        for key in ("1", "2", "3"):
            await store.claim(mark("a", key, lease_ms=1))
            await store.finish(mark("a", key, retention_ms=1), b"old")
        await store.claim(mark("a", "left", lease_ms=1, retention_ms=1))
        await store.claim(mark("a", "kept"))
        await store.finish(mark("a", "kept"), b"kept")
        await store.claim(mark("a", "running"))
        await store.claim(mark("a", "1", namespace="others", lease_ms=1))
        await store.finish(mark("a", "1", namespace="others"), b"others")
        await asyncio.sleep(0.02)
        removed = [await store.prune("refunds", 1, 3), await store.prune("refunds", 1, 3)]
        assert removed in ([3, 1], [0, 0]), "0 where records expire by themselves"
        assert await store.prune("refunds", 1, 3) == 0
        for key in ("1", "2", "3", "left"):
            assert isinstance(await store.claim(mark("b", key)), First)
        assert await store.claim(mark("b", "kept")) == Repeated(b"kept")
        assert isinstance(await store.claim(mark("b", "running")), Busy)
        assert await store.claim(mark("b", "1", namespace="others")) == Repeated(b"others")

    held(side, claim)


def test_both_sides_see_the_same_records(url, arun):
    async def main():
        async with opened(url) as store:
            plain = InThreads(store.plain())
            await store.claim(mark("a"))
            assert isinstance(await plain.claim(mark("b")), Busy)
            assert await plain.finish(mark("a"), b"1")
            assert await store.claim(mark("b")) == Repeated(b"1")

    arun(main())


@pytest.mark.parametrize("url", ["memory", "valkey"], indirect=True)
def test_a_store_without_transactions_says_so(url, arun):
    async def main():
        async with opened(url) as store:
            with pytest.raises(ConfigurationError, match="SqlStore"):
                store.within(object())

    arun(main())


def test_a_store_outlives_an_event_loop(sql_url, arun):
    """A guard is often made once, at the top of a module, and ``asyncio.run`` called more than once."""
    store = SqlStore(sql_url)
    assert isinstance(arun(store.claim(mark("a"))), First)
    assert isinstance(arun(store.claim(mark("b"))), Busy)
    arun(store.close())
