# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 11: order within a key, derived from the pending list."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Outgoing, Reject, Retry
from holdfast.errors import ConfigurationError
from tests.support.protocol import FAST, GROUP, Service, desk_at, eventually


def ordered(backend, stream, handle, **how):
    """A service with one ordered consumer."""
    service = Service(backend.url)
    service.consumer(stream, group=GROUP, ordered=True, retry=Retry(attempts=3, after=0.15), **how)(handle)
    return service


async def publish(service, stream, *pairs):
    await service.hf.publish_many(stream, [Outgoing(value={"key": k, "n": n}, key=k) for k, n in pairs])


def test_a_parked_head_holds_back_its_key_and_no_other(backend, stream, arun):
    """guard: order.KeyOrder.offer runs an entry only if no lower pending id of its key exists"""
    seen: list[tuple[str, int]] = []

    async def handle(body: dict) -> None:
        seen.append((body["key"], body["n"]))
        if (body["key"], body["n"]) == ("a", 1) and seen.count(("a", 1)) < 3:
            raise ValueError("not yet")

    async def scenario():
        async with ordered(backend, stream, handle) as service, desk_at(backend.url, stream) as desk:
            await publish(service, stream, ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("a", 3))
            await eventually(lambda: len(seen) == 7, "everything ran")
            await eventually(desk.pending_is_empty, "everything was settled")
        assert [n for key, n in seen if key == "a"] == [1, 1, 1, 2, 3]
        assert seen.index(("b", 2)) < seen.index(("a", 2)), "another key waited for a parked head"

    arun(scenario())


def test_one_message_of_a_key_runs_at_a_time(backend, stream, arun):
    running: dict[str, int] = {}
    most: list[int] = []

    async def handle(body: dict) -> None:
        running[body["key"]] = running.get(body["key"], 0) + 1
        most.append(running[body["key"]])
        await asyncio.sleep(0.005)
        running[body["key"]] -= 1

    async def scenario():
        async with ordered(backend, stream, handle) as service:
            await publish(service, stream, *[(f"k{i % 3}", i) for i in range(60)])
            await eventually(lambda: len(most) == 60, "everything ran")
        assert max(most) == 1

    arun(scenario())


def test_order_survives_a_crash_because_the_pending_list_keeps_it(backend, stream, arun):
    """The heir learns what is parked before it reads anything new.

    guard: source._restore tells an ordered inbox what is pending
    """
    first: list[int] = []
    second: list[int] = []

    async def failing(body: dict) -> None:
        first.append(body["n"])
        raise ValueError("parked until the heir comes")

    async def handle(body: dict) -> None:
        second.append(body["n"])

    async def scenario():
        dying = Service(backend.url)
        dying.consumer(stream, group=GROUP, ordered=True, retry=Retry(attempts=9, after=3.0))(failing)
        await dying.start()
        await publish(dying, stream, ("a", 1), ("a", 2))
        await eventually(lambda: first == [1], "the head failed")
        async with desk_at(backend.url, stream) as desk:
            await eventually(lambda: parked(desk), "the head was parked")
            await dying.crash()
            async with ordered(backend, stream, handle) as heir:
                await heir.hf.publish(stream, {"key": "a", "n": 3}, key="a")
                await eventually(lambda: second == [1, 2, 3], "the heir ran them in order", 12)
        assert second == [1, 2, 3]

    async def parked(desk):
        return any(owner == "hf.parked" for owner, _ in (await desk.pending()).values())

    arun(scenario())


@pytest.mark.parametrize("on_dead_head", ["continue", "bury-following"])
def test_when_the_head_dies(backend, stream, arun, on_dead_head):
    seen: list[int] = []

    async def handle(body: dict) -> None:
        seen.append(body["n"])
        if body["n"] == 1:
            raise Reject("no good")

    async def scenario():
        async with (ordered(backend, stream, handle, on_dead_head=on_dead_head) as service,
                    desk_at(backend.url, stream) as desk):
            await publish(service, stream, ("a", 1), ("a", 2), ("b", 5), ("a", 3))
            await eventually(lambda: 5 in seen, "the other key ran")
            await eventually(desk.pending_is_empty, "everything was settled")
            letters = await desk.letters()
        if on_dead_head == "continue":
            assert seen == [1, 5, 2, 3] or sorted(seen) == [1, 2, 3, 5]
            assert [x["x-dlq-failure-reason"] for x in letters] == ["rejected"]
        else:
            assert sorted(seen) == [1, 5]
            assert [x["x-dlq-failure-reason"] for x in letters] == ["rejected", "head_dead", "head_dead"]

    arun(scenario())


def test_a_dead_key_stays_dead_for_the_heir(backend, stream, arun):
    """Which keys are dead lies beside the letters, not in a process."""
    seen: list[int] = []

    async def handle(body: dict) -> None:
        seen.append(body["n"])
        if body["n"] == 1:
            raise Reject("no good")

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            async with ordered(backend, stream, handle, on_dead_head="bury-following") as service:
                await publish(service, stream, ("a", 1))
                await eventually(lambda: seen == [1], "the head ran")
                await eventually(desk.letters, "it was buried")
            async with ordered(backend, stream, handle, on_dead_head="bury-following") as heir:
                await publish(heir, stream, ("a", 2), ("b", 3))
                await eventually(lambda: 3 in seen, "the other key ran")
                await eventually(desk.pending_is_empty, "everything was settled")
            assert seen == [1, 3]
            assert len(await desk.letters()) == 2

    arun(scenario())


def test_an_ordered_stream_has_one_reader_at_a_time(backend, stream, arun):
    seen: list[int] = []

    async def handle(body: dict) -> None:
        seen.append(body["n"])

    async def scenario():
        async with ordered(backend, stream, handle) as one, ordered(backend, stream, handle) as two:
            await publish(one, stream, *[("a", n) for n in range(50)])
            await eventually(lambda: len(seen) == 50, "everything ran")
            assert seen == list(range(50))

            def owned() -> list[int]:
                return sorted(sum(len(s.inspect()) for s in service.sources) for service in (one, two))

            await eventually(lambda: owned() == [0, 1], "one of them owns it")

    arun(scenario())


def test_order_and_batches_exclude_each_other(backend, stream):
    service = Service(backend.url, settings=FAST)
    with pytest.raises(ConfigurationError, match="one message of a key at a time"):
        service.consumer(stream, group=GROUP, ordered=True, batch=True)(_batch)


async def _batch(bodies: list[dict]) -> None:
    """A batch handler."""
