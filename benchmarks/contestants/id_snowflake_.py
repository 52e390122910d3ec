# SPDX-License-Identifier: Apache-2.0
"""snowflake-id as its README shows it: a generator of one instance, and ``next``, which is bound to it as our ``bound``
is. Its own ``__next__``, kept, is a little quicker: that is the other row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

from snowflake import SnowflakeGenerator

from ..job import Job
from .id_roles import Make, play


@contextmanager
def opened(job: Job) -> Iterator[Make]:
    made = SnowflakeGenerator(42)
    call = {"next": MethodType(next, made), "kept": made.__next__}[job.call]
    yield lambda: call


async def work(job: Job) -> None:
    """Timed as everybody is."""
    await play(job, opened)
