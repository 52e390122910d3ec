# SPDX-License-Identifier: Apache-2.0
"""A child process: carries out the job it finds in its environment."""

from __future__ import annotations

import asyncio
from importlib import import_module

import uvloop

from .contestants import KNOWN
from .job import given


def main() -> None:
    """Fill, pace or work, on uvloop."""
    job = given()
    module = import_module(f"benchmarks.contestants.{KNOWN[job.contestant].module}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(getattr(module, job.verb)(job))


if __name__ == "__main__":
    main()
