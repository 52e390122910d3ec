# SPDX-License-Identifier: Apache-2.0
"""A guard on a store in memory, whose clock the test owns, and blocks of it in coroutines and in plain code."""

from __future__ import annotations

import pytest

from holdfast.testing import ManualClock
from tests.support.guards import Failing, made


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return Failing(clock)


@pytest.fixture
def told():
    return []


@pytest.fixture
def guard(store, clock, told):
    return made(store, clock=clock, told=told)


@pytest.fixture(params=["coroutines", "plain"])
def once(request, arun):
    """``once(guard, key, body)``: a block with ``body(call)`` in it, on both sides; answers the call."""

    async def block(guard, key, body, **how):
        async with guard.once(key, **how) as call:
            body(call)
        return call

    def plain_block(guard, key, body, **how):
        with guard.once(key, **how) as call:
            body(call)
        return call

    def run(guard, key, body=lambda call: None, **how):
        if request.param == "plain":
            return plain_block(guard, key, body, **how)
        return arun(block(guard, key, body, **how))

    return run
