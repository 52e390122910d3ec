# SPDX-License-Identifier: Apache-2.0
"""A worker process of ``holdfast run --processes N``. Started by the supervisor, never by people.

Its standard input is a pipe from the supervisor: the plan, one line, and then nothing until the end. The end of the
pipe is the end of the supervisor, however that died, and begins the orderly stop; a thread listens for it, because the
event loop may be the very thing that is stuck. How it is doing goes back through another pipe, a line a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from .._base.typed import from_json
from .edge import exit_code
from .plan import Plan, find
from .work import Life, with_loop

#: Seconds beyond the drain after which a process without supervisor ends in whatever state it is.
GRACE_S = 10.0
TELL_S = 1.0


def main() -> int:
    """Reads the plan and works."""
    lifeline = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)  # a handler that reads its input must not swallow the lifeline
    os.close(nowhere)
    with os.fdopen(lifeline, "rb", buffering=0, closefd=False) as pipe:
        plan = from_json(_line(pipe.read), Plan)
    return exit_code(lambda: _work(plan, lifeline, *map(int, sys.argv[1:3])), debug=lambda: plan.debug)


def _line(read: Callable[[int], bytes | None]) -> bytes:
    """One line, and not a byte more: what follows is for the thread that waits for the end."""
    found = bytearray()
    while not found.endswith(b"\n"):
        byte = read(1)
        if not byte:
            break
        found += byte
    return bytes(found)


def _work(plan: Plan, lifeline: int, status: int, number: int) -> int:
    life = Life(find(plan), plan, worker=number)
    return with_loop(plan, lambda: _run(life, lifeline, status))


async def _run(life: Life, lifeline: int, status: int) -> int:
    loop = asyncio.get_running_loop()
    threading.Thread(target=_watch, args=(life, loop, lifeline), name="holdfast-lifeline", daemon=True).start()
    telling = asyncio.create_task(_tell(life, status))
    try:
        return await life.run()
    finally:
        telling.cancel()


def _watch(life: Life, loop: asyncio.AbstractEventLoop, lifeline: int) -> None:
    while os.read(lifeline, 1024):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(life.stop)
    time.sleep(life.plan.drain_s + GRACE_S)
    os._exit(1)


async def _tell(life: Life, status: int) -> None:
    os.set_blocking(status, False)
    while True:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(status, msgspec.json.encode(life.readiness()) + b"\n")
        await asyncio.sleep(TELL_S)


if __name__ == "__main__":
    sys.exit(main())
