# SPDX-License-Identifier: Apache-2.0
"""Replay jobs: which there are, and how one goes."""

from __future__ import annotations

import msgspec

from ...deadletters.jobs import Item, Job, get, items
from ...deadletters.jobs import jobs as listed
from ..console import Console

#: Letters of a job that are shown with what became of them.
ITEMS_MAX = 200


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One job. ended: letters that nothing more is done about, of ``chosen``. not_through: the first of those that died
    again, were refused, gone, applied or held, with why. here: whether this console runs it; held: whether anybody
    does."""

    job: Job
    chosen: int
    ended: int
    not_through: list[Item]
    here: bool
    held: bool


async def jobs(console: Console, limit: int = 100) -> list[Job]:
    """The latest first."""
    return await listed(await console.desk(), limit=limit)


async def job(console: Console, job_id: str) -> Progress:
    """One, as it stands. Raises LetterNotFound."""
    desk = await console.desk()
    found = await get(desk, job_id)
    left = await items(desk, job_id, states=["died", "applied", "refused", "gone", "held"], limit=ITEMS_MAX)
    counts = found.counts
    return Progress(job=found, chosen=counts.chosen, ended=counts.chosen - counts.waiting - counts.working
                    - (counts.sent if found.plan.wait else 0), not_through=left, here=console.running.has(job_id),
                    held=bool(found.holder))
