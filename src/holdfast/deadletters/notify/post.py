# SPDX-License-Identifier: Apache-2.0
"""Messages on their way: by HTTP, or by a mail server. Gives an answer, and raises nothing of its own.

An address is a key here, so neither errors nor logs may show it. The HTTP library writes each request's address to its
own log, and our callers' logging would print that; it is silent for as long as a message is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ..._base.clock import Clock, SystemClock
from ..._base.quiet import quiet
from ..._base.secret import Resolver, Secret, resolve
from ...errors import MissingExtra, SecretUnavailable
from .channels.channel import Answer, Channel, Reply, Request
from .channels.mail import Mail
from .plan import refusal_of
from .words import Said

if TYPE_CHECKING:
    import httpx2

#: Seconds for one message, all in all; below ``limits.WAY_MS``.
TIMEOUT_S: Final = 8.0
#: Bytes of an answer that are read.
ANSWER_MAX: Final = 65_536


class Post:
    """Sends. secrets: resolves ``secret://`` references, each time anew, so that a rotated one counts at once."""

    def __init__(self, secrets: Resolver | None = None, *, clock: Clock | None = None) -> None:
        self._secrets, self._clock = secrets, clock or SystemClock()
        self._client: httpx2.AsyncClient | None = None

    async def send(self, channel: Channel | Mail, said: Said) -> Answer:
        """What came of it."""
        try:
            known = self._known(channel)
        except SecretUnavailable as error:  # names the reference alone
            return Answer("failed", str(error))
        now_ms = self._clock.wall_ms()
        if isinstance(channel, Mail):
            return await asyncio.to_thread(channel.send, said, known, now_ms)
        request = channel.request(said, known, now_ms)
        refused = refusal_of(request.url.reveal())
        if refused:
            return Answer("refused", refused)
        reply = await self._posted(request)
        return reply if isinstance(reply, Answer) else channel.read(reply)

    async def close(self) -> None:
        """Closes connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _known(self, channel: Channel | Mail) -> dict[str, Secret[str]]:
        found = {name: resolve(given, self._secrets) for name, given in channel.secrets.items()}
        return {name: secret for name, secret in found.items() if secret is not None}

    async def _posted(self, request: Request) -> Reply | Answer:
        http = library()
        try:
            with quiet():  # guard: addresses are in no log
                async with asyncio.timeout(TIMEOUT_S):
                    return await self._asked(http, request)
        except (TimeoutError, http.HTTPError, http.InvalidURL, ValueError) as error:
            # guard: the type alone, since the library's words may hold the address
            never_left = isinstance(error, http.ConnectError | http.ConnectTimeout | http.InvalidURL)
            return Answer("failed", type(error).__name__, doubt=not never_left)

    async def _asked(self, http: Any, request: Request) -> Reply:
        if self._client is None:
            self._client = http.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)
        async with self._client.stream("post", request.url.reveal(), content=request.body,
                                       headers=dict(request.headers)) as answer:
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) >= ANSWER_MAX:
                    break
            return Reply(answer.status_code, body[:ANSWER_MAX], _after(answer.headers.get("Retry-After", "")))


def library() -> Any:
    """httpx2. Raises MissingExtra."""
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("http", "telling people over HTTP") from error
    return httpx2


def check_library(channels: Iterable[Channel | Mail]) -> None:
    """Raises MissingExtra now rather than when there is something to tell."""
    if any(not isinstance(channel, Mail) for channel in channels):
        library()


def _after(text: str) -> float | None:
    return float(text) if text.isdigit() and len(text) < 6 else None

