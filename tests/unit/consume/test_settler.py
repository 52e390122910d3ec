# SPDX-License-Identifier: Apache-2.0
"""What a settle is counted as: by what became of each delivery, in the call that carried it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from holdfast._base.chance import system_chance
from holdfast._base.events import Events
from holdfast._base.message import Message
from holdfast.consume.contract import Delivery, Settled
from holdfast.consume.settler import Settler


@dataclass(eq=False)
class Broker:
    """An origin that refuses the entries it is told to."""

    refuse: set[bytes] = field(default_factory=set)
    stream: str = "s"
    group: str = "g"

    async def settle(self, acks, others):
        return [(d, Settled.OTHER) for d in acks if d.entry_id in self.refuse]

    async def mark_started(self, delivery):
        return True


def counts(broker, whys):
    """acked, dropped, duplicates and refused of one settle of entries acknowledged as ``whys`` says."""
    told = []

    async def go():
        settler = Settler(broker, Events(told.append), system_chance(), lambda *_: None)
        for n, why in enumerate(whys):
            entry = b"%d-0" % n
            settler.ack(Delivery(broker, entry, Message("s", entry, [b"body", b"{}"]), None), why)
        running = asyncio.create_task(settler.run())
        assert await settler.flushed(5)
        running.cancel()

    asyncio.run(go())
    return [(e.acked, e.dropped, e.duplicates, e.refused) for e in told]


def test_duplicates_and_drops_are_told_from_successes():
    assert counts(Broker(), ["acked", "dropped", "duplicates", "duplicates"]) == [(1, 1, 2, 0)]


def test_what_was_refused_is_counted_as_that_alone():
    assert counts(Broker({b"0-0", b"2-0"}), ["acked", "acked", "duplicates", "duplicates"]) == [(1, 0, 1, 2)]
