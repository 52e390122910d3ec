# SPDX-License-Identifier: Apache-2.0
"""Ends of a pipeline that tests can hurt: a sink and dead letters in memory, and a pipeline that runs between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from holdfast._base import events as ev
from holdfast.consume.backoff import Fixed
from holdfast.consume.breaker import BreakerSettings
from holdfast.logs.burial import BurialSettings
from holdfast.logs.dead_lines import DeadChoice, DeadLine, DeadStock
from holdfast.logs.delivery import DeliverySettings
from holdfast.logs.parse.parser import parser_called
from holdfast.logs.pipeline import Pipeline, PipelineSettings
from holdfast.logs.record import Record
from holdfast.logs.sink import Refused, SinkDown
from holdfast.logs.stages import Stages
from holdfast.logs.tail.settings import TailSettings

QUICK_TAIL = TailSettings(scan_s=0.01, drain_s=0.02, close_s=0.1, still_s=0.05)
QUICK = PipelineSettings(
    poll_s=0.01, checkpoint_s=0.02, gauge_s=0.05, stop_s=5.0, tail=QUICK_TAIL,
    delivery=DeliverySettings(backoff=Fixed(0.01), breaker=BreakerSettings(
        ratio=0.5, min_calls=2, window_s=60, open_s=0.03, open_s_max=0.05, probes=1)),
    burial=BurialSettings(backoff=Fixed(0.02), emergency_after_s=0.2))


class Taking:
    """A sink in memory. ``down``: it says so. ``refuses``: records by a field; ``breaks``: it raises at these."""

    name = "taking"

    def __init__(self, *, keeps_once: bool = False) -> None:
        self.keeps_once = keeps_once
        self.rows: list[Record] = []
        self.down = False
        self.refuses = self.breaks = lambda record: False
        self.calls = 0
        self.open_error: Exception | None = None

    async def open(self) -> None:
        if self.open_error is not None:
            raise self.open_error

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        self.calls += 1
        if self.down:
            raise SinkDown("down for a test")
        if any(self.breaks(record) for record in batch):
            raise ValueError("a fault of the sink")
        refused = [Refused(index=i, reason="not_wanted") for i, record in enumerate(batch) if self.refuses(record)]
        indexes = {one.index for one in refused}
        kept = {row.id for row in self.rows} if self.keeps_once else set()
        self.rows += [record for i, record in enumerate(batch) if i not in indexes and record.id not in kept]
        return refused

    async def close(self) -> None:
        pass

    def of(self, field: str) -> list[object]:
        return [record.fields[field] for record in self.rows]


class Keeping:
    """Dead lines in memory."""

    name = "keeping"

    def __init__(self) -> None:
        self.lines: dict[str, DeadLine] = {}
        self.down = False

    async def open(self) -> None:
        pass

    async def put(self, lines: Sequence[DeadLine]) -> None:
        if self.down:
            raise SinkDown("down for a test")
        self.lines |= {line.id: line for line in lines}

    async def list(self, choice: DeadChoice | None = None) -> AsyncIterator[DeadLine]:
        for line in self.lines.values():
            if choice is None or choice.takes(line):
                yield line

    async def get(self, line_id: str) -> DeadLine:
        return self.lines[line_id]

    async def remove(self, ids: Sequence[str]) -> int:
        return sum(self.lines.pop(one, None) is not None for one in ids)

    async def stock(self) -> DeadStock:
        return DeadStock(count=len(self.lines), bytes=sum(line.length for line in self.lines.values()))

    async def close(self) -> None:
        pass

    def reasons(self) -> list[str]:
        return [line.reason for line in self.lines.values()]


class Bench:
    """A pipeline in a folder, with both ends."""

    def __init__(self, folder: Path, *patterns: Path | str, sink: Taking | None = None,
                 settings: PipelineSettings = QUICK, stages: Stages | None = None, **more: object) -> None:
        self.folder, self.sink, self.dead = folder, sink or Taking(), Keeping()
        self.heard: list[ev.Event] = []
        self.patterns = [str(pattern) for pattern in patterns or (folder / "app.log",)]
        self.settings, self.stages, self.more = settings, stages or Stages(parser_called("json")), more
        self.pipeline = self.made()

    def made(self) -> Pipeline:
        return Pipeline("bench", self.patterns, self.stages, self.sink, self.dead, settings=self.settings,
                        checkpoint=self.folder / "state" / "checkpoint", events=ev.Events(self.heard.append),
                        **self.more)

    async def once(self) -> None:
        """Until everything that is there now is durable."""
        self.pipeline = self.made()
        await asyncio.wait_for(self.pipeline.run(follow=False), 20)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Pipeline]:
        """While the body runs; then stopped in good order."""
        self.pipeline = self.made()
        task = asyncio.create_task(self.pipeline.run())
        try:
            yield self.pipeline
        finally:
            self.pipeline.stop()
            await asyncio.wait_for(task, 20)

    async def until(self, condition, what: str, timeout_s: float = 10.0) -> None:
        for _ in range(int(timeout_s / 0.005)):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"not in {timeout_s} s: {what}; {self.pipeline.inspect()}")

    def events(self, kind: type[ev.Event]) -> list:
        return [event for event in self.heard if isinstance(event, kind)]

    def assert_tiled(self) -> None:
        for source in self.pipeline.inspect().sources:
            assert source.tiles, source
