# SPDX-License-Identifier: Apache-2.0
"""Giving up a partition ends what was given up, whatever has become of the partition meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base.events import Events, PartitionReleased
from holdfast._redis.keys import GroupKeys
from holdfast._redis.steps import ClockWatch
from holdfast.streams.sharing import Partition, SharedSource
from holdfast.testing import ManualClock


class Source:
    """As much of a partition's source as giving it up touches."""

    def __init__(self, epoch):
        self.epoch, self.main, self.replay = epoch, object(), object()
        self.closed = False

    async def stop_reading(self): ...

    async def close(self, inbox):
        self.closed = True
        return 0


class Inbox:
    """Something of the partition runs until ``idle`` is set."""

    def __init__(self):
        self.idle = False
        self.revoked = []

    def hand_back(self, lane): ...

    def held(self, lane):
        return int(not self.idle)

    def revoke(self, lane, cause):
        self.revoked.append(lane)
        return 0


def shared():
    made = SharedSource.__new__(SharedSource)
    made.told = []
    made._clock, made._events, made.group = ManualClock(), Events(made.told.append), "billing"
    return made


def owned(source):
    p = Partition(3, GroupKeys("hf", "orders.3", "billing"), ClockWatch(500))
    p.source, p.task = source, asyncio.create_task(asyncio.sleep(0))
    return p


def released(shares):
    return [(event.epoch, event.cause) for event in shares.told if isinstance(event, PartitionReleased)]


def test_what_is_given_up_finishes_and_is_released():
    async def scenario():
        shares, inbox, source = shared(), Inbox(), Source(epoch=1)
        p = owned(source)
        moving = p.moving = asyncio.create_task(shares._give_up(p, inbox))
        await asyncio.sleep(0.03)
        assert not source.closed
        inbox.idle = True
        await moving
        assert source.closed
        assert p.source is None
        assert released(shares) == [(1, "moved")]

    asyncio.run(scenario())


@pytest.mark.parametrize("again", [True, False])
def test_a_partition_that_was_lost_while_it_was_given_up_is_not_given_up_twice(again):
    """Taken again, it has another source, which has nothing to do with the move of the former."""

    async def scenario():
        shares, inbox, old, new = shared(), Inbox(), Source(epoch=1), Source(epoch=2)
        p = owned(old)
        moving = asyncio.create_task(shares._give_up(p, inbox))
        await asyncio.sleep(0.03)
        shares._let_go(p, "lost")
        if again:
            p.source = new
        inbox.idle = True
        await moving
        assert old.closed
        assert not new.closed
        assert p.source is (new if again else None)
        assert old.main in inbox.revoked
        assert released(shares) == [(1, "lost")]

    asyncio.run(scenario())
