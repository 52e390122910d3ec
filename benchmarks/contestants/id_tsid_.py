# SPDX-License-Identifier: Apache-2.0
"""tsidpy as its README shows it: ``TSID.create()`` of the default generator, and its text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tsidpy import TSID

from ..job import Job
from .id_roles import Make, play


def text() -> str:
    """13 letters of Crockford's base 32."""
    return TSID.create().to_string()


@contextmanager
def opened(job: Job) -> Iterator[Make]:
    call = {"object": TSID.create, "text": text}[job.call]
    yield lambda: call


async def work(job: Job) -> None:
    """Timed as everybody is."""
    await play(job, opened)
