# SPDX-License-Identifier: Apache-2.0
"""One attempt as one awaitable: route, decode, middleware, effect, handler, composed once per consumer.

``attempt(delivery)`` answers what the handler answered, or ``Done(duplicate=True)``; everything else is raised. No
layer is there that is not needed: an async handler without middleware and effect costs its own coroutine and nothing
else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextvars import ContextVar, copy_context
from typing import Any

from msgspec import MsgspecError

from .._base import points
from .._base.message import F_BODY, F_CONTENT_TYPE, F_VERSION
from .binding import Binding
from .contract import Delivery, Effect, EffectContext, QuickEffect, Rider
from .middleware import Middleware, compose
from .outcome import Directive, Done
from .routes import Routes

Attempt = Callable[[Delivery], Awaitable[Any]]
Inner = Callable[[Delivery, EffectContext | None], Awaitable[Any]]

_DUPLICATE = Done(duplicate=True)


def attempt_of(routes: Routes, effect: Effect | None, middleware: Sequence[Middleware], executor: Executor) -> Attempt:
    """The attempt of a consumer of single messages."""
    if effect is None and not middleware and points.hook is None and all(r.binding.is_async for r in routes):
        return _direct(routes)
    inner = _called(routes, executor)
    if effect is None:
        return compose(middleware, _alone(inner))
    within = _within(inner, effect, routes)
    if isinstance(effect, QuickEffect) and points.hook is None and all(r.binding.is_async for r in routes):
        within = _riding(within, effect, routes)
    return _minded(middleware, within) if middleware else within


#: What the effects of the attempt under way left to be settled.
_left: ContextVar[list[Done]] = ContextVar("holdfast_effects_left")


def _minded(middleware: Sequence[Middleware], endpoint: Attempt) -> Attempt:
    """Middleware that answers nothing leaves a success a success, and so its effect goes in as well: an acknowledgement
    without it would lose it without a word."""
    async def noted(delivery: Delivery) -> Any:
        answer = await endpoint(delivery)
        if isinstance(answer, Done):
            _left.get().append(answer)
        return answer

    chain = compose(middleware, noted)

    async def run(delivery: Delivery) -> Any:
        left: list[Done] = []
        token = _left.set(left)
        try:
            answer = await chain(delivery)
            if left and not isinstance(answer, Directive | Done):
                answer = left[-1]  # guard: an effect that middleware kept to itself
            return answer
        finally:
            left.clear()  # the error of an attempt keeps its frames: what waits for a rider must not wait for them
            _left.reset(token)

    return run


def _direct(routes: Routes) -> Attempt:
    """Async handlers without middleware or effect.

    One handler of JSON bodies, at version 1, is called without a detour.
    """
    prepare = routes.prepare

    def run(delivery: Delivery) -> Awaitable[Any]:
        answer: Awaitable[Any] = prepare(delivery).call(delivery)
        return answer

    only = routes.only_json()
    if only is None:
        return run
    handler, decode = only

    def run_json(delivery: Delivery) -> Awaitable[Any]:
        if not _decoded_here(delivery, decode):
            return run(delivery)
        answer: Awaitable[Any] = handler(delivery.body)
        return answer

    return run_json


def _decoded_here(delivery: Delivery, decode: Callable[[bytes], Any]) -> bool:
    """An entry as `publish` writes it: a body, no version, no content type. Anything else, and anything that cannot be
    decoded, takes the long way, which knows what to say about it."""
    fields = delivery.message.fields
    try:
        place = fields.index(F_BODY)
        if place & 1 or F_VERSION in fields or F_CONTENT_TYPE in fields or delivery.body is not None:
            return False
        delivery.body = decode(fields[place + 1])
    except (ValueError, IndexError, MsgspecError):
        return False
    return True


async def in_thread(executor: Executor, function: Callable[..., Any], *args: Any) -> Any:
    """Calls a plain function in a thread, with the context variables of the caller: its span, its tenant."""
    return await asyncio.get_running_loop().run_in_executor(executor, copy_context().run, function, *args)


def _called(routes: Routes, executor: Executor) -> Inner:
    async def call(delivery: Delivery, context: EffectContext | None) -> Any:
        binding = _decoded(routes, delivery)
        points.reached("handler.before")
        if binding.is_async:
            answer = await binding.call(delivery, context)
        else:
            answer = await in_thread(executor, binding.call, delivery, context)
        points.reached("handler.after")
        return answer

    return call


def _decoded(routes: Routes, delivery: Delivery) -> Binding:
    """The handler for a delivery whose body lies decoded in it."""
    binding = routes.prepare(delivery)
    if binding.decoder is not None and delivery.body is None:
        points.reached("decode.before")
        binding.load(delivery)
        points.reached("decode.after")
    return binding


def _alone(inner: Inner) -> Attempt:
    def run(delivery: Delivery) -> Awaitable[Any]:
        return inner(delivery, None)

    return run


def _riding(within: Attempt, effect: QuickEffect, routes: Routes) -> Attempt:
    """With an effect that has nothing to ask: the handler is called as it is without one."""
    prepare, begin, ride = routes.prepare, effect.begin, effect.ride

    async def run(delivery: Delivery) -> Any:
        binding = prepare(delivery)
        context = begin(delivery)
        if context is None:
            return await within(delivery)
        answer = await binding.call(delivery, context)
        return answer if isinstance(answer, Directive) else Done(rider=ride(delivery, context, answer))

    only = routes.only_json_given()
    if only is None:
        return run
    handler, decode = only

    async def run_json(delivery: Delivery) -> Any:
        context = begin(delivery)
        if context is None or not _decoded_here(delivery, decode):
            return await run(delivery)
        answer = await handler(delivery.body, context)
        return answer if isinstance(answer, Directive) else Done(rider=ride(delivery, context, answer))

    return run_json


def _within(inner: Inner, effect: Effect, routes: Routes) -> Attempt:
    async def run(delivery: Delivery) -> Any:
        _decoded(routes, delivery)  # a body that cannot be decoded must not open a transaction
        answer: Any = None

        async def body(context: EffectContext) -> Any:
            nonlocal answer
            answer = await inner(delivery, context)
            return answer

        applied = await effect.run(delivery, body)
        if isinstance(applied, Rider):
            return Done(rider=applied)
        points.reached("commit.after")
        return answer if applied else _DUPLICATE

    return run
