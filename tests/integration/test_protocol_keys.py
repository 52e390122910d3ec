# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 2: whatever a stream is called, what lies beside it lies in its slot."""

from __future__ import annotations

import secrets

import pytest

from holdfast import Retry
from holdfast._redis.keys import GroupKeys, StreamKeys
from holdfast._redis.slots import slot_of
from holdfast.errors import NotAStream, SchemaTooNew
from tests.support.protocol import FAST, Service, desk_at, eventually, park

#: Names whose braces the server reads in its own way.
ODD = ["a{b}c", "a}b", "x{}y", "a{b", "{a}{b}", "}{", "{}", "{}{a}", "a:b::c", "ä{ö}", "%7B{x%}", "a b"]


def _names(keys: StreamKeys | GroupKeys) -> list[bytes]:
    return [value for name in dir(type(keys)) if isinstance(value := getattr(keys, name), bytes)]


@pytest.mark.parametrize("name", ODD)
def test_the_server_puts_every_key_beside_an_oddly_named_stream(backend, arun, name):
    """The server's own opinion of the slot, not ours."""

    async def scenario():
        async with desk_at(backend.url, name, "g{r}:p") as desk:
            keys = [*_names(desk.keys), *_names(desk.beside), desk.beside.sent("a{x}b")]
            assert {slot_of(key) for key in keys} == {slot_of(name.encode())}
            if backend.kind == "cluster":
                slots = [await desk.call("CLUSTER", "KEYSLOT", key) for key in keys]
                assert set(slots) == {await desk.call("CLUSTER", "KEYSLOT", name)}

    arun(scenario())


def test_no_two_streams_or_groups_share_a_key():
    pairs = [(s, g) for s in ("a", "a:b", "a%3Ab", "{a}", "a{", "a:") for g in ("g", "b:g", ":g", "meta", ":meta")]
    every = [key for s, g in pairs for key in (GroupKeys("hf", s, g).leases, GroupKeys("hf", s, g).due)]
    every += [StreamKeys("hf", s).meta for s in {s for s, _ in pairs}]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("name", ODD)
def test_an_oddly_named_stream_is_consumed_retried_and_buried(backend, arun, name):
    """Every script of the protocol runs with all its keys; on a cluster a key in another slot would be refused."""

    async def scenario():
        odd = name + secrets.token_hex(2) if name in ("a}b", "a{b", "a b", "a:b::c") else name
        service = Service(backend.url)
        seen = []

        @service.consumer(odd, group="g{r}", retry=Retry(attempts=2, after=0.02))
        async def handle(body: str) -> None:
            seen.append(body)
            if body == "poison":
                raise ValueError("always")
            if body == "twice" and seen.count("twice") == 1:
                raise ValueError("once")

        async with service, desk_at(backend.url, odd, "g{r}") as desk:
            for body in ("good", "twice", "poison"):
                await service.hf.publish(odd, body, window_s=5)
            await service.hf.publish(odd, "later", delay_s=0.05)
            await eventually(lambda: len(seen) == 6, "good, twice two times, poison two times, later")
            await eventually(desk.letters, "the letter is written")
            await eventually(desk.pending_is_empty, "nothing is left pending")
            assert sorted(seen) == ["good", "later", "poison", "poison", "twice", "twice"]

    arun(scenario())


def test_a_prefix_keeps_tenants_apart(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream, prefix="one") as one, desk_at(backend.url, stream, prefix="two") as two:
            lane = await one.join()
            await one.add()
            (delivery,) = await one.read(lane)
            await lane.settle([], [park(delivery)])
            assert await one.call("EXISTS", one.keys.due) == 1
            assert await two.call("EXISTS", two.keys.due, two.keys.leases) == 0

    arun(scenario())


def test_a_newer_schema_is_refused_and_nothing_is_touched(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await desk.call("HSET", desk.beside.meta, "schema", 99)
            await desk.add()
            service = Service(backend.url)

            @service.consumer(stream, group="billing")
            async def handle(body: bytes) -> None: ...

            with pytest.raises(SchemaTooNew, match="99"):
                await (await service.start()).running_to_its_end()
            await service.stop()
            assert await desk.call("XINFO", "GROUPS", stream) == []

    arun(scenario())


def test_an_older_schema_is_understood(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await desk.call("HSET", desk.beside.meta, "schema", 0)
            await desk.join()
            assert desk.joined[0] == b"ok"

    arun(scenario())


def test_a_key_that_is_no_stream_is_said_at_once(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await desk.call("SET", stream, "a string")
            service = Service(backend.url, settings=FAST)

            @service.consumer(stream, group="billing")
            async def handle(body: bytes) -> None: ...

            with pytest.raises(NotAStream):
                await (await service.start()).running_to_its_end()
            await service.stop()
            assert await desk.call("GET", stream) == b"a string"

    arun(scenario())
