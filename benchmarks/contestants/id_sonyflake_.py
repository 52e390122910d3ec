# SPDX-License-Identifier: Apache-2.0
"""sonyflake-py with a machine id given, as its README advises where the address would not do. It sleeps whenever the
256 ids of its unit of time are used up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sonyflake import SonyFlake

from ..job import Job
from .id_roles import Make, play


@contextmanager
def opened(_: Job) -> Iterator[Make]:
    made = SonyFlake(machine_id=lambda: 42)
    yield lambda: made.next_id


async def work(job: Job) -> None:
    """Timed as everybody is."""
    await play(job, opened)
