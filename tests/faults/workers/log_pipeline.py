# SPDX-License-Identifier: Apache-2.0
"""A log pipeline that tests kill. Its arguments: a folder, and the sink: ``sql`` (kept once) or ``lines`` (not).

It follows ``logs/app.log``, and keeps everything in the folder. While there is a file ``down`` there, its sink is down.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast.consume.backoff import Fixed
from holdfast.consume.breaker import BreakerSettings
from holdfast.logs import (
    DeliverySettings,
    Pipeline,
    PipelineSettings,
    Record,
    Refused,
    SinkDown,
    Stages,
    TailSettings,
    parser_called,
)
from holdfast.logs.dead.file import FileDeadLines
from holdfast.logs.sinks.sql import SqlSink
from holdfast.testing import points

SETTINGS = PipelineSettings(
    poll_s=0.01, batch_bytes=4096, checkpoint_s=0.03, gauge_s=0.5,
    tail=TailSettings(scan_s=0.02, drain_s=0.05, close_s=0.2, still_s=0.1, read_bytes=2048),
    delivery=DeliverySettings(backoff=Fixed(0.01), batch_max=50, breaker=BreakerSettings(
        min_calls=2, open_s=0.05, open_s_max=0.1, probes=1)))


class Lines:
    """Appends records to a file, and knows nothing of those that are there."""

    name, keeps_once = "lines", False

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        os.write(self._file, b"".join(msgspec.json.encode(record.fields) + b"\n" for record in batch))
        os.fsync(self._file)
        return []

    async def close(self) -> None:
        os.close(self._file)


class Away:
    """Another sink, which is down while there is a file of that name."""

    def __init__(self, sink: Lines | SqlSink, down: Path) -> None:
        self._sink, self._down = sink, down
        self.name, self.keeps_once = sink.name, sink.keeps_once
        self.open, self.close = sink.open, sink.close

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        if self._down.exists():
            raise SinkDown("a test says so")
        return await self._sink.write(batch)


async def main(folder: Path, kind: str) -> None:
    sink = SqlSink(f"sqlite:///{folder}/sink.db") if kind == "sql" else Lines(folder / "sink.jsonl")
    pipeline = Pipeline("fault", [str(folder / "logs" / "app.log")], Stages(parser_called("json")),
                        Away(sink, folder / "down"), FileDeadLines(folder / "dead"),
                        checkpoint=folder / "state" / "checkpoint", settings=SETTINGS)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, pipeline.stop)
    (folder / "ready").touch()  # before that a signal to stop just kills
    await pipeline.run()


if __name__ == "__main__":
    points.arm_from_env()
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
