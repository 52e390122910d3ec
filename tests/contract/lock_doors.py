# SPDX-License-Identifier: Apache-2.0
"""What the battery of locks is made of, beside its claims: doors, processes, an answer that is held up."""

from __future__ import annotations

import asyncio
import sys

import pytest

from holdfast.errors import LeaseLost
from holdfast.testing import NotReached, Way, wait_until_async
from tests.house.tree import ROOT

#: For what happens by itself; a busy machine needs more than an idle one.
SOON_S = 8.0
#: A fault shows in one of these ways, and not in any other.
FAILS_BY = (AssertionError, LeaseLost, TimeoutError)


def marks(back_end, claim):
    """What a back end says of a claim, in pytest's words."""
    if claim in back_end.lacks:
        return [pytest.mark.skip(reason=f"not supported: {back_end.lacks[claim]}")]
    if claim in back_end.faults:
        return [pytest.mark.xfail(strict=True, raises=FAILS_BY, reason=back_end.faults[claim])]
    return []


class Doors:
    """What several processes would have. ``await doors()`` opens another one."""

    def __init__(self, bench, site, stack):
        self._bench, self._site, self._stack = bench, site, stack

    async def __call__(self, *, urls=None, ttl_s=None):
        return await self._stack.enter_async_context(
            self._bench.open(urls or self._site.urls, ttl_s or self._bench.back_end.ttl_s))

    async def refused(self, door, name):
        """Is it held by somebody else, as ``door`` sees it?"""
        lock = self._bench.lock(door, name)
        try:
            held = await lock.acquire(wait_s=0)
        except TimeoutError:
            return True
        await lock.release(held)
        return False


async def python(*words):
    """A process of ``lock_holder``."""
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.contract.lock_holder", *words,
                                                stdout=asyncio.subprocess.PIPE, cwd=ROOT)


async def granted_and_not_told(lock, refused, line):
    """An acquisition whose answer is on its way, and does not come. Where something else was being said on the same
    connection just then, the question itself was held up: that is healed, and tried again."""
    for attempt in range(5):
        line.stall(Way.DOWN)
        asking = asyncio.create_task(lock.acquire(wait_s=SOON_S))
        try:
            await wait_until_async(refused, 1.0 + attempt, "it is granted, and nobody is told")
        except NotReached:
            line.heal()
            await lock.release(await asking)
        else:
            return asking
    raise AssertionError("the answer could not be held up")
