# SPDX-License-Identifier: Apache-2.0
"""What cannot work is told once, clearly, by an error of its own, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import sys

import pytest

from holdfast import Holdfast, Outgoing
from holdfast._base import events as ev
from holdfast.errors import (
    ConfigurationError,
    MessageTooLarge,
    MissingExtra,
    NotAStream,
    PartitionMismatch,
    SchemaTooNew,
    ServerUnreachable,
)
from holdfast.testing.ports import free_port
from tests.support.modules import imported_anew
from tests.support.protocol import GROUP, Service, desk_at, eventually, park


async def ended(service):
    """What ended a consumer that was started."""
    await service.start()
    try:
        await asyncio.wait_for(service.running_to_its_end(), 8)
    finally:
        await service.stop()


def consuming(url, stream, seen=None, **how):
    async def handler(body: dict) -> None:
        seen.append(body)

    service = Service(url, **how)
    service.consumer(stream, group=GROUP)(handler)
    return service


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port", "redis://h/1/2",
                                 "redis+sentinel://h", "redis://:secret@h?ask=1"])
def test_a_bad_url_is_misuse_and_quotes_no_password(url, arun):
    with pytest.raises(ConfigurationError) as caught:
        arun(Holdfast(url).open())
    assert "URL" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{}", "redis+sentinel://127.0.0.1:{}/mymaster",
                                  "redis://127.0.0.1:{0},127.0.0.1:{0}", "unix:///nowhere/{}.sock"])
def test_an_unreachable_server_is_told_with_its_address(form, arun):
    port = free_port()

    async def publish():
        async with Holdfast(form.format(port)) as hf:
            await hf.publish("orders", {})

    with pytest.raises(ServerUnreachable, match=str(port)) as caught:
        arun(publish())
    assert not caught.value.maybe_done, "nothing was sent, so nothing is in doubt"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("verb", ["SET", "LPUSH", "SADD"])
def test_a_key_that_is_no_stream_is_left_alone(backend, stream, arun, verb):
    backend.admin.execute_command(verb, stream, "precious")

    async def publish():
        async with Service(backend.url).hf as hf:
            await hf.publish(stream, {})

    with pytest.raises(NotAStream):
        arun(publish())
    with pytest.raises(NotAStream):
        arun(ended(consuming(backend.url, stream)))
    assert backend.admin.type(stream) in {b"string", b"list", b"set"}


def test_one_oversized_message_keeps_its_whole_batch_back(backend, stream, arun):
    """All are encoded before the first is sent: a batch is not half published for it."""

    async def scenario():
        async with Service(backend.url).hf as hf, desk_at(backend.url, stream) as desk:
            with pytest.raises(MessageTooLarge, match="publish a reference"):
                await hf.publish_many(stream, [Outgoing(value={}), Outgoing(value="x" * 2_000_000)])
            assert await desk.call("EXISTS", stream) == 0

    arun(scenario())


def test_a_later_schema_is_refused_and_untouched(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            await desk.add(2, n="1")
            await desk.call("HSET", desk.beside.meta, "schema", "99")
            with pytest.raises(SchemaTooNew, match=r"99.*upgrade"):
                await ended(consuming(backend.url, stream, []))
            assert len(await desk.in_stream()) == 2
            assert not await desk.call("XINFO", "GROUPS", desk.key)
            assert await desk.call("HGET", desk.beside.meta, "schema") == b"99"
            await desk.call("HSET", desk.beside.meta, "schema", "1")
            seen: list[object] = []
            async with consuming(backend.url, stream, seen):
                await eventually(lambda: len(seen) == 2, "an understood one is consumed")

    arun(scenario())


def test_another_number_of_partitions_is_refused_to_consumers_as_to_publishers(backend, stream, arun):
    async def scenario():
        publisher = Service(backend.url)
        publisher.hf.stream(stream, partitions=2)
        for n in range(4):
            await publisher.hf.publish(stream, {"n": n}, key=f"k{n}")
        seen: list[object] = []
        wrong = Service(backend.url)
        wrong.hf.stream(stream, partitions=3)
        with pytest.raises(PartitionMismatch, match="2"):
            await wrong.hf.publish(stream, {}, key="k")

        async def handler(body: dict) -> None:
            seen.append(body)

        wrong.consumer(stream, group=GROUP)(handler)
        with pytest.raises(PartitionMismatch, match="2"):
            await ended(wrong)
        publisher.consumer(stream, group=GROUP)(handler)
        await publisher.start()
        await eventually(lambda: len(seen) == 4, "nothing was lost by it")
        await publisher.stop()

    arun(scenario())


def test_an_unreadable_note_counts_as_none_and_an_unknown_field_is_kept(backend, stream, arun):
    """Metadata that a later version wrote, or nobody: the pending list is the truth, and the message still runs."""

    async def scenario():
        seen: list[dict] = []
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            await desk.add(body='{"n": 1}', **{"hf:tomorrow": "x"})
            (delivery,) = await desk.read(lane)
            await lane.settle([], [park(delivery, 10)])
            await desk.call("HSET", desk.keys.notes, delivery.entry_id, b"\xc1 no message pack")
            await desk.expire(lane)
            service = consuming(backend.url, stream, seen)
            async with service:
                await eventually(lambda: seen == [{"n": 1}], "it runs")
                await eventually(desk.pending_is_empty, "and is settled")
            assert b"hf:tomorrow" in delivery.message.fields
            assert service.told.of(ev.Buried) == []

    arun(scenario())


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    with imported_anew("holdfast._sql", "holdfast.once"):
        hf = Holdfast("redis://127.0.0.1:1", sql="sqlite:///x.db")

        async def handler(body: dict) -> None:
            """Wants nothing."""

        with pytest.raises((MissingExtra, ImportError), match="sql"):
            hf.consumer("orders", group=GROUP, once="sql")(handler)
