# SPDX-License-Identifier: Apache-2.0
"""One attempt as one awaitable: decode, middleware, effect, handler, composed once per consumer.

``attempt(delivery)`` answers None for success, a directive or ``Done(duplicate=True)``; everything else is raised. The
composition has no layer that is not needed: a plain async handler without middleware or effect is called directly, and
costs one coroutine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from .._base import points
from .binding import Binding
from .contract import Delivery, Effect, EffectContext
from .outcome import Directive, Done
from .subscription import CallNext, Middleware

Attempt = Callable[[Delivery], Awaitable[Any]]
_DUPLICATE = Done(duplicate=True)


def attempt_of(binding_for: Callable[[Delivery], Binding], effect: Effect | None, middleware: list[Middleware],
               executor: Executor, *, only: Binding | None = None) -> Attempt:
    """The attempt of a consumer. ``only``: its single binding, when it has no routing to do."""
    if only is not None and only.is_async and effect is None and not middleware:
        fast: Attempt = only.call
        return fast
    inner = _called(binding_for, executor)
    endpoint = inner_plain(inner) if effect is None else _within(inner, effect, binding_for)
    return _composed(endpoint, middleware)


def inner_plain(inner: Callable[[Delivery, EffectContext | None], Awaitable[Any]]) -> Attempt:
    async def run(delivery: Delivery) -> Any:
        return await inner(delivery, None)

    return run


def _called(binding_for: Callable[[Delivery], Binding], executor: Executor
            ) -> Callable[[Delivery, EffectContext | None], Awaitable[Any]]:
    async def call(delivery: Delivery, context: EffectContext | None) -> Any:
        binding = binding_for(delivery)
        points.reached("handler.before")
        if binding.is_async:
            answer = await binding.call(delivery, context)
        else:
            binding.load(delivery)  # decode errors are ours, not the thread's
            answer = await asyncio.get_running_loop().run_in_executor(executor, binding.call, delivery, context)
        points.reached("handler.after")
        return answer

    return call


def _within(inner: Callable[[Delivery, EffectContext | None], Awaitable[Any]], effect: Effect,
            binding_for: Callable[[Delivery], Binding]) -> Attempt:
    async def run(delivery: Delivery) -> Any:
        binding = binding_for(delivery)
        if binding.decoder is not None and delivery.body is None:
            binding.load(delivery)  # a body that cannot be decoded must not open a transaction
        answer: Any = None

        async def body(context: EffectContext) -> Any:
            nonlocal answer
            answer = await inner(delivery, context)
            return answer

        applied = await effect.run(delivery, body)
        points.reached("commit.after")
        return answer if applied else _DUPLICATE

    return run


def _composed(endpoint: Attempt, middleware: list[Middleware]) -> Attempt:
    for one in reversed(middleware):
        endpoint = _around(one, endpoint)
    return endpoint


def _around(one: Middleware, call_next: CallNext) -> Attempt:
    async def run(delivery: Delivery) -> Any:
        return await one(delivery, call_next)

    return run


def outcome_of(answer: Any) -> Any:
    """What a handler's answer means: a directive is itself, anything else is success."""
    return answer if isinstance(answer, (Directive, Done)) else None
