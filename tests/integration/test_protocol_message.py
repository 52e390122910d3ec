# SPDX-License-Identifier: Apache-2.0
"""Delivery, section 1: what a message is, and that a client's retry does not make two of it."""

from __future__ import annotations

import json

import pytest

from holdfast._base.message import fields_digest
from holdfast.consume.policy import NEVER
from holdfast.errors import InDoubt, MessageTooLarge, NotReplicated, PartitionMismatch, ServerUnreachable
from holdfast.streams.producer import Outgoing
from holdfast.testing import Proxy
from tests.support.protocol import Service, desk_at, eventually, park

#: A proxy stands before one node; a cluster's client would walk around it.
one_node = pytest.mark.kinds("valkey", "redis62", "redis70")


@pytest.fixture
def proxy(backend):
    with Proxy(backend.masters[0].address) as proxy:
        yield proxy


def test_a_foreign_entry_is_known_by_place_and_digest(backend, stream, arun):
    """Entry ids repeat across partitions and come back after a data loss; the digest tells such twins apart."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk, desk_at(backend.url, stream + ".twin") as twin:
            for each, value in ((desk, "1"), (twin, "1")):
                await each.call("XADD", each.key, "5-1", "amount", value)
            first, again = [(await d.read(await d.join()))[0].message for d in (desk, twin)]
            assert first.entry_id == again.entry_id
            assert first.id != again.id

            await desk.call("DEL", desk.key)  # the data is lost, and the ids begin anew
            await desk.call("XADD", desk.key, "5-1", "amount", "2")
            later = (await desk.read(await desk.join()))[0].message
            assert later.id != first.id
            assert later.id == f"{stream}/5-1/{fields_digest([b'amount', b'2'])}"
            assert json.loads(later.body) == {"amount": "2"}

    arun(scenario())


def test_a_message_keeps_its_identity_through_parking_and_stowing(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join(stow_ms=10)
            await desk.add(amount="1")
            (delivery,) = await desk.read(lane)
            identity = delivery.message.id
            await lane.settle([], [park(delivery, 20)])
            assert await desk.in_stream() == []
            replay = desk.lane(lane.incarnation, replay=True)

            async def moved():
                await lane.claim_due(10, 0.0)
                return await desk.read(replay)

            (back,) = await eventually(moved, "the stowed entry is due")
            assert back.message.id == identity
            assert back.message.fields[:2] == [b"amount", b"1"]

    arun(scenario())


def test_unknown_fields_are_kept(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)

        @service.consumer(stream, group="billing", retry=NEVER)
        async def handle(message: bytes) -> None:
            raise ValueError("no")

        async with service, desk_at(backend.url, stream) as desk:
            await desk.call("XADD", stream, "*", "body", "{}", "x-of-somebody", "kept")
            (letter,) = await eventually(desk.letters, "the letter is written")
            assert letter["x-of-somebody"] == "kept"
            assert letter["body"] == "{}"

    arun(scenario())


# -- what a client's retry does ---------------------------------------------------------------------------------------


@one_node
def test_a_publish_whose_answer_is_lost_is_sent_once_and_in_doubt(backend, proxy, stream, arun):
    async def scenario():
        service = Service(proxy.through(backend.url))
        try:
            await service.hf.open()
            trap = proxy.eat_reply(to=b"XADD")
            with pytest.raises(InDoubt) as caught:
                await service.hf.publish(stream, {"n": 1}, id="order-7")
            assert caught.value.message_ids == ("order-7",)
            assert len(trap.eaten) == 1
        finally:
            await service.hf.close()
        async with desk_at(backend.url, stream) as desk:
            assert len(await desk.in_stream()) == 1

    arun(scenario())


@one_node
def test_publish_many_names_every_message_in_doubt(backend, proxy, stream, arun):
    async def scenario():
        service = Service(proxy.through(backend.url))
        try:
            await service.hf.open()
            proxy.eat_reply(to=b"XADD")
            with pytest.raises(InDoubt) as caught:
                await service.hf.publish_many(stream, [Outgoing(value=n, id=f"m{n}") for n in range(5)])
            assert caught.value.message_ids == ("m0", "m1", "m2", "m3", "m4")
        finally:
            await service.hf.close()
        async with desk_at(backend.url, stream) as desk:
            assert len(await desk.in_stream()) == 5

    arun(scenario())


@one_node
def test_within_a_window_a_lost_answer_is_asked_for_again_and_written_once(backend, proxy, stream, arun):
    async def scenario():
        service = Service(proxy.through(backend.url))
        try:
            await service.hf.open()
            await service.hf.publish(stream, {"n": 0}, window_s=5)  # the script is known to the server from here on
            trap = proxy.eat_reply(to=b"EVALSHA")
            receipt = await service.hf.publish(stream, {"n": 1}, id="order-7", window_s=5)
            assert len(trap.eaten) == 1
            again = await service.hf.publish(stream, {"n": 1}, id="order-7", window_s=5)
            assert again.duplicate
            assert again.entry_id == receipt.entry_id
        finally:
            await service.hf.close()
        async with desk_at(backend.url, stream) as desk:
            assert len(await desk.in_stream()) == 2

    arun(scenario())


@one_node
def test_a_publish_that_cannot_be_sent_is_not_in_doubt(backend, proxy, stream, arun):
    async def scenario():
        service = Service(proxy.through(backend.url), timeout_s=1.0)
        try:
            await service.hf.open()
            proxy.refuse()
            proxy.cut()
            with pytest.raises(ServerUnreachable):
                await service.hf.publish(stream, {"n": 1})
        finally:
            await service.hf.close()

    arun(scenario())


def test_an_unconfirmed_replica_is_said(backend, stream, arun):
    """One replica more than there are is asked for, and does not confirm: written, and not safe."""
    there = backend.masters[0].admin.info("replication")["connected_slaves"]

    async def scenario():
        async with Service(backend.url).hf as hf:
            with pytest.raises(NotReplicated) as caught:
                await hf.publish(stream, {"n": 1}, replicas=there + 1, wait_s=0.05)
            assert caught.value.confirmed <= there

    arun(scenario())


def test_a_message_beyond_the_limit_is_refused_before_it_is_sent(backend, stream, arun):
    async def scenario():
        async with Service(backend.url).hf as hf:
            with pytest.raises(MessageTooLarge):
                await hf.publish(stream, "x" * 2000, limit_bytes=1000)
        async with desk_at(backend.url, stream) as desk:
            assert await desk.call("EXISTS", stream) == 0

    arun(scenario())


# -- partitions: publishers agree on their number ----------------------------------------------------------------------


@pytest.mark.parametrize("other", [1, 2, 8])
def test_a_publisher_with_another_number_of_partitions_is_refused(backend, stream, arun, other):
    """Whatever partition its key falls into: one that the others do not have would be read by nobody."""

    async def scenario():
        async with Service(backend.url).hf as hf:
            hf.stream(stream, partitions=4)
            await hf.publish(stream, 1, key="a")
        async with Service(backend.url).hf as hf:
            hf.stream(stream, partitions=other)
            for key in "abcdefgh":
                with pytest.raises(PartitionMismatch):
                    await hf.publish(stream, 1, key=key)

    arun(scenario())


def test_a_publisher_that_knows_of_no_partitions_is_refused(backend, stream, arun):
    async def scenario():
        async with Service(backend.url).hf as hf:
            hf.stream(stream, partitions=4)
            await hf.publish(stream, 1, key="a")
        async with Service(backend.url).hf as hf:
            with pytest.raises(PartitionMismatch):
                await hf.publish(stream, 1, key="a")

    arun(scenario())


# -- published for later ---------------------------------------------------------------------------------------------


def test_a_message_for_later_enters_the_stream_at_its_time_and_once(backend, stream, arun):
    async def scenario():
        service = Service(backend.url)
        seen = []

        @service.consumer(stream, group="billing")
        async def handle(n: int) -> None:
            seen.append(n)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, 1, delay_s=0.3)
            await service.hf.publish(stream, 2)
            await eventually(lambda: seen == [2], "the one for now has come")
            await eventually(lambda: seen == [2, 1], "the later one has come")
            assert await desk.call("EXISTS", desk.beside.later, desk.beside.later_body) == 0

    arun(scenario())


def test_a_message_for_later_can_be_taken_back(backend, stream, arun):
    async def scenario():
        async with Service(backend.url).hf as hf, desk_at(backend.url, stream) as desk:
            receipt = await hf.publish(stream, 1, delay_s=60)
            assert receipt.entry_id == ""
            assert await hf.cancel(stream, receipt.id)
            assert not await hf.cancel(stream, receipt.id)
            assert await desk.call("EXISTS", desk.beside.later, desk.beside.later_body) == 0

    arun(scenario())
