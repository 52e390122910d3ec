# SPDX-License-Identifier: Apache-2.0
"""Other brokers to which jobs of this console may redirect letters: their URLs, with passwords, by their names.

A job at the desk has a broker's name alone. One whose broker this console was not given is refused when it is asked
for, and left to whoever has the URL: nothing is made, approved or resumed here that would then lie adrift.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .._base.secret import Secret
from ..deadletters.branch import broker_of
from ..deadletters.branch.origin import shown
from ..deadletters.elsewhere import elsewhere
from ..deadletters.jobs import Job, JobRefused
from ..deadletters.jobs.target import target_of

if TYPE_CHECKING:
    from ..deadletters.replay import Elsewhere


class Brokers:
    """urls: of brokers, with what is needed to enter. Raises ConfigurationError for one that is no broker's."""

    def __init__(self, urls: Sequence[Secret[str]] = ()) -> None:
        self._urls = {shown(url.reveal()): url for url in urls}

    def knows(self, job: Job) -> bool:
        """May it run here? One that redirects to no other broker may."""
        broker = broker_of(job.plan.redirect_to)
        return not broker or broker in self._urls

    def target(self, redirect_to: str) -> str:
        """Where a new job redirects to, as it is kept. Raises ConfigurationError, JobRefused."""
        target = target_of(redirect_to)
        broker = broker_of(target)
        if broker and broker not in self._urls:  # guard: no job is made that nobody here can run
            raise JobRefused(f"this console was not given {broker}: `holdfast dlq job start … --redirect STREAM "
                             f"--redirect-url {broker}` makes such a job and runs it, or start the console with "
                             "--redirect-url")
        return target

    def check(self, job: Job) -> None:
        """Raises JobRefused for a job that cannot run here."""
        if not self.knows(job):  # guard: no job is set running that nobody here can run
            broker = broker_of(job.plan.redirect_to)
            first = f"`holdfast dlq job approve {job.id}` and then " if job.state == "waiting" else ""
            raise JobRefused(f"job {job.id} redirects to {broker}, which this console was not given: {first}`holdfast "
                             f"dlq job resume {job.id} --redirect-url {broker}` runs it")

    @asynccontextmanager
    async def reach(self, job: Job, own_prefix: str) -> AsyncIterator[Elsewhere | None]:
        """What writes at the broker of a job; None when it redirects to none. Raises ServerUnreachable."""
        broker = broker_of(job.plan.redirect_to)
        if not broker:
            yield None
            return
        async with elsewhere(self._urls[broker].reveal(), own_prefix) as write:
            yield write


__all__ = ["Brokers"]
