# SPDX-License-Identifier: Apache-2.0
"""Effects that are confirmed: by replicas (``WAIT``) and by the append-only file (``WAITAOF``)."""

from __future__ import annotations

import msgspec
import pytest

from holdfast import StreamSettings
from holdfast._base import events as ev
from holdfast.errors import ConfigurationError
from holdfast.once import Writes
from holdfast.testing import Replicated, Single, Way
from tests.support.protocol import GROUP, Service, desk_at, eventually

QUICK = {"lease_ms": 2_000, "sweep_ms": 200, "block_ms": 100, "confirm_ms": 150}


class Order(msgspec.Struct):
    id: str


def counting(url: str, stream: str, **confirm) -> Service:
    service = Service(url, settings=StreamSettings(**QUICK, **confirm))

    @service.consumer(stream, group=GROUP, once="redis")
    async def count(order: Order, writes: Writes) -> None:
        writes.incrby(f"{{{stream}}}sum")

    return service


async def worked_off(service: Service, url: str, stream: str, count: int) -> int:
    """Publishes so many, waits until they are settled; what the effects sum up to."""
    async with service, desk_at(url, stream) as desk:
        await service.hf.publish_many(stream, [Order(str(n)) for n in range(count)])
        await eventually(desk.is_through, "all are settled", 20)
        return int(await desk.call("GET", f"{{{stream}}}sum"))


def test_effects_that_a_replica_has_are_confirmed_and_those_behind_a_stalled_link_are_reported(stream, arun):
    with Replicated(proxied=True) as pair:
        good = counting(pair.url, stream, confirm_replicas=1)
        assert arun(worked_off(good, pair.url, stream, 5)) == 5
        assert good.told.of(ev.EffectUnconfirmed) == []
        pair.links[0].stall(Way.DOWN)
        stalled = counting(pair.url, stream, confirm_replicas=1)
        assert arun(worked_off(stalled, pair.url, stream, 3)) == 8  # done is done
        told = stalled.told.of(ev.EffectUnconfirmed)
        assert sum(e.count for e in told) == 3
        assert {(e.confirmed, e.wanted) for e in told} == {(0, 1)}


@pytest.mark.parametrize(("aof", "unconfirmed"), [("yes", False), ("no", True)])
def test_effects_are_confirmed_by_the_append_only_file_where_there_is_one(stream, arun, aof, unconfirmed):
    with Single("valkey", {"appendonly": aof, "appendfsync": "everysec"}) as server:
        service = counting(server.url, stream, confirm_aof=True)
        assert arun(worked_off(service, server.url, stream, 2)) == 2
        assert bool(service.told.of(ev.EffectUnconfirmed)) is unconfirmed


def test_a_wait_for_ever_is_refused():
    with pytest.raises(ConfigurationError, match="confirm_ms"):
        StreamSettings(confirm_replicas=1, confirm_ms=0)
