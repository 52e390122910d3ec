# SPDX-License-Identifier: Apache-2.0
"""One worker process of the lab: ``python -m holdfast.labs.takeover_worker ASSIGNMENT.json``. All schemes at once.

So one kill hits every scheme, and they are compared by the same deaths. The handler is the same for all, one at a time
in each scheme: it notes that it begins, takes its time, and notes that it has ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .._base.typed import from_json
from ..streams.settings import StreamSettings
from .once_schemes import GROUP, POLICY, Order
from .place import Place
from .takeover_count import BEGUN, ENDED, Notebook
from .takeover_kafka import PARTITIONS, consume

if TYPE_CHECKING:
    from .._redis.link import Link
    from ..app import Holdfast

#: What the names of messages begin with whose handler takes long.
SLOW = "slow-"
_BLOCK_MS = 200


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker needs to know. It travels in a file, because a URL may hold a password. kafka: the mock cluster's
    address; empty: there is none."""

    url: str | None
    data_dir: str | None
    prefix: str
    token: str
    notes: str
    kafka: str
    assignors: list[str]
    lease_ms: int
    sweep_ms: int
    session_ms: int
    work_s: float
    slow_s: float

    @property
    def place(self) -> Place:
        """Where to work."""
        return Place(url=self.url, data_dir=None if self.data_dir is None else Path(self.data_dir), prefix=self.prefix,
                     token=self.token)


class Hand:
    """The handler, in both its forms."""

    def __init__(self, assignment: Assignment) -> None:
        self._a, self._notes = assignment, Notebook(Path(assignment.notes))

    def _takes_s(self, message_id: str) -> float:
        return self._a.slow_s if message_id.startswith(SLOW) else self._a.work_s

    async def handle(self, scheme: str, message_id: str) -> None:
        """For what runs on the loop."""
        self._notes.write(BEGUN, scheme, message_id)
        await asyncio.sleep(self._takes_s(message_id))
        self._notes.write(ENDED, scheme, message_id)

    def handle_in_thread(self, scheme: str, message_id: str) -> None:
        """For what has a thread of its own."""
        self._notes.write(BEGUN, scheme, message_id)
        time.sleep(self._takes_s(message_id))
        self._notes.write(ENDED, scheme, message_id)


def ours(hf: Holdfast, place: Place, hand: Hand) -> None:
    """``lease`` and ``partitions``: what anybody would write."""
    hf.stream(place.stream("partitions"), partitions=PARTITIONS)

    @hf.consumer(place.stream("lease"), group=GROUP, retry=POLICY, concurrency=1)
    async def lease(order: Order) -> None:
        await hand.handle("lease", order.id)

    @hf.consumer(place.stream("partitions"), group=GROUP, retry=POLICY, concurrency=1)
    async def partitions(order: Order) -> None:
        await hand.handle("partitions", order.id)


async def idle_claim(link: Link, stream: str, a: Assignment, hand: Hand) -> None:
    """The loop that everybody has: read; now and then, claim what was idle for long. Never returns.

    It takes one entry at a time. Most read more: then a slow handler lets the rest of its batch be claimed as well.
    """
    me, claim_at = f"worker-{os.getpid()}", 0.0
    while True:
        entries: list[Any] = []
        if time.monotonic() >= claim_at:
            claim_at = time.monotonic() + a.sweep_ms / 1000
            entries = (await link.call("XAUTOCLAIM", stream, GROUP, me, a.lease_ms, "0-0", "COUNT", 1))[1]
        if not entries:
            read = await link.call("XREADGROUP", "GROUP", GROUP, me, "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS",
                                   stream, ">")
            entries = read[0][1] if read else []
        for entry_id, fields in filter(None, entries):
            await hand.handle("idle-claim", fields[1].decode())
            await link.call("XACK", stream, GROUP, entry_id)


async def work(a: Assignment) -> None:
    """Works until it is killed."""
    place, hand = a.place, Hand(a)
    async with place.holdfast(StreamSettings(lease_ms=a.lease_ms, sweep_ms=a.sweep_ms)) as hf:
        ours(hf, place, hand)
        for topic in a.assignors if a.kafka else ():
            threading.Thread(target=consume, daemon=True, args=(
                a.kafka, topic, a.session_ms, lambda one, topic=topic: hand.handle_in_thread(topic, one))).start()
        stream = place.stream("idle-claim")
        link = await (await hf.open()).link(stream.encode())
        sys.stdout.write('{"event": "ready"}\n')
        async with asyncio.TaskGroup() as group:
            group.create_task(idle_claim(link, stream, a, hand))
            group.create_task(hf.run())


def main(path: str) -> None:
    """Reads the assignment and works."""
    asyncio.run(work(from_json(Path(path).read_bytes(), Assignment)))


if __name__ == "__main__":
    main(sys.argv[1])
