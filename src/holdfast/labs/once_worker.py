# SPDX-License-Identifier: Apache-2.0
"""One worker process of the lab: ``python -m holdfast.labs.once_worker ASSIGNMENT.json``. All schemes at once.

So one kill hits every scheme, and they are compared by the same deaths.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from .._base.chance import system_chance
from .._base.events import ConsumerStarted, Event
from .._base.typed import from_json
from ..streams.settings import StreamSettings
from .once_schemes import World
from .place import Place


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker needs to know. It travels in a file, because a URL may hold a password."""

    url: str | None
    data_dir: str | None
    prefix: str
    token: str
    sql: str | None
    schemes: list[str]
    lease_ms: int
    sweep_ms: int
    work_s: float

    @property
    def place(self) -> Place:
        """Where to work."""
        return Place(url=self.url, data_dir=None if self.data_dir is None else Path(self.data_dir), prefix=self.prefix,
                     token=self.token)


async def work(assignment: Assignment) -> None:
    """Works until SIGTERM."""
    from .once import books_at, schemes_with

    a, place = assignment, assignment.place
    async with place.holdfast(StreamSettings(lease_ms=a.lease_ms, sweep_ms=a.sweep_ms)) as hf:
        world = World(hf=hf, server=await hf.open(), place=place, chance=system_chance(), work_s=a.work_s,
                      books=None if a.sql is None else books_at(a.sql, a.token), limits={"concurrency": 10})
        for scheme in schemes_with(a.schemes):
            scheme.declare(world, place.stream(scheme.name))
        up: set[str] = set()

        def heard(event: Event) -> None:
            if isinstance(event, ConsumerStarted):
                up.add(event.stream)
                if len(up) == len(a.schemes):
                    sys.stdout.write('{"event": "ready"}\n')

        hf.events.subscribe(heard)
        try:
            await hf.run(signals=True)
        finally:
            await world.close()
            if world.books is not None:
                await world.books.close()


def main(path: str) -> None:
    """Reads the assignment and works."""
    asyncio.run(work(from_json(Path(path).read_bytes(), Assignment)))


if __name__ == "__main__":
    main(sys.argv[1])
