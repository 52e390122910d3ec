# SPDX-License-Identifier: Apache-2.0
"""What runs around each attempt: plain async callables, put together once.

::

    async def timed(delivery, call_next):
        started = time.perf_counter()
        try:
            return await call_next(delivery)
        finally:
            histogram.observe(time.perf_counter() - started)

The first in the list is the outermost: it sees a delivery first and its outcome last. The innermost thing is the
endpoint: effect, then handler, so that middleware sees a commit that fails. A middleware may answer without calling
further (``return Drop(reason="…")``), may raise, and may call a second time only if it knows the handler bears it.
Plain handlers run in a thread, middleware always on the event loop: one that blocks holds up every handler, and in the
end the lease.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..errors import ConfigurationError
from .contract import Delivery

Endpoint = Callable[[Delivery], Awaitable[Any]]
Middleware = Callable[[Delivery, Endpoint], Awaitable[Any]]


def compose(middlewares: Sequence[Middleware], endpoint: Endpoint) -> Endpoint:
    """The chain as one callable. Without middleware it is the endpoint itself: nobody pays for what nobody uses."""
    chain = endpoint
    for middleware in reversed(middlewares):
        _check(middleware)
        chain = _around(middleware, chain)
    return chain


def _around(middleware: Middleware, call_next: Endpoint) -> Endpoint:
    def layer(delivery: Delivery) -> Awaitable[Any]:
        return middleware(delivery, call_next)

    return layer


def _check(middleware: Any) -> None:
    name = getattr(middleware, "__qualname__", type(middleware).__qualname__)
    call = middleware if inspect.isroutine(middleware) else getattr(middleware, "__call__", None)  # noqa: B004
    if inspect.isclass(middleware) or not inspect.iscoroutinefunction(call):
        raise ConfigurationError(f"middleware {name} is not async: write `async def {name}(delivery, call_next)`")
    try:
        inspect.signature(middleware).bind(None, None)
    except TypeError as error:
        raise ConfigurationError(f"middleware {name} must take (delivery, call_next)") from error
