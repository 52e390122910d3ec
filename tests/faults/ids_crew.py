# SPDX-License-Identifier: Apache-2.0
"""Processes that make ids from one store, and the judgement over all that they ever said and made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from holdfast.testing import Worker
from tests.faults.ids_history import Span, judge_ids, judge_windows, kept
from tests.faults.ids_stores import Store
from tests.faults.ids_worker import LAYOUT, Task
from tests.support.nursery import Born

ROOT = Path(__file__).parents[2]
END_S = 30.0


@dataclass
class IdsCrew:
    """``start`` some, hurt them, ``end`` them, ``judge``. A ``with`` block ends what is left."""

    store: Store
    folder: Path
    how: dict[str, Any] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    numbers: int = 0

    def __post_init__(self) -> None:
        self.made = self.folder / "made"
        self.made.mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self.workers:
            worker.close()
        shutil.rmtree(self.made)

    def start(self, how: str = "draw", *, url: str = "", env: dict[str, str] | None = None, **task: Any) -> Worker:
        """One more process. url: its own way to the store."""
        self.numbers += 1
        store = msgspec.structs.replace(self.store, url=url) if url else self.store
        told = Task(how, store, str(self.made), **{"name": f"p{self.numbers}", **self.how, **task})
        worker = Born.module("tests.faults.ids_worker", msgspec.json.encode(told).decode(), cwd=ROOT, env=env)
        self.workers.append(worker)
        return worker

    def ready(self, worker: Worker, count: int = 1, deadline_s: float = END_S) -> None:
        """Returns when it has had so many holds."""
        seen = 0
        for _ in range(count):
            worker.wait_line(lambda line: line["ready"], deadline_s, start=seen)
            seen = next(n for n, line in enumerate(worker.lines) if n >= seen and _is_ready(line)) + 1

    def end(self, *workers: Worker) -> None:
        """SIGTERM: it gives back what it has, and ends without a complaint."""
        for worker in workers:
            worker.wait_line(lambda line: line["started"])  # before that, the signal would kill it
            worker.popen.terminate()
        for worker in workers:
            assert worker.wait(END_S) == 0, worker.stderr
            assert "Traceback" not in worker.stderr, worker.stderr

    @property
    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    def size(self) -> int:
        """Ids that are written down so far."""
        return sum(path.stat().st_size for path in self.made.iterdir()) // 8

    def holds(self) -> int:
        """So often a worker id was had so far."""
        return sum(map(_is_ready, self.lines()))

    def lines(self) -> Iterator[Any]:
        """Of all of them, the dead too. Those of one process are in order, and that is all that is needed."""
        for worker in self.workers:
            yield from tuple(worker.lines)

    def judge(self) -> tuple[list[Span], int]:
        """All holds, and how many ids were made in them: no window overlaps, no id is there twice."""
        holds = judge_windows(self.lines())
        return holds, judge_ids(kept(self.made), holds, LAYOUT)


def _is_ready(line: Any) -> bool:
    return isinstance(line, dict) and "ready" in line
