# SPDX-License-Identifier: Apache-2.0
"""A master dies while its replication link is stalled: what it had not passed on is gone, and everybody knows what.

On loopback a replica has a write before the client has its answer, so only a link that is held back shows anything.
"""

from __future__ import annotations

import asyncio

import pytest

from holdfast import StreamSettings
from holdfast._base import events as ev
from holdfast.errors import NotReplicated
from holdfast.testing import Sentinel, Way
from tests.support.ledger import Ledger, plain_names
from tests.support.protocol import GROUP, Service, desk_at, eventually

#: Outlasts a failover.
SETTINGS = StreamSettings(lease_ms=6_000, sweep_ms=300, block_ms=200)


@pytest.fixture
def pair():
    with Sentinel(proxied=True) as sentinel:
        yield sentinel


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def offset(node):
    """How many bytes of the replication stream this node has written or taken in."""
    info = node.admin.info("replication")
    return info["master_repl_offset" if info["role"] == "master" else "slave_repl_offset"]


async def ids_at(url, stream):
    """Ids of the messages in the stream, in order."""
    async with desk_at(url, stream) as desk:
        rows = await desk.call("XRANGE", stream, "-", "+")
    return [fields[fields.index(b"id") + 1].decode() for _, fields in rows]


async def stalled(pair):
    """The replica has all there is, and from now on gets nothing more."""
    replica = pair.replicas[0]
    await eventually(lambda: offset(replica) == offset(pair.master), "the replica has everything")
    pair.links[0].stall(Way.DOWN)
    return offset(replica)


def consumer(url, stream, ledger):
    service = Service(url, settings=SETTINGS, sql=ledger.url)
    service.consumer(stream, group=GROUP, once="sql")(ledger.apply)
    return service


def test_what_was_not_replicated_is_lost_and_can_be_named(pair, stream, arun):
    """Without WAIT: exactly what the link held back, by id, and nothing before it."""

    async def scenario():
        publisher = Service(pair.url)
        before, after = plain_names(40), plain_names(25, 40)
        for name in before:
            await publisher.hf.publish(stream, {}, id=name)
        replicated, passed_on = await stalled(pair), pair.links[0].bytes_down
        for name in after:
            await publisher.hf.publish(stream, {}, id=name)
        assert pair.links[0].bytes_down == passed_on
        assert offset(pair.master) > replicated == offset(pair.replicas[0])
        await asyncio.to_thread(pair.failover)
        survived = await ids_at(pair.url, stream)
        lost = [name for name in before + after if name not in survived]
        assert lost == after, "what the link held back, and nothing that the replica had"
        for name in lost:  # whoever knows the ids publishes them again
            await publisher.hf.publish(stream, {}, id=name)
        assert sorted(await ids_at(pair.url, stream)) == sorted(before + after)
        await publisher.hf.close()

    arun(scenario())


def test_what_replicas_confirmed_is_not_lost_and_the_rest_is_refused_a_promise(pair, stream, arun):
    async def scenario():
        publisher = Service(pair.url)
        confirmed, refused = [], []
        for name in plain_names(30):
            if name == "m20":
                await stalled(pair)
            try:
                await publisher.hf.publish(stream, {}, id=name, replicas=1, wait_s=0.1)
            except NotReplicated as error:
                refused.append((error.message_id, error.confirmed))
            else:
                confirmed.append(name)
        assert (confirmed, refused) == (plain_names(20), [(name, 0) for name in plain_names(10, 20)])
        await asyncio.to_thread(pair.failover)
        survived = await ids_at(pair.url, stream)
        assert set(confirmed) <= set(survived)
        with pytest.raises(NotReplicated):  # the new master stands alone, and says so rather than promise
            await publisher.hf.publish(stream, {}, id="m-alone", replicas=1, wait_s=0.1)
        await publisher.hf.close()

    arun(scenario())


def test_consumers_go_on_at_the_new_master_and_what_comes_back_is_a_duplicate(pair, stream, ledger, arun):
    """Acknowledgements that were not replicated come back as deliveries; the inbox knows them."""

    async def scenario():
        workers = [consumer(pair.url, stream, ledger) for _ in range(2)]
        publisher = Service(pair.url)
        for worker in workers:
            await worker.start()
        early, unacked, late = plain_names(40), plain_names(60, 40), plain_names(30, 100)
        for name in early:
            await publisher.hf.publish(stream, {}, id=name)
        await eventually(lambda: len(ledger.applied()) == len(early), "the first are applied")
        for worker in workers:  # published and replicated, and not read yet
            await worker.stop()
        for name in unacked:
            await publisher.hf.publish(stream, {}, id=name, replicas=1)
        await stalled(pair)
        workers = [await consumer(pair.url, stream, ledger).start() for _ in range(2)]
        await eventually(lambda: len(ledger.applied()) == len(early + unacked), "the second are applied")
        async with desk_at(pair.url, stream) as desk:
            await eventually(desk.pending_is_empty, "and acknowledged, at the old master")
        await asyncio.to_thread(pair.failover)
        for name in late:
            await publisher.hf.publish(stream, {}, id=name)
        await eventually(lambda: len(ledger.applied()) == len(early + unacked + late), "they go on by themselves", 20)
        async with desk_at(pair.url, stream) as desk:
            await eventually(desk.pending_is_empty, "all is settled at the new master", 20)
        verdict = ledger.verdict(early + unacked + late)
        assert verdict.ok, verdict.explain()
        duplicates = sum(event.duplicates for worker in workers for event in worker.told.of(ev.Settled))
        # More than those, when a late one was applied under a lease that the new master did not know.
        assert duplicates >= len(unacked), "each that came back was counted"
        for worker in workers:
            await worker.stop()
        await publisher.hf.close()

    arun(scenario())
