# SPDX-License-Identifier: Apache-2.0
"""Publishing later, once, from threads, and what is refused instead of being promised."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from holdfast import Message, Outgoing
from holdfast.errors import ConfigurationError, MessageTooLarge
from tests.support.protocol import GROUP, Service, desk_at, eventually

# -- later -----------------------------------------------------------------------------------------------------------


def test_a_message_for_an_instant_comes_then_and_one_for_the_past_at_once(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP)
        async def handle(body: str) -> None:
            seen.append((body, datetime.now(UTC)))

        async with service:
            soon = datetime.now(UTC) + timedelta(seconds=0.5)
            await service.hf.publish(stream, "soon", at=soon)
            await service.hf.publish(stream, "past", at=datetime.now(UTC) - timedelta(days=1))
            await eventually(lambda: len(seen) == 2, "both have come")
        assert [body for body, _ in seen] == ["past", "soon"]
        assert seen[1][1] >= soon - timedelta(milliseconds=2)

    arun(scenario())


def test_an_instant_without_a_time_zone_is_refused(backend, stream, arun):
    async def scenario():
        async with Service(backend.url).hf as hf:
            with pytest.raises(ConfigurationError, match="time zone"):
                await hf.publish(stream, "x", at=datetime.now())  # noqa: DTZ005 - what is wrong about it

    arun(scenario())


def test_a_message_that_no_script_could_move_is_refused_and_holds_nobody_up(backend, stream, arun):
    """A call in Lua takes some 8,000 values: an entry of more would wait for ever, and all that is due behind it."""

    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP)
        async def handle(message: Message) -> None:
            seen.append((message.id, len(message.headers)))

        async with service:
            for more in ({}, {"delay_s": 0.1}, {"window_s": 5}):
                with pytest.raises(MessageTooLarge, match="put headers together"):
                    await service.hf.publish(stream, "x", headers={f"h{n}": "" for n in range(4_100)}, **more)
            widest = {f"h{n}": "" for n in range(3_496)}
            await service.hf.publish(stream, "x", id="later", delay_s=0.1, headers=widest)
            await service.hf.publish(stream, "x", id="once", window_s=5, headers=widest)
            await eventually(lambda: len(seen) == 2, "the widest come")
        assert sorted(seen) == [("later", 3_496), ("once", 3_496)]

    arun(scenario())


@pytest.mark.parametrize("partitions", [0, 4])
def test_only_what_still_waits_can_be_taken_back(backend, stream, arun, partitions):
    async def scenario():
        service, seen = Service(backend.url), []
        if partitions:
            service.hf.stream(stream, partitions=partitions)

        @service.consumer(stream, group=GROUP)
        async def handle(body: str) -> None:
            seen.append(body)

        async with service:
            taken = await service.hf.publish(stream, "taken back", delay_s=0.5)
            keyed = await service.hf.publish(stream, "keyed", delay_s=0.5, key="k")
            stays = await service.hf.publish(stream, "stays", delay_s=0.5)
            assert await service.hf.cancel(stream, taken.id)
            assert await service.hf.cancel(stream, keyed.id, key="k")
            await eventually(lambda: seen, "the other comes")
            assert not await service.hf.cancel(stream, stays.id)
            assert not await service.hf.cancel(stream, "never was")
        assert seen == ["stays"]

    arun(scenario())


def test_a_message_for_later_is_one_however_often_it_is_put_off(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []
        service.hf.stream(stream, partitions=4)

        @service.consumer(stream, group=GROUP)
        async def handle(body: str) -> None:
            seen.append(body)

        async with service:
            for n in range(8):
                await service.hf.publish(stream, f"version {n}", id="reminder-7", delay_s=0.4)
            await service.hf.publish(stream, "last", id="other", delay_s=0.8)
            await eventually(lambda: "last" in seen, "the last has come")
        assert seen == ["version 7", "last"]

    arun(scenario())


# -- once within a window --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [0, 4])
def test_within_the_window_an_id_is_written_once_and_after_it_again(backend, stream, arun, partitions):
    """Without a key a partitioned stream takes turns; the id has to meet its mark all the same."""

    async def scenario():
        async with Service(backend.url).hf as hf:
            if partitions:
                hf.stream(stream, partitions=partitions)
            first = await hf.publish(stream, "x", id="order-7", window_s=0.6)
            again = [await hf.publish(stream, "x", id="order-7", window_s=0.6) for _ in range(5)]
            assert not first.duplicate
            assert {(r.duplicate, r.stream, r.entry_id) for r in again} == {(True, first.stream, first.entry_id)}

            async def anew():
                return not (await hf.publish(stream, "x", id="order-7", window_s=0.01)).duplicate

            await eventually(anew, "the window is over")
            async with desk_at(backend.url, first.stream) as desk:
                assert len(await desk.in_stream()) >= 2

    arun(scenario())


@pytest.mark.parametrize("how", [
    {"window_s": 5, "replicas": 1}, {"delay_s": 5, "replicas": 1}, {"delay_s": 5, "window_s": 5},
    {"at": datetime(2030, 1, 1, tzinfo=UTC), "delay_s": 5}], ids="+".join)
def test_promises_that_do_not_go_together_are_refused(backend, stream, arun, how):
    """One of two would be broken in silence: a confirmation that nobody asked the replicas for."""

    async def scenario():
        async with Service(backend.url).hf as hf, desk_at(backend.url, stream) as desk:
            with pytest.raises(ConfigurationError, match=" and ".join(how)):
                await hf.publish(stream, "x", **how)
            assert await desk.call("EXISTS", stream, desk.beside.later) == 0

    arun(scenario())


# -- too large -------------------------------------------------------------------------------------------------------


def test_one_message_beyond_the_limit_keeps_all_of_a_handful_from_being_sent(backend, stream, arun):
    async def scenario():
        async with Service(backend.url).hf as hf, desk_at(backend.url, stream) as desk:
            with pytest.raises(MessageTooLarge, match="m-1"):
                await hf.publish_many(stream, ["small", Outgoing(value="x" * 2_000_000, id="m-1"), "small"])
            assert await desk.call("EXISTS", stream) == 0

    arun(scenario())


# -- from plain code -------------------------------------------------------------------------------------------------


def test_many_threads_publish_through_one_door(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), Counter()

        @service.consumer(stream, group=GROUP)
        async def handle(body: str) -> None:
            seen[body] += 1

        def work(plain, name: int) -> None:
            for n in range(20):
                plain.publish(stream, f"{name}/{n}", key=str(name))
            plain.publish_many(stream, [f"{name}/many/{n}" for n in range(20)])

        async with service:
            with service.hf.blocking() as plain:
                await asyncio.gather(*(asyncio.to_thread(work, plain, name) for name in range(8)))
                later = await asyncio.to_thread(plain.publish, stream, "later", delay_s=60)
                assert await asyncio.to_thread(plain.cancel, stream, later.id)
            await eventually(lambda: len(seen) == 8 * 40, "all have come")
        assert set(seen.values()) == {1}

    arun(scenario())


def test_a_closed_door_says_so(backend, stream):
    plain = Service(backend.url).hf.blocking()
    plain.publish(stream, "x")
    plain.close()
    plain.close()
    with pytest.raises(ConfigurationError, match="closed"):
        plain.publish(stream, "x")
    assert not [t for t in threading.enumerate() if t.name == "holdfast-blocking"]


def test_after_a_fork_the_child_is_told_to_open_its_own(backend, stream):
    """And may leave the block it was born in; the parent's goes on."""
    with Service(backend.url).hf.blocking() as plain:
        plain.publish(stream, "before")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            said = "nothing"
            try:
                plain.publish(stream, "from the child")
            except ConfigurationError as error:
                said = str(error)
            try:
                plain.close()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the parent hears of it
                said += f", and closing: {error!r}"
            os.write(writer, said.encode())
            os._exit(0)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader) as told:
            assert told.read() == "this was opened before a fork: call hf.blocking() again in the child"
        assert os.waitstatus_to_exitcode(status) == 0
        plain.publish(stream, "after")
    assert backend.admin.execute_command("XLEN", stream) == 2
