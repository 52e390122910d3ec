# SPDX-License-Identifier: Apache-2.0
"""Guarded functions: of the calls with one key the first runs, the others answer its result."""

from __future__ import annotations

import asyncio
import threading

import pytest

from holdfast.errors import BadHandler, BusinessIdMissing, ConfigurationError
from holdfast.once.guard.guard import current_call
from holdfast.once.guard.records import callee_key
from tests.support.guards import Receipt, made


@pytest.fixture(params=["coroutines", "plain"])
def decorated(request, arun):
    """``decorated(guard, function, by)``: the function, guarded; ``async def`` on one side, ``def`` on the other."""

    def run(guard, function, key_of=lambda order: order):
        if request.param == "plain":
            return guard.once_by(key_of)(function)

        async def coroutine(*args, **kwargs):
            return function(*args, **kwargs)

        coroutine.__annotations__ = function.__annotations__
        wrapped = guard.once_by(key_of)(coroutine)
        return lambda *args, **kwargs: arun(wrapped(*args, **kwargs))

    return run


def test_a_decorated_function_runs_once_a_key(guard, decorated):
    ran = []

    def refund(order: str) -> Receipt:
        ran.append(order)
        return Receipt(order, len(ran))

    call = decorated(guard, refund)
    assert call("o-1") == Receipt("o-1", 1)
    assert call("o-1") == Receipt("o-1", 1)
    assert call("o-2") == Receipt("o-2", 2)
    assert ran == ["o-1", "o-2"]


def test_a_key_is_made_of_all_arguments(guard, decorated):
    def refund(order, *, part=0):
        return part

    call = decorated(guard, refund, lambda order, part=0: f"{order}/{part}")
    assert [call("o", part=1), call("o", part=2), call("o", part=1), call("o")] == [1, 2, 1, 0]


def test_a_decorated_call_without_a_key_is_refused(guard, decorated):
    call = decorated(guard, lambda order: pytest.fail("it ran"), lambda order: None)
    with pytest.raises(BusinessIdMissing):
        call("o-1")


def test_a_decorated_function_that_raises_may_be_tried_again(store, clock, decorated):
    guard = made(store, clock=clock, on_error="clear")
    errors = [OSError("the bank hung up")]

    def refund(order: str) -> int:
        if errors:
            raise errors.pop()
        return 7

    call = decorated(guard, refund)
    with pytest.raises(OSError, match="hung up"):
        call("o-1")
    assert call("o-1") == 7


def test_a_decorated_function_finds_the_key_for_the_callee(guard, decorated):
    keys = []

    def refund(order: str) -> None:
        keys.append(current_call().key_for_callee)

    assert decorated(guard, refund)("o-1") is None
    assert keys == [callee_key("refunds", "o-1")]
    with pytest.raises(ConfigurationError, match="no guarded call"):
        current_call()


def test_a_decorated_function_keeps_its_name_and_kind(guard):
    @guard.once_by(lambda order: order)
    async def refund(order: str) -> int:
        """Pays back."""
        return 1

    assert refund.__name__ == "refund"
    assert refund.__doc__ == "Pays back."
    assert asyncio.iscoroutinefunction(refund)


def test_what_cannot_be_decorated_is_said_at_once(guard):
    def generator(order):
        yield order

    async def stream(order):
        yield order

    def opaque(order) -> threading.Lock:
        return threading.Lock()

    def unknown(order) -> Nowhere:  # noqa: F821 - that is the point
        return order

    for function in (generator, stream, opaque, unknown):
        with pytest.raises(BadHandler):
            guard.once_by(lambda order: order)(function)
