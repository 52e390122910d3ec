# SPDX-License-Identifier: Apache-2.0
"""uuid_utils, written in Rust: its own objects, not those of its ``compat`` module, which are slower by ten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uuid_utils

from ..job import Job
from .id_roles import Make, play


def text() -> str:
    """36 letters."""
    return str(uuid_utils.uuid7())


@contextmanager
def opened(job: Job) -> Iterator[Make]:
    call = {"uuid4": uuid_utils.uuid4, "uuid7": uuid_utils.uuid7, "text": text}[job.call]
    yield lambda: call


async def work(job: Job) -> None:
    """Timed as everybody is."""
    await play(job, opened)
