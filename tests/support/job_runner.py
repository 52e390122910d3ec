# SPDX-License-Identifier: Apache-2.0
"""A process that runs a job, and may be told to kill itself at a point: ``python -m tests.support.job_runner``."""

from __future__ import annotations

import asyncio
import sys

from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.jobs import Runner, jobs, ramp, taking
from holdfast.testing.points import arm_from_env
from tests.support.planted import GROUP


async def main(url: str, stream: str, desk_url: str) -> None:
    """Runs the one job that there is."""
    taking.HOLD_MS = 300  # type: ignore[misc]  # so that the next runner need not wait for long
    ramp.BATCH = 4  # type: ignore[misc]  # so that letters are left for every kill
    server, desk = await open_server(url), await Desk(desk_url).open()
    (job,) = await jobs(desk)
    print((await Runner(desk, Shelf(server, stream, GROUP), Actor("ana", person=True)).run(job.id)).state)
    await desk.close()
    await server.close()


if __name__ == "__main__":
    arm_from_env()
    asyncio.run(main(*sys.argv[1:]))
