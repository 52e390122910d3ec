# SPDX-License-Identifier: Apache-2.0
"""One worker process of the demo: ``python -m holdfast.demo.worker ASSIGNMENT.json``.

What a user of Holdfast would write, and nothing for the occasion: a consumer whose effects happen once, because it
stores a batch of spans in the transaction of their inbox rows. It knows nothing of what is about to be done to it.

**Why batches.** A commit on SQLite waits for the disk, and three processes share one writer's lock. Measured on two
busy cores, without faults: 4,700 to 6,800 spans a second in batches of 200, no more in batches of 500, 3,200 in batches
of 100, and 100 with a transaction for each span. The price: a crash repeats up to a batch of work, which the inbox
turns into nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from .._base.typed import from_json
from ..app import Holdfast
from ..consume.contract import Delivery
from ..streams.settings import StreamSettings
from . import store
from .sift import Sifted
from .spans import Format, Layout

GROUP = "keeper"


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker needs to know. It travels in a file, because a URL may hold a password."""

    url: str | None
    data_dir: str | None
    sql: str
    stream: str
    partitions: int
    lease_ms: int
    sweep_ms: int
    format: Format = "jsonl"
    header: tuple[str, ...] = ()
    batch_size: int = 200

    @property
    def settings(self) -> StreamSettings:
        return StreamSettings(lease_ms=self.lease_ms, sweep_ms=self.sweep_ms)


def assemble(assignment: Assignment) -> Holdfast:
    """The worker's application."""
    a = assignment
    hf = Holdfast(a.url, data_dir=a.data_dir, settings=a.settings, service="holdfast-demo")
    hf.stream(a.stream, partitions=a.partitions)

    # A batch runs while the next is parsed; more would only wait for the writer's lock, to be repeated after a crash.
    @hf.consumer(a.stream, group=GROUP, once=Sifted(a.sql, a.stream, GROUP, Layout(a.format, a.header)), batch=True,
                 batch_size=a.batch_size, concurrency=2, prefetch_max=a.batch_size)
    async def keep(lines: list[Delivery], session: AsyncSession) -> None:
        await store.apply_batch(session, [(line.message.id, line.body) for line in lines])

    return hf


async def work(assignment: Assignment) -> None:
    """Works until SIGTERM."""
    async with assemble(assignment) as hf:
        await hf.run(signals=True)


def main(path: str) -> None:
    """Reads the assignment and works."""
    assignment = from_json(Path(path).read_bytes(), Assignment)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work(assignment))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # the extra `fast` is not installed, or there is none for this system
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    main(sys.argv[1])
