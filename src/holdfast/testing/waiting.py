# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition, with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: How often a condition is looked at. Short beside every time a test speaks of, long beside the look itself.
POLL_S = 0.01


class NotReached(AssertionError):
    """A condition was not reached in time. ``last`` is what was seen last: a value, or the error it raised."""

    def __init__(self, what: str, deadline_s: float, last: object) -> None:
        self.last = last
        super().__init__(f"{what}: not within {deadline_s:g} s; last seen: {last!r}")


def wait_until(
    condition: Callable[[], T],
    deadline_s: float,
    what: str,
    *,
    errors: tuple[type[Exception], ...] = (),
    poll_s: float = POLL_S,
) -> T:
    """Calls ``condition`` until it answers something true, and returns that.

    ``what`` is the claim, as it will stand in the message of ``NotReached``. Errors of the kinds in ``errors`` count as
    "not yet" (a server that still starts refuses connections); any other passes through at once. The condition is
    looked at least once, and once more at the deadline.
    """
    end = time.monotonic() + deadline_s
    while True:
        late = time.monotonic() >= end
        last: object
        try:
            answer = condition()
            if answer:
                return answer
            last = answer
        except errors as error:
            last = error
        if late:
            raise NotReached(what, deadline_s, last)
        time.sleep(poll_s)


async def wait_until_async(
    condition: Callable[[], T | Awaitable[T]],
    deadline_s: float,
    what: str,
    *,
    errors: tuple[type[Exception], ...] = (),
    poll_s: float = POLL_S,
) -> T:
    """``wait_until`` for an event loop; ``condition`` may be a coroutine function."""
    end = time.monotonic() + deadline_s
    while True:
        late = time.monotonic() >= end
        last: object
        try:
            found = condition()
            answer: T = await found if inspect.isawaitable(found) else found
            if answer:
                return answer
            last = answer
        except errors as error:
            last = error
        if late:
            raise NotReached(what, deadline_s, last)
        await asyncio.sleep(poll_s)
