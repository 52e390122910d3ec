# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq serve`` as fault tests hurt it: the command itself, in processes that die at steps of it.

A process that has imported everything forks them (``multiprocessing``'s forkserver), since an interpreter that starts
anew for each of a hundred deaths takes longer than everything else. What is forked has neither threads nor connections.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# For whoever forks: so each of these is imported once.
import aiosqlite  # noqa: F401
import httpx2  # noqa: F401
import prometheus_client  # noqa: F401
import psycopg  # noqa: F401

from holdfast.cli import dlq_serve, main  # noqa: F401
from holdfast.deadletters.notify import notifier
from holdfast.deadletters.repairs import Repairs  # noqa: F401
from holdfast.deadletters.service import Service, telling  # noqa: F401
from holdfast.sinks import prometheus  # noqa: F401
from holdfast.testing import points


def instance(stderr: str, arm: str, args: Sequence[str]) -> None:
    """One process. arm: as ``HOLDFAST_POINTS`` has it. args: behind ``holdfast``. What it says goes into ``stderr``."""
    os.setsid()
    fd = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.environ[points.VARIABLE] = arm
    points.arm_from_env()
    notifier.MINE_MS, notifier.ROUND_S, telling.AGAIN_MS = 1_000, 0.2, (200, 500)
    sys.exit(main(list(args), standalone_mode=False, prog_name="holdfast"))
