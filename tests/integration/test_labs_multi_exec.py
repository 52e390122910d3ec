# SPDX-License-Identifier: Apache-2.0
"""``MULTI``/``EXEC`` with ``WATCH``, the alternative the lab compares: it has to be right, or beating it means nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from holdfast import Retry
from holdfast._base.chance import system_chance
from holdfast.errors import BadHandler, EffectFailed, ReadsChanged, ServerUnreachable
from holdfast.labs.lines import Lines
from holdfast.labs.multi_exec import MultiExec, record_key
from holdfast.once import Writes
from tests.support.protocol import desk_at

pytestmark = pytest.mark.everywhere


class Bench:
    """A desk with the effect on it. ``total`` counts what was applied."""

    def __init__(self, desk):
        self.desk = desk
        self.lines = Lines(desk.server, desk.key, system_chance())
        self.effect = MultiExec(lambda: self.lines, desk.server.prefix, clustered=desk.server.clustered)
        self.total = f"{{{desk.stream}}}total"
        self.runs = 0

    async def attempt(self, context):
        self.runs += 1
        context.provide(Writes).incrby(self.total, 5)

    async def applied(self):
        return int(await self.desk.call("GET", self.total) or 0)


@asynccontextmanager
async def bench_at(url, stream):
    async with desk_at(url, stream) as desk:
        bench = Bench(desk)
        try:
            yield bench
        finally:
            await bench.lines.close()


def test_effect_record_and_acknowledgement_are_one_transaction(backend, stream, arun):
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()
            assert await bench.effect.run(delivery, bench.attempt) is True
            assert await bench.applied() == 5
            assert await bench.desk.is_through()
            assert await bench.effect.applied([delivery]) == [True]

    arun(scenario())


def test_a_message_that_is_recorded_runs_no_handler(backend, stream, arun):
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()
            await bench.effect.run(delivery, bench.attempt)
            assert await bench.effect.run(delivery, bench.attempt) is False
            assert (bench.runs, await bench.applied()) == (1, 5)

    arun(scenario())


def test_of_two_at_the_same_time_one_applies(backend, stream, arun):
    """Both have looked for the record and found none, before either writes."""
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()
            both = asyncio.Barrier(2)

            async def attempt(context):
                await bench.attempt(context)
                await both.wait()

            found = await asyncio.gather(*(bench.effect.run(delivery, attempt) for _ in range(2)),
                                         return_exceptions=True)
            assert await bench.applied() == 5
            assert sorted(map(type, found), key=str) == [bool, ReadsChanged]
            assert bench.effect.transient(ReadsChanged())

    arun(scenario())


def test_nothing_is_sent_over_another_connection_than_the_one_that_watches(backend, stream, arun):
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()

            async def attempt(context):
                await bench.attempt(context)
                [line] = bench.lines._all
                line.link.abort()
                await line.call("PING")  # opens another

            with pytest.raises(ServerUnreachable):
                await bench.effect.run(delivery, attempt)
            assert await bench.applied() == 0

    arun(scenario())


def test_a_connection_that_breaks_between_two_reads_watches_nothing(backend, stream, arun):
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()

            async def attempt(context):
                bench.lines._all[0].link.abort()
                await context.provide(Writes).read("GET", bench.total)
                await bench.attempt(context)

            with pytest.raises(ServerUnreachable):
                await bench.effect.run(delivery, attempt)
            assert await bench.applied() == 0

    arun(scenario())


def test_what_the_handler_read_has_to_hold(backend, stream, arun):
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()
            await bench.desk.call("SET", bench.total, "1")

            async def attempt(context):
                writes = context.provide(Writes)
                assert await writes.read("GET", bench.total) == b"1"
                await bench.desk.call("SET", bench.total, "7")
                writes.set(bench.total, "2")

            with pytest.raises(ReadsChanged):
                await bench.effect.run(delivery, attempt)
            assert await bench.applied() == 7

    arun(scenario())


def test_a_handler_that_fails_leaves_nothing_and_no_watch(backend, stream, arun):
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()

            async def broken(context):
                await bench.attempt(context)
                raise ValueError("no")

            async def again(_):
                return Retry()

            with pytest.raises(ValueError, match="no"):
                await bench.effect.run(delivery, broken)
            assert await bench.effect.run(delivery, again) is True
            assert await bench.effect.applied([delivery]) == [False]
            await bench.effect.run(delivery, bench.attempt)
            assert await bench.applied() == 5
            assert len(bench.lines._all) == 1

    arun(scenario())


def test_exec_takes_nothing_back(backend, stream, arun):
    """Its limit, which the lab's pages name: the record is in although a write is missing."""
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()
            text = f"{{{stream}}}text"
            await bench.desk.call("SET", text, "no number")

            async def attempt(context):
                context.provide(Writes).incrby(text, 1)
                await bench.attempt(context)

            with pytest.raises(EffectFailed, match="write 1 of 2 was refused and the others are in"):
                await bench.effect.run(delivery, attempt)
            assert await bench.applied() == 5
            assert await bench.effect.applied([delivery]) == [True]

    arun(scenario())


def test_a_record_does_not_stay_for_ever(backend, stream, arun):
    async def scenario():
        async with bench_at(backend.url, stream) as bench:
            _, [delivery] = await bench.desk.got()
            await bench.effect.run(delivery, bench.attempt)
            left_ms = await bench.desk.call("PTTL", record_key(bench.desk.keys, delivery.message.id))
            assert 0 < left_ms <= 86_400_000
            with pytest.raises(BadHandler):
                await bench.effect.run_batch([delivery], bench.attempt)

    arun(scenario())
