# SPDX-License-Identifier: Apache-2.0
"""What has to happen when an acknowledgement is through, or will never be asked for.

A rider is called back when its settlement was answered (``Rider.settled``). It can also get lost on the way there:
middleware that answers something of its own, a consumer that is revoked or ends between the handler and the settler. A
lock that waited for such a rider would be kept alive by the heart for as long as the process lives. So whoever drops
the rider ends what waits for it: the callback is an object, and its own end is as good as a call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ..consume.contract import Settled

#: Told what the step answered; None: there was no answer, and will be none.
Told = Callable[[Settled | None], None]


class Ending:
    """Calls each of ``then`` once: when it is called, or else, with None, when nobody has it any more."""

    __slots__ = ("_loop", "_then")

    def __init__(self, *then: Told | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._then = [each for each in then if each is not None]

    def __call__(self, answer: Settled | None) -> None:
        then, self._then = self._then, []
        for each in then:
            each(answer)

    def __del__(self) -> None:  # guard: a rider that is lost on its way
        # The collector may come by in any thread, and after the loop has ended there is nothing left to give back.
        with contextlib.suppress(RuntimeError):
            for each in self._then:
                self._loop.call_soon_threadsafe(each, None)
