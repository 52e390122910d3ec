# SPDX-License-Identifier: Apache-2.0
"""Replay jobs: many letters sent back with care, by somebody, with somebody's consent, through crashes.

::

    job = await make(desk, shelf, shelf.letters(), Plan(canary=True, stop_at=0.2), ana, asked="all")
    job = await Runner(desk, shelf, ana).run(job.id)

Inside::

    job.py      states, moves, plans. Open this first       ramp.py, pace.py, order.py   which next, when to stop. Pure
    store.py    jobs at the desk; over.py: their clean-up   taking.py           a runner's transactions
    batch.py    many letters in few writes; lots.py: read   cases.py            their cases, in the same transactions
    outcome.py  what became of them; closing.py: of cases   writing.py          one statement, many rows
    runner.py   all of it together                          standing.py         how many stand where, for gauges
"""

from __future__ import annotations

from .job import Counts, Item, Job, JobRefused, Plan
from .over import clean_up
from .runner import Runner
from .store import adrift, get, items, jobs, make, move

__all__ = [
    "Counts", "Item", "Job", "JobRefused", "Plan", "Runner", "adrift", "clean_up", "get", "items", "jobs", "make",
    "move",
]
