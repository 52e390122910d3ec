# SPDX-License-Identifier: Apache-2.0
"""An effect that rides along with an acknowledgement goes in only where the acknowledgement would: whoever was declared
dead, or whose delivery is somebody else's by now, applies nothing."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.consume.contract import Delivery, Rider, Settled, Settlement, Verb
from tests.support.protocol import GROUP, Desk, desk_at

pytestmark = pytest.mark.everywhere


def counting(desk: Desk, delivery: Delivery) -> Settlement:
    """An effect that counts up in the slot of the stream."""
    return Settlement(delivery, Verb.APPLY, rider=Rider(delivery.message.id, ((b"INCR", sum_at(desk)),)))


def sum_at(desk: Desk) -> bytes:
    return b"{%s}sum" % desk.stream.encode()


async def untouched(desk: Desk) -> bool:
    """Neither effect nor record, and the entry is still pending."""
    return not await desk.call("EXISTS", sum_at(desk), desk.keys.done) and bool(await desk.pending())


def test_who_was_declared_dead_applies_nothing_although_nobody_took_its_work(backend, stream, arun):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one, two) = await desk.got(2)
            await desk.call("ZREM", desk.keys.leases, lane.incarnation)
            asked = [counting(desk, one), counting(desk, two)]
            assert await lane.settle([], asked) == [(one, Settled.OTHER), (two, Settled.OTHER)]
            assert await untouched(desk)

    arun(scenario())


@pytest.mark.parametrize("to", ["another", "itself"])
def test_a_delivery_that_was_handed_out_anew_applies_nothing(backend, stream, arun, to):
    """Claimed away by somebody's hand while its consumer lives; and back again, under another count."""
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one,) = await desk.got(1)
            other: Any = await desk.join()
            claim = ("XCLAIM", desk.key, GROUP)
            await desk.call(*claim, other.incarnation, 0, one.entry_id)
            if to == "itself":
                await desk.call(*claim, lane.incarnation, 0, one.entry_id)
            assert await lane.settle([], [counting(desk, one)]) == [(one, Settled.OTHER)]
            assert await untouched(desk)

    arun(scenario())
