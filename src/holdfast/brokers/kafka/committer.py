# SPDX-License-Identifier: Apache-2.0
"""What was settled, written down: one step after the other, and whatever has piled up meanwhile in the next one.

With transactions a step is one: retries and letters are there, and the offsets are, or neither. Without, it is two, and
the order matters: first what is written, then the offsets. A crash between them leaves a message in two places, which
is a duplicate; the other order would leave it in none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from ..._base import points
from ..._kafka.driver import Record
from ..._kafka.member import Place, Point
from ...errors import ServerError, ServerRefused, ServerUnreachable

if TYPE_CHECKING:
    from .lane import Lane
    from .progress import Progress

__all__ = ["Committer", "Log", "Stepped"]

T = TypeVar("T")
#: Another process has begun its life under our transactional id: nothing that we write is taken any more.
FENCED: Final = ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")


class Log(Protocol):
    """Where it is written down, as the committer sees it: calls block, from one thread."""

    def write(self, records: Sequence[Record]) -> list[ServerError | None]:
        """Writes each or says why not. Raises ServerUnreachable when it is unknown."""
        ...

    def commit(self, wanted: Sequence[Point]) -> set[Place]:
        """Commits offsets; answers those that are not ours any more. Raises ServerError."""
        ...

    def transact(self, records: Sequence[Record], wanted: Sequence[Point]
                 ) -> tuple[list[ServerError | None], set[Place]]:
        """Both, or neither: see ``Member.transact``."""
        ...


@dataclass(slots=True)
class Stepped:
    """What became of a step. lost: the partition is not ours any more, nothing was committed. refused: offsets whose
    record was not taken; they are not finished."""

    lost: bool = False
    refused: dict[int, ServerError] = field(default_factory=dict)


@dataclass(slots=True)
class _Job:
    lane: Lane
    epoch: int
    ended: Sequence[int]
    writes: list[tuple[int, Record]]
    clean: bool
    answer: asyncio.Future[Stepped]
    stepped: Stepped = field(default_factory=Stepped)
    finished: list[int] = field(default_factory=list)
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = self.lane.progress  # when it comes to us anew, it has another one


class Committer:
    """Writes down for all partitions of one member."""

    def __init__(self, log: Log, *, transactions: bool, on_fenced: Callable[[ServerError], None] = lambda _: None
                 ) -> None:
        self._log = log
        self._on_fenced = on_fenced
        self._transactions = transactions
        self._jobs: list[_Job] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka commit")
        #: Without transactions: what was written while its offset could not be committed, so that it is not written
        #: again.
        self._written: set[tuple[Place, int, int]] = set()

    async def step(self, lane: Lane, ended: Sequence[int], writes: Sequence[tuple[int, Record]], *,
                   clean: bool = False) -> Stepped:
        """Finishes ``ended`` and what is written in ``writes`` (offset, record), and commits how far that is.

        Raises ServerError: it is unknown, and nothing here has changed.
        """
        if self._closed:
            raise ServerUnreachable("this source has left its group")
        job = _Job(lane, lane.epoch, ended, list(writes), clean, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="kafka commit")
        return await job.answer

    async def _run(self) -> None:
        try:
            while self._jobs:
                jobs, self._jobs = self._jobs, []
                await self._all(jobs)
        finally:
            self._task = None

    async def _all(self, jobs: list[_Job]) -> None:
        try:
            await (self._together(jobs) if self._transactions else self._one_after_the_other(jobs))
        except Exception as error:  # noqa: BLE001 - whoever waits hears of it: a settlement nobody answers waits for ever
            told = error if isinstance(error, ServerError) else ServerRefused(f"committing: {error!r}", code="STEP")
            for job in jobs:
                job.progress.unfinish(job.finished)
                if not job.answer.done():
                    job.answer.set_exception(told)
            if isinstance(told, ServerRefused) and told.code in FENCED:
                self._on_fenced(told)
            return
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(job.stepped)

    # -- in two steps -------------------------------------------------------------------------------------------------

    async def _one_after_the_other(self, jobs: list[_Job]) -> None:
        wanted = [(job, offset, record) for job in _ours(jobs) for offset, record in job.writes
                  if (job.lane.place, job.epoch, offset) not in self._written]
        if wanted:
            points.reached("kafka.write.before")
            refused = await self._blocking(self._log.write, [record for _, _, record in wanted])
            for (job, offset, _), error in zip(wanted, refused, strict=True):
                if error is not None:
                    job.stepped.refused[offset] = error
                else:
                    self._written.add((job.lane.place, job.epoch, offset))
            points.reached("kafka.write.after")
        ours = _ours(jobs)
        gone = await self._blocking(self._log.commit, _finished(ours))
        points.reached("kafka.commit.after")
        self._judge(ours, gone)
        for job in jobs:
            self._written -= {(job.lane.place, job.epoch, offset) for offset, _ in job.writes}

    # -- in one -------------------------------------------------------------------------------------------------------

    async def _together(self, jobs: list[_Job]) -> None:
        while True:
            ours = _ours(jobs)
            wanted = [(job, offset, record) for job in ours for offset, record in job.writes
                      if offset not in job.stepped.refused]
            marks = _finished(ours)
            if not wanted:
                gone = await self._blocking(self._log.commit, marks)
                points.reached("kafka.commit.after")
                return self._judge(ours, gone)
            records = [record for _, _, record in wanted]
            points.reached("kafka.write.before")
            refused, gone = await self._blocking(self._log.transact, records, marks)
            if not gone and not any(refused):
                points.reached("kafka.commit.after")
                return None
            # Nothing at all was done: without what is in the way it is done now.
            for job in ours:
                job.progress.unfinish(job.finished)
                job.finished = []
                job.stepped.lost = job.lane.place in gone
            for (job, offset, _), error in zip(wanted, refused, strict=True):
                if error is not None:
                    job.stepped.refused[offset] = error

    @staticmethod
    def _judge(jobs: list[_Job], gone: set[Place]) -> None:
        for job in jobs:
            job.stepped.lost = job.lane.place in gone

    async def _blocking(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    async def close(self) -> None:
        """Waits for what is under way; takes no more."""
        self._closed = True
        while self._task is not None:
            await asyncio.wait([self._task])
        self._thread.shutdown()


def _ours(jobs: Sequence[_Job]) -> list[_Job]:
    """Those whose partition is still the one that it was when they were asked for."""
    for job in jobs:
        job.stepped.lost = job.stepped.lost or job.lane.epoch != job.epoch
    return [job for job in jobs if not job.stepped.lost]


def _finished(jobs: Sequence[_Job]) -> list[Point]:
    """Finishes what has ended, and answers what is to be committed: one point a partition."""
    lanes: dict[Place, tuple[Lane, bool]] = {}
    for job in jobs:
        offsets = [*job.ended, *(offset for offset, _ in job.writes if offset not in job.stepped.refused)]
        job.finished = job.progress.finish(offsets)
        lanes[job.lane.place] = job.lane, job.clean
    return [lane.point(clean=clean) for lane, clean in lanes.values()]
