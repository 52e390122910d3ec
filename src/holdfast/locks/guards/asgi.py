# SPDX-License-Identifier: Apache-2.0
"""The fence at the door of an HTTP service: ASGI middleware that compares the header ``Fencing-Token``.

::

    app = FenceMiddleware(app, RedisGuard(server))                      # PUT /orders/7
                                                                        # Fencing-Token: 1764150000000000;5f0c9a…
    409  a later holder was here, or another one with the same token    428  the method needs the header
    400  the header is not token;acquisition, or there are several      otherwise the request goes on

Refusals are JSON problems (RFC 9457); 428 is RFC 6585's.

What it cannot promise: the door is not the write. A request that was let in and is then slow can still write after one
with a larger token came in behind it. Where that matters offer the token again in the step that writes: the middleware
leaves it in ``scope["state"]["fence"]`` (Starlette: ``request.state.fence``) for ``SqlGuard.check``.

A token is taken at its word: whoever may send 2^63 - 1 shuts everybody else out. Put the middleware behind what tells
who is asking.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, NamedTuple

from ...errors import FenceRejected
from .header import HEADER, parse
from .offer import Offer
from .refusal import Guard

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Methods that write (RFC 9110: those that are not safe).
WRITING = ("DELETE", "PATCH", "POST", "PUT")
_NAME = HEADER.lower().encode()


def path_of(scope: Scope) -> str:
    """The path of a request: what it guards unless you say otherwise. ``/orders/7`` and ``/orders/7/`` are two."""
    return str(scope["path"])


class FenceMiddleware:
    """Lets a request in when its holder is not a late one.

    app: what is guarded. guard: where tokens are kept: one that all processes of the service share, or for a single
    process a ``MemoryGuard``. required: methods that are refused without the header; with fewer, a client that leaves
    it out is not held off. A header is compared whatever the method is. resource: what a request writes to; too broad
    refuses holders of other locks, too narrow lets late ones in. Web sockets go through unguarded.
    """

    def __init__(self, app: App, guard: Guard, *, required: Collection[str] = WRITING,
                 resource: Callable[[Scope], str] = path_of) -> None:
        self._app = app
        self._guard = guard
        self._required = frozenset(method.upper() for method in required)
        self._resource = resource

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            found = await self._admit(scope)
            if isinstance(found, _Problem):
                await found.answer(send)
                return
            if found is not None:
                scope = {**scope, "state": {**scope.get("state", {}), "fence": found}}
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Offer | _Problem | None:
        """What was offered and taken; a problem; None when nothing was offered and nothing has to be."""
        values = [value for name, value in scope["headers"] if name.lower() == _NAME]
        if not values:  # guard: leaving it out is no way in
            return _missing(scope["method"]) if scope["method"].upper() in self._required else None
        try:
            if len(values) > 1:
                raise ValueError(f"{HEADER} is given {len(values)} times")
            offered = parse(values[0].decode("latin-1"))
        except ValueError as error:
            return _Problem(400, "bad-fencing-token", "The fencing token cannot be read", str(error))
        try:
            await self._guard.check(self._resource(scope), offered)  # guard: late holders are answered 409
        except FenceRejected as refused:
            return _late(refused)
        return offered


class _Problem(NamedTuple):
    """A refusal, as RFC 9457 has it."""

    status: int
    kind: str
    title: str
    detail: str
    more: tuple[tuple[str, int], ...] = ()

    async def answer(self, send: Send) -> None:
        body = json.dumps({"type": f"urn:holdfast:{self.kind}", "title": self.title, "status": self.status,
                           "detail": self.detail, **dict(self.more)}).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _missing(method: str) -> _Problem:
    return _Problem(428, "fencing-token-required", "A fencing token is required",
                    f"{method} needs the header {HEADER}: token;acquisition of the lock that is held")


def _late(refused: FenceRejected) -> _Problem:
    """The other's acquisition is left out: with it, its token could be worn."""
    return _Problem(409, "fence-rejected", "The lock was lost to a later holder",
                    "Acquire the lock anew, look at what is there, and decide again.",
                    (("offered", refused.offered), ("stored", refused.stored)))
