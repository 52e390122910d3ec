# SPDX-License-Identifier: Apache-2.0
"""An empty function: what the loop and a call cost, whatever is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..job import Job
from .id_roles import Make, play


def nothing() -> None:
    """Makes no id."""


@contextmanager
def opened(_: Job) -> Iterator[Make]:
    yield lambda: nothing


async def work(job: Job) -> None:
    """Timed as everybody is."""
    await play(job, opened)
