# SPDX-License-Identifier: Apache-2.0
"""Python's own uuid module."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from ..job import Job
from .id_roles import Make, play


@contextmanager
def opened(job: Job) -> Iterator[Make]:
    call = {"uuid1": uuid.uuid1, "uuid4": uuid.uuid4}[job.call]
    yield lambda: call


async def work(job: Job) -> None:
    """Timed as everybody is."""
    await play(job, opened)
