# SPDX-License-Identifier: Apache-2.0
"""Blocking work beside an event loop, in a thread that nobody waits for at the end.

``asyncio.to_thread`` has threads that the loop's end waits for: a command that was interrupted while it opens something
would sit there until the opening has come to an end by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial


async def aside(work: Callable[[], object]) -> None:
    """Runs it and waits for it. Cancelled, it goes on, and what it raises then is lost."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
            outcome = partial(done.set_exception, error)
        else:
            outcome = partial(done.set_result, None)
        with contextlib.suppress(InvalidStateError):  # cancelled meanwhile
            outcome()

    threading.Thread(target=run, name="holdfast-aside", daemon=True).start()
    await asyncio.wrap_future(done)
